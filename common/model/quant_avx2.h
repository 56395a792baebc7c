/* Inside of quant.c and quantise.c: the loops that take most of the time, with AVX2. Call only where quant_has_avx2(). */
#ifndef COADOR_QUANT_AVX2_H
#define COADOR_QUANT_AVX2_H
#include <stdbool.h>
#include <stdint.h>
#if defined(__x86_64__)
#define QUANT_AVX2 1
#else
#define QUANT_AVX2 0
#endif

bool quant_has_avx2(void);
/* Whole blocks of `block` values, a multiple of 32: packed(blocks·block/2), absmax(blocks); bounds ascend, order[rank] is the code. */
void quant_4bit_avx2(uint8_t *packed, float *absmax, const float *x, int64_t blocks, int block, const float bounds[15], const uint8_t order[16]);
/* Adds Σx², Σy², Σxy, Σ(x−y)² of as many values as it can; returns their number. */
int64_t quant_sums_avx2(double sums[4], const float *x, const float *y, int64_t n);
#endif
