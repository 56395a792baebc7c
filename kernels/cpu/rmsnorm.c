/* RMSNorm, forward and backward. */
#include "kernels/cpu/cpu.h"
#include <math.h>

void rmsnorm_ref(struct kctx *k, void *y, float *rstd, const void *x, const float *w, float eps, int R, int C) {
    for (int64_t i = 0; i < R; i++) {
        const float *xi = (const float *)x + i * C;
        double sum = 0;
        for (int c = 0; c < C; c++) sum += (double)xi[c] * xi[c];
        double rs = 1 / sqrt(sum / C + eps);
        for (int c = 0; c < C; c++) ((float *)y)[i * C + c] = (float)(xi[c] * rs * w[c]);
        if (rstd) rstd[i] = (float)rs;
    }
}

/* y_c = x_c·s·w_c with s = (Σx²/C + eps)^−½, ds/dx_c = −s³·x_c/C, so dx_c = s·(w_c·dy_c − x_c·s²·Σ(w·dy·x)/C) */
void rmsnorm_bwd_ref(struct kctx *k, void *dx, const void *dy, const void *x, const float *w, const float *rstd, int R, int C) {
    for (int64_t i = 0; i < R; i++) {
        const float *xi = (const float *)x + i * C, *gi = (const float *)dy + i * C;
        double sum = 0, s = rstd[i];
        for (int c = 0; c < C; c++) sum += (double)w[c] * gi[c] * xi[c];
        for (int c = 0; c < C; c++) {
            float *p = (float *)dx + i * C + c;
            *p = (float)(*p + s * ((double)w[c] * gi[c] - xi[c] * s * s * sum / C));
        }
    }
}

void rmsnorm_cpu(struct kctx *k, void *y, float *rstd, const void *x, const float *w, float eps, int R, int C) { rmsnorm_ref(k, y, rstd, x, w, eps, R, C); }
void rmsnorm_bwd_cpu(struct kctx *k, void *dx, const void *dy, const void *x, const float *w, const float *rstd, int R, int C) { rmsnorm_bwd_ref(k, dx, dy, x, w, rstd, R, C); }
