/* A report as a table for terminals: see report.h. */
#include "common/stats/report.h"
#include <math.h>

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
        if (s->n_runs > 1) buf_addf(b, "  mean of %d seeds", s->n_runs);
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
    buf_addf(b, "\n%s: %s by class, and what was answered", r->systems[i].name, x->name);
    if (r->systems[i].n_runs > 1) buf_addf(b, " (scores: means, counts: sums over %d seeds)", r->systems[i].n_runs);
    buf_addc(b, '\n');
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
    if (r->n_pairs) buf_adds(b, "\npairs: difference of macro-F1 with interval, paired permutation test over units (and Holm's correction over the pairs); exact McNemar over items\n");
    for (int i = 0; i < r->n_pairs; i++) {
        const struct pair_result *p = &r->pairs[i];
        buf_addf(b, "%s - %s, %s: %+.3f [%+.3f, %+.3f], p = %.4f (%.4f)", r->systems[p->a].name, r->systems[p->b].name,
            p->group < 0 ? "mean of the groups" : r->task->groups[p->group].name, p->difference.value, p->difference.ci.low, p->difference.ci.high, p->p, p->holm);
        if (isfinite(p->mcnemar_p)) buf_addf(b, "; right alone %lld against %lld, p = %.2g", (long long)p->only_a, (long long)p->only_b, p->mcnemar_p);
        buf_addc(b, '\n');
    }
}

static void text_calibration(const struct report *r, struct buf *b) {
    for (int i = 0; i < r->n_systems; i++) {
        const struct calibration *c = &r->systems[i].calibration;
        if (!r->systems[i].classified || !c->n) continue;
        buf_addf(b, "\n%s: mean confidence %.3f, accuracy %.3f, calibration error (ECE) %.3f over %lld items", r->systems[i].name, calibration_confidence(c),
            calibration_accuracy(c), calibration_ece(c), (long long)c->n);
        if (c->without) buf_addf(b, "; %lld more have none", (long long)c->without);
        buf_addc(b, '\n');
    }
}

static void text_verdicts(const struct report *r, struct buf *b) {
    for (int i = 0; i < r->n_verdicts; i++) {
        buf_addc(b, '\n');
        if (r->verdicts[i].question) buf_addf(b, "%s\n", r->verdicts[i].question);
        buf_addf(b, "%s\n", r->verdicts[i].sentence);
    }
}

void report_text(const struct report *r, struct buf *b) {
    buf_addf(b, "%lld rows in %lld %s; 95 %% intervals by bootstrap over them\n\n", (long long)r->ref->rows, (long long)r->ref->n_units,
        r->ref->n_units == r->ref->rows ? "units" : "clusters");
    text_systems(r, b);
    for (int g = 0; g < r->task->n_groups; g++) text_group(r, g, b);
    text_pairs(r, b);
    text_verdicts(r, b);
    text_calibration(r, b);
    for (int i = 0; i < r->n_systems; i++)
        for (int g = 0; r->systems[i].classified && g < r->task->n_groups; g++) text_classes(r, g, i, b);
}
