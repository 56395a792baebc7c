/* Attention for any head size, a warp a query (or key) and head: for sizes that attention.cu has no tiles for, and for decoding
   from the paged cache. */
#include "kernels/cuda/cuda.cuh"
#include <math.h>

enum { PER_LANE = ATTENTION_MAX_D / 32, WARPS = 4 };
static bool too_large(struct kctx *k, int D) {
    if (D > ATTENTION_MAX_D) cuda_fail(k, K_UNSUPPORTED, "heads of %d values, at most %d", D, ATTENTION_MAX_D);
    return D > ATTENTION_MAX_D;
}

struct heads { int S, H, G, D; float scale; };
/* Lane l holds values l, l+32, … */
static __device__ inline void load_head(float v[PER_LANE], const act16 *p, int D) {
#pragma unroll
    for (int i = 0; i < PER_LANE; i++) {
        int d = i * 32 + threadIdx.x % 32;
        v[i] = d < D ? to_f32(p[d]) : 0;
    }
}
static __device__ inline void store_head(act16 *p, const float v[PER_LANE], float f, int D) {
#pragma unroll
    for (int i = 0; i < PER_LANE; i++) {
        int d = i * 32 + threadIdx.x % 32;
        if (d < D) p[d] = to_act(v[i] * f);
    }
}
static __device__ inline float dot(const float a[PER_LANE], const float b[PER_LANE]) {
    float s = 0;
#pragma unroll
    for (int i = 0; i < PER_LANE; i++) s += a[i] * b[i];
    return warp_sum(s);
}
static __device__ inline void axpy(float y[PER_LANE], float a, const float x[PER_LANE]) {
#pragma unroll
    for (int i = 0; i < PER_LANE; i++) y[i] += a * x[i];
}

/* First row, and the row behind the last, of row r's sequence */
static __device__ int2 sequence_of(const int32_t *cu, int S, int r) {
    int lo = 0, hi = S; /* cu[lo] <= r < cu[hi] */
    while (hi - lo > 1) {
        int mid = (lo + hi) / 2;
        if (cu[mid] <= r) lo = mid;
        else hi = mid;
    }
    return make_int2(cu[lo], cu[lo + 1]);
}

struct online { float max, sum, o[PER_LANE]; };
static __device__ inline void take(struct online *a, float s, const float v[PER_LANE]) {
    float m = fmaxf(a->max, s), keep = expf(a->max - m), w = expf(s - m);
    a->max = m;
    a->sum = a->sum * keep + w;
#pragma unroll
    for (int i = 0; i < PER_LANE; i++) a->o[i] = a->o[i] * keep + w * v[i];
}

static __global__ void forward(act16 *o, float *lse, const act16 *q, const act16 *k, const act16 *v, const int32_t *cu, struct heads h, int64_t n) {
    int64_t at = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    if (at >= n) return;
    int r = (int)(at / h.H), g = (int)(at % h.H) / (h.H / h.G), first = sequence_of(cu, h.S, r).x;
    float qv[PER_LANE], x[PER_LANE], y[PER_LANE];
    struct online a = {-INFINITY, 0, {0}};
    load_head(qv, q + at * h.D, h.D);
    for (int t = first; t <= r; t++) {
        load_head(x, k + ((int64_t)t * h.G + g) * h.D, h.D);
        load_head(y, v + ((int64_t)t * h.G + g) * h.D, h.D);
        take(&a, dot(qv, x) * h.scale, y);
    }
    store_head(o + at * h.D, a.o, 1 / a.sum, h.D);
    if (threadIdx.x % 32 == 0) lse[at] = a.max + logf(a.sum);
}
void cuda_attention_any(struct kctx *c, void *o, float *lse, const void *q, const void *k, const void *v, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, int D, float scale) {
    if (too_large(c, D)) return;
    int64_t n = (int64_t)cu[S] * H;
    struct heads h = {S, H, G, D, scale};
    if (n) forward<<<(unsigned)ceil_div(n, WARPS), 32 * WARPS, 0, c->stream>>>((act16 *)o, lse, (const act16 *)q, (const act16 *)k, (const act16 *)v, cu_dev, h, n);
    launched(c, "attention");
}

/* With p = exp(s − lse) and delta = dout·o: ds = p·(dout·v − delta), dq = scale·Σ ds·k; dk, dv over the queries from the key on. */
static __global__ void backward_q(act16 *dq, const act16 *dout, const act16 *q, const act16 *k, const act16 *v, const act16 *o, const float *lse, const int32_t *cu, struct heads h, int64_t n) {
    int64_t at = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    if (at >= n) return;
    int r = (int)(at / h.H), g = (int)(at % h.H) / (h.H / h.G), first = sequence_of(cu, h.S, r).x;
    float qv[PER_LANE], dv[PER_LANE], x[PER_LANE], y[PER_LANE], sum[PER_LANE] = {0};
    load_head(qv, q + at * h.D, h.D);
    load_head(dv, dout + at * h.D, h.D);
    load_head(x, o + at * h.D, h.D);
    float delta = dot(dv, x);
    for (int t = first; t <= r; t++) {
        load_head(x, k + ((int64_t)t * h.G + g) * h.D, h.D);
        load_head(y, v + ((int64_t)t * h.G + g) * h.D, h.D);
        float p = expf(dot(qv, x) * h.scale - lse[at]);
        axpy(sum, p * (dot(dv, y) - delta), x);
    }
    store_head(dq + at * h.D, sum, h.scale, h.D);
}
static __global__ void backward_kv(act16 *dk, act16 *dv, const act16 *dout, const act16 *q, const act16 *k, const act16 *v, const act16 *o, const float *lse, const int32_t *cu, struct heads h, int64_t n) {
    int64_t at = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    if (at >= n) return;
    int t = (int)(at / h.G), g = (int)(at % h.G), end = sequence_of(cu, h.S, t).y;
    float kv[PER_LANE], vv[PER_LANE], x[PER_LANE], y[PER_LANE], z[PER_LANE], sk[PER_LANE] = {0}, sv[PER_LANE] = {0};
    load_head(kv, k + at * h.D, h.D);
    load_head(vv, v + at * h.D, h.D);
    for (int r = t; r < end; r++)
        for (int i = 0; i < h.H / h.G; i++) {
            int64_t row = (int64_t)r * h.H + g * (h.H / h.G) + i;
            load_head(x, q + row * h.D, h.D);
            load_head(y, dout + row * h.D, h.D);
            load_head(z, o + row * h.D, h.D);
            float p = expf(dot(kv, x) * h.scale - lse[row]), ds = p * (dot(vv, y) - dot(y, z));
            axpy(sv, p, y);
            axpy(sk, ds, x);
        }
    store_head(dk + at * h.D, sk, h.scale, h.D);
    store_head(dv + at * h.D, sv, 1, h.D);
}
void cuda_attention_bwd_any(struct kctx *c, void *dq, void *dk, void *dv, const void *dout, const void *q, const void *k, const void *v, const void *o, const float *lse, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, int D, float scale) {
    if (too_large(c, D)) return;
    int64_t nq = (int64_t)cu[S] * H, nk = (int64_t)cu[S] * G;
    struct heads h = {S, H, G, D, scale};
    if (!nq) return;
    backward_q<<<(unsigned)ceil_div(nq, WARPS), 32 * WARPS, 0, c->stream>>>((act16 *)dq, (const act16 *)dout, (const act16 *)q, (const act16 *)k, (const act16 *)v, (const act16 *)o, lse, cu_dev, h, nq);
    backward_kv<<<(unsigned)ceil_div(nk, WARPS), 32 * WARPS, 0, c->stream>>>((act16 *)dk, (act16 *)dv, (const act16 *)dout, (const act16 *)q, (const act16 *)k, (const act16 *)v, (const act16 *)o, lse, cu_dev, h, nk);
    launched(c, "attention_bwd");
}

/* ---- the paged cache ---- */
static __global__ void kv_store(struct kv_view c, const act16 *k, const act16 *v, const int32_t *seq, const int32_t *pos, int G, int D) {
    int r = blockIdx.x, t = pos[r];
    int64_t page = c.table[(int64_t)seq[r] * c.max_pages + t / KV_BLOCK];
    for (int i = threadIdx.x; i < G * D; i += blockDim.x) {
        int64_t to = ((page * G + i / D) * KV_BLOCK + t % KV_BLOCK) * D + i % D;
        ((act16 *)c.k)[to] = k[(int64_t)r * G * D + i];
        ((act16 *)c.v)[to] = v[(int64_t)r * G * D + i];
    }
}
void cuda_kv_store(struct kctx *c, const struct kv_view *view, const void *k, const void *v, const int32_t *seq, const int32_t *pos, int R, int G, int D) {
    cuda_flush(c);
    if (R > 0) kv_store<<<(unsigned)R, 128, 0, c->stream>>>(*view, (const act16 *)k, (const act16 *)v, seq, pos, G, D);
    launched(c, "kv_store");
}

/* A block a query and head; its warps take tokens in turn and join their sums. */
static __global__ void cached(act16 *o, const act16 *q, struct kv_view c, const int32_t *seq, const int32_t *pos, struct heads h) {
    __shared__ float max[WARPS], sum[WARPS], part[WARPS][ATTENTION_MAX_D];
    int r = blockIdx.x, head = blockIdx.y, g = head / (h.H / h.G), warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int32_t *pages = c.table + (int64_t)seq[r] * c.max_pages;
    float qv[PER_LANE], x[PER_LANE], y[PER_LANE];
    struct online a = {-INFINITY, 0, {0}};
    load_head(qv, q + ((int64_t)r * h.H + head) * h.D, h.D);
    for (int t = warp; t <= pos[r]; t += WARPS) {
        int64_t at = (((int64_t)pages[t / KV_BLOCK] * h.G + g) * KV_BLOCK + t % KV_BLOCK) * h.D;
        load_head(x, (const act16 *)c.k + at, h.D);
        load_head(y, (const act16 *)c.v + at, h.D);
        take(&a, dot(qv, x) * h.scale, y);
    }
    max[warp] = a.max;
    sum[warp] = a.sum;
#pragma unroll
    for (int i = 0; i < PER_LANE; i++) part[warp][i * 32 + lane] = a.o[i];
    __syncthreads();
    float m = max[0], total = 0;
    for (int w = 1; w < WARPS; w++) m = fmaxf(m, max[w]);
    for (int w = 0; w < WARPS; w++) total += sum[w] * expf(max[w] - m);
    for (int d = threadIdx.x; d < h.D; d += blockDim.x) {
        float v = 0;
        for (int w = 0; w < WARPS; w++) v += part[w][d] * expf(max[w] - m);
        o[((int64_t)r * h.H + head) * h.D + d] = to_act(v / total);
    }
}
/* The same for heads of 64 and 128 values, a token by eight or sixteen lanes of eight values each, so that a block reads 32 or
   16 tokens at once. */
enum { CACHED_WARPS = 8 };
template <int D> static __global__ void __launch_bounds__(32 * CACHED_WARPS) cached_wide(act16 *o, const act16 *q, struct kv_view c, const int32_t *seq, const int32_t *pos, struct heads h) {
    constexpr int LANES = D / 8, GROUPS = 32 * CACHED_WARPS / LANES;
    __shared__ float max[GROUPS], sum[GROUPS], part[GROUPS][D];
    const int r = blockIdx.x, head = blockIdx.y, g = head / (h.H / h.G), group = threadIdx.x / LANES, d = threadIdx.x % LANES * 8, last = pos[r];
    const int32_t *pages = c.table + (int64_t)seq[r] * c.max_pages;
    float qv[8], x[8], y[8], acc[8] = {0}, m = -INFINITY, total = 0;
    load<8>(qv, q + ((int64_t)r * h.H + head) * D + d);
#pragma unroll 2
    for (int t0 = 0; t0 <= last; t0 += GROUPS) { /* all lanes take part in the sums; a token beyond the last weighs nothing */
        int t = t0 + group, u = t <= last ? t : last;
        int64_t at = (((int64_t)pages[u / KV_BLOCK] * h.G + g) * KV_BLOCK + u % KV_BLOCK) * D + d;
        load<8>(x, (const act16 *)c.k + at);
        load<8>(y, (const act16 *)c.v + at);
        float s = 0;
#pragma unroll
        for (int j = 0; j < 8; j++) s += qv[j] * x[j];
#pragma unroll
        for (int j = LANES / 2; j; j /= 2) s += __shfl_xor_sync(~0u, s, j);
        s = t <= last ? s * h.scale : -INFINITY;
        float top = fmaxf(m, s), keep = m == top ? 1 : expf(m - top), w = t <= last ? expf(s - top) : 0;
        m = top;
        total = total * keep + w;
#pragma unroll
        for (int j = 0; j < 8; j++) acc[j] = acc[j] * keep + w * y[j];
    }
    if (d == 0) max[group] = m, sum[group] = total;
#pragma unroll
    for (int j = 0; j < 8; j++) part[group][d + j] = acc[j];
    __syncthreads();
    if (threadIdx.x >= D) return;
    float top = -INFINITY, v = 0, all = 0;
    for (int i = 0; i < GROUPS; i++) top = fmaxf(top, max[i]);
    for (int i = 0; i < GROUPS; i++) {
        float f = expf(max[i] - top); /* a group without a token: 0 */
        all += sum[i] * f;
        v += part[i][threadIdx.x] * f;
    }
    o[((int64_t)r * h.H + head) * D + threadIdx.x] = to_act(v / all);
}
void cuda_attention_cached(struct kctx *c, void *o, const void *q, const struct kv_view *view, const int32_t *seq, const int32_t *pos, int R, int H, int G, int D, float scale) {
    cuda_flush(c);
    if (R <= 0 || too_large(c, D)) return;
    struct heads h = {0, H, G, D, scale};
    dim3 grid((unsigned)R, (unsigned)H);
    if (D == 64)
        cached_wide<64><<<grid, 32 * CACHED_WARPS, 0, c->stream>>>((act16 *)o, (const act16 *)q, *view, seq, pos, h);
    else if (D == 128)
        cached_wide<128><<<grid, 32 * CACHED_WARPS, 0, c->stream>>>((act16 *)o, (const act16 *)q, *view, seq, pos, h);
    else
        cached<<<grid, 32 * WARPS, 0, c->stream>>>((act16 *)o, (const act16 *)q, *view, seq, pos, h);
    launched(c, "attention_cached");
}
