/* RMSNorm (arXiv 1910.07467, eq. 4): y = x · rstd ⊙ w, rstd = 1/sqrt(mean(x²) + eps). The weight is frozen. */
#ifndef COADOR_RMSNORM_H
#define COADOR_RMSNORM_H
struct kctx;
/* y(R,C) act, rstd(R) f32 (may be NULL), x(R,C) act, w(C) f32 */
typedef void rmsnorm_fn(struct kctx *, void *y, float *rstd, const void *x, const float *w, float eps, int R, int C);
/* dx(R,C) act += d loss/d x from dy(R,C) act */
typedef void rmsnorm_bwd_fn(struct kctx *, void *dx, const void *dy, const void *x, const float *w, const float *rstd, int R, int C);
rmsnorm_fn rmsnorm_ref, rmsnorm_cpu;
rmsnorm_bwd_fn rmsnorm_bwd_ref, rmsnorm_bwd_cpu;
#endif
