/* The type of activations and its conversions, for all kernels; sums are f32. Two libraries come of the same sources: bf16 for cards of
   compute capability 8.0 on, and, with COADOR_FP16, fp16 for those of 7.5, whose tensor cores know no other. What is beyond fp16's
   65,504 becomes infinite, never the largest value: a loss or gradient that is not finite tells of it. Not for layers above. */
#ifndef COADOR_CUDA_ACT_CUH
#define COADOR_CUDA_ACT_CUH
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <library_types.h>
#include <stdint.h>

typedef __nv_bfloat16 bf16; /* a stored weight's, and of kernels that compute in it alone (wgmma.cuh and what includes it) */
static __device__ inline float to_f32(bf16 x) { return __bfloat162float(x); }
static __device__ inline float to_f32(__half x) { return __half2float(x); }

#ifdef COADOR_FP16
typedef __half act16;
typedef __half2 act16x2;
#define ACT_DTYPE DT_F16
#define ACT_CUDA CUDA_R_16F
#define ACT_PTX "f16" /* within asm strings */
static __device__ inline float2 to_f32x2(act16x2 x) { return __half22float2(x); }
/* To nearest, ties to even */
static __device__ inline act16 to_act(float x) { return __float2half_rn(x); }
static __device__ inline act16x2 to_act2(float lo, float hi) { return __floats2half2_rn(lo, hi); }
/* Of two in a word */
static __device__ inline float act_low(uint32_t x) { return __low2float(*(act16x2 *)&x); }
static __device__ inline float act_high(uint32_t x) { return __high2float(*(act16x2 *)&x); }
static __device__ inline unsigned short act_bits(act16 x) { return __half_as_ushort(x); }
#else
typedef bf16 act16;
typedef __nv_bfloat162 act16x2;
#define ACT_DTYPE DT_BF16
#define ACT_CUDA CUDA_R_16BF
#define ACT_PTX "bf16"
static __device__ inline float2 to_f32x2(act16x2 x) { return __bfloat1622float2(x); }
static __device__ inline act16 to_act(float x) { return __float2bfloat16(x); }
static __device__ inline act16x2 to_act2(float lo, float hi) { return __floats2bfloat162_rn(lo, hi); }
static __device__ inline float act_low(uint32_t x) { return __uint_as_float(x << 16); }
static __device__ inline float act_high(uint32_t x) { return __uint_as_float(x & 0xffff0000u); }
static __device__ inline unsigned short act_bits(act16 x) { return __bfloat16_as_ushort(x); }
#endif
static __device__ inline uint32_t pack(float lo, float hi) {
    act16x2 x = to_act2(lo, hi);
    return *(uint32_t *)&x;
}
#endif
