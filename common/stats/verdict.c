/* Questions about two systems, answered by the numbers: see report.h. */
#include "common/stats/report.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double level = 0.05; /* of the tests; the intervals are its complement */

/* Seeds that do not all point the same way, beyond what rows alone can tell */
static bool seeds_disagree(const struct verdict *v) {
    return v->seeds > 1 && v->holm < level && ((v->difference.ci.low > 0 && v->wins < v->seeds) || (v->difference.ci.high < 0 && v->wins > 0));
}

/* Yes and no need the corrected test, the interval and all seeds; a gain that could only be smaller than what matters is a no. */
static enum verdict_kind judge(const struct verdict *v, double margin) {
    const struct measured *d = &v->difference;
    if (seeds_disagree(v)) return VERDICT_OPEN;
    if (v->holm < level && d->ci.low > 0) return d->ci.high < margin ? VERDICT_YES_SMALL : VERDICT_YES;
    if (v->holm < level && d->ci.high < 0) return VERDICT_NO_REVERSE;
    return d->ci.high < margin ? VERDICT_NO : VERDICT_OPEN;
}

/* Seeds that both systems have, and in how many of them a scores higher. */
static void count_seeds(struct verdict *v, const struct report *r) {
    const struct system *a = &r->in->v[v->a], *b = &r->in->v[v->b];
    for (int i = 0; i < a->n_runs; i++)
        for (int k = 0; k < b->n_runs; k++) {
            if (!a->runs[i].seed || !b->runs[k].seed || strcmp(a->runs[i].seed, b->runs[k].seed)) continue;
            v->seeds++;
            v->wins += r->systems[v->a].runs[i].score > r->systems[v->b].runs[k].score;
        }
}

static void put_evidence(const struct verdict *v, const struct report *r, struct buf *b) {
    const struct measured *d = &v->difference;
    buf_addf(b, "%+.3f macro-F1 (95 %% interval %+.3f to %+.3f, Holm p = %.2g", d->value, d->ci.low, d->ci.high, v->holm);
    if (v->seeds) buf_addf(b, "; higher in %d of %d seed%s", v->wins, v->seeds, v->seeds == 1 ? "" : "s");
    buf_adds(b, ")");
    (void)r;
}

/* One sentence that says no more than the numbers. */
static void put_sentence(const struct verdict *v, const struct report *r, struct buf *b) {
    const char *x = r->systems[v->a].name, *y = r->systems[v->b].name;
    switch (v->kind) {
    case VERDICT_YES: buf_addf(b, "Yes: %s beats %s, ", x, y); break;
    case VERDICT_YES_SMALL: buf_addf(b, "Yes, but by less than the %.3g that would matter: %s beats %s, ", r->o.margin, x, y); break;
    case VERDICT_NO_REVERSE: buf_addf(b, "No, the other way round: %s is worse than %s, ", x, y); break;
    case VERDICT_NO: buf_addf(b, "No: if %s gains anything over %s it is less than the %.3g that would matter, ", x, y, r->o.margin); break;
    case VERDICT_OPEN: buf_addf(b, "Not decidable from these numbers: %s against %s is ", x, y); break;
    }
    put_evidence(v, r, b);
    if (v->kind == VERDICT_OPEN) {
        if (seeds_disagree(v))
            buf_adds(b, ", clear over the rows, but the seeds do not agree: trained again it may turn");
        else if (v->difference.ci.low <= 0)
            buf_addf(b, ", which leaves room for a gain of %.3f as well as %s", v->difference.ci.high, v->difference.ci.low < 0 ? "a loss" : "none");
        else
            buf_adds(b, ", which the correction for all pairs does not let pass");
    }
    buf_addc(b, '.');
}

/* "A>B", the names as the systems are called: A ends at the first > behind which a system's name stands. */
static int find_systems(const struct report *r, const char *q, size_t n, struct verdict *v, struct err *e) {
    for (const char *at = memchr(q, '>', n); at; at = memchr(at + 1, '>', (size_t)(q + n - at - 1))) {
        v->a = systems_find(r->in, q, (size_t)(at - q));
        v->b = systems_find(r->in, at + 1, (size_t)(q + n - at - 1));
        if (v->a >= 0 && v->b >= 0 && v->a != v->b) return 0;
    }
    return err_set(e, RC_USAGE, "--question %s: expected A>B of two of the systems", q);
}

int report_ask(struct report *r, const char *question, struct err *e) {
    struct verdict v = {.holm = NAN};
    const char *words = NULL;
    int64_t n = name_before(question, '=', &words);
    double sign;
    if (find_systems(r, question, n < 0 ? strlen(question) : (size_t)n, &v, e) < 0) return -1;
    const struct pair_result *p = report_pair(r, v.a, v.b, &sign);
    if (!p) return err_set(e, RC_INPUT, "--question %s: one of the two has no field parsed to compare", question);
    v.question = words && *words ? words : NULL;
    v.difference = p->difference;
    if (sign < 0) v.difference = measured_reversed(p->difference);
    v.holm = p->holm;
    count_seeds(&v, r);
    v.kind = judge(&v, r->o.margin);
    struct buf b = BUF_INIT;
    put_sentence(&v, r, &b);
    v.sentence = buf_detach(&b);
    r->verdicts = xrealloc(r->verdicts, (size_t)r->n_verdicts + 1, sizeof *r->verdicts);
    r->verdicts[r->n_verdicts++] = v;
    return 0;
}

/* ---- learning curves ---- */
static int add_point(const struct report *r, struct learning *l, const char *name, size_t n, const char *line, struct err *e) {
    int s = systems_find(r->in, name, n), at = l->n;
    if (s < 0) return err_set(e, RC_USAGE, "--learning %s: no system is called %.*s", line, (int)n, name);
    double rows = r->systems[s].facts.v[FACT_ROWS];
    if (!r->systems[s].classified || !isfinite(rows)) return err_set(e, RC_USAGE, "--learning %s: the rows of %.*s are not known, give --about %.*s:rows=N", line, (int)n, name, (int)n, name);
    l->systems = xrealloc(l->systems, (size_t)l->n + 1, sizeof *l->systems);
    for (; at && r->systems[l->systems[at - 1]].facts.v[FACT_ROWS] > rows; at--) l->systems[at] = l->systems[at - 1];
    l->systems[at] = s;
    l->n++;
    return 0;
}

int report_learning(struct report *r, const char *line, struct err *e) {
    const char *at;
    int64_t n = name_before(line, '=', &at);
    if (n < 0) return err_set(e, RC_USAGE, "--learning %s: expected NAME=SYSTEM,SYSTEM,...", line);
    r->learning = xrealloc(r->learning, (size_t)r->n_learning + 1, sizeof *r->learning);
    struct learning *l = &r->learning[r->n_learning++];
    *l = (struct learning){.name = xmemdup0(line, (size_t)n)};
    for (size_t len; *at; at += len + (at[len] == ',')) {
        len = strcspn(at, ",");
        if (add_point(r, l, at, len, line, e) < 0) return -1;
    }
    return l->n > 1 ? 0 : err_set(e, RC_USAGE, "--learning %s: expected two systems or more", line);
}
