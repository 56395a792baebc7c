/* AdamW and the gradient's norm, as torch.optim.AdamW and clip_grad_norm_ compute them. */
#include "kernels/cpu/cpu.h"
#include <math.h>

void sumsq_ref(struct kctx *k, double *out, const float *x, int64_t n, int accumulate) {
    double sum = accumulate ? *out : 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
    *out = sum;
}

void adamw_ref(struct kctx *k, float *p, float *m, float *v, const float *g, int64_t n, const struct adamw_step *s, const double *norm_sq) {
    if (!isfinite(*norm_sq)) return;
    double clip = s->max_norm > 0 ? s->max_norm / (sqrt(*norm_sq) + 1e-6) : 1;
    double bc1 = 1 - pow(s->beta1, s->t), bc2 = 1 - pow(s->beta2, s->t);
    if (clip > 1) clip = 1;
    for (int64_t i = 0; i < n; i++) {
        double gi = g[i] * clip, mi = m[i] + (gi - m[i]) * (1 - s->beta1), vi = v[i] * s->beta2 + gi * gi * (1 - s->beta2);
        m[i] = (float)mi;
        v[i] = (float)vi;
        p[i] = (float)(p[i] * (1 - s->lr * s->weight_decay) - s->lr / bc1 * mi / (sqrt(vi) / sqrt(bc2) + s->eps));
    }
}

void sumsq_cpu(struct kctx *k, double *out, const float *x, int64_t n, int accumulate) { sumsq_ref(k, out, x, n, accumulate); }
void adamw_cpu(struct kctx *k, float *p, float *m, float *v, const float *g, int64_t n, const struct adamw_step *s, const double *norm_sq) { adamw_ref(k, p, m, v, g, n, s, norm_sq); }
