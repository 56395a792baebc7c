/* Products with a frozen weight, and rows of an embedding.
   The weight may be f32, f16, bf16, q8_0, q4_0, q4_1, q4_K or q6_K, and in the products also i8, nf4, fp4 or ternary
   (weight.h); it is decoded inside the product, sums are f32 or wider. */
#ifndef COADOR_LINEAR_H
#define COADOR_LINEAR_H
struct kctx;
struct weight;
/* y(R,N) act = beta·y + x(R,K) act · Wᵀ; beta is 0 (y is not read) or 1. */
typedef void linear_fn(struct kctx *, float beta, void *y, const void *x, const struct weight *w, int R);
/* Input gradient: dx(R,K) act = beta·dx + dy(R,N) act · W. */
typedef void linear_dx_fn(struct kctx *, float beta, void *dx, const void *dy, const struct weight *w, int R);
/* y(R,C) act = row ids[i] of w(V,C); ids(R) i32 on the device, each within 0..V-1 (the caller checked). */
typedef void embed_fn(struct kctx *, void *y, const struct weight *w, const int32_t *ids, int R);
linear_fn linear_ref, linear_cpu;
linear_dx_fn linear_dx_ref, linear_dx_cpu;
embed_fn embed_ref, embed_cpu;
#endif
