/* Krippendorff's alpha and Cohen's kappa: see agree.h. */
#include "common/label/agree.h"
#include "common/io/buf.h"
#include "common/stats/confusion.h"
#include <math.h>
#include <stdlib.h>

void agree_init(struct agree *g, int K, int raters) {
    size_t k = (size_t)K, pairs = (size_t)raters * (size_t)(raters - 1) / 2;
    *g = (struct agree){.K = K, .raters = raters};
    g->together = xcalloc(k * k, sizeof *g->together);
    g->pairs = xcalloc(pairs * k * (k + 1) + 1, sizeof *g->pairs);
}

void agree_release(struct agree *g) {
    free(g->together);
    free(g->pairs);
    *g = (struct agree){0};
}

static int64_t *pair(const struct agree *g, int a, int b) {
    int before = a * g->raters - a * (a + 1) / 2; /* pairs whose first rater comes before a */
    return g->pairs + (int64_t)(before + b - a - 1) * g->K * (g->K + 1);
}

void agree_add(struct agree *g, const int *label) {
    int m = 0;
    for (int a = 0; a < g->raters; a++) m += label[a] >= 0;
    for (int a = 0; a < g->raters; a++)
        for (int b = a + 1; b < g->raters; b++) {
            if (label[a] < 0 || label[b] < 0) continue;
            g->together[label[a] * g->K + label[b]] += 1.0 / (m - 1);
            g->together[label[b] * g->K + label[a]] += 1.0 / (m - 1);
            pair(g, a, b)[label[a] * (g->K + 1) + label[b]]++;
        }
}

double agree_alpha(const struct agree *g) {
    double n = 0, squares = 0, same = 0;
    for (int c = 0; c < g->K; c++) {
        double of = 0;
        for (int k = 0; k < g->K; k++) of += g->together[c * g->K + k];
        n += of;
        squares += of * of;
        same += g->together[c * g->K + c];
    }
    double expected = n * n - squares; /* sum over c != k of n_c n_k */
    return expected > 1e-9 * n * n ? 1 - (n - 1) * (n - same) / expected : NAN;
}

double agree_kappa(const struct agree *g, int a, int b, int64_t *rows) {
    struct scores s;
    *rows = 0;
    const int64_t *c = pair(g, a, b);
    for (int i = 0; i < g->K * (g->K + 1); i++) *rows += c[i];
    if (!*rows || g->K > MAX_CLASSES) return NAN;
    for (int k = 0; k < g->K; k++)
        if (c[k * (g->K + 1) + k] == *rows) return NAN; /* one label only: chance would agree as well */
    scores_from(&s, c, g->K);
    return s.kappa;
}
