/* The next token of each row: a block a row. */
#include "kernels/cuda/cuda.cuh"
#include <math.h>

enum { CHOOSE_THREADS = 1024 };
struct best { float value; int id; }; /* id INT_MAX: none yet */
static __device__ inline struct best better(struct best a, struct best b) { return b.value > a.value || (b.value == a.value && b.id < a.id) ? b : a; }

static __device__ struct best largest(const act16 *z, int V) {
    __shared__ struct best part[32];
    struct best b = {-INFINITY, INT_MAX};
    for (int c = threadIdx.x; c < V; c += CHOOSE_THREADS) {
        float v = to_f32(z[c]);
        if (isfinite(v)) b = better(b, {v, c});
    }
    for (int i = 16; i; i /= 2) b = better(b, {__shfl_xor_sync(~0u, b.value, i), __shfl_xor_sync(~0u, b.id, i)});
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = b;
    __syncthreads();
    b = part[0];
    for (int i = 1; i < CHOOSE_THREADS / 32; i++) b = better(b, part[i]);
    return b;
}

/* Thread i sums the ids of the i-th piece; the one in whose piece the sum passes u of the whole finds the id. */
static __global__ void __launch_bounds__(CHOOSE_THREADS) choose(int32_t *ids, const act16 *logits, int V, float temperature, const double *u) {
    __shared__ double sums[CHOOSE_THREADS];
    const act16 *z = logits + (int64_t)blockIdx.x * V;
    struct best b = largest(z, V);
    const int i = threadIdx.x;
    if (i == 0) ids[blockIdx.x] = b.id == INT_MAX ? -1 : b.id;
    if (temperature == 0 || b.id == INT_MAX) return;
    const int n = (V + CHOOSE_THREADS - 1) / CHOOSE_THREADS, from = min(i * n, V), to = min(from + n, V);
    auto weight = [&](int c) {
        float v = to_f32(z[c]);
        return isfinite(v) ? (double)expf((v - b.value) / temperature) : 0;
    };
    double own = 0;
    for (int c = from; c < to; c++) own += weight(c);
    sums[i] = own;
    __syncthreads();
    for (int j = 1; j < CHOOSE_THREADS; j *= 2) { /* sums up to and with each piece */
        double more = i >= j ? sums[i - j] : 0;
        __syncthreads();
        sums[i] += more;
        __syncthreads();
    }
    double left = u[blockIdx.x] * sums[CHOOSE_THREADS - 1], before = i ? sums[i - 1] : 0;
    if (!(before <= left && left < sums[i])) return; /* rounding leaves none: the largest stays */
    left -= before;
    int id = -1;
    for (int c = from; c < to && left >= 0; c++) {
        double w = weight(c);
        if (w > 0) id = c, left -= w;
    }
    ids[blockIdx.x] = id;
}

void cuda_choose(struct kctx *k, int32_t *ids, const void *logits, int M, int V, float temperature, const double *u) {
    cuda_flush(k);
    if (M > 0) choose<<<(unsigned)M, CHOOSE_THREADS, 0, k->stream>>>(ids, (const act16 *)logits, V, temperature, u);
    launched(k, "choose");
}
