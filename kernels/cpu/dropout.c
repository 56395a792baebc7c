/* Dropout by Philox4x32-10: dropout.h says what is drawn for which element. */
#include "kernels/cpu/philox.h"
#include "kernels/cpu/cpu.h"

void dropout_ref(struct kctx *k, float beta, void *y, const void *x, const int32_t *seq, const int32_t *pos, const struct dropout_key *key, int R, int C) {
    const uint32_t seed[2] = {(uint32_t)key->seed, (uint32_t)(key->seed >> 32) ^ (key->layer << 8 | key->site)};
    const uint32_t limit = (uint32_t)((double)key->p * 0x1p32);
    const double scale = 1 / (1 - (double)key->p);
    for (int64_t i = 0; i < R; i++)
        for (int c = 0; c < C; c++) {
            uint32_t u[4] = {(uint32_t)c / 4, (uint32_t)pos[i], (uint32_t)seq[i], key->step};
            philox4x32_10(u, seed);
            double v = u[c % 4] >= limit ? (double)((const float *)x)[i * C + c] * scale : 0;
            float *p = (float *)y + i * C + c;
            *p = (float)(v + (beta != 0 ? (double)beta * *p : 0));
        }
}

void dropout_cpu(struct kctx *k, float beta, void *y, const void *x, const int32_t *seq, const int32_t *pos, const struct dropout_key *key, int R, int C) { dropout_ref(k, beta, y, x, seq, pos, key, R, C); }
