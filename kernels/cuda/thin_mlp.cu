/* SwiGLU with the thin products that read what it makes (strips.cuh). Its backward: dB and dh of gate's and up's adapters, and dA of the one whose
   input is SwiGLU's output, which is not even written: five matrices pass through memory instead of nine. Forward: h of that one. */
#include "kernels/cuda/strips.cuh"
#include "kernels/cuda/thin.cuh"

enum { MLP_STAGES = 3, MLP_RANK = 16 /* largest */ };
typedef strip<64, 1> mlp_strip;
/* A stage: tiles of gate, up and dy, which become those of their gradients and of y; of h of both, of dh below */
enum { UP_AT = mlp_strip::BYTES, DY_AT = 2 * UP_AT, H_AT = 3 * UP_AT, DH_AT = H_AT + 2 * mlp_strip::H_BYTES, MLP_STAGE = DH_AT + mlp_strip::H_BYTES,
    MLP_RING = MLP_STAGES * MLP_STAGE, MLP_PARTS = 2 * mlp_strip::PART, MLP_SHARED = STRIP_WARPS * (MLP_RING + 2 * MLP_PARTS * 4) };
struct mlp_work {
    struct dealt d;
    struct swiglu_thin t;
    float *shares, *parts; /* of gate, up and down, (3, splits, slabs, SLAB, RANKS); of gate and up, (2·slabs, RANKS, 16·tiles) */
};

__device__ inline uint4 shared_get(uint32_t at) {
    uint4 x;
    asm volatile("ld.shared.v4.b32 {%0,%1,%2,%3}, [%4];\n" : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w) : "r"(at) : "memory");
    return x;
}
__device__ inline void shared_put(uint32_t at, uint4 x) { asm volatile("st.shared.v4.b32 [%0], {%1,%2,%3,%4};\n" ::"r"(at), "r"(x.x), "r"(x.y), "r"(x.z), "r"(x.w) : "memory"); }

__device__ inline void fetch_tile(const swiglu_thin &t, int column, int tile, uint32_t stage) {
    const int first = tile * TILE;
    fetch_strip<mlp_strip>(stage, t.gate, t.F, column, first, t.R);
    fetch_strip<mlp_strip>(stage + UP_AT, t.up, t.F, column, first, t.R);
    fetch_strip<mlp_strip>(stage + DY_AT, t.dy, t.F, column, first, t.R);
    fetch_h<1>(stage + H_AT, t.h, 2 * t.r, first, t.r, t.R);
    fetch_h<1>(stage + H_AT + mlp_strip::H_BYTES, t.h + t.r, 2 * t.r, first, t.r, t.R);
    fetch_h<1>(stage + DH_AT, t.dh, t.r, first, t.r, t.R);
}

__device__ inline float silu_of(float g, float &s) { return g * (s = __fdividef(1, 1 + exp2_fast(-LOG2E * g))); }
/* {d gate, d up, y} of one value */
__device__ inline float3 swiglu_gradient(float g, float u, float d) {
    float s, silu = silu_of(g, s);
    return {d * u * (s + silu * (1 - s)), d * silu, silu * u};
}
__device__ inline void swiglu_words(uint32_t &g, uint32_t &u, uint32_t &d) {
    float3 lo = swiglu_gradient(act_low(g), act_low(u), act_low(d)), hi = swiglu_gradient(act_high(g), act_high(u), act_high(d));
    g = pack(lo.x, hi.x);
    u = pack(lo.y, hi.y);
    d = pack(lo.z, hi.z);
}
/* A stage's tiles to what becomes of them, the gradients to memory too */
template <bool DROPS> __device__ inline void swiglu_tile(const swiglu_thin &t, int column, int tile, uint32_t stage) {
    const int l = threadIdx.x % 32, c = l % 8;
    const int64_t to = (int64_t)(tile * TILE) * t.F + column + 8 * c;
    const uint32_t step = DROPS ? *t.drop.step : 0;
#pragma unroll
    for (int i = 0; i < TILE; i += 4) {
        const int row = i + l / 8;
        uint32_t at = chunk_at<64>(stage, row, c);
        uint4 g = shared_get(at), u = shared_get(at + UP_AT), d = shared_get(at + DY_AT);
        swiglu_words(g.x, u.x, d.x), swiglu_words(g.y, u.y, d.y), swiglu_words(g.z, u.z, d.z), swiglu_words(g.w, u.w, d.w);
        if constexpr (DROPS) {
            int r = min(tile * TILE + row, t.R - 1);
            drop_eight(d, t.drop, step, column + 8 * c, t.pos[r], t.seq[r]);
        }
        shared_put(at, g), shared_put(at + UP_AT, u), shared_put(at + DY_AT, d);
        if (column + 8 * c >= t.F || tile * TILE + row >= t.R) continue;
        *(uint4 *)(t.dgate + to + (int64_t)row * t.F) = g;
        *(uint4 *)(t.dup + to + (int64_t)row * t.F) = u;
    }
}

struct mlp_sums { mlp_strip::share gate, up, down; };
struct mlp_factors { mlp_strip::factors gate, up; };
__device__ inline void mlp_products(mlp_sums &sums, const mlp_factors &b, float *parts, uint32_t stage) {
    mlp_strip::part gate = {}, up = {};
    add_part<mlp_strip, 1>(gate, b.gate, stage);
    add_part<mlp_strip, 1>(up, b.up, stage + UP_AT);
    put_part<1>(gate, parts, MLP_PARTS);
    put_part<1>(up, parts + mlp_strip::PART, MLP_PARTS);
    add_share<mlp_strip, 1>(sums.gate, stage + H_AT, stage);
    add_share<mlp_strip, 1>(sums.up, stage + H_AT + mlp_strip::H_BYTES, stage + UP_AT);
    add_share<mlp_strip, 1>(sums.down, stage + DH_AT, stage + DY_AT);
}

template <bool DROPS> static __global__ void __launch_bounds__(STRIP_THREADS, 1) thin_mlp(const __grid_constant__ mlp_work w) {
    extern __shared__ __align__(128) char shared[];
    let_next_start();
    float *parts = (float *)(shared + STRIP_WARPS * MLP_RING);
    const uint32_t ring = (uint32_t)__cvta_generic_to_shared(shared) + threadIdx.x / 32 * MLP_RING;
    const swiglu_thin &t = w.t;
    const int slab = blockIdx.x, start = slab * mlp_strip::SLAB, column = start + threadIdx.x / 32 * mlp_strip::WIDE;
    const int warps = min((int)STRIP_WARPS, (t.F - start + mlp_strip::WIDE - 1) / mlp_strip::WIDE);
    const int64_t rows = (int64_t)w.d.tiles * TILE, other = (int64_t)w.d.slabs * mlp_strip::RANKS * rows;
    const bool works = column < t.F;
    mlp_factors b;
    mlp_sums sums = {};
    auto fetch = [&](int i, int to) { /* the i-th tile of this split */
        int tile = blockIdx.y + i * w.d.splits;
        if (works && tile < w.d.tiles) fetch_tile(t, column, tile, ring + to * MLP_STAGE);
        loads_issued();
    };
#pragma unroll
    for (int i = 0; i < MLP_STAGES - 1; i++) fetch(i, i);
    take_factors<mlp_strip, 1>(b.gate, t.b[0], t.F, t.r, column);
    take_factors<mlp_strip, 1>(b.up, t.b[1], t.F, t.r, column);
    for (int i = 0, at = 0, tile = blockIdx.y; tile < w.d.tiles; i++, tile += w.d.splits) {
        loads_wait<MLP_STAGES - 2>();
        __syncwarp();
        fetch(i + MLP_STAGES - 1, at ? at - 1 : MLP_STAGES - 1); /* where was read last */
        float *half = parts + (i & 1) * (STRIP_WARPS * MLP_PARTS);
        if (works) {
            swiglu_tile<DROPS>(t, column, tile, ring + at * MLP_STAGE);
            __syncwarp();
            mlp_products(sums, b, half, ring + at * MLP_STAGE);
        }
        __syncthreads();
        float *to = w.parts + (int64_t)slab * mlp_strip::RANKS * rows + tile * TILE;
        sum_part<mlp_strip>(to, rows, half, MLP_PARTS, warps);
        sum_part<mlp_strip>(to + other, rows, half + mlp_strip::PART, MLP_PARTS, warps);
        at = at + 1 < MLP_STAGES ? at + 1 : 0;
    }
    const int64_t each = (int64_t)w.d.splits * w.d.slabs * (mlp_strip::SLAB * mlp_strip::RANKS);
    float *share = w.shares + dealt_share(w.d, blockIdx.y, slab) * (mlp_strip::SLAB * mlp_strip::RANKS);
    if (works) {
        put_share<mlp_strip, 1>(sums.gate, share);
        put_share<mlp_strip, 1>(sums.up, share + each);
        put_share<mlp_strip, 1>(sums.down, share + 2 * each);
    }
}

/* ---- forward: y, and h of the adapter that it feeds ---- */
enum { FORWARD_STAGES = 3, FORWARD_STAGE = 2 * mlp_strip::BYTES, FORWARD_RING = FORWARD_STAGES * FORWARD_STAGE,
    FORWARD_SHARED = STRIP_WARPS * (FORWARD_RING + 2 * mlp_strip::PART * 4) };
struct forward_work {
    struct dealt d;
    act16 *y;
    const act16 *gate, *up;
    const float *A;
    struct drop drop;
    const int32_t *seq, *pos;
    float *parts; /* (slabs, RANKS, 16·tiles) */
    int F, r, R;
};
__device__ inline void fetch_pair(const forward_work &w, int column, int tile, uint32_t stage) {
    fetch_strip<mlp_strip>(stage, w.gate, w.F, column, tile * TILE, w.R);
    fetch_strip<mlp_strip>(stage + UP_AT, w.up, w.F, column, tile * TILE, w.R);
}
__device__ inline uint32_t swiglu_word(uint32_t g, uint32_t u) {
    float s;
    return pack(silu_of(act_low(g), s) * act_low(u), silu_of(act_high(g), s) * act_high(u));
}
/* y, dropped if it is to be, takes gate's place in the stage. */
template <bool DROPS> __device__ inline void forward_tile(const forward_work &w, int column, int tile, uint32_t stage) {
    const int l = threadIdx.x % 32, c = l % 8;
    act16 *to = w.y + (int64_t)(tile * TILE) * w.F + column + 8 * c;
    const uint32_t step = DROPS ? *w.drop.step : 0;
#pragma unroll
    for (int i = 0; i < TILE; i += 4) {
        const int row = i + l / 8;
        uint32_t at = chunk_at<64>(stage, row, c);
        uint4 g = shared_get(at), u = shared_get(at + UP_AT);
        g = {swiglu_word(g.x, u.x), swiglu_word(g.y, u.y), swiglu_word(g.z, u.z), swiglu_word(g.w, u.w)};
        if (column + 8 * c < w.F && tile * TILE + row < w.R) *(uint4 *)(to + (int64_t)row * w.F) = g;
        if constexpr (DROPS) {
            int r = min(tile * TILE + row, w.R - 1);
            drop_eight(g, w.drop, step, column + 8 * c, w.pos[r], w.seq[r]);
        }
        shared_put(at, g);
    }
}
template <bool DROPS> static __global__ void __launch_bounds__(STRIP_THREADS, 2) forward_mlp(const __grid_constant__ forward_work w) {
    extern __shared__ __align__(128) char shared[];
    let_next_start();
    float *parts = (float *)(shared + STRIP_WARPS * FORWARD_RING);
    const uint32_t ring = (uint32_t)__cvta_generic_to_shared(shared) + threadIdx.x / 32 * FORWARD_RING;
    const int slab = blockIdx.x, start = slab * mlp_strip::SLAB, column = start + threadIdx.x / 32 * mlp_strip::WIDE;
    const int warps = min((int)STRIP_WARPS, (w.F - start + mlp_strip::WIDE - 1) / mlp_strip::WIDE);
    const int64_t rows = (int64_t)w.d.tiles * TILE;
    const bool works = column < w.F;
    mlp_strip::factors a;
    auto fetch = [&](int i, int to) { /* the i-th tile of this split */
        int tile = blockIdx.y + i * w.d.splits;
        if (works && tile < w.d.tiles) fetch_pair(w, column, tile, ring + to * FORWARD_STAGE);
        loads_issued();
    };
#pragma unroll
    for (int i = 0; i < FORWARD_STAGES - 1; i++) fetch(i, i);
    take_factors_across<mlp_strip>(a, w.A, w.F, w.r, column);
    for (int i = 0, at = 0, tile = blockIdx.y; tile < w.d.tiles; i++, tile += w.d.splits) {
        loads_wait<FORWARD_STAGES - 2>();
        __syncwarp();
        fetch(i + FORWARD_STAGES - 1, at ? at - 1 : FORWARD_STAGES - 1); /* where was read last */
        float *half = parts + (i & 1) * (STRIP_WARPS * mlp_strip::PART);
        if (works) {
            mlp_strip::part h = {};
            forward_tile<DROPS>(w, column, tile, ring + at * FORWARD_STAGE);
            __syncwarp();
            add_part<mlp_strip, 1>(h, a, ring + at * FORWARD_STAGE);
            put_part<1>(h, half, mlp_strip::PART);
        }
        __syncthreads();
        sum_part<mlp_strip>(w.parts + (int64_t)slab * mlp_strip::RANKS * rows + tile * TILE, rows, half, mlp_strip::PART, warps);
        at = at + 1 < FORWARD_STAGES ? at + 1 : 0;
    }
}

/* ---- the host's side ---- */
/* 16 bytes must divide what is read by them. */
static bool mlp_fits(const struct swiglu_thin *t) {
    uintptr_t odd = (uintptr_t)t->dgate | (uintptr_t)t->dup | (uintptr_t)t->dy | (uintptr_t)t->gate | (uintptr_t)t->up | (uintptr_t)t->h | (uintptr_t)t->dh;
    return (odd | (uintptr_t)t->dB[0] | (uintptr_t)t->dB[1] | (uintptr_t)(2 * t->r) | (uintptr_t)(2 * t->F)) % 16 == 0 && t->r <= MLP_RANK && t->R >= 64;
}

bool cuda_swiglu_thin(struct kctx *k, const struct swiglu_thin *t) {
    static const bool can = has_shared(thin_mlp<false>, MLP_SHARED) && has_shared(thin_mlp<true>, MLP_SHARED);
    const int slabs = (int)ceil_div(t->F, mlp_strip::SLAB);
    if (!mlp_fits(t) || !can || t->R > rows_at_once<mlp_strip>(k, slabs, 2 * slabs, 3)) return false;
    struct mlp_work w = {deal(t->R, slabs, k->multiprocessors), *t, (float *)k->workspace, NULL};
    const int64_t each = (int64_t)w.d.splits * slabs * (mlp_strip::SLAB * mlp_strip::RANKS);
    w.parts = w.shares + 3 * each;
    (t->pos ? thin_mlp<true> : thin_mlp<false>)<<<dealt_grid(&w.d), STRIP_THREADS, MLP_SHARED, k->stream>>>(w);
    launched(k, "SwiGLU's gradients");
    struct sum_work sum = {};
    sum.d = w.d;
    sum.share[0] = {t->dB[0], w.shares, t->s, t->F, 0, false};
    sum.share[1] = {t->dB[1], w.shares + each, t->s, t->F, 0, false};
    sum.share[2] = {t->dA, w.shares + 2 * each, 1, t->F, 0, true};
    sum.n_shares = 3;
    sum.n_parts = 2;
    sum.part[1] = slabs;
    sum.part[2] = 2 * slabs;
    sum.parts = w.parts;
    sum.dh = t->dh;
    sum.r = t->r;
    sum.R = t->R;
    add_up<mlp_strip>(k, &sum);
    return true;
}

bool cuda_swiglu_adapted(struct kctx *k, void *y, void *h, const void *gate, const void *up, const float *A, const struct dropped *drop, int F, int r, int R) {
    static const bool can = has_shared(forward_mlp<false>, FORWARD_SHARED) && has_shared(forward_mlp<true>, FORWARD_SHARED);
    const int slabs = (int)ceil_div(F, mlp_strip::SLAB);
    const uintptr_t odd = (uintptr_t)y | (uintptr_t)h | (uintptr_t)gate | (uintptr_t)up | (uintptr_t)(2 * F) | (uintptr_t)(2 * r);
    cuda_flush(k);
    if (odd % 16 || !can || r > MLP_RANK || R < 64 || R > rows_at_once<mlp_strip>(k, slabs, slabs, 0)) return false;
    struct forward_work w = {deal(R, slabs, 2 * k->multiprocessors), (act16 *)y, (const act16 *)gate, (const act16 *)up, A, {}, NULL, NULL, (float *)k->workspace, F, r, R};
    if (drop) w.drop = drop_of(&drop->key, 0), w.seq = drop->seq, w.pos = drop->pos;
    (drop ? forward_mlp<true> : forward_mlp<false>)<<<dealt_grid(&w.d), STRIP_THREADS, FORWARD_SHARED, k->stream>>>(w);
    launched(k, "SwiGLU");
    struct sum_work sum = {};
    sum.d = w.d;
    sum.n_parts = 1;
    sum.part[1] = slabs;
    sum.parts = w.parts;
    sum.dh = (act16 *)h;
    sum.r = r;
    sum.R = R;
    add_up<mlp_strip>(k, &sum);
    return true;
}
