/* The type of activations and its conversions, for all kernels: bf16. Sums are f32. Not for layers above. */
#ifndef COADOR_CUDA_ACT_CUH
#define COADOR_CUDA_ACT_CUH
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <library_types.h>
#include <stdint.h>

typedef __nv_bfloat16 bf16; /* a stored weight's, and of kernels that compute in it alone (wgmma.cuh and what includes it) */
typedef bf16 act16;
typedef __nv_bfloat162 act16x2;
#define ACT_DTYPE DT_BF16
#define ACT_CUDA CUDA_R_16BF
#define ACT_PTX "bf16" /* within asm strings */

static __device__ inline float to_f32(bf16 x) { return __bfloat162float(x); }
static __device__ inline float to_f32(__half x) { return __half2float(x); }
static __device__ inline float2 to_f32x2(act16x2 x) { return __bfloat1622float2(x); }
/* To nearest, ties to even */
static __device__ inline act16 to_act(float x) { return __float2bfloat16(x); }
static __device__ inline act16x2 to_act2(float lo, float hi) { return __floats2bfloat162_rn(lo, hi); }
static __device__ inline uint32_t pack(float lo, float hi) {
    act16x2 x = to_act2(lo, hi);
    return *(uint32_t *)&x;
}
/* Of two in a word */
static __device__ inline float act_low(uint32_t x) { return __uint_as_float(x << 16); }
static __device__ inline float act_high(uint32_t x) { return __uint_as_float(x & 0xffff0000u); }
static __device__ inline unsigned short act_bits(act16 x) { return __bfloat16_as_ushort(x); }
#endif
