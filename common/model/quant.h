/* Weights to fewer bits, on the host. The 4- and 8-bit types give the bytes of bitsandbytes 0.50.2 on a CPU from f32
   input; decoding is kernels/weight.h. Work is shared out by blocks or rows, so results do not depend on threads.
   Input must be finite (quant_finite); sizes are values unless said otherwise. */
#ifndef COADOR_QUANT_H
#define COADOR_QUANT_H
#include "kernels/weight.h"
#include <stdbool.h>

#define QUANT_BLOCK 64   /* values a scale, bitsandbytes' default */
#define QUANT_NESTED 256 /* scales a second scale */

/* Index of the first value that is infinite or NaN, or -1. */
int64_t quant_finite(const float *x, int64_t n);

/* NF4 or FP4: packed((n+1)/2), absmax(ceil(n/block)). A value becomes the nearest code of x · (1/absmax), the lower one at
   a midpoint; a last block that is not full divides instead, and its absmax is at least 1e-38. */
void quant_4bit(enum dtype t, uint8_t *packed, float *absmax, const float *x, int64_t n, int block);

/* Double quantisation of scales: codes(n), second(ceil(n/256)) from absmax(n) − offset. */
void quant_nested(uint8_t *codes, float *second, const float *absmax, int64_t n, float offset);
/* The offset that bitsandbytes takes: their mean, here rounded once (torch adds in f32 and is off by up to 3 ulp). */
float quant_mean(const float *x, int64_t n);
/* The 256 values of the codes: bitsandbytes' signed dynamic map (arXiv 2110.02861, §2.1), ascending. */
void quant_dynamic_map(float map[256]);

/* Rows by their largest value, as bitsandbytes' Int8Params: x is rounded to f16 first. q, x (rows,cols), scale(rows).
   A value beyond f16's range has no such form: its index is returned, else -1. */
int64_t quant_int8(int8_t *q, float *scale, const float *x, int64_t rows, int64_t cols);

/* b1.58's absmean (arXiv 2402.17764, eq. 1-3): round(x / mean|x|) clipped to −1, 0, 1; packed(rows/4,cols), rows a multiple
   of 4. Returns the scale that +1 stands for: mean|x|, at least 1e-5. */
float quant_ternary(uint8_t *packed, const float *x, int64_t rows, int64_t cols);
#endif
