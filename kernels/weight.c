/* The reference decoder of a matrix: see weight.h. */
#include "kernels/weight.h"

int64_t weight_blocks(const struct weight *w) { return (w->rows * w->cols + w->block - 1) / w->block; }
int64_t weight_nested(const struct weight *w) { return (weight_blocks(w) + w->nested - 1) / w->nested; }
size_t weight_data_bytes(const struct weight *w) {
    int blk = dtype_block(w->type);
    return dtype_bytes(w->type, (w->rows * w->cols + blk - 1) / blk * blk);
}

size_t weight_bytes(const struct weight *w) {
    size_t n = weight_data_bytes(w);
    if (w->type == DT_I8) return n + (size_t)w->rows * 4;
    if (w->type != DT_NF4 && w->type != DT_FP4) return n;
    return n + (w->scale_q ? (size_t)weight_blocks(w) + (size_t)weight_nested(w) * 4 + 1024 : (size_t)weight_blocks(w) * 4);
}

float weight_scale(const struct weight *w, int64_t b) {
    if (!w->scale_q) return w->scale[b];
    float s = w->scale_map[w->scale_q[b]] * w->scale[b / w->nested]; /* rounded before the sum, as bitsandbytes does */
    return s + w->offset;
}

/* Block by block, whole bytes where two values of one lie in it. */
static void four_bits(float *dst, const struct weight *w, int64_t at, int64_t n) {
    const float *table = w->type == DT_NF4 ? dtype_nf4 : dtype_fp4;
    const uint8_t *p = w->data;
    for (int64_t end = at + n; at < end;) {
        int64_t b = at / w->block, stop = (b + 1) * w->block < end ? (b + 1) * w->block : end;
        float s = weight_scale(w, b);
        if (at & 1) *dst++ = table[p[at++ / 2] & 15] * s;
        for (; at + 2 <= stop; at += 2) {
            *dst++ = table[p[at / 2] >> 4] * s;
            *dst++ = table[p[at / 2] & 15] * s;
        }
        if (at < stop) *dst++ = table[p[at++ / 2] >> 4] * s;
    }
}

static void ternary(float *dst, const struct weight *w, int64_t row, int64_t col, int64_t n) {
    int64_t quarter = w->rows / 4;
    const uint8_t *p = (const uint8_t *)w->data + row % quarter * w->cols + col;
    int shift = (int)(row / quarter) * 2;
    for (int64_t i = 0; i < n; i++) dst[i] = (float)((p[i] >> shift & 3) - 1) * w->unit;
}

/* GGUF's blocks are decoded 32 values at a time, of which the first and the last may be cut. */
static void blocks(float *dst, const struct weight *w, int64_t row, int64_t col, int64_t n) {
    const uint8_t *p = (const uint8_t *)w->data + dtype_bytes(w->type, row * w->cols);
    float v[32];
    while (n > 0) {
        int64_t skip = col % 32, len = n < 32 - skip ? n : 32 - skip;
        dtype_part_to_f32(v, w->type, p, col / 32);
        for (int64_t i = 0; i < len; i++) dst[i] = v[skip + i];
        dst += len, col += len, n -= len;
    }
}

void weight_to_f32(float *dst, const struct weight *w, int64_t row, int64_t col, int64_t n) {
    switch (w->type) {
    case DT_NF4:
    case DT_FP4: four_bits(dst, w, row * w->cols + col, n); break;
    case DT_TERNARY: ternary(dst, w, row, col, n); break;
    case DT_I8: {
        float d = w->scale[row] * (1 / 127.0f);
        const int8_t *q = (const int8_t *)w->data + row * w->cols + col;
        for (int64_t i = 0; i < n; i++) dst[i] = (float)q[i] * d;
        break;
    }
    default:
        if (dtype_block(w->type) > 1)
            blocks(dst, w, row, col, n);
        else
            dtype_to_f32(dst, w->type, (const char *)w->data + dtype_bytes(w->type, row * w->cols + col), n);
    }
}
