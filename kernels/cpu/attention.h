/* What the attention files share: softmax pieces, blocks, and the place of a token in the cache. */
#ifndef COADOR_CPU_ATTENTION_H
#define COADOR_CPU_ATTENTION_H
#include "kernels/cpu/gemm.h"

#define KEYS 64  /* keys of a block, counted from the start of the sequence: sums over keys are cut there for every row */
#define ROWS 48  /* query rows of a block, a multiple of GEMM_MR */

/* Where token t of sequence s keeps key/value head g, in values from the start of the pages */
static inline int64_t kv_offset(const struct kv_view *c, int s, int t, int g, int G, int D) {
    return (((int64_t)c->table[(int64_t)s * c->max_pages + t / KV_BLOCK] * G + g) * KV_BLOCK + t % KV_BLOCK) * D;
}

struct softmax_row { float max, sum; };
/* One block of a row's scores s[0..n): s = e^(s − max so far), max and sum carried on; what was summed before must be
   multiplied by the value returned. The rest of the KEYS values is set to 0. */
typedef float softmax_step_fn(float *s, int n, struct softmax_row *r);
/* x[0..n) = x·f */
typedef void scale_row_fn(float *x, float f, int n);
/* One block of a row: p[j] from scores to e^(s − lse), 0 from n on; ds[j] = p·(ds[j] − delta)·scale */
typedef void grad_row_fn(float *p, float *ds, int n, float lse, float delta, float scale);
typedef float dot_fn(const float *a, const float *b, int n);

struct attention_math { /* per machine */
    gemm_pack_fn *pack;
    gemm_tile_fn *tile;
    softmax_step_fn *softmax;
    scale_row_fn *scale;
    grad_row_fn *grad;
    dot_fn *dot;
};
struct attention_math attention_math(const struct kctx *k);
/* The three products, which leave out what causality makes 0. Row i of the block sees keys 0..i+diag of its keys; b is
   panels of 16 columns, one after another; results have whole panels (columns rounded up to 16).
   scores: s(rows,KEYS) = scale·a(rows,D)·kt(D,n), undefined where a row does not see the key
   values: c(rows,D) (+)= p(rows,KEYS)·b(n,D), p 0 where not seen
   keys:   c(n,D) (+)= p(rows,KEYS)ᵀ·b(rows,D) */
void attention_scores(const struct attention_math *m, int rows, int n, int D, const float *a, int64_t a_row, const float *kt, float *s, float scale, int diag);
void attention_values(const struct attention_math *m, int rows, int D, int n, const float *p, const float *b, float *c, int64_t ldc, bool add, int diag);
void attention_keys(const struct attention_math *m, int n, int D, int rows, const float *p, const float *b, float *c, int64_t ldc, bool add, int diag);
/* Panels of `n` columns: of the transpose of rows n0.. (columns col..col+kc), or of rows k0..k0+kc (columns col..col+n) */
void attention_pack_t(const struct attention_math *m, float *b, const float *x, int64_t pitch, int64_t col, int kc, int n);
void attention_pack(const struct attention_math *m, float *b, const float *x, int64_t pitch, int64_t col, int kc, int n);
bool attention_fits(struct kctx *k, int D);
#endif
