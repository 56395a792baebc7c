/* Element types: sizes, conversions, the reference decoder. Layouts: dtype.h. */
#include "kernels/dtype.h"
#include <string.h>

static const struct {
    const char *name;
    int block;
    size_t bytes;
} types[DT_COUNT] = {
    [DT_F32] = {"f32", 1, 4},     [DT_F16] = {"f16", 1, 2},     [DT_BF16] = {"bf16", 1, 2},   [DT_F64] = {"f64", 1, 8},    [DT_I8] = {"i8", 1, 1},
    [DT_U8] = {"u8", 1, 1},       [DT_I16] = {"i16", 1, 2},     [DT_I32] = {"i32", 1, 4},     [DT_I64] = {"i64", 1, 8},    [DT_BOOL] = {"bool", 1, 1},
    [DT_Q8_0] = {"q8_0", 32, 34}, [DT_Q4_0] = {"q4_0", 32, 18}, [DT_Q4_1] = {"q4_1", 32, 20},
    [DT_Q4_K] = {"q4_K", 256, 144}, [DT_Q6_K] = {"q6_K", 256, 210}, [DT_NF4] = {"nf4", 2, 1}, [DT_FP4] = {"fp4", 2, 1}, [DT_TERNARY] = {"ternary", 4, 1},
};

const float dtype_nf4[16] = {-1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f, -0.09105003625154495f, 0.0f,
                             0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f, 0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f};
/* Sign, two exponent bits, one of mantissa, over 12 */
const float dtype_fp4[16] = {0.0f, 0.0625f / 12, 8 / 12.0f, 1.0f, 4 / 12.0f, 6 / 12.0f, 2 / 12.0f, 3 / 12.0f, 0.0f, -0.0625f / 12, -8 / 12.0f, -1.0f, -4 / 12.0f, -6 / 12.0f, -2 / 12.0f, -3 / 12.0f};

const char *dtype_name(enum dtype t) { return (unsigned)t < DT_COUNT ? types[t].name : "?"; }
int dtype_block(enum dtype t) { return types[t].block; }
size_t dtype_block_bytes(enum dtype t) { return types[t].bytes; }
size_t dtype_bytes(enum dtype t, int64_t n) { return (size_t)(n / types[t].block) * types[t].bytes; }

static float bits_f32(uint32_t u) {
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static uint32_t f32_bits(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

float f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = h >> 10 & 31, man = h & 0x3ff;
    if (exp == 31) return bits_f32(sign | 0x7f800000 | man << 13 | (man ? 0x400000 : 0)); /* NaN comes out quiet, as from vcvtph2ps */
    if (exp) return bits_f32(sign | (exp + 112) << 23 | man << 13);
    float f = (float)man * 0x1p-24f;
    return sign ? -f : f;
}

/* v >> n rounded to nearest, ties to even; 1 <= n <= 31 */
static uint32_t shift_round(uint32_t v, int n) {
    uint32_t half = 1u << (n - 1), rest = v & ((half << 1) - 1), q = v >> n;
    return q + (rest > half || (rest == half && (q & 1)));
}

uint16_t f32_to_f16(float f) {
    uint32_t u = f32_bits(f), sign = u >> 16 & 0x8000, mag = u & 0x7fffffff;
    if (mag > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (mag >> 13 & 0x3ff));
    if (mag >= 0x477ff000) return (uint16_t)(sign | 0x7c00); /* 65520 and above round to infinity */
    if (mag >= 0x38800000) return (uint16_t)(sign | shift_round(mag - 0x38000000, 13)); /* a carry moves into the exponent, as it should */
    int shift = 126 - (int)(mag >> 23);                                                  /* subnormal: units of 2^-24 */
    if (shift > 25) return (uint16_t)sign;
    return (uint16_t)(sign | shift_round((mag & 0x7fffff) | 0x800000, shift));
}

float bf16_to_f32(uint16_t h) { return bits_f32((uint32_t)h << 16); }

uint16_t f32_to_bf16(float f) {
    uint32_t u = f32_bits(f);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 0x40); /* quiet, and never an infinity */
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static uint16_t load16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }

static void q8_0_to_f32(float *dst, const uint8_t *b) {
    float d = f16_to_f32(load16(b));
    for (int i = 0; i < 32; i++) dst[i] = d * (float)(int8_t)b[2 + i];
}

static void q4_0_to_f32(float *dst, const uint8_t *b) {
    float d = f16_to_f32(load16(b));
    for (int i = 0; i < 16; i++) {
        dst[i] = d * (float)((b[2 + i] & 15) - 8);
        dst[i + 16] = d * (float)((b[2 + i] >> 4) - 8);
    }
}

/* d·q is exact in f32 (11 + 4 bits), so with or without FMA the sum is the same. */
static void q4_1_to_f32(float *dst, const uint8_t *b) {
    float d = f16_to_f32(load16(b)), m = f16_to_f32(load16(b + 2));
    for (int i = 0; i < 16; i++) {
        dst[i] = d * (float)(b[4 + i] & 15) + m;
        dst[i + 16] = d * (float)(b[4 + i] >> 4) + m;
    }
}

/* 6-bit scale and minimum of group j (0..7) of a Q4_K block */
static void q4_k_scale(const uint8_t *s, int j, int *scale, int *min) {
    *scale = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
    *min = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | (s[j] >> 6) << 4;
}

/* Both products are exact in f32 (11 + 6 + 4 bits), as in q4_1. */
static void q4_k_to_f32(float *dst, const uint8_t *b, int j) {
    int sc, mn;
    q4_k_scale(b + 4, j, &sc, &mn);
    float d = f16_to_f32(load16(b)) * (float)sc, m = f16_to_f32(load16(b + 2)) * (float)mn;
    const uint8_t *q = b + 16 + 32 * (j / 2);
    for (int i = 0; i < 32; i++) dst[i] = d * (float)(j & 1 ? q[i] >> 4 : q[i] & 15) - m;
}

static void q6_k_to_f32(float *dst, const uint8_t *b, int j) {
    const uint8_t *low = b + 64 * (j / 4) + 32 * (j & 1), *high = b + 128 + 32 * (j / 4);
    const int8_t *scale = (const int8_t *)b + 192 + 8 * (j / 4) + 2 * (j % 4);
    float d = f16_to_f32(load16(b + 208));
    for (int i = 0; i < 32; i++) {
        int q = (j & 2 ? low[i] >> 4 : low[i] & 15) | (high[i] >> 2 * (j % 4) & 3) << 4;
        dst[i] = d * (float)scale[i / 16] * (float)(q - 32);
    }
}

void dtype_part_to_f32(float dst[32], enum dtype t, const void *src, int64_t part) {
    const uint8_t *p = src;
    if (t == DT_Q4_K)
        q4_k_to_f32(dst, p + part / 8 * 144, (int)(part % 8));
    else if (t == DT_Q6_K)
        q6_k_to_f32(dst, p + part / 8 * 210, (int)(part % 8));
    else
        dtype_to_f32(dst, t, p + dtype_bytes(t, part * 32), 32);
}

#define PLAIN(T) \
    for (int64_t i = 0; i < n; i++) { \
        T v; \
        memcpy(&v, (const char *)src + i * (int64_t)sizeof v, sizeof v); \
        dst[i] = (float)v; \
    } \
    break

void dtype_to_f32(float *dst, enum dtype t, const void *src, int64_t n) {
    const uint8_t *p = src;
    switch (t) {
    case DT_F32: memcpy(dst, src, (size_t)n * 4); break;
    case DT_F16:
        for (int64_t i = 0; i < n; i++) dst[i] = f16_to_f32(load16(p + 2 * i));
        break;
    case DT_BF16:
        for (int64_t i = 0; i < n; i++) dst[i] = bf16_to_f32(load16(p + 2 * i));
        break;
    case DT_F64: PLAIN(double);
    case DT_I8: PLAIN(int8_t);
    case DT_U8: PLAIN(uint8_t);
    case DT_I16: PLAIN(int16_t);
    case DT_I32: PLAIN(int32_t);
    case DT_I64: PLAIN(int64_t);
    case DT_BOOL: PLAIN(uint8_t);
    case DT_Q8_0:
        for (int64_t i = 0; i < n; i += 32, p += 34) q8_0_to_f32(dst + i, p);
        break;
    case DT_Q4_0:
        for (int64_t i = 0; i < n; i += 32, p += 18) q4_0_to_f32(dst + i, p);
        break;
    case DT_Q4_1:
        for (int64_t i = 0; i < n; i += 32, p += 20) q4_1_to_f32(dst + i, p);
        break;
    case DT_Q4_K:
    case DT_Q6_K:
        for (int64_t i = 0; i < n; i += 32) dtype_part_to_f32(dst + i, t, src, i / 32);
        break;
    case DT_NF4:
    case DT_FP4:
    case DT_TERNARY:
    case DT_COUNT: break;
    }
}
