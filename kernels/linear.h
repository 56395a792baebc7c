/* Products with a frozen weight, and rows of an embedding.
   The weight may be f32, f16, bf16, q8_0, q4_0, q4_1, q4_K or q6_K, and in the products also i8, nf4, fp4 or ternary
   (weight.h); it is decoded inside the product, sums are f32 or wider. */
#ifndef COADOR_LINEAR_H
#define COADOR_LINEAR_H
struct kctx;
struct weight;
/* y(R,N) act = beta·y + x(R,K) act · Wᵀ; beta is 0 (y is not read) or 1. */
typedef void linear_fn(struct kctx *, float beta, void *y, const void *x, const struct weight *w, int R);
/* The same over integers, for n weights of one x: y[j](R,rows of w[j]) = beta·y[j] + x·w[j]ᵀ (y, w: host arrays). Every 32
   values of a row of x become signed bytes times one scale, their greatest magnitude / 127; the weight's codes stay the
   integers they are (those of nf4 and fp4: bytes, off by at most 0.0039 and 0.0032 of a block's scale). Sums over a block are exact.
   |error| <= Σ over blocks of scale/2 · Σ|w|, for nf4 and fp4 the table's part beside it. Weights that hold f32, f16 or bf16,
   or whose columns (nf4, fp4: or block) are no multiple of 32, are multiplied as by linear. A value of x that is not
   finite makes its whole row NaN. */
typedef void linear_int8_fn(struct kctx *, float beta, void *const *y, const void *x, const struct weight *w, int n, int R);
/* Input gradient: dx(R,K) act = beta·dx + dy(R,N) act · W. */
typedef void linear_dx_fn(struct kctx *, float beta, void *dx, const void *dy, const struct weight *w, int R);
/* y(R,C) act = row ids[i] of w(V,C); ids(R) i32 on the device, each within 0..V-1 (the caller checked). */
typedef void embed_fn(struct kctx *, void *y, const struct weight *w, const int32_t *ids, int R);
linear_fn linear_ref, linear_cpu;
linear_int8_fn linear_int8_ref, linear_int8_cpu;
linear_dx_fn linear_dx_ref, linear_dx_cpu;
embed_fn embed_ref, embed_cpu;
#endif
