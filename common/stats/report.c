/* Scores, intervals and tests of several systems: see report.h. */
#include "common/stats/report.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double stat_macro_f1(const int64_t *c, const void *K) { return macro_f1_from(c, *(const int *)K); }

static double stat_accuracy(const int64_t *c, const void *K) {
    struct scores s;
    scores_from(&s, c, *(const int *)K);
    return s.accuracy;
}

static double stat_weighted_f1(const int64_t *c, const void *K) {
    struct scores s;
    scores_from(&s, c, *(const int *)K);
    return s.weighted_f1;
}

static double stat_share(const int64_t *c, const void *unused) {
    (void)unused;
    return c[1] ? (double)c[0] / (double)c[1] : 0;
}

/* ---- making ---- */
struct by_unit { /* one table of counts and how to draw from it */
    const int64_t *cells;
    int U, n;
    const void *arg;
    const struct report_options *o;
};

static struct measured measure(const struct by_unit *t, const int64_t *total, statistic_fn *f) {
    return (struct measured){f(total, t->arg), bootstrap(t->cells, t->U, t->n, f, t->arg, t->o->bootstrap, t->o->seed)};
}

static int64_t *total_of(const int64_t *by_unit, int64_t U, int cells) {
    int64_t *sum = xcalloc((size_t)cells, sizeof *sum);
    for (int64_t i = 0; i < U * cells; i++) sum[i % cells] += by_unit[i];
    return sum;
}

static void make_group(struct group_result *g, const int64_t *by_unit, int K, int64_t U, const struct report_options *o) {
    int cells = K * (K + 1);
    struct by_unit t = {by_unit, (int)U, cells, &K, o};
    g->counts = total_of(by_unit, U, cells);
    scores_from(&g->s, g->counts, K);
    g->accuracy = measure(&t, g->counts, stat_accuracy);
    g->macro_f1 = measure(&t, g->counts, stat_macro_f1);
    g->weighted_f1 = measure(&t, g->counts, stat_weighted_f1);
}

static struct measured make_share(const bool *yes, const struct reference *ref, const struct report_options *o) {
    int64_t *by_unit = share_by_unit(yes, ref), *sum = total_of(by_unit, ref->units.n, 2);
    struct by_unit t = {by_unit, (int)ref->units.n, 2, NULL, o};
    struct measured m = measure(&t, sum, stat_share);
    free(by_unit);
    free(sum);
    return m;
}

static void make_pair(struct report *r, const struct answers *a, const int64_t *ca, const int64_t *cb, int i, int j, int g, const struct report_options *o) {
    struct pair_result *p = &r->pairs[r->n_pairs++];
    const struct task *t = r->task;
    int K = t->groups[g].K;
    *p = (struct pair_result){.a = i, .b = j, .group = g};
    p->p = permutation_test(ca, cb, (int)r->ref->units.n, K * (K + 1), stat_macro_f1, &K, o->permutations, o->seed, &p->difference);
    for (int64_t k = 0; k < r->ref->rows * t->n_fields; k++) {
        if (t->group_of[k % t->n_fields] != g) continue;
        bool right_a = a[i].pred[k] == r->ref->truth[k], right_b = a[j].pred[k] == r->ref->truth[k];
        p->only_a += right_a && !right_b;
        p->only_b += right_b && !right_a;
    }
    p->mcnemar_p = mcnemar(p->only_a, p->only_b);
}

static void make_group_of_all(struct report *r, const struct answers *a, int g, const struct report_options *o) {
    int n = r->n_systems;
    int64_t **c = xcalloc((size_t)n, sizeof *c);
    for (int i = 0; i < n; i++) {
        c[i] = answers_by_unit(&a[i], r->task, r->ref, g);
        make_group(&r->systems[i].g[g], c[i], r->task->groups[g].K, r->ref->units.n, o);
    }
    for (int i = 0; i < n; i++)
        for (int j = i + 1; j < n; j++)
            if (a[i].has_parsed && a[j].has_parsed) make_pair(r, a, c[i], c[j], i, j, g, o);
    for (int i = 0; i < n; i++) free(c[i]);
    free(c);
}

void report_make(struct report *r, const struct task *t, const struct reference *ref, const struct answers *a, int n, const struct report_options *o) {
    *r = (struct report){.task = t, .ref = ref, .n_systems = n};
    r->systems = xcalloc((size_t)n, sizeof *r->systems);
    r->pairs = xcalloc((size_t)(n * n * t->n_groups), sizeof *r->pairs);
    for (int i = 0; i < n; i++) {
        struct system_result *s = &r->systems[i];
        s->name = a[i].name;
        s->classified = a[i].has_parsed;
        s->g = xcalloc((size_t)t->n_groups, sizeof *s->g);
        s->valid = make_share(a[i].valid, ref, o);
        s->exact = make_share(a[i].exact, ref, o);
        s->scored_tokens = a[i].scored_tokens;
        s->perplexity = a[i].scored_tokens ? exp(-a[i].logprob / (double)a[i].scored_tokens) : NAN;
    }
    for (int g = 0; g < t->n_groups; g++) make_group_of_all(r, a, g, o);
}

void report_release(struct report *r) {
    for (int i = 0; i < r->n_systems; i++) {
        for (int g = 0; g < r->task->n_groups; g++) free(r->systems[i].g[g].counts);
        free(r->systems[i].g);
    }
    free(r->systems);
    free(r->pairs);
}

bool report_metric(const struct report *r, const char *name, double *value) {
    const struct system_result *s = &r->systems[0];
    double sum = 0;
    *value = !strcmp(name, "valid_rate") ? s->valid.value : !strcmp(name, "exact") ? s->exact.value : s->perplexity;
    if (!strcmp(name, "valid_rate") || !strcmp(name, "exact") || !strcmp(name, "perplexity")) return true;
    for (int g = 0; g < r->task->n_groups; g++) {
        const struct group_result *x = &s->g[g];
        if (!strcmp(name, "accuracy")) sum += x->s.accuracy;
        else if (!strcmp(name, "macro_f1")) sum += x->s.macro_f1;
        else if (!strcmp(name, "weighted_f1")) sum += x->s.weighted_f1;
        else if (!strcmp(name, "kappa")) sum += x->s.kappa;
        else return false;
    }
    *value = sum / r->task->n_groups;
    return true;
}

/* ---- table ---- */
/* Columns a UTF-8 string takes on a terminal: its code points. */
static int columns(const char *s) {
    int n = 0;
    for (; *s; s++) n += (*s & 0xc0) != 0x80;
    return n;
}

static void pad(struct buf *b, const char *s, int width) {
    buf_adds(b, s);
    for (int n = columns(s); n < width; n++) buf_addc(b, ' ');
}

static int name_width(const struct report *r) {
    int w = 8;
    for (int i = 0; i < r->n_systems; i++) w = columns(r->systems[i].name) > w ? columns(r->systems[i].name) : w;
    return w;
}

static void put_measured(struct buf *b, struct measured m) { buf_addf(b, "  %.3f [%.3f, %.3f]", m.value, m.ci.low, m.ci.high); }

static void text_systems(const struct report *r, struct buf *b) {
    int w = name_width(r);
    pad(b, "system", w);
    buf_adds(b, "  valid answers          all fields right\n");
    for (int i = 0; i < r->n_systems; i++) {
        const struct system_result *s = &r->systems[i];
        pad(b, s->name, w);
        if (s->classified) {
            put_measured(b, s->valid);
            put_measured(b, s->exact);
        } else {
            buf_adds(b, "  (no parsed answers)");
        }
        if (isfinite(s->perplexity)) buf_addf(b, "  perplexity %.3f over %lld tokens", s->perplexity, (long long)s->scored_tokens);
        buf_addc(b, '\n');
    }
}

static void text_group(const struct report *r, int g, struct buf *b) {
    int w = name_width(r);
    const struct group *x = &r->task->groups[g];
    buf_addf(b, "\n%s (%d field%s pooled)\n", x->name, x->n_fields, x->n_fields == 1 ? "" : "s");
    pad(b, "system", w);
    buf_adds(b, "  accuracy               macro-F1               weighted-F1            kappa\n");
    for (int i = 0; i < r->n_systems; i++) {
        if (!r->systems[i].classified) continue;
        const struct group_result *s = &r->systems[i].g[g];
        pad(b, r->systems[i].name, w);
        put_measured(b, s->accuracy);
        put_measured(b, s->macro_f1);
        put_measured(b, s->weighted_f1);
        buf_addf(b, "  %.3f\n", s->s.kappa);
    }
}

static void text_classes(const struct report *r, int g, int i, struct buf *b) {
    const struct group *x = &r->task->groups[g];
    const struct group_result *s = &r->systems[i].g[g];
    int w = 10, cw = 9;
    for (int k = 0; k < x->K; k++) w = columns(x->labels[k]) > w ? columns(x->labels[k]) : w;
    for (int k = 0; k < x->K; k++) cw = columns(x->labels[k]) + 1 > cw ? columns(x->labels[k]) + 1 : cw;
    buf_addf(b, "\n%s: %s by class, and what was answered\n", r->systems[i].name, x->name);
    pad(b, "true", w);
    buf_adds(b, "  precision  recall     F1  support |");
    for (int j = 0; j <= x->K; j++) {
        const char *name = j < x->K ? x->labels[j] : "unparsed";
        buf_addf(b, "%*s%s", cw - columns(name), "", name);
    }
    buf_addc(b, '\n');
    for (int k = 0; k < x->K; k++) {
        const struct class_score *c = &s->s.of[k];
        pad(b, x->labels[k], w);
        buf_addf(b, "      %.3f   %.3f  %.3f  %7lld |", c->precision, c->recall, c->f1, (long long)c->support);
        for (int j = 0; j <= x->K; j++) buf_addf(b, "%*lld", cw, (long long)s->counts[k * (x->K + 1) + j]);
        buf_addc(b, '\n');
    }
}

static void text_pairs(const struct report *r, struct buf *b) {
    if (r->n_pairs) buf_adds(b, "\npairs: difference of macro-F1, paired permutation test over units, exact McNemar over items\n");
    for (int i = 0; i < r->n_pairs; i++) {
        const struct pair_result *p = &r->pairs[i];
        buf_addf(b, "%s - %s, %s: %+.3f, p = %.4f; right alone %lld against %lld, p = %.2g\n", r->systems[p->a].name, r->systems[p->b].name,
            r->task->groups[p->group].name, p->difference, p->p, (long long)p->only_a, (long long)p->only_b, p->mcnemar_p);
    }
}

void report_text(const struct report *r, struct buf *b) {
    buf_addf(b, "%lld rows in %lld %s; 95 %% intervals by bootstrap over them\n\n", (long long)r->ref->rows, (long long)r->ref->units.n,
        r->ref->units.n == r->ref->rows ? "units" : "clusters");
    text_systems(r, b);
    for (int g = 0; g < r->task->n_groups; g++) text_group(r, g, b);
    text_pairs(r, b);
    for (int i = 0; i < r->n_systems; i++)
        for (int g = 0; r->systems[i].classified && g < r->task->n_groups; g++) text_classes(r, g, i, b);
}

/* ---- JSON ---- */
static void put_key(struct buf *b, const char *key) {
    char last = b->n ? b->p[b->n - 1] : '{';
    if (last != '{' && last != '[') buf_addc(b, ',');
    if (!key) return;
    json_put_string(b, key, strlen(key));
    buf_addc(b, ':');
}

static void put_number(struct buf *b, const char *key, double x) {
    put_key(b, key);
    json_put_number(b, x);
}

static void put_string(struct buf *b, const char *key, const char *s) {
    put_key(b, key);
    json_put_string(b, s, strlen(s));
}

static void put_ci(struct buf *b, const char *key, struct measured m) {
    put_key(b, key);
    buf_addc(b, '{');
    put_number(b, "value", m.value);
    put_number(b, "low", m.ci.low);
    put_number(b, "high", m.ci.high);
    buf_addc(b, '}');
}

static void json_class(const struct class_score *c, const char *label, struct buf *b) {
    put_key(b, NULL);
    buf_addc(b, '{');
    put_string(b, "label", label);
    put_number(b, "precision", c->precision);
    put_number(b, "recall", c->recall);
    put_number(b, "f1", c->f1);
    put_number(b, "support", (double)c->support);
    put_number(b, "predicted", (double)c->predicted);
    buf_addc(b, '}');
}

static void json_group(const struct report *r, int g, const struct group_result *s, struct buf *b) {
    const struct group *x = &r->task->groups[g];
    put_key(b, x->name);
    buf_addc(b, '{');
    put_number(b, "items", (double)s->s.n);
    put_ci(b, "accuracy", s->accuracy);
    put_ci(b, "macro_f1", s->macro_f1);
    put_ci(b, "weighted_f1", s->weighted_f1);
    put_number(b, "macro_precision", s->s.macro_precision);
    put_number(b, "macro_recall", s->s.macro_recall);
    put_number(b, "weighted_precision", s->s.weighted_precision);
    put_number(b, "weighted_recall", s->s.weighted_recall);
    put_number(b, "kappa", s->s.kappa);
    put_key(b, "classes");
    buf_addc(b, '[');
    for (int k = 0; k < x->K; k++) json_class(&s->s.of[k], x->labels[k], b);
    buf_addc(b, ']');
    put_key(b, "confusion");
    buf_addc(b, '[');
    for (int k = 0; k < x->K; k++) {
        put_key(b, NULL);
        buf_addc(b, '[');
        for (int j = 0; j <= x->K; j++) put_number(b, NULL, (double)s->counts[k * (x->K + 1) + j]);
        buf_addc(b, ']');
    }
    buf_adds(b, "]}");
}

static void json_system(const struct report *r, const struct system_result *s, struct buf *b) {
    put_key(b, s->name);
    buf_addc(b, '{');
    if (s->classified) {
        put_ci(b, "valid_rate", s->valid);
        put_ci(b, "exact", s->exact);
    }
    if (s->scored_tokens) {
        put_number(b, "perplexity", s->perplexity);
        put_number(b, "scored_tokens", (double)s->scored_tokens);
    }
    put_key(b, "groups");
    buf_addc(b, '{');
    for (int g = 0; s->classified && g < r->task->n_groups; g++) json_group(r, g, &s->g[g], b);
    buf_adds(b, "}}");
}

static void json_pair(const struct report *r, const struct pair_result *p, struct buf *b) {
    put_key(b, NULL);
    buf_addc(b, '{');
    put_string(b, "a", r->systems[p->a].name);
    put_string(b, "b", r->systems[p->b].name);
    put_string(b, "group", r->task->groups[p->group].name);
    put_number(b, "macro_f1_difference", p->difference);
    put_number(b, "permutation_p", p->p);
    put_number(b, "only_a_right", (double)p->only_a);
    put_number(b, "only_b_right", (double)p->only_b);
    put_number(b, "mcnemar_p", p->mcnemar_p);
    buf_addc(b, '}');
}

void report_json(const struct report *r, struct buf *b) {
    buf_addc(b, '{');
    put_number(b, "rows", (double)r->ref->rows);
    put_number(b, "units", (double)r->ref->units.n);
    put_key(b, "systems");
    buf_addc(b, '{');
    for (int i = 0; i < r->n_systems; i++) json_system(r, &r->systems[i], b);
    buf_addc(b, '}');
    put_key(b, "pairs");
    buf_addc(b, '[');
    for (int i = 0; i < r->n_pairs; i++) json_pair(r, &r->pairs[i], b);
    buf_adds(b, "]}\n");
}
