/* AdamW (arXiv 1711.05101) as torch.optim.AdamW, with global-norm clipping as torch.nn.utils.clip_grad_norm_:
   the gradient is scaled by min(1, max_norm/(norm + 1e-6)). A norm that is not finite makes the update skip itself. */
#ifndef COADOR_ADAMW_H
#define COADOR_ADAMW_H
#include <stdint.h>
struct kctx;
/* *out (f64, device) = or += Σ x², x n f32 values; the sum's order does not depend on threads. accumulate 0 or 1. */
typedef void sumsq_fn(struct kctx *, double *out, const float *x, int64_t n, int accumulate);
/* What a step's update goes by, all f64 on the device: *norm_sq becomes that of the gradient, *grad_sq, where this is finite and not
   zero, the sum of the squared losses, *loss_sq, is finite and *norm_sq was; else NaN, so that from a step that went wrong on
   none updates. 0 before the first step. */
typedef void admit_fn(struct kctx *, double *norm_sq, const double *grad_sq, const double *loss_sq);
/* g(n) f32 /= scale, of a loss that was scaled; a power of two. Of cards whose activations are f16. */
typedef void unscale_fn(struct kctx *, float *g, int64_t n, double scale);
struct adamw_step { /* double, as the scalars of PyTorch are: 1 - 0.999f is already off by 1e-5 */
    double lr, beta1, beta2, eps, weight_decay;
    double max_norm; /* 0: no clipping */
    int t;          /* number of this update, from 1 (bias correction) */
};
/* p, m, v updated from g (n f32 values each); norm_sq the f64 on
   the device that sumsq filled over all gradients, or admit (read also without clipping: not finite means no update). */
typedef void adamw_fn(struct kctx *, float *p, float *m, float *v, const float *g, int64_t n, const struct adamw_step *s, const double *norm_sq);
sumsq_fn sumsq_ref, sumsq_cpu;
admit_fn admit_ref, admit_cpu;
adamw_fn adamw_ref, adamw_cpu;
#endif
