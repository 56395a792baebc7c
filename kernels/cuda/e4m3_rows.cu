/* Rows to e4m3: of matrices that lie there, and of what RMSNorm and SwiGLU write, which is read once less so. A block a row, which stays
   in registers from its greatest magnitude to its rounding: eight values a thread, PER times. */
#include "kernels/cuda/e4m3_round.cuh"
#include "kernels/cuda/product.cuh"
#include "kernels/cuda/swiglu.cuh"
extern "C" {
#include "kernels/cuda/scratch.h"
}

#define COLUMN(i) (((i) * (int)blockDim.x + (int)threadIdx.x) * 8)

/* A row of PARTS × width values in bf16, of which this thread holds those at COLUMN(i) of each part */
template <int PER, int PARTS> static __device__ inline void round_row(uint8_t *q, float *scale, int64_t row, const uint4 (&v)[PARTS * PER], int width) {
    __shared__ uint32_t high[32];
    uint32_t m = 0;
#pragma unroll
    for (int i = 0; i < PARTS * PER; i++) m = greatest_of(m, v[i]);
    m = __reduce_max_sync(~0u, max(m & 0xffffu, m >> 16));
    if (threadIdx.x % 32 == 0) high[threadIdx.x / 32] = m;
    __syncthreads();
    for (int i = 0; i < (int)blockDim.x / 32; i++) m = max(m, high[i]);
    float s = scale_of(m << 16), by = 1 / s;
    if (threadIdx.x == 0) scale[row] = s;
#pragma unroll
    for (int i = 0; i < PARTS * PER; i++) {
        int c = COLUMN(i % PER);
        if (c < width)
            *(uint2 *)(q + (row * PARTS + i / PER) * width + c) = {two_of(v[i].x, by, by) | two_of(v[i].y, by, by) << 16, two_of(v[i].z, by, by) | two_of(v[i].w, by, by) << 16};
    }
}
/* What store<8> writes, kept */
static __device__ inline uint4 stored(bf16 *p, const float v[8]) {
    eight_of<bf16> x;
#pragma unroll
    for (int i = 0; i < 8; i++) x.v[i] = __float2bfloat16(v[i]);
    *(eight_of<bf16> *)p = x;
    return *(const uint4 *)&x;
}

static __device__ inline uint4 eight_at(const struct parts &s, int64_t row, int c) {
    int j = 0, first = 0;
    while (c >= s.end[j]) first = s.end[j++];
    return *(const uint4 *)(s.p[j] + row * (s.end[j] - first) + c - first);
}
template <int PER> static __global__ void __launch_bounds__(1024) lying(uint8_t *q, float *scale, const __grid_constant__ struct parts s, int width) {
    uint4 v[PER];
#pragma unroll
    for (int i = 0; i < PER; i++) v[i] = COLUMN(i) < width ? eight_at(s, blockIdx.x, COLUMN(i)) : uint4{};
    round_row<PER, 1>(q, scale, blockIdx.x, v, width);
}

template <int PER> static __global__ void __launch_bounds__(1024) normed(uint8_t *q, float *scale, bf16 *y, float *rstd, const bf16 *x, const float *w, float eps, int C) {
    __shared__ float sums[32];
    uint4 v[PER];
    float f[PER][8], sum = 0;
    x += (int64_t)blockIdx.x * C;
    y += (int64_t)blockIdx.x * C;
#pragma unroll
    for (int i = 0; i < PER; i++) {
        if (COLUMN(i) >= C) continue;
        load<8>(f[i], x + COLUMN(i));
#pragma unroll
        for (int j = 0; j < 8; j++) sum += f[i][j] * f[i][j];
    }
    float rs = 1 / sqrtf(block_sum(sum, sums) / (float)C + eps);
#pragma unroll
    for (int i = 0; i < PER; i++) {
        v[i] = uint4{};
        if (COLUMN(i) >= C) continue;
#pragma unroll
        for (int j = 0; j < 8; j++) f[i][j] *= rs * w[COLUMN(i) + j];
        v[i] = stored(y + COLUMN(i), f[i]);
    }
    if (rstd && threadIdx.x == 0) rstd[blockIdx.x] = rs;
    round_row<PER, 1>(q, scale, blockIdx.x, v, C);
}

template <int PER> static __global__ void __launch_bounds__(1024) gated(uint8_t *q, float *scale, bf16 *y, const bf16 *gate, const bf16 *up, int F) {
    uint4 v[PER];
    const int64_t row = (int64_t)blockIdx.x * F;
#pragma unroll
    for (int i = 0; i < PER; i++) {
        v[i] = uint4{};
        if (COLUMN(i) >= F) continue;
        float g[8], u[8];
        load<8>(g, gate + row + COLUMN(i));
        load<8>(u, up + row + COLUMN(i));
        swiglu_values<8>(g, u);
        v[i] = stored(y + row + COLUMN(i), g);
    }
    round_row<PER, 1>(q, scale, blockIdx.x, v, F);
}

/* dgate and dup may be gate and up. */
template <int PER> static __global__ void __launch_bounds__(1024) gated_bwd(uint8_t *q, float *scale, bf16 *dgate, bf16 *dup, bf16 *y, const bf16 *dy, const bf16 *gate, const bf16 *up, int F) {
    uint4 v[2 * PER];
    const int64_t row = (int64_t)blockIdx.x * F;
#pragma unroll
    for (int i = 0; i < PER; i++) {
        v[i] = v[PER + i] = uint4{};
        if (COLUMN(i) >= F) continue;
        float g[8], u[8], d[8], o[8];
        load<8>(g, gate + row + COLUMN(i));
        load<8>(u, up + row + COLUMN(i));
        load<8>(d, dy + row + COLUMN(i));
        swiglu_gradients<8>(g, u, o, d);
        v[i] = stored(dgate + row + COLUMN(i), g);
        v[PER + i] = stored(dup + row + COLUMN(i), u);
        store<8>(y + row + COLUMN(i), o);
    }
    round_row<PER, 2>(q, scale, blockIdx.x, v, F);
}

/* ---- the host's side ---- */
struct e4m3 cuda_e4m3_in(struct kctx *k, enum scratch which, int64_t rows, int64_t cols) {
    char *p = (char *)cuda_scratch(k, which, cuda_e4m3_bytes(rows, cols));
    return {(uint8_t *)p, p ? (float *)(p + cuda_e4m3_values(rows, cols)) : NULL};
}

/* Sixteen values a thread where that takes no more than 1,024 threads; up to 2^16 columns, as adapted_e4m3_shape has it. */
#define BY_WIDTH(KERNEL, width, ...) \
    do { \
        int threads = (width) <= 1024 ? 64 : (width) >= 16384 ? 1024 : (int)ceil_div(width, 512) * 32; \
        int64_t per = ceil_div(width, threads * 8); \
        if (per <= 1) KERNEL<1><<<(unsigned)R, threads, 0, k->stream>>>(__VA_ARGS__); \
        else if (per <= 2) KERNEL<2><<<(unsigned)R, threads, 0, k->stream>>>(__VA_ARGS__); \
        else if (per <= 4) KERNEL<4><<<(unsigned)R, threads, 0, k->stream>>>(__VA_ARGS__); \
        else KERNEL<8><<<(unsigned)R, threads, 0, k->stream>>>(__VA_ARGS__); \
        launched(k, "rounding rows"); \
    } while (0)

void cuda_round_rows(struct kctx *k, uint8_t *q, float *scale, const struct parts *s, int R) { BY_WIDTH(lying, s->end[s->n - 1], q, scale, *s, s->end[s->n - 1]); }

void cuda_rmsnorm_e4m3(struct kctx *k, void *y, float *rstd, const void *x, const float *w, float eps, int R, int C) {
    if (!cuda_is_wide(k, R)) return cuda_rmsnorm(k, y, rstd, x, w, eps, R, C);
    cuda_flush(k);
    struct e4m3 to = cuda_e4m3_in(k, SCRATCH_E4M3, R, C);
    if (to.q) BY_WIDTH(normed, C, to.q, to.scale, (bf16 *)y, rstd, (const bf16 *)x, w, eps, C);
}
void cuda_swiglu_e4m3(struct kctx *k, void *y, const void *gate, const void *up, int R, int F) {
    if (!cuda_is_wide(k, R)) return cuda_swiglu(k, y, gate, up, (int64_t)R * F);
    cuda_flush(k);
    struct e4m3 to = cuda_e4m3_in(k, SCRATCH_E4M3, R, F);
    if (to.q) BY_WIDTH(gated, F, to.q, to.scale, (bf16 *)y, (const bf16 *)gate, (const bf16 *)up, F);
}
void cuda_swiglu_bwd_e4m3(struct kctx *k, void *dgate, void *dup, void *y, const void *dy, const void *gate, const void *up, int R, int F) {
    if (!cuda_is_wide(k, R)) return cuda_swiglu_bwd_again(k, dgate, dup, y, dy, gate, up, (int64_t)R * F);
    cuda_flush(k);
    struct e4m3 to = cuda_e4m3_in(k, SCRATCH_E4M3, R, 2 * (int64_t)F);
    if (to.q) BY_WIDTH(gated_bwd, F, to.q, to.scale, (bf16 *)dgate, (bf16 *)dup, (bf16 *)y, (const bf16 *)dy, (const bf16 *)gate, (const bf16 *)up, F);
}
