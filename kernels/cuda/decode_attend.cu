/* Attention of one new token: rotation, storing, reading the cache. A block a head; its threads take earlier tokens in groups that
   hold a head's values eight a lane, four tokens a group at once, since a token's way through memory is what takes time. */
#include "kernels/cuda/chain.cuh"
#include <math.h>

#define LOG2E 1.4426950408889634f

struct attend {
    act16 *o;
    const act16 *q, *k, *v;
    struct kv_view kv;
    const int32_t *seq, *pos;
    const float *inv_freq;
    int group, G; /* query heads a key head */
    float scale;
};
enum { ATTEND_THREADS = 512, AHEAD = 4 };

/* The lane's eight values of a head turned: its partner half a head away holds the others. */
template <int D> static __device__ inline void turn(float v[8], const float *cosine, const float *sine, int d) {
#pragma unroll
    for (int j = 0; j < 8; j++) {
        float other = __shfl_xor_sync(~0u, v[j], D / 16);
        int i = d % (D / 2) + j;
        v[j] = to_f32(to_act(v[j] * cosine[i] + (d < D / 2 ? -other : other) * sine[i]));
    }
}

template <int D> static __global__ void __launch_bounds__(ATTEND_THREADS) attend(struct attend a) {
    constexpr int LANES = D / 8, GROUPS = ATTEND_THREADS / LANES, WARPS = ATTEND_THREADS / 32;
    __shared__ float cosine[D / 2], sine[D / 2], max[WARPS], sum[WARPS], part[WARPS][D];
    const int head = blockIdx.x, g = head / a.group, group = threadIdx.x / LANES, d = threadIdx.x % LANES * 8, n = *a.pos;
    const int32_t *pages = a.kv.table + (int64_t)*a.seq * a.kv.max_pages;
    auto place = [&](int t) { return (((int64_t)pages[t / KV_BLOCK] * a.G + g) * KV_BLOCK + t % KV_BLOCK) * D + d; };
    vec8 kx[AHEAD], vx[AHEAD];
    auto fetch = [&](int t0) {
#pragma unroll
        for (int u = 0; u < AHEAD; u++) {
            int t = t0 + u * GROUPS + group;
            int64_t at = place(t < n ? t : n - 1);
            kx[u] = *(const vec8 *)((const act16 *)a.kv.k + at);
            vx[u] = *(const vec8 *)((const act16 *)a.kv.v + at);
        }
    };
    let_next_start();
    if (threadIdx.x < D / 2) sincosf((float)n * a.inv_freq[threadIdx.x], &sine[threadIdx.x], &cosine[threadIdx.x]);
    if (n) fetch(0); /* earlier tokens' are there already */
    __syncthreads();
    wait_for_inputs();
    float q[8], k[8], v[8], s = 0;
    load<8>(q, a.q + head * D + d);
    load<8>(k, a.k + g * D + d);
    load<8>(v, a.v + g * D + d);
    turn<D>(q, cosine, sine, d);
    turn<D>(k, cosine, sine, d);
    if (head % a.group == 0 && group == 0) {
        store<8>((act16 *)a.kv.k + place(n), k);
        store<8>((act16 *)a.kv.v + place(n), v);
    }
    auto score = [&](const float x[8]) {
        float t = 0;
#pragma unroll
        for (int j = 0; j < 8; j++) t += q[j] * x[j];
#pragma unroll
        for (int j = LANES / 2; j; j /= 2) t += __shfl_xor_sync(~0u, t, j);
        return t * a.scale * LOG2E;
    };
    s = score(k); /* the new token is the first group's */
    float m = group ? -INFINITY : s, total = group ? 0 : 1, acc[8];
#pragma unroll
    for (int j = 0; j < 8; j++) acc[j] = group ? 0 : v[j];
    for (int t0 = 0; t0 < n; t0 += GROUPS * AHEAD) {
        if (t0) fetch(t0);
#pragma unroll
        for (int u = 0; u < AHEAD; u++) {
            float x[8];
#pragma unroll
            for (int j = 0; j < 8; j++) x[j] = to_f32(kx[u].v[j]);
            s = score(x);
            if (t0 + u * GROUPS + group >= n) continue; /* the shuffles are behind us */
            float top = fmaxf(m, s), keep = exp2f(m - top), w = exp2f(s - top);
            m = top;
            total = total * keep + w;
#pragma unroll
            for (int j = 0; j < 8; j++) acc[j] = acc[j] * keep + w * to_f32(vx[u].v[j]);
        }
        __syncwarp();
    }
    /* the groups of a warp, then the warps; a group without a token weighs nothing */
#pragma unroll
    for (int i = LANES; i < 32; i *= 2) {
        float m2 = __shfl_xor_sync(~0u, m, i), t2 = __shfl_xor_sync(~0u, total, i), top = fmaxf(m, m2);
        float f = m == -INFINITY ? 0 : exp2f(m - top), f2 = m2 == -INFINITY ? 0 : exp2f(m2 - top);
        m = top;
        total = total * f + t2 * f2;
#pragma unroll
        for (int j = 0; j < 8; j++) acc[j] = acc[j] * f + __shfl_xor_sync(~0u, acc[j], i) * f2;
    }
    const int warp = threadIdx.x / 32;
    if (threadIdx.x % 32 == 0) max[warp] = m, sum[warp] = total;
    if (threadIdx.x % 32 < LANES)
#pragma unroll
        for (int j = 0; j < 8; j++) part[warp][d + j] = acc[j];
    __syncthreads();
    if (threadIdx.x >= D) return;
    float top = -INFINITY, all = 0, out = 0;
    for (int i = 0; i < WARPS; i++) top = fmaxf(top, max[i]);
    for (int i = 0; i < WARPS; i++) {
        float f = max[i] == -INFINITY ? 0 : exp2f(max[i] - top);
        all += sum[i] * f;
        out += part[i][threadIdx.x] * f;
    }
    a.o[head * D + threadIdx.x] = to_act(out / all);
}

void cuda_attend_one(struct kctx *k, act16 *o, const act16 *q, const act16 *kk, const act16 *v, const struct decode_layer *l, const int32_t *seq, const int32_t *pos) {
    struct attend a = {o, q, kk, v, l->kv, seq, pos, l->inv_freq, l->H / l->G, l->G, 1 / sqrtf((float)l->D)};
    chain(k, l->D == 64 ? attend<64> : attend<128>, (unsigned)l->H, ATTEND_THREADS, 0, a);
}
