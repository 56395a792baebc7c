/* Decoding of packed weights on the card: the layouts of dtype.h and weight.h, the values of their reference decoders. */
#ifndef COADOR_CUDA_WEIGHT_CUH
#define COADOR_CUDA_WEIGHT_CUH
#include "kernels/cuda/cuda.cuh"

/* Sixteen words lie in sixteen banks: lanes that read different ones do not wait for each other, as they would in constant memory. */
static __device__ const float table_nf4[16] = {-1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f, -0.09105003625154495f, 0.0f,
                                           0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f, 0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f};
static __device__ const float table_fp4[16] = {0.0f, 0.0625f / 12, 8 / 12.0f, 1.0f, 4 / 12.0f, 6 / 12.0f, 2 / 12.0f, 3 / 12.0f, 0.0f, -0.0625f / 12, -8 / 12.0f, -1.0f, -4 / 12.0f, -6 / 12.0f, -2 / 12.0f, -3 / 12.0f};

static __device__ inline float half_at(const uint8_t *p) { return __half2float(*(const __half *)p); }
/* By a power of two, of which only the host knows that it is one. */
static __device__ inline int64_t over(int64_t x, int power) { return x >> (31 - __clz(power)); }
static __device__ inline float block_scale(const struct weight &w, int64_t b) {
    if (!w.scale_q) return w.scale[b];
    return __fadd_rn(__fmul_rn(w.scale_map[w.scale_q[b]], w.scale[over(b, w.nested)]), w.offset); /* rounded before the sum */
}

/* Value (r, c); every type, any place. */
static __device__ float weight_at(const struct weight &w, int64_t r, int64_t c) {
    const uint8_t *p = (const uint8_t *)w.data;
    int64_t at = r * w.cols + c;
    int i = (int)(c % 32);
    switch (w.type) {
    case DT_F32: return ((const float *)p)[at];
    case DT_F16: return __half2float(((const __half *)p)[at]);
    case DT_BF16: return to_f32(((const bf16 *)p)[at]);
    case DT_I8: return (float)((const int8_t *)p)[at] * (w.scale[r] * (1 / 127.0f));
    case DT_TERNARY: return (float)((p[r % (w.rows / 4) * w.cols + c] >> (int)(r / (w.rows / 4)) * 2 & 3) - 1) * w.unit;
    case DT_NF4:
    case DT_FP4: {
        int q = at & 1 ? p[at / 2] & 15 : p[at / 2] >> 4;
        return (w.type == DT_NF4 ? table_nf4 : table_fp4)[q] * block_scale(w, over(at, w.block));
    }
    case DT_Q8_0: p += at / 32 * 34; return half_at(p) * (float)(int8_t)p[2 + i];
    case DT_Q4_0: p += at / 32 * 18; return half_at(p) * (float)((i < 16 ? p[2 + i] & 15 : p[i - 14] >> 4) - 8);
    case DT_Q4_1: p += at / 32 * 20; return half_at(p) * (float)(i < 16 ? p[4 + i] & 15 : p[i - 12] >> 4) + half_at(p + 2);
    case DT_Q4_K: {
        int j = (int)(at % 256) / 32;
        p += at / 256 * 144;
        const uint8_t *s = p + 4, *q = p + 16 + 32 * (j / 2);
        int sc = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6) << 4, mn = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | (s[j] >> 6) << 4;
        return half_at(p) * (float)sc * (float)(j & 1 ? q[i] >> 4 : q[i] & 15) - half_at(p + 2) * (float)mn;
    }
    case DT_Q6_K: {
        int j = (int)(at % 256) / 32;
        p += at / 256 * 210;
        const uint8_t *low = p + 64 * (j / 4) + 32 * (j & 1), *high = p + 128 + 32 * (j / 4);
        const int8_t *scale = (const int8_t *)p + 192 + 8 * (j / 4) + 2 * (j % 4);
        int q = (j & 2 ? low[i] >> 4 : low[i] & 15) | (high[i] >> 2 * (j % 4) & 3) << 4;
        return half_at(p + 208) * (float)scale[i / 16] * (float)(q - 32);
    }
    default: return NAN;
    }
}

/* Values (r, c..c+7): c and the number of columns are multiples of 8. */
template <int T> static __device__ inline void weight_eight(float v[8], const struct weight &w, int64_t r, int64_t c) {
    const uint8_t *p = (const uint8_t *)w.data;
    int64_t at = r * w.cols + c;
    int i = (int)(c % 32);
    if constexpr (T == DT_BF16) {
        load<8>(v, (const bf16 *)p + at);
    } else if constexpr (T == DT_F16) {
        load<8>(v, (const __half *)p + at);
    } else if constexpr (T == DT_F32) {
        float4 a = ((const float4 *)p)[at / 4], b = ((const float4 *)p)[at / 4 + 1];
        v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w, v[4] = b.x, v[5] = b.y, v[6] = b.z, v[7] = b.w;
    } else if constexpr (T == DT_I8) {
        int2 q = *(const int2 *)(p + at);
        float s = w.scale[r] * (1 / 127.0f);
#pragma unroll
        for (int j = 0; j < 8; j++) v[j] = (float)(int8_t)((j < 4 ? q.x : q.y) >> 8 * (j % 4)) * s;
    } else if constexpr (T == DT_NF4 || T == DT_FP4) {
        unsigned q = *(const unsigned *)(p + at / 2);
        float s = block_scale(w, over(at, w.block));
#pragma unroll
        for (int j = 0; j < 8; j++) v[j] = (T == DT_NF4 ? table_nf4 : table_fp4)[q >> 8 * (j / 2) + (j & 1 ? 0 : 4) & 15] * s;
    } else if constexpr (T == DT_Q8_0) {
        p += at / 32 * 34;
        float d = half_at(p);
#pragma unroll
        for (int j = 0; j < 8; j++) v[j] = d * (float)(int8_t)p[2 + i + j];
    } else if constexpr (T == DT_Q4_0 || T == DT_Q4_1) {
        p += at / 32 * (T == DT_Q4_0 ? 18 : 20);
        float d = half_at(p), m = T == DT_Q4_1 ? half_at(p + 2) : -8 * d;
        p += (T == DT_Q4_0 ? 2 : 4) + i % 16;
#pragma unroll
        for (int j = 0; j < 8; j++) v[j] = d * (float)(i < 16 ? p[j] & 15 : p[j] >> 4) + m;
    } else {
#pragma unroll
        for (int j = 0; j < 8; j++) v[j] = weight_at(w, r, c + j);
    }
}

/* Runs f<T> for the types whose eight values are read at once, f<-1> (value by value) for the others. */
#define BY_TYPE(type, CALL) \
    switch (type) { \
    case DT_BF16: CALL(DT_BF16); break; \
    case DT_F16: CALL(DT_F16); break; \
    case DT_F32: CALL(DT_F32); break; \
    case DT_I8: CALL(DT_I8); break; \
    case DT_NF4: CALL(DT_NF4); break; \
    case DT_FP4: CALL(DT_FP4); break; \
    case DT_Q8_0: CALL(DT_Q8_0); break; \
    case DT_Q4_0: CALL(DT_Q4_0); break; \
    case DT_Q4_1: CALL(DT_Q4_1); break; \
    default: CALL(-1); \
    }
#endif
