/* Scores, intervals and tests of several systems: see report.h. */
#include "common/stats/report.h"
#include "common/stats/tally.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- one system ---- */
static void make_run(struct run_result *r, const struct tally *t, const int64_t *cells) {
    struct tally_arg arg = {t, 1, 0};
    double *v = xcalloc((size_t)system_statistics_n(t), sizeof *v);
    system_statistics(cells, &arg, v);
    *r = (struct run_result){v[STAT_VALID], v[STAT_EXACT], v[STAT_SCORE], xcalloc((size_t)t->task->n_groups, sizeof(double))};
    for (int g = 0; g < t->task->n_groups; g++) r->macro_f1[g] = v[STAT_GROUPS + g * STATS_A_GROUP + STAT_MACRO_F1];
    free(v);
}

/* total: the runs' cells, one behind another. */
static void make_group(struct group_result *r, const struct tally *t, int g, const int64_t *total, int runs, const struct measured *m) {
    int K = t->task->groups[g].K, cells = K * (K + 1);
    struct scores *s = xcalloc((size_t)runs, sizeof *s);
    r->counts = xcalloc((size_t)cells, sizeof *r->counts);
    for (int k = 0; k < runs; k++) {
        const int64_t *c = total + (int64_t)k * t->cells + t->at[g];
        for (int i = 0; i < cells; i++) r->counts[i] += c[i];
        scores_from(&s[k], c, K);
    }
    scores_mean(&r->s, s, runs);
    r->accuracy = m[STAT_ACCURACY];
    r->macro_f1 = m[STAT_MACRO_F1];
    r->weighted_f1 = m[STAT_WEIGHTED_F1];
    free(s);
}

/* The tables of n runs, over again until there are `many`; give. */
static const struct units **again(const struct units *runs, int n, int many) {
    const struct units **x = xcalloc((size_t)many, sizeof *x);
    for (int k = 0; k < many; k++) x[k] = &runs[k % n];
    return x;
}

/* Every statistic of a system with its interval, from one resampling; give. */
static struct measured *measure(const struct tally *t, const struct units *units, const int64_t *total, int runs, const struct report_options *o) {
    struct tally_arg arg = {t, runs, 0};
    const struct units **tables = again(units, runs, runs);
    int n = system_statistics_n(t);
    double *v = xcalloc((size_t)n, sizeof *v);
    struct interval *ci = xcalloc((size_t)n, sizeof *ci);
    struct measured *m = xcalloc((size_t)n, sizeof *m);
    system_statistics(total, &arg, v);
    bootstrap(tables, runs, system_statistics, &arg, n, o->bootstrap, o->seed, ci);
    for (int i = 0; i < n; i++) m[i] = (struct measured){v[i], ci[i]};
    free(v);
    free(ci);
    free(tables);
    return m;
}

static void add_answers(struct system_result *r, const struct system *s) {
    double logprob = 0;
    int64_t usage = 0, in = 0, out = 0;
    for (int k = 0; k < s->n_runs; k++) {
        const struct answers *a = &s->runs[k].answers;
        r->classified = r->classified || a->has_parsed;
        r->scored_tokens += a->scored_tokens;
        logprob += a->logprob;
        usage += a->with_usage;
        in += a->tokens_in;
        out += a->tokens_out;
    }
    r->perplexity = r->scored_tokens ? exp(-logprob / (double)r->scored_tokens) : NAN;
    r->tokens_in = usage ? (double)in / (double)usage : NAN;
    r->tokens_out = usage ? (double)out / (double)usage : NAN;
}

static void make_system(struct report *r, int i, const struct tally *t, const struct units *units) {
    const struct system *s = &r->in->v[i];
    struct system_result *x = &r->systems[i];
    int64_t *total = tally_total(units, s->n_runs);
    struct measured *m = measure(t, units, total, s->n_runs, &r->o);
    x->name = s->name;
    x->n_runs = s->n_runs;
    x->valid = m[STAT_VALID];
    x->exact = m[STAT_EXACT];
    x->score = m[STAT_SCORE];
    x->runs = xcalloc((size_t)s->n_runs, sizeof *x->runs);
    x->g = xcalloc((size_t)r->task->n_groups, sizeof *x->g);
    for (int k = 0; k < s->n_runs; k++) make_run(&x->runs[k], t, total + (int64_t)k * t->cells);
    for (int g = 0; g < r->task->n_groups; g++) make_group(&x->g[g], t, g, total, s->n_runs, m + STAT_GROUPS + g * STATS_A_GROUP);
    add_answers(x, s);
    calibration_of(&x->calibration, s, r->task, r->ref);
    for (int f = 0; f < N_FACTS; f++) x->facts.v[f] = NAN;
    free(total);
    free(m);
}

/* ---- pairs ---- */
static void count_items(struct pair_result *p, const struct report *r, const struct answers *a, const struct answers *b) {
    const struct task *t = r->task;
    for (int64_t k = 0; k < r->ref->rows * t->n_fields; k++) {
        if (p->group >= 0 && t->group_of[k % t->n_fields] != p->group) continue;
        bool right_a = a->pred[k] == r->ref->truth[k], right_b = b->pred[k] == r->ref->truth[k];
        p->only_a += right_a && !right_b;
        p->only_b += right_b && !right_a;
    }
}

static int gcd(int a, int b) { return b ? gcd(b, a % b) : a; }

/* Permutation tests. Systems with different numbers of runs are swapped as if each had the least common multiple, its runs over
   again: the mean over runs stays what it is. */
static void swap_pair(const struct report *r, const struct system *a, const struct system *b, const struct tally *t, struct units *const *units, double *d, double *p) {
    int runs = a->n_runs / gcd(a->n_runs, b->n_runs) * b->n_runs;
    struct tally_arg arg = {t, runs, 0};
    struct units *gap = xcalloc((size_t)runs, sizeof *gap);
    int64_t *sum = xcalloc(2 * (size_t)runs * (size_t)t->cells, sizeof *sum), *of_a = sum, *of_b = sum + (int64_t)runs * t->cells;
    for (int k = 0; k < runs; k++) {
        gap[k] = tally_gap(t, &a->runs[k % a->n_runs].answers, &b->runs[k % b->n_runs].answers);
        units_sum(&units[0][k % a->n_runs], NULL, of_a + (int64_t)k * t->cells);
        units_sum(&units[1][k % b->n_runs], NULL, of_b + (int64_t)k * t->cells);
    }
    const struct units **gaps = again(gap, runs, runs);
    permutation_tests(&(struct swaps){runs, of_a, of_b, gaps}, score_statistics, &arg, score_statistics_n(t), r->o.permutations, r->o.seed, d, p);
    for (int k = 0; k < runs; k++) units_release(&gap[k]);
    free(gap);
    free(gaps);
    free(sum);
}

/* The intervals of the difference. */
static void measure_pair(const struct report *r, const struct system *a, const struct system *b, const struct tally *t, struct units *const *units, struct interval *ci) {
    struct tally_arg arg = {t, a->n_runs, b->n_runs};
    const struct units **x = xcalloc((size_t)(a->n_runs + b->n_runs), sizeof *x);
    for (int k = 0; k < a->n_runs; k++) x[k] = &units[0][k];
    for (int k = 0; k < b->n_runs; k++) x[a->n_runs + k] = &units[1][k];
    bootstrap(x, a->n_runs + b->n_runs, difference_statistics, &arg, score_statistics_n(t), r->o.bootstrap, r->o.seed, ci);
    free(x);
}

/* All tests of one pair; units: the tables of i's runs, and of j's. */
static void test_pair(struct report *r, int i, int j, const struct tally *t, struct units *const *units) {
    const struct system *a = &r->in->v[i], *b = &r->in->v[j];
    int n = score_statistics_n(t), first = r->main_group < 0 ? 0 : 1;
    double *d = xcalloc(2 * (size_t)n, sizeof *d), *p = d + n;
    struct interval *ci = xcalloc((size_t)n, sizeof *ci);
    swap_pair(r, a, b, t, units, d, p);
    measure_pair(r, a, b, t, units, ci);
    for (int k = first; k < n; k++) {
        struct pair_result *x = &r->pairs[r->n_pairs++];
        *x = (struct pair_result){.a = i, .b = j, .group = k - 1, .difference = {d[k], ci[k]}, .p = p[k], .mcnemar_p = NAN};
        if (a->n_runs > 1 || b->n_runs > 1) continue;
        count_items(x, r, &a->runs[0].answers, &b->runs[0].answers);
        x->mcnemar_p = mcnemar(x->only_a, x->only_b);
    }
    free(d);
    free(ci);
}

static void correct_pairs(struct report *r, int group) {
    double *p = xcalloc((size_t)r->n_pairs + 1, sizeof *p), *adjusted = xcalloc((size_t)r->n_pairs + 1, sizeof *adjusted);
    int n = 0;
    for (int i = 0; i < r->n_pairs; i++)
        if (r->pairs[i].group == group) p[n++] = r->pairs[i].p;
    holm(p, n, adjusted);
    n = 0;
    for (int i = 0; i < r->n_pairs; i++)
        if (r->pairs[i].group == group) r->pairs[i].holm = adjusted[n++];
    free(p);
    free(adjusted);
}

/* Each system's runs, counted by unit; give: release_counts. */
static struct units **count_all(const struct tally *t, const struct systems *s) {
    struct units **x = xcalloc((size_t)s->n, sizeof *x);
    for (int i = 0; i < s->n; i++) {
        x[i] = xcalloc((size_t)s->v[i].n_runs, sizeof **x);
        for (int k = 0; k < s->v[i].n_runs; k++) x[i][k] = tally_run(t, &s->v[i].runs[k].answers);
    }
    return x;
}

static void release_counts(struct units **x, const struct systems *s) {
    for (int i = 0; i < s->n; i++) {
        for (int k = 0; k < s->v[i].n_runs; k++) units_release(&x[i][k]);
        free(x[i]);
    }
    free(x);
}

void report_make(struct report *r, const struct task *t, const struct reference *ref, const struct systems *s, const struct report_options *o) {
    struct tally tally;
    *r = (struct report){.task = t, .ref = ref, .in = s, .o = *o, .n_systems = s->n, .main_group = t->n_groups > 1 ? -1 : 0};
    r->systems = xcalloc((size_t)s->n, sizeof *r->systems);
    r->pairs = xcalloc((size_t)s->n * (size_t)s->n * (size_t)(t->n_groups + 1), sizeof *r->pairs);
    r->differing.teacher = r->differing.student = -1;
    tally_init(&tally, t, ref);
    struct units **units = count_all(&tally, s);
    for (int i = 0; i < s->n; i++) make_system(r, i, &tally, units[i]);
    for (int i = 0; i < s->n; i++)
        for (int j = i + 1; j < s->n; j++)
            if (r->systems[i].classified && r->systems[j].classified) test_pair(r, i, j, &tally, (struct units *const[]){units[i], units[j]});
    for (int g = r->main_group; g < t->n_groups; g++) correct_pairs(r, g);
    release_counts(units, s);
    tally_release(&tally);
}

static void release_system(struct system_result *s, int n_groups) {
    for (int g = 0; g < n_groups; g++) free(s->g[g].counts);
    for (int k = 0; k < s->n_runs; k++) free(s->runs[k].macro_f1);
    free(s->runs);
    free(s->g);
}

void report_release(struct report *r) {
    for (int i = 0; i < r->n_systems; i++) release_system(&r->systems[i], r->task->n_groups);
    for (int i = 0; i < r->n_verdicts; i++) free(r->verdicts[i].sentence);
    for (int i = 0; i < r->n_learning; i++) {
        free(r->learning[i].name);
        free(r->learning[i].systems);
    }
    differing_release(&r->differing, r->task);
    free(r->systems);
    free(r->pairs);
    free(r->verdicts);
    free(r->learning);
}

const struct pair_result *report_pair(const struct report *r, int a, int b, double *sign) {
    *sign = a < b ? 1 : -1;
    for (int i = 0; i < r->n_pairs; i++) {
        const struct pair_result *p = &r->pairs[i];
        if (p->group == r->main_group && p->a == (a < b ? a : b) && p->b == (a < b ? b : a)) return p;
    }
    return NULL;
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

void report_units(const struct report *r, struct buf *b) {
    buf_addf(b, "%lld rows", (long long)r->ref->rows);
    if (r->o.cluster) buf_addf(b, " in %lld clusters (%s)", (long long)r->ref->n_units, r->o.cluster);
}
