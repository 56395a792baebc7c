/* Shared by both reports: see view.h. */
#include "common/stats/view.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

const char *const fact_titles[N_FACTS] = {"training rows", "training tokens", "training time", "model bytes", "price"};

static bool stands_before(const struct report *r, int a, int b) {
    const struct system_result *x = &r->systems[a], *y = &r->systems[b];
    if (x->classified != y->classified) return x->classified;
    if (x->classified && x->score.value != y->score.value) return x->score.value > y->score.value;
    return a < b;
}

void view_init(struct view *v, const struct report *r) {
    *v = (struct view){r, xcalloc((size_t)r->n_systems, sizeof(int)), xcalloc((size_t)r->n_systems, sizeof(int))};
    for (int i = 0; i < r->n_systems; i++) {
        int k = i;
        for (; k > 0 && stands_before(r, i, v->order[k - 1]); k--) v->order[k] = v->order[k - 1];
        v->order[k] = i;
    }
    for (int i = 0; i < r->n_systems; i++) v->rank[v->order[i]] = i;
}

void view_release(struct view *v) {
    free(v->order);
    free(v->rank);
}

static void put_grouped(struct buf *b, double x) {
    char s[32];
    int n = snprintf(s, sizeof s, "%.0f", x);
    if (x >= 1e15) return buf_addf(b, "%.4g", x);
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0) buf_addc(b, ',');
        buf_addc(b, s[i]);
    }
}

void view_fact(struct buf *b, enum fact f, double x) {
    if (!isfinite(x)) buf_adds(b, "not given");
    else if (f == FACT_SECONDS && x >= 3600) buf_addf(b, "%.0f h %02.0f min", floor(x / 3600), floor(fmod(x, 3600) / 60));
    else if (f == FACT_SECONDS && x >= 60) buf_addf(b, "%.0f min %02.0f s", floor(x / 60), floor(fmod(x, 60)));
    else if (f == FACT_SECONDS) buf_addf(b, "%.3g s", x);
    else if (f == FACT_BYTES && x >= 1e9) buf_addf(b, "%.2f GB", x / 1e9);
    else if (f == FACT_BYTES && x >= 1e6) buf_addf(b, "%.1f MB", x / 1e6);
    else if (f == FACT_PRICE) buf_addf(b, "%.4g", x);
    else put_grouped(b, x);
}

void view_score_name(const struct report *r, struct buf *b) {
    buf_adds(b, "macro-F1");
    if (r->task->n_groups > 1) buf_addf(b, ", mean of %d groups", r->task->n_groups);
}

int view_sign(const struct report *r, int a, int b) {
    double sign;
    const struct pair_result *p = report_pair(r, a, b, &sign);
    if (!p || !(p->holm < 0.05)) return 0;
    return sign * p->difference.value > 0 ? 1 : -1;
}

void view_method(const struct report *r, struct buf *b) {
    bool many = false;
    int n = 0;
    for (int i = 0; i < r->n_systems; i++) many = many || r->systems[i].n_runs > 1;
    for (int i = 0; i < r->n_pairs; i++) n += r->pairs[i].group == r->main_group;
    buf_addf(b, "Systems are ranked by %s", r->task->n_groups > 1 ? "the mean over groups of macro-F1" : "macro-F1");
    buf_addf(b, "%s. A row without a valid answer counts as wrong in every field. ", many ? ", the mean over their seeds" : "");
    buf_addf(b, "Intervals are 95 %% percentile bootstrap intervals from %d resamples of ", r->o.bootstrap);
    if (r->o.cluster)
        buf_addf(b, "%lld clusters (the rows of one %s stay together)", (long long)r->ref->n_units, r->o.cluster);
    else
        buf_addf(b, "%lld rows", (long long)r->ref->rows);
    buf_adds(b, many ? ", each drawn with the answers of all seeds. " : ". ");
    if (n) buf_addf(b, "Pairs are tested by %d random swaps of the two systems' answers within them (two-sided), corrected by Holm's method over the %d pair%s shown. ", r->o.permutations, n, n == 1 ? "" : "s");
    buf_adds(b, many ? "They speak of other texts for these trained models; how much another seed changes is seen in the marks of the single seeds, not in the intervals."
                     : "They speak of other texts for these models; one seed each cannot say what another training would give.");
}

const char *view_label(const struct task *t, int field, int16_t class) {
    const struct group *g = &t->groups[t->group_of[field]];
    return class < g->K ? g->labels[class] : "unparsed";
}

const char *view_title(const struct report *r) { return r->o.title ? r->o.title : "Scores of systems on one task"; }
