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
/* How the next token of one row is chosen. */
struct choice {
    double temperature;    /* 0: the lowest id of the largest */
    double top_p;          /* 1: off */
    double u;              /* within 0..1: which of those that are left; not read at temperature 0 */
    float penalty;         /* of tokens seen: positive logits divided, negative multiplied; 1: off */
    int32_t top_k;         /* 0: off */
    int32_t allowed, seen; /* which row of the bits below; -1: all are allowed, none was seen */
};
/* ids(M) i32, of logits(M,V) act, how(M), and bits of tokens allowed(·,(V+31)/32), seen(·,(V+31)/32), bit id % 32 of word id / 32, either NULL
   where no row names it; all on the device. As common/model/sampler.c: a token is left where its logit is finite and it is allowed; of
   logits after the penalty the top_k largest, lower ids first among equals, then of those the fewest that reach top_p of the sum of
   w = exp((logit − largest)/temperature); the one at which the sum of w first exceeds u of the whole, in falling order with top_k or top_p,
   else in order of ids. −1 where none is left. Sums are of w rounded to 2^-44 or finer, in any order the same: another token than the
   host's comes only where u, or top_p, of the whole lies within some 2^-28 of a border between two. */
typedef void choose_fn(struct kctx *, int32_t *ids, const void *logits, int M, int V, const struct choice *how, const uint32_t *allowed, const uint32_t *seen);
#endif
