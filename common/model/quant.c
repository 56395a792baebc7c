/* Encoders of quantised weights: see quant.h. Every rounding is f32's and in bitsandbytes' order. */
#include "common/model/quant.h"
#include "common/model/quant_avx2.h"
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

int64_t quant_finite(const float *x, int64_t n) {
    enum { PIECE = 1 << 16 };
    int64_t first = n;
#pragma omp parallel for reduction(min : first)
    for (int64_t p = 0; p < n; p += PIECE) {
        float zero = 0; /* 0 · x is 0 for every finite x, NaN for the others */
        int64_t end = min64(n, p + PIECE);
        for (int64_t i = p; i < end; i++) zero += 0 * x[i];
        if (zero == 0 || first < p) continue;
        for (int64_t i = p; i < end; i++)
            if (!isfinite(x[i])) {
                first = min64(first, i);
                break;
            }
    }
    return first < n ? first : -1;
}

static float largest(const float *x, int64_t n) {
    float m = 0;
    for (int64_t i = 0; i < n; i++) m = fmaxf(m, fabsf(x[i]));
    return m;
}

/* ---- nf4, fp4 ---- */
/* Codes in the order of their values; FP4 has two zeros, and what is just above 0 takes the second. */
static const uint8_t nf4_order[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
static const uint8_t fp4_order[16] = {11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3};

static uint8_t nearest(const float bounds[15], const uint8_t order[16], float v) {
    int at = 0;
    for (int i = 0; i < 15; i++) at += v > bounds[i];
    return order[at];
}

/* len <= 4096 values of one block; `full`: as many as a block has */
static void block_4bit(uint8_t *packed, float *absmax, const float *x, int64_t len, bool full, const float bounds[15], const uint8_t order[16]) {
    float m = largest(x, len), floor = fmaxf(m, 1e-38f), inverse = 1.0f / floor;
    *absmax = full ? m : floor;
    for (int64_t i = 0; i < len; i += 2) {
        uint8_t q[2];
        for (int j = 0; j < 2; j++) {
            float v = i + j >= len ? 0 : full ? x[i + j] * inverse : x[i + j] / floor;
            q[j] = nearest(bounds, order, fminf(fmaxf(v, -1), 1));
        }
        packed[i / 2] = (uint8_t)(q[0] << 4 | q[1]);
    }
}

void quant_4bit(enum dtype t, uint8_t *packed, float *absmax, const float *x, int64_t n, int block) {
    enum { PIECE = 256 }; /* blocks */
    const float *table = t == DT_NF4 ? dtype_nf4 : dtype_fp4;
    const uint8_t *order = t == DT_NF4 ? nf4_order : fp4_order;
    float bounds[15];
    for (int i = 0; i < 15; i++) bounds[i] = (table[order[i]] + table[order[i + 1]]) / 2;
    int64_t blocks = (n + block - 1) / block, fast = quant_has_avx2() && block % 32 == 0 ? n / block : 0;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < fast; b += PIECE) {
        int64_t at = b * block;
        quant_4bit_avx2(packed + at / 2, absmax + b, x + at, min64(PIECE, fast - b), block, bounds, order);
    }
#pragma omp parallel for schedule(static)
    for (int64_t b = fast; b < blocks; b++) {
        int64_t at = b * block, len = min64(block, n - at);
        block_4bit(packed + at / 2, absmax + b, x + at, len, len == block, bounds, order);
    }
}

/* ---- double quantisation ---- */
/* Seven decades; decade i holds 2^i means of evenly spaced bounds from 0.1 to 1, of both signs; then 0 and 1. */
void quant_dynamic_map(float map[256]) {
    float *up = map + 128, power[7] = {1e-6f, 1e-5f, 1e-4f, 1e-3f, 1e-2f, 1e-1f, 1};
    map[127] = 0;
    for (int i = 0; i < 7; i++) {
        int n = 1 << i;
        float step = (1.0f - 0.1f) / (float)n, low = 0.1f;
        for (int k = 1; k <= n; k++) { /* the upper half is counted down from 1, as torch.linspace does */
            float high = (float)(k < (n + 1) / 2 ? 0.1f + (double)step * k : 1 - (double)step * (n - k)); /* as a fused multiply-add */
            *up++ = (low + high) / 2 * power[i];
            low = high;
        }
    }
    map[255] = 1;
    for (int i = 0; i < 127; i++) map[i] = -map[254 - i];
}

/* bitsandbytes finds a code by a table over 65536 even steps of -1..1, not by the nearest value itself: near 0, where
   codes lie closer than the steps, the two differ, and 0 becomes the code of 2.125e-5. */
static uint8_t steps[65536];
static void fill_steps(void) {
    float map[256];
    int at = 0;
    quant_dynamic_map(map);
    for (int i = 0; i < 65536; i++) {
        float v = (float)(-1 + i * (2 / 65535.0));
        while (at < 256 && map[at] < v) at++;
        steps[i] = (uint8_t)(at == 0 ? 0 : at == 256 ? 255 : map[at] - v < v - map[at - 1] ? at : at - 1);
    }
}

void quant_nested(uint8_t *codes, float *second, const float *absmax, int64_t n, float offset) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_steps);
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < (n + QUANT_NESTED - 1) / QUANT_NESTED; b++) {
        int64_t at = b * QUANT_NESTED, len = min64(QUANT_NESTED, n - at);
        float m = 0;
        for (int64_t i = 0; i < len; i++) m = fmaxf(m, fabsf(absmax[at + i] - offset));
        float inverse = 1.0f / m;
        second[b] = m;
        for (int64_t i = 0; i < len; i++) {
            float v = (absmax[at + i] - offset) * inverse; /* 0 · inf where all are 0: code 0 */
            codes[at + i] = isnan(v) ? 0 : steps[(int)((fminf(fmaxf(v, -1), 1) + 1.0f) * 32767.5f + 0.5f)];
        }
    }
}

float quant_mean(const float *x, int64_t n) {
    double s = 0;
    for (int64_t i = 0; i < n; i++) s += x[i];
    return (float)(s / (double)n);
}

/* ---- int8 ---- */
int64_t quant_int8(int8_t *q, float *scale, const float *x, int64_t rows, int64_t cols) {
    int64_t beyond = rows * cols;
#pragma omp parallel for schedule(static) reduction(min : beyond)
    for (int64_t r = 0; r < rows; r++) {
        const float *row = x + r * cols;
        float m = 0;
        for (int64_t i = 0; i < cols; i++) {
            float h = fabsf(f16_to_f32(f32_to_f16(row[i])));
            if (!isfinite(h)) beyond = min64(beyond, r * cols + i);
            m = fmaxf(m, h);
        }
        float inverse = 1.0f / m * 127.0f; /* in two roundings, as torch divides a number by a tensor */
        scale[r] = m;
        for (int64_t i = 0; i < cols; i++) q[r * cols + i] = m > 0 && isfinite(m) ? (int8_t)rintf(f16_to_f32(f32_to_f16(row[i])) * inverse) : 0;
    }
    return beyond < rows * cols ? beyond : -1;
}

/* ---- ternary ---- */
/* Mean of |x|: sums of pieces, added in order whatever the number of threads. */
static float mean_abs(const float *x, int64_t n) {
    enum { PIECE = 1 << 16 };
    int64_t pieces = (n + PIECE - 1) / PIECE;
    double total = 0;
#pragma omp parallel for ordered schedule(static, 1)
    for (int64_t p = 0; p < pieces; p++) {
        double s = 0;
        int64_t end = min64(n, (p + 1) * PIECE);
        for (int64_t i = p * PIECE; i < end; i++) s += fabsf(x[i]);
#pragma omp ordered
        total += s;
    }
    return (float)(total / (double)n);
}

float quant_ternary(uint8_t *packed, const float *x, int64_t rows, int64_t cols) {
    float unit = fmaxf(mean_abs(x, rows * cols), 1e-5f), inverse = 1.0f / unit;
    int64_t quarter = rows / 4;
#pragma omp parallel for schedule(static)
    for (int64_t r = 0; r < quarter; r++)
        for (int64_t c = 0; c < cols; c++) {
            int byte = 0;
            for (int k = 0; k < 4; k++) {
                float v = rintf(x[(r + k * quarter) * cols + c] * inverse);
                byte |= ((int)fminf(fmaxf(v, -1), 1) + 1) << 2 * k;
            }
            packed[r * cols + c] = (uint8_t)byte;
        }
    return unit;
}
