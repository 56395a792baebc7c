/* Cross entropy with one reading of the logits: the blocks of a cluster hold a row in their registers, tell each other their maxima and
   sums, and write the gradient. */
#include "kernels/cuda/cuda.cuh"
#include "kernels/cuda/tma.cuh"
#include <math.h>

enum { HELD_THREADS = 512, HELD_EACH = 8 /* eights of a thread */, HELD_MOST = HELD_THREADS * HELD_EACH * 8, HELD_CLUSTER = 8 };

#ifdef HAS_TMA
#define LOG2_E 1.4426950408889634f
static __device__ inline float exp_of(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(y) : "f"(x * LOG2_E));
    return y;
}
/* NaN where one is */
static __device__ inline float max_nan(float a, float b) {
    float y;
    asm("max.NaN.f32 %0, %1, %2;\n" : "=f"(y) : "f"(a), "f"(b));
    return y;
}
static __device__ inline float block_max_nan(float x, float *s) {
#pragma unroll
    for (int i = 16; i; i /= 2) x = max_nan(x, __shfl_xor_sync(~0u, x, i));
    if (threadIdx.x % 32 == 0) s[threadIdx.x / 32] = x;
    __syncthreads();
    x = s[0];
#pragma unroll
    for (int i = 1; i < HELD_THREADS / 32; i++) x = max_nan(x, s[i]);
    return x;
}
/* a = {maximum, Σ exp(z − maximum)} of this block; of the row afterwards, the same order in every block */
static __device__ inline float2 join_cluster(float2 a, float2 *of, int rank, int n) {
    asm volatile("barrier.cluster.wait.acquire.aligned;\n" ::: "memory"); /* all have begun */
    if ((int)threadIdx.x < n) {
        uint32_t at = (uint32_t)__cvta_generic_to_shared(of + rank);
        asm volatile("{\n.reg .b32 there;\nmapa.shared::cluster.u32 there, %0, %1;\nst.shared::cluster.v2.f32 [there], {%2, %3};\n}\n" ::"r"(at), "r"((int)threadIdx.x), "f"(a.x), "f"(a.y) : "memory");
    }
    cluster_sync();
    float2 sum = {of[0].x, 0};
    for (int i = 1; i < n; i++) sum.x = max_nan(sum.x, of[i].x);
    for (int i = 0; i < n; i++) sum.y += of[i].x == -INFINITY ? 0 : of[i].y * exp_of(of[i].x - sum.x);
    return sum;
}
#endif

/* slice: values of a block, which 8 divides */
static __global__ void __launch_bounds__(HELD_THREADS, 2) entropy(float *loss, act16 *logits, const int32_t *target, const float *scale, int V, int slice, int blocks) {
#ifdef HAS_TMA
    __shared__ float part[32];
    __shared__ float2 of[HELD_CLUSTER];
    asm volatile("barrier.cluster.arrive.release.aligned;\n" ::: "memory");
    const int rank = cluster_rank(), row = blockIdx.x / blocks, first = rank * slice, n = min(slice, V - first);
    act16 *z = logits + (int64_t)row * V + first;
    uint4 v[HELD_EACH];
    const uint32_t none = act_bits(to_act(-INFINITY)) * 0x10001u;
#pragma unroll
    for (int i = 0; i < HELD_EACH; i++) {
        int c = (i * HELD_THREADS + (int)threadIdx.x) * 8;
        v[i] = c < n ? __ldcs((const uint4 *)(z + c)) : uint4{none, none, none, none};
    }
    float max = -INFINITY, sum = 0;
#pragma unroll
    for (int i = 0; i < HELD_EACH; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            uint32_t x = (&v[i].x)[j];
            max = max_nan(max, max_nan(act_low(x), act_high(x)));
        }
    max = block_max_nan(max, part);
    const float from = max == -INFINITY ? 0 : max;
#pragma unroll
    for (int i = 0; i < HELD_EACH; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            uint32_t x = (&v[i].x)[j];
            sum += exp_of(act_low(x) - from) + exp_of(act_high(x) - from);
        }
    const float2 all = join_cluster({max, block_sum(sum, part)}, of, rank, blocks);
    const int t = target[row] - first;
    const bool mine = t >= 0 && t < n && t / 8 % HELD_THREADS == (int)threadIdx.x; /* who alone reads and writes there */
    const float at = mine ? to_f32(z[t]) : 0;
    if (mine) loss[row] = (all.x - at) + logf(all.y);
    if (!scale) return;
    const float f = scale[row] / all.y;
#pragma unroll
    for (int i = 0; i < HELD_EACH; i++) {
        int c = (i * HELD_THREADS + (int)threadIdx.x) * 8;
        if (c >= n) break;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            uint32_t x = (&v[i].x)[j];
            (&v[i].x)[j] = pack(f * exp_of(act_low(x) - all.x), f * exp_of(act_high(x) - all.x));
        }
        __stcs((uint4 *)(z + c), v[i]);
    }
    if (mine) z[t] = to_act(f * exp_of(at - all.x) - scale[row]);
#endif
}

bool cuda_entropy_held(struct kctx *k, float *loss, act16 *logits, const int32_t *target, const float *scale, int M, int V) {
    int blocks = 1;
    while (blocks < HELD_CLUSTER && (int64_t)blocks * HELD_MOST < V) blocks *= 2;
    if (!k->overlaps || V % 8 || V < 1024 || (uintptr_t)logits % 16 || (int64_t)blocks * HELD_MOST < V) return false;
    cudaLaunchAttribute cluster = {};
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim = {(unsigned)blocks, 1, 1};
    cudaLaunchConfig_t how = {};
    how.gridDim = {(unsigned)M * (unsigned)blocks, 1, 1};
    how.blockDim = {HELD_THREADS, 1, 1};
    how.stream = k->stream;
    how.attrs = &cluster;
    how.numAttrs = 1;
    int slice = (int)ceil_div(V / 8, blocks) * 8;
    cuda_ok(k, cudaLaunchKernelEx(&how, entropy, loss, logits, target, scale, V, slice, blocks), "cross_entropy");
    return true;
}
