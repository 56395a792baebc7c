/* The likeliest tokens of a distribution, and the rest as one bucket: what a teacher hands to its student. */
#ifndef COADOR_TOPK_H
#define COADOR_TOPK_H
#include <stdint.h>
struct kctx;
#define TOPK_MAX 1024 /* K */
/* Of softmax(logits/T), row by row: id(M,K) i32 = the K largest logits' columns, ascending (of equal logits the lower column
   is the larger), logp(M,K) f32 = logarithms of their probabilities, tail(M) f32 = that of all others' sum.
   logits(M,V) act, finite; 1 <= K <= TOPK_MAX, K < V, T > 0. A row with a NaN has NaN in tail.
   Tables may lack it (NULL). */
typedef void topk_fn(struct kctx *, int32_t *id, float *logp, float *tail, const void *logits, float T, int M, int V, int K);
topk_fn topk_ref, topk_cpu;
#endif
