/* A frozen matrix as it lies in memory, and its reference decoder. Quantised types either hold their scales inside
   (blocks of GGUF) or have them beside the values:
   i8       bitsandbytes' LLM.int8 rows (arXiv 2208.07339): value = q · scale[row] / 127
   nf4 fp4  bitsandbytes' QLoRA types (arXiv 2305.14314): the matrix is one flat run, two values a byte, the first in the
            high half; value = table[q] · s, one s for each `block` values of the run. s is scale[b], or with double
            quantisation scale_map[scale_q[b]] · scale[b / nested] + offset
   ternary  b1.58 (arXiv 2402.17764) in transformers' packing: byte (r, c) of (rows/4, cols) holds rows r, r + rows/4,
            r + rows/2, r + 3·rows/4 of column c from its lowest two bits up; value = (q − 1) · unit */
#ifndef COADOR_WEIGHT_H
#define COADOR_WEIGHT_H
#include "kernels/dtype.h"

/* (rows = out, cols = in), row-major, blocks along cols; every pointer is device memory. */
struct weight {
    enum dtype type;
    int64_t rows, cols;
    const void *data;
    const float *scale;     /* i8 (rows); nf4, fp4 (blocks), or (blocks / nested) where doubly quantised */
    const uint8_t *scale_q; /* nf4, fp4 doubly quantised: (blocks); else NULL */
    const float *scale_map; /* (256), sorted or not */
    float offset;           /* doubly quantised: added to every scale */
    float unit;             /* ternary: the value of +1 */
    int block, nested;      /* nf4, fp4: values a scale, scales a second scale; powers of two */
};

/* One whose values need nothing beside them. */
static inline struct weight weight_plain(enum dtype type, int64_t rows, int64_t cols, const void *data) {
    return (struct weight){.type = type, .rows = rows, .cols = cols, .data = data};
}

/* Values (row, col..col+n) to f32. The reference decoder: every other one gives the same bytes. Host memory only. */
void weight_to_f32(float *dst, const struct weight *w, int64_t row, int64_t col, int64_t n);
/* The scale of block b of nf4 or fp4. */
float weight_scale(const struct weight *w, int64_t b);
/* Bytes of data, and of data with everything beside it. */
size_t weight_data_bytes(const struct weight *w);
size_t weight_bytes(const struct weight *w);
/* Scales of nf4 or fp4: blocks of the run, and of those (double quantisation). */
int64_t weight_blocks(const struct weight *w);
int64_t weight_nested(const struct weight *w);
#endif
