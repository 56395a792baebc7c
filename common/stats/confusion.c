/* Classification scores: see confusion.h. */
#include "common/stats/confusion.h"
#include <string.h>

static double ratio(double a, double b) { return b > 0 ? a / b : 0; }

static struct class_score score_class(const int64_t *c, int K, int k) {
    struct class_score s = {0};
    for (int j = 0; j <= K; j++) s.support += c[k * (K + 1) + j];
    for (int i = 0; i < K; i++) s.predicted += c[i * (K + 1) + k];
    double hit = (double)c[k * (K + 1) + k];
    s.precision = ratio(hit, (double)s.predicted);
    s.recall = ratio(hit, (double)s.support);
    s.f1 = ratio(2 * hit, (double)(s.predicted + s.support));
    return s;
}

double macro_f1_from(const int64_t *c, int K) {
    double sum = 0;
    int present = 0;
    for (int k = 0; k < K; k++) {
        struct class_score s = score_class(c, K, k);
        if (!s.support && !s.predicted) continue;
        sum += s.f1;
        present++;
    }
    return ratio(sum, present);
}

/* (p_o - p_e) / (1 - p_e), Cohen 1960 */
static double kappa(const struct scores *s, int64_t hits) {
    double n = (double)s->n, chance = 0;
    for (int k = 0; k < s->K; k++) chance += (double)s->of[k].support * (double)s->of[k].predicted;
    if (!(n > 0) || chance >= n * n) return 0;
    return ((double)hits * n - chance) / (n * n - chance);
}

void scores_from(struct scores *s, const int64_t *c, int K) {
    memset(s, 0, sizeof *s);
    s->K = K;
    int present = 0;
    int64_t hits = 0;
    for (int k = 0; k < K; k++) {
        struct class_score x = s->of[k] = score_class(c, K, k);
        double w = (double)x.support;
        s->n += x.support;
        hits += c[k * (K + 1) + k];
        if (!x.support && !x.predicted) continue;
        present++;
        s->macro_precision += x.precision;
        s->macro_recall += x.recall;
        s->macro_f1 += x.f1;
        s->weighted_precision += w * x.precision;
        s->weighted_recall += w * x.recall;
        s->weighted_f1 += w * x.f1;
    }
    s->accuracy = ratio((double)hits, (double)s->n);
    s->macro_precision = ratio(s->macro_precision, present);
    s->macro_recall = ratio(s->macro_recall, present);
    s->macro_f1 = ratio(s->macro_f1, present);
    s->weighted_precision = ratio(s->weighted_precision, (double)s->n);
    s->weighted_recall = ratio(s->weighted_recall, (double)s->n);
    s->weighted_f1 = ratio(s->weighted_f1, (double)s->n);
    s->kappa = kappa(s, hits);
}

static void mean_class(struct class_score *m, const struct scores *runs, int n, int k) {
    for (int i = 0; i < n; i++) {
        const struct class_score *x = &runs[i].of[k];
        m->precision += x->precision / n;
        m->recall += x->recall / n;
        m->f1 += x->f1 / n;
        m->support += x->support;
        m->predicted += x->predicted;
    }
}

void scores_mean(struct scores *m, const struct scores *runs, int n) {
    memset(m, 0, sizeof *m);
    m->K = runs[0].K;
    for (int i = 0; i < n; i++) {
        const struct scores *x = &runs[i];
        m->n += x->n;
        m->accuracy += x->accuracy / n;
        m->macro_precision += x->macro_precision / n;
        m->macro_recall += x->macro_recall / n;
        m->macro_f1 += x->macro_f1 / n;
        m->weighted_precision += x->weighted_precision / n;
        m->weighted_recall += x->weighted_recall / n;
        m->weighted_f1 += x->weighted_f1 / n;
        m->kappa += x->kappa / n;
    }
    for (int k = 0; k < m->K; k++) mean_class(&m->of[k], runs, n, k);
}
