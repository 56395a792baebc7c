/* Soft labels (kernels/topk.h, kernels/distill.h): a block a row. Sums of exponentials are taken around their own largest term, the
   tail's too, and in f64, so that a tail of hardly any probability keeps its logarithm. */
#include "kernels/cuda/cuda.cuh"
#include <math.h>

enum { SOFT_THREADS = 512, SOFT_WARPS = SOFT_THREADS / 32 };

template <class T, class F> static __device__ T block_reduce(T x, F join) {
    __shared__ T part[SOFT_WARPS];
    for (int i = 16; i; i /= 2) x = join(x, __shfl_xor_sync(~0u, x, i));
    __syncthreads();
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;
    __syncthreads();
    x = part[0];
    for (int i = 1; i < SOFT_WARPS; i++) x = join(x, part[i]);
    return x;
}
static __device__ float block_max(float x) { return block_reduce(x, [](float a, float b) { return fmaxf(a, b); }); }
static __device__ double block_total(double x) { return block_reduce(x, [](double a, double b) { return a + b; }); }

/* Σ of x over the threads before this one; all: over all. */
static __device__ int before_me(int x, int *all) {
    __shared__ int part[SOFT_WARPS];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, sum = x;
    for (int i = 1; i < 32; i *= 2) {
        int y = __shfl_up_sync(~0u, sum, i);
        if (lane >= i) sum += y;
    }
    __syncthreads();
    if (lane == 31) part[warp] = sum;
    __syncthreads();
    int before = 0, total = 0;
    for (int i = 0; i < SOFT_WARPS; i++) {
        before += i < warp ? part[i] : 0;
        total += part[i];
    }
    *all = total;
    return before + sum - x;
}

/* A value's place in the order of values: 16 bits, both zeros the same */
static __device__ inline int key_of(act16 v) {
    int b = act_bits(v);
    b = b == 0x8000 ? 0 : b;
    return b & 0x8000 ? ~b & 0xffff : b | 0x8000;
}

/* The bin that holds the need-th largest of n counts' sum, from above; *need becomes its place within. 256 counts. */
static __device__ int bin_of(const int *count, int *need) {
    __shared__ int found, rest;
    if (threadIdx.x == 0) {
        int b = 255, left = *need;
        while (count[b] < left) left -= count[b--];
        found = b;
        rest = left;
    }
    __syncthreads();
    *need = rest;
    return found;
}

/* The key of the K-th largest value; *ties: how many of those that equal it belong to the K. */
static __device__ int threshold(const act16 *z, int V, int K, int *ties) {
    __shared__ int count[256];
    int key = 0;
    *ties = K;
    for (int pass = 0; pass < 2; pass++) {
        for (int i = threadIdx.x; i < 256; i += SOFT_THREADS) count[i] = 0;
        __syncthreads();
        for (int c = threadIdx.x; c < V; c += SOFT_THREADS) {
            int x = key_of(z[c]);
            if (!pass) atomicAdd(&count[x >> 8], 1);
            else if (x >> 8 == key) atomicAdd(&count[x & 255], 1);
        }
        __syncthreads();
        key = key << 8 | bin_of(count, ties);
        __syncthreads();
    }
    return key;
}

static __global__ void __launch_bounds__(SOFT_THREADS) topk(int32_t *id, float *logp, float *tail, const act16 *logits, float T, int V, int K) {
    const act16 *z = logits + (int64_t)blockIdx.x * V;
    id += (int64_t)blockIdx.x * K;
    logp += (int64_t)blockIdx.x * K;
    int ties, all;
    const int least = threshold(z, V, K, &ties), each = (V + SOFT_THREADS - 1) / SOFT_THREADS, from = min((int)threadIdx.x * each, V), to = min(from + each, V);
    int above = 0, equal = 0;
    bool bad = false;
    float max = -INFINITY, rest_max = -INFINITY;
    for (int c = from; c < to; c++) {
        int key = key_of(z[c]);
        float v = to_f32(z[c]);
        bad |= isnan(v);
        above += key > least;
        equal += key == least;
        max = fmaxf(max, v);
        if (key < least) rest_max = fmaxf(rest_max, v);
    }
    int open = ties - before_me(equal, &all), taken = open < 0 ? 0 : min(open, equal), at = before_me(above + taken, &all), left = taken;
    for (int c = from; c < to; c++) {
        int key = key_of(z[c]);
        if (key > least || (key == least && left-- > 0)) id[at++] = c;
        else rest_max = fmaxf(rest_max, to_f32(z[c]));
    }
    max = block_max(max);
    rest_max = block_max(rest_max);
    double rest = 0, sum;
    left = taken;
    for (int c = from; c < to; c++) {
        int key = key_of(z[c]);
        if (!(key > least || (key == least && left-- > 0))) rest += exp(((double)to_f32(z[c]) - rest_max) / T);
    }
    double log_rest = ((double)rest_max - max) / T + log(block_total(rest));
    double own = 0; /* of the named; id was written by all threads before block_max's barriers */
    for (int j = threadIdx.x; j < K; j += SOFT_THREADS) own += exp(((double)to_f32(z[id[j]]) - max) / T);
    sum = exp(log_rest) + block_total(own);
    for (int j = threadIdx.x; j < K; j += SOFT_THREADS) logp[j] = (float)(((double)to_f32(z[id[j]]) - max) / T - log(sum));
    bad = __syncthreads_or(bad);
    if (threadIdx.x == 0) tail[blockIdx.x] = bad ? NAN : (float)(log_rest - log(sum));
}
void cuda_topk(struct kctx *k, int32_t *id, float *logp, float *tail, const void *logits, float T, int M, int V, int K) {
    cuda_flush(k);
    if (M > 0) topk<<<(unsigned)M, SOFT_THREADS, 0, k->stream>>>(id, logp, tail, (const act16 *)logits, T, V, K);
    launched(k, "topk");
}

struct soft_row { /* of one row: kernels/cpu/distill.c has the same sums */
    double max, rest_max, hard, soft, rest, kl, mass;
};

/* The named logits stand in `top`, and in the row −∞ in their place: what is read from it is the tail. */
static __device__ struct soft_row sums_of(const act16 *z, const float *top, const float *logp, int K, int V, float T, float tail) {
    struct soft_row a;
    float max = -INFINITY, rest_max = -INFINITY;
    double soft = 0, hard = 0, kl = 0, mass = 0;
    for (int c = threadIdx.x; c < V; c += SOFT_THREADS) rest_max = fmaxf(rest_max, to_f32(z[c]));
    for (int j = threadIdx.x; j < K; j += SOFT_THREADS) max = fmaxf(max, top[j]);
    a.rest_max = block_max(rest_max);
    a.max = fmaxf(block_max(max), (float)a.rest_max);
    for (int c = threadIdx.x; c < V; c += SOFT_THREADS) {
        float x = to_f32(z[c]) - (float)a.rest_max;
        soft += expf(x / T);
        hard += expf(x);
    }
    double below = a.rest_max - a.max, rest_hard = block_total(hard);
    a.rest = block_total(soft);
    soft = hard = 0;
    for (int j = threadIdx.x; j < K; j += SOFT_THREADS) {
        soft += exp((top[j] - a.max) / T);
        hard += exp(top[j] - a.max);
    }
    a.soft = block_total(soft) + a.rest * exp(below / T);
    a.hard = block_total(hard) + rest_hard * exp(below);
    for (int j = threadIdx.x; j < K; j += SOFT_THREADS) {
        double p = exp((double)logp[j]);
        kl += p * (logp[j] - ((top[j] - a.max) / T - log(a.soft)));
        mass += p;
    }
    double p_rest = exp((double)tail);
    a.kl = block_total(kl) + (p_rest > 0 ? p_rest * (tail - (below / T + log(a.rest) - log(a.soft))) : 0);
    a.mass = block_total(mass) + p_rest;
    return a;
}

static __global__ void __launch_bounds__(SOFT_THREADS) distill(float *loss, act16 *logits, const int32_t *target, const float *scale, const struct soft_labels s, int V) {
    __shared__ float top[TOPK_MAX];
    __shared__ float at_target;
    const int64_t i = blockIdx.x;
    const int K = s.K, t = target[i];
    const int32_t *id = s.id + i * K;
    const float *logp = s.logp + i * K;
    act16 *z = logits + i * V;
    if (threadIdx.x == 0) at_target = to_f32(z[t]);
    for (int j = threadIdx.x; j < K; j += SOFT_THREADS) top[j] = to_f32(z[id[j]]);
    __syncthreads();
    for (int j = threadIdx.x; j < K; j += SOFT_THREADS) z[id[j]] = to_act(-INFINITY);
    __syncthreads();
    const struct soft_row a = sums_of(z, top, logp, K, V, s.T, s.tail[i]);
    const double T = s.T, alpha = s.alpha, soft = scale ? scale[i] * alpha * T : 0, hard = scale ? scale[i] * (1 - alpha) : 0, below = a.rest_max - a.max;
    if (threadIdx.x == 0) loss[i] = (float)(alpha * T * T * a.kl + (1 - alpha) * (a.max + log(a.hard) - at_target));
    const float of_soft = (float)(soft * (a.mass * exp(below / T) / a.soft - exp((double)s.tail[i]) / a.rest)), of_hard = (float)(hard * exp(below) / a.hard);
    for (int c = threadIdx.x; scale && c < V; c += SOFT_THREADS) {
        float x = to_f32(z[c]) - (float)a.rest_max;
        z[c] = to_act(of_soft * expf(x / s.T) + of_hard * expf(x) - (c == t ? (float)hard : 0));
    }
    __syncthreads();
    for (int j = threadIdx.x; j < K; j += SOFT_THREADS) {
        double x = top[j] - a.max, g = soft * (a.mass * exp(x / T) / a.soft - exp((double)logp[j])) + hard * exp(x) / a.hard - (id[j] == t ? hard : 0);
        z[id[j]] = to_act(scale ? (float)g : top[j]);
    }
}
void cuda_distill(struct kctx *k, float *loss, void *logits, const int32_t *target, const float *scale, const struct soft_labels *s, int M, int V) {
    cuda_flush(k);
    if (M > 0) distill<<<(unsigned)M, SOFT_THREADS, 0, k->stream>>>(loss, (act16 *)logits, target, scale, *s, V);
    launched(k, "distill");
}
