/* LoRA's thin products (arXiv 2106.09685, §4.1): y += s·(x·Aᵀ)·Bᵀ, with A(r,K) f32 and B(N,r) f32.
   x may be the dropped-out input; gradients of A and B are f32 and always added. */
#ifndef COADOR_LORA_KERNELS_H
#define COADOR_LORA_KERNELS_H
struct kctx;
/* h(R,r) act = x(R,K) act · Aᵀ */
typedef void lora_down_fn(struct kctx *, void *h, const void *x, const float *A, int R, int r, int K);
/* y(R,N) act += s · h(R,r) act · Bᵀ */
typedef void lora_up_fn(struct kctx *, void *y, const void *h, const float *B, float s, int R, int r, int N);
/* dh(R,r) act = s · dy(R,N) act · B;  dB(N,r) f32 += s · dyᵀ · h */
typedef void lora_up_bwd_fn(struct kctx *, void *dh, float *dB, const void *dy, const void *h, const float *B, float s, int R, int r, int N);
/* dA(r,K) f32 += dhᵀ · x;  dx(R,K) act = beta·dx + dh · A (dx NULL: not wanted; beta 0 or 1) */
typedef void lora_down_bwd_fn(struct kctx *, float beta, void *dx, float *dA, const void *dh, const void *x, const float *A, int R, int r, int K);
lora_down_fn lora_down_ref, lora_down_cpu;
lora_up_fn lora_up_ref, lora_up_cpu;
lora_up_bwd_fn lora_up_bwd_ref, lora_up_bwd_cpu;
lora_down_bwd_fn lora_down_bwd_ref, lora_down_bwd_cpu;
#endif
