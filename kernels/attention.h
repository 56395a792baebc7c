/* Causal attention with grouped queries (head h reads key/value head h / (H/G)), softmax(q·kᵀ·scale)·v.
   Packed: sequences lie end to end, rows cu[s]..cu[s+1]; none sees another. Cached: keys and values of earlier
   tokens lie in a paged cache. */
#ifndef COADOR_ATTENTION_H
#define COADOR_ATTENTION_H
#include <stdint.h>
struct kctx;
#define KV_BLOCK 32         /* tokens a cache page */
#define ATTENTION_MAX_D 256 /* largest head size; a larger one fails at sync with K_UNSUPPORTED */

/* o(R,H,D) act, lse(R,H) f32 (log-sum-exp of the scaled scores), q(R,H,D), k(R,G,D), v(R,G,D) act, cu(S+1) i32 host
   and device alike: `cu` is HOST memory (the launch needs it), cu_dev its device copy. A card takes the sequences from cu_dev: in
   one of as many rows, some may be empty and none longer than the longest in cu (a graph is launched for many batches). */
typedef void attention_fn(struct kctx *, void *o, float *lse, const void *q, const void *k, const void *v, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, int D, float scale);
/* dq, dk, dv (same shapes) = ; from dout(R,H,D) */
typedef void attention_bwd_fn(struct kctx *, void *dq, void *dk, void *dv, const void *dout, const void *q, const void *k, const void *v, const void *o, const float *lse, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, int D, float scale);

/* Paged cache of one layer: pages (n_pages, G, KV_BLOCK, D) act for keys and the same for values. Token t of sequence s
   is row t % KV_BLOCK of page table[s·max_pages + t / KV_BLOCK]. A device may order the numbers of one page's head as it
   likes: only its own two ops below read and write them. */
struct kv_view {
    void *k, *v;
    const int32_t *table; /* (S, max_pages) i32, device */
    int max_pages;
};
/* Puts row i of k(R,G,D), v(R,G,D) at token pos[i] of sequence seq[i] (both (R) i32, device). */
typedef void kv_store_fn(struct kctx *, const struct kv_view *c, const void *k, const void *v, const int32_t *seq, const int32_t *pos, int R, int G, int D);
/* o(R,H,D) act: query row i sees tokens 0..pos[i] of sequence seq[i], its own included (already stored). */
typedef void attention_cached_fn(struct kctx *, void *o, const void *q, const struct kv_view *c, const int32_t *seq, const int32_t *pos, int R, int H, int G, int D, float scale);
/* The same where rows cu[s]..cu[s+1] (S+1; host and device as above) are each consecutive tokens of one sequence. Of cards only. */
typedef void attention_paged_fn(struct kctx *, void *o, const void *q, const struct kv_view *c, const int32_t *seq, const int32_t *pos, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, int D, float scale);
attention_fn attention_ref, attention_cpu;
attention_bwd_fn attention_bwd_ref, attention_bwd_cpu;
kv_store_fn kv_store_ref, kv_store_cpu;
attention_cached_fn attention_cached_ref, attention_cached_cpu;
#endif
