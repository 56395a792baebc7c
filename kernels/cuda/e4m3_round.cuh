/* Rounding of rows to e4m3, shared by e4m3.cu (weights, products) and e4m3_rows.cu. */
#ifndef COADOR_CUDA_E4M3_ROUND_CUH
#define COADOR_CUDA_E4M3_ROUND_CUH
#include "kernels/cuda/e4m3.cuh"
#include <cuda_fp8.h>
#include <math.h>

struct e4m3 { uint8_t *q; float *scale; }; /* a matrix and the scales of its rows */
struct parts { /* of a row, side by side in bf16 */
    const bf16 *p[ADAPTED_MOST];
    int end[ADAPTED_MOST], n;
};
/* R rows of the parts into q, each over its scale. */
void cuda_round_rows(struct kctx *k, uint8_t *q, float *scale, const struct parts *s, int R);
/* Scratch for a matrix; q NULL where there is no room. */
struct e4m3 cuda_e4m3_in(struct kctx *k, enum scratch which, int64_t rows, int64_t cols);

/* The greater magnitude of two bf16 in each half; above infinity come NaNs. */
static __device__ inline uint32_t greater(uint32_t m, uint32_t two) { return __vmaxu2(m, two & 0x7fff7fffu); }
static __device__ inline uint32_t greatest_of(uint32_t m, const uint4 &v) { return greater(greater(greater(greater(m, v.x), v.y), v.z), v.w); }
/* Of the bits of the greatest magnitude as f32; no more bits than bf16, rounded up; tiny ones so that its inverse is finite. */
static __device__ inline float scale_of(uint32_t greatest) {
    if (greatest >= 0x7f800000u) return NAN;
    uint32_t s = __float_as_uint(fmaxf(__uint_as_float(greatest), 0x1p-100f) / 448);
    return __uint_as_float((s + 0xffffu) & 0xffff0000u);
}
static __device__ inline uint32_t two_of(uint32_t two, float lo, float hi) {
    float2 x = {__uint_as_float(two << 16) * lo, __uint_as_float(two & 0xffff0000u) * hi};
    return __nv_cvt_float2_to_fp8x2(x, __NV_SATFINITE, __NV_E4M3);
}
#endif
