/* Agreement between raters on labels, collected row by row: Krippendorff's alpha for nominal data (Krippendorff 2011,
   "Computing Krippendorff's alpha-reliability": coincidences, missing labels allowed) and Cohen's kappa of each pair. */
#ifndef COADOR_AGREE_H
#define COADOR_AGREE_H
#include <stdint.h>

struct agree {
    int K, raters;
    double *together;  /* K·K: coincidences o_ck, each row counted 1/(m-1) a pair, m raters having labelled it */
    int64_t *pairs;    /* for each pair a < b: K·(K+1) counts as confusion.h, a's label the row */
};
void agree_init(struct agree *g, int K, int raters);
void agree_release(struct agree *g);
/* One row: a label 0..K-1 for each rater, -1: none. */
void agree_add(struct agree *g, const int *label);
/* 1 - D_observed/D_expected; NaN where fewer than two labels met or all are the same. */
double agree_alpha(const struct agree *g);
/* Kappa of raters a < b over the rows that both labelled; NaN for no row, one label only, or more than 64
   labels in the schema. */
double agree_kappa(const struct agree *g, int a, int b, int64_t *rows);
#endif
