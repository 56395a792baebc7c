/* Scales of nf4 and fp4 for eight rows at once: weight_scale's values, without its divisions. */
#ifndef COADOR_SCALES_AVX2_H
#define COADOR_SCALES_AVX2_H
#include "kernels/cpu/cpu.h"
#if CPU_X86
#include <immintrin.h>

/* Of value `at` and of those 1 … 7 rows below it. On a Zen 4 a block of 16 rows with
   integers takes 35 ns where divisions made it 65. block and nested are powers of two (weight.h). */
static inline __attribute__((always_inline, unused)) AVX2 __m256 eight_scales(const struct weight *w, int64_t at) {
    int block = __builtin_ctz((unsigned)w->block), nested = w->scale_q ? __builtin_ctz((unsigned)w->nested) : 0;
    float s[8], map[8];
    for (int i = 0; i < 8; i++, at += w->cols) {
        int64_t b = at >> block;
        s[i] = w->scale[b >> nested];
        if (w->scale_q) map[i] = w->scale_map[w->scale_q[b]];
    }
    __m256 v = _mm256_loadu_ps(s);
    return w->scale_q ? _mm256_add_ps(_mm256_mul_ps(_mm256_loadu_ps(map), v), _mm256_set1_ps(w->offset)) : v; /* rounded before the sum, as there */
}
#endif
#endif
