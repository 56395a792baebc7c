/* Attention of new tokens, each of its own sequence: rotation, storing, reading the cache. A block takes a row and a key head with the
   query heads that share it: they are rows of the tensor cores' left factor (mma.m16n8k16), 16 tokens of the cache at a time the right
   one, in the order in which a lane's pieces of a token are neighbours in memory. Its warps take the cache's sixteens in turn, asked
   for before the kernel waits for the one before it, and join their sums. */
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/chain.cuh"

enum { STEP16 = 16, MOST_HEADS = 8 };
struct attend {
    struct attend_rows r;
    int group; /* query heads a key head */
    float scale;
};

/* The lane's eight values of a head turned: its partner half a head away holds the others. */
template <int D> static __device__ inline void turn(float out[8], const float v[8], const float *cosine, const float *sine, int d) {
#pragma unroll
    for (int j = 0; j < 8; j++) {
        float other = __shfl_xor_sync(~0u, v[j], D / 16);
        int i = d % (D / 2) + j;
        out[j] = v[j] * cosine[i] + (d < D / 2 ? -other : other) * sine[i];
    }
}
/* Values at..at+7 of a row of q, k or v: as they are, or the sum of their shares, rounded. */
static __device__ inline void take(float v[8], const struct attend_rows &a, const act16 *whole, int r, int from, int at) {
    if (!a.parts) return load<8>(v, whole + at);
    const int wide = (a.H + 2 * a.G) * a.D;
    float sum[8] = {};
#pragma unroll 4
    for (int s = 0; s < a.splits; s++) {
        const float4 *p = (const float4 *)(a.parts + ((int64_t)s * a.R + r) * wide + from + at);
        float4 x = p[0], y = p[1];
        sum[0] += x.x, sum[1] += x.y, sum[2] += x.z, sum[3] += x.w;
        sum[4] += y.x, sum[5] += y.y, sum[6] += y.z, sum[7] += y.w;
    }
#pragma unroll
    for (int j = 0; j < 8; j++) v[j] = to_f32(to_act(sum[j]));
}

/* Sixteen tokens: of keys, lane (g,t) = (l/4, l%4) has dims 8t..8t+7 of each 32 of tokens g and 8+g; of values, dims g·D/8.. of
   tokens 2t, 2t+1, 2t+8, 2t+9. */
template <int D> struct sixteen {
    uint4 k[2][D / 32], v[4][D / 64];
};
static __device__ inline uint32_t word(const uint4 &x, int i) { return i == 0 ? x.x : i == 1 ? x.y : i == 2 ? x.z : x.w; }

template <int D, int WARPS16, int AHEAD16> static __global__ void __launch_bounds__(32 * WARPS16, D == 64 ? 16 / WARPS16 : 1) attend(const __grid_constant__ struct attend a) {
    constexpr int LANES = D / 8, KC = D / 32, VC = D / 64, TILES = D / 8;
    extern __shared__ __align__(16) float part[]; /* (warps, heads, D) */
    __shared__ float cosine[D / 2], sine[D / 2], max[WARPS16][MOST_HEADS], sum[WARPS16][MOST_HEADS];
    __shared__ __align__(16) act16 turned[MOST_HEADS + 2][D]; /* queries, then the new key and value */
    const int row = blockIdx.y, head = blockIdx.x, lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4, n = a.r.pos[row];
    const int32_t *pages = a.r.kv.table + (int64_t)a.r.seq[row] * a.r.kv.max_pages;
    auto place = [&](int token) { return (((int64_t)pages[token / KV_BLOCK] * a.r.G + head) * KV_BLOCK + token % KV_BLOCK) * D; };
    auto token_of = [&](int i) { return 2 * t + i % 2 + i / 2 * 8; };
    struct sixteen<D> ring[AHEAD16];
    auto fetch = [&](struct sixteen<D> &x, int c) { /* tokens from n on are not there yet: others stand for them */
        const int first = c * STEP16, last = n - 1 - first;
        if (last < 0) {
            x = {};
            return;
        }
        const int64_t from = place(first);
        const act16 *k = (const act16 *)a.r.kv.k + from + t * 8, *v = (const act16 *)a.r.kv.v + from + g * LANES;
#pragma unroll
        for (int i = 0; i < 2; i++)
#pragma unroll
            for (int j = 0; j < KC; j++) x.k[i][j] = *(const uint4 *)(k + min(i * 8 + g, last) * D + j * 32);
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int j = 0; j < VC; j++) x.v[i][j] = *(const uint4 *)(v + min(token_of(i), last) * D + j * 8);
    };
    let_next_start();
    const int sixteens = n / STEP16 + 1;
#pragma unroll
    for (int i = 0; i < AHEAD16; i++)
        if (warp + i * WARPS16 < sixteens) fetch(ring[i], warp + i * WARPS16);
    if (threadIdx.x < D / 2) sincosf((float)n * a.r.inv_freq[threadIdx.x], &sine[threadIdx.x], &cosine[threadIdx.x]);
    __syncthreads();
    wait_for_inputs();
    const int vectors = a.group + 2;
    if (warp * 32 / LANES < vectors) {
        const int which = threadIdx.x / LANES, i = min(which, vectors - 1), d = threadIdx.x % LANES * 8;
        float v[8], out[8];
        if (i < a.group) take(v, a.r, a.r.q, row, 0, (head * a.group + i) * D + d);
        else if (i == a.group) take(v, a.r, a.r.k, row, a.r.H * D, head * D + d);
        else take(v, a.r, a.r.v, row, (a.r.H + a.r.G) * D, head * D + d);
        turn<D>(out, v, cosine, sine, d);
        if (i > a.group)
#pragma unroll
            for (int j = 0; j < 8; j++) out[j] = v[j];
        if (which < vectors) {
            store<8>(&turned[i < a.group ? i : MOST_HEADS + i - a.group][d], out);
            if (i == a.group) store<8>((act16 *)a.r.kv.k + place(n) + d, out);
            if (i > a.group) store<8>((act16 *)a.r.kv.v + place(n) + d, out);
        }
    }
    __syncthreads();
    uint4 q[KC];
#pragma unroll
    for (int j = 0; j < KC; j++) q[j] = g < a.group ? *(const uint4 *)&turned[g][j * 32 + t * 8] : make_uint4(0, 0, 0, 0);
    float m = -INFINITY, total = 0, acc[TILES][4] = {};
    const float scale = a.scale * LOG2E;
    for (int c0 = warp; c0 < sixteens; c0 += WARPS16 * AHEAD16) {
#pragma unroll
        for (int u = 0; u < AHEAD16; u++) {
            const int c = c0 + u * WARPS16, left = n - c * STEP16; /* the new token's place, if it is among these */
            if (c >= sixteens) continue;
            struct sixteen<D> &x = ring[u];
            if (left < STEP16) {
#pragma unroll
                for (int i = 0; i < 2; i++)
#pragma unroll
                    for (int j = 0; j < KC; j++)
                        if (i * 8 + g == left) x.k[i][j] = *(const uint4 *)&turned[MOST_HEADS][j * 32 + t * 8];
#pragma unroll
                for (int i = 0; i < 4; i++)
#pragma unroll
                    for (int j = 0; j < VC; j++)
                        if (token_of(i) == left) x.v[i][j] = *(const uint4 *)&turned[MOST_HEADS + 1][g * LANES + j * 8];
            }
            float s[2][4] = {};
#pragma unroll
            for (int i = 0; i < 2; i++)
#pragma unroll
                for (int j = 0; j < KC; j++) {
                    const uint32_t a0[4] = {q[j].x, 0, q[j].y, 0}, a1[4] = {q[j].z, 0, q[j].w, 0}, b[4] = {x.k[i][j].x, x.k[i][j].y, x.k[i][j].z, x.k[i][j].w};
                    mma(s[i], a0, b);
                    mma(s[i], a1, b + 2);
                }
#pragma unroll
            for (int i = 0; i < 4; i++) s[i / 2][i % 2] = token_of(i) <= left ? s[i / 2][i % 2] * scale : -INFINITY;
            float top = fmaxf(fmaxf(s[0][0], s[0][1]), fmaxf(s[1][0], s[1][1]));
            top = fmaxf(top, __shfl_xor_sync(~0u, top, 1));
            top = fmaxf(m, fmaxf(top, __shfl_xor_sync(~0u, top, 2))); /* the first token is always there */
            const float keep = exp2f(m - top), p[4] = {exp2f(s[0][0] - top), exp2f(s[0][1] - top), exp2f(s[1][0] - top), exp2f(s[1][1] - top)};
            m = top;
            total = total * keep + ((p[0] + p[1]) + (p[2] + p[3]));
            const uint32_t weights[4] = {pack(p[0], p[1]), 0, pack(p[2], p[3]), 0};
#pragma unroll
            for (int j = 0; j < TILES; j++) {
                const uint32_t half = j % 2 ? 0x7632 : 0x5410;
                uint32_t b[2];
#pragma unroll
                for (int i = 0; i < 2; i++) b[i] = __byte_perm(word(x.v[2 * i][j / 8], j % 8 / 2), word(x.v[2 * i + 1][j / 8], j % 8 / 2), half);
                acc[j][0] *= keep, acc[j][1] *= keep;
                mma(acc[j], weights, b);
            }
            if (c + WARPS16 * AHEAD16 < sixteens) fetch(x, c + WARPS16 * AHEAD16);
        }
    }
    total += __shfl_xor_sync(~0u, total, 1);
    total += __shfl_xor_sync(~0u, total, 2);
    if (g < a.group) {
        if (t == 0) max[warp][g] = m, sum[warp][g] = total;
        float *to = part + (warp * a.group + g) * D + 2 * t * LANES; /* columns 2t and 2t+1 of tile j: dims 2t·D/8 + j and D/8 on */
#pragma unroll
        for (int j = 0; j < TILES; j++) to[j] = acc[j][0], to[LANES + j] = acc[j][1];
    }
    __syncthreads();
    for (int i = threadIdx.x; i < a.group * D; i += 32 * WARPS16) {
        const int h = i / D;
        float top = -INFINITY, all = 0, out = 0;
#pragma unroll
        for (int w = 0; w < WARPS16; w++) top = fmaxf(top, max[w][h]);
#pragma unroll
        for (int w = 0; w < WARPS16; w++) {
            float f = exp2f(max[w][h] - top); /* of a warp without tokens: 0 */
            all += sum[w][h] * f;
            out += part[w * a.group * D + i] * f;
        }
        a.r.o[((int64_t)row * a.r.H + head * a.group) * D + i] = to_act(out / all);
    }
}

bool cuda_attend_fits(int H, int G, int D) { return (D == 64 || D == 128) && H % G == 0 && H / G <= MOST_HEADS; }
template <int D, int WARPS16, int AHEAD16> static void launch(struct kctx *k, const struct attend &a) {
    const int bytes = WARPS16 * a.group * D * (int)sizeof(float);
    if (bytes > 32 << 10 && !cuda_ok(k, cudaFuncSetAttribute(attend<D, WARPS16, AHEAD16>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), "decoding")) return;
    chain(k, attend<D, WARPS16, AHEAD16>, dim3((unsigned)a.r.G, (unsigned)a.r.R), 32 * WARPS16, bytes, a);
}
void cuda_attend_rows(struct kctx *k, const struct attend_rows *r) {
    const struct attend a = {*r, r->H / r->G, 1 / sqrtf((float)r->D)};
    if (r->D == 64) r->R == 1 ? launch<64, 16, 2>(k, a) : launch<64, 8, 2>(k, a); /* one row: few blocks, what counts is how soon one ends */
    else launch<128, 8, 1>(k, a);
}
