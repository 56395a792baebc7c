/* A row of logits without some of its columns: what topk and distill share. id(K): the columns left out, ascending, K < V. */
#ifndef COADOR_TAIL_H
#define COADOR_TAIL_H
#include "kernels/cpu/cpu.h"

/* The columns between those left out are K+1 runs, some of them empty: run j has columns from..end-1. */
static inline int run_from(const int32_t *id, int j) { return j ? id[j - 1] + 1 : 0; }
static inline int run_end(const int32_t *id, int j, int K, int V) { return j < K ? id[j] : V; }

/* The largest logit of the rest; a NaN may or may not be passed over. */
float tail_max(const struct kctx *k, const float *z, const int32_t *id, int K, int V);
/* Σ over the rest of e^((z − max)·f), NaN if one of them is; max: tail_max's. */
double tail_exp_sum(const struct kctx *k, const float *z, const int32_t *id, int K, int V, float max, float f);
/* z = a·e^((z − max)·f) + b·e^(z − max) over the rest. */
void tail_mix(const struct kctx *k, float *z, const int32_t *id, int K, int V, float max, float f, float a, float b);
#endif
