/* Decoding one row, several ops in one: a token through a layer, the head behind the last layer, the choice of the next token.
   A table may leave each of these NULL, and the first two may decline: then the ops of the table do it one by one. */
#ifndef COADOR_DECODE_KERNELS_H
#define COADOR_DECODE_KERNELS_H
#include "kernels/attention.h"
#include <stdbool.h>
struct kctx;
struct weight;

struct decode_layer { /* device memory, shapes of one row */
    const struct weight *w;            /* q, k, v, o, gate, up, down: an array on the host */
    const float *attn_norm, *mlp_norm; /* (C) */
    const float *inv_freq;             /* (D/2) */
    struct kv_view kv;
    void *x;                           /* (C) residual stream, added to in place */
    void *q, *k, *v, *o, *act;         /* (H·D) (G·D) (G·D) (H·D) (F): scratch */
    int C, F, H, G, D;
    float eps;
};
/* As rmsnorm, linear q k v, rope, kv_store, attention_cached, linear o, rmsnorm, linear gate up, swiglu, linear down for the
   token at pos[0] of sequence seq[0] (device). false: not for these shapes or types, and nothing was done. */
typedef bool decode_layer_fn(struct kctx *, const struct decode_layer *l, const int32_t *seq, const int32_t *pos);
/* logits(V) act = rmsnorm(x(C), norm, eps) · Wᵀ */
typedef bool decode_head_fn(struct kctx *, void *logits, const void *x, const float *norm, float eps, const struct weight *w);
/* ids(M) i32: of each row of logits(M,V) act the lowest id of the largest finite value (temperature 0), else the id at which
   the sum of exp((logit − largest)/temperature), in order of ids, first exceeds u[row] (f64, device, within 0..1) of the whole;
   −1 where none is finite. */
typedef void choose_fn(struct kctx *, int32_t *ids, const void *logits, int M, int V, float temperature, const double *u);
#endif
