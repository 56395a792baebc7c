/* Rotary positions. */
#include "kernels/cpu/cpu.h"
#include <math.h>

void rope_ref(struct kctx *k, void *x, const int32_t *pos, const float *inv_freq, int sign, int R, int H, int D) {
    for (int64_t i = 0; i < R; i++)
        for (int d = 0; d < D / 2; d++) {
            float angle = (float)pos[i] * inv_freq[d];
            double c = (float)cos(angle), s = sign * (double)(float)sin(angle);
            for (int h = 0; h < H; h++) {
                float *p = (float *)x + (i * H + h) * D + d, a = p[0], b = p[D / 2];
                p[0] = (float)(a * c - b * s);
                p[D / 2] = (float)(b * c + a * s);
            }
        }
}

void rope_cpu(struct kctx *k, void *x, const int32_t *pos, const float *inv_freq, int sign, int R, int H, int D) { rope_ref(k, x, pos, inv_freq, sign, R, H, D); }
