/* dh = dy·(s·B) and dB += s·dyᵀ·h of all linears of an input, from one reading of dy, which is what they cost (strips.cuh). */
#include "kernels/cuda/strips.cuh"
#include "kernels/cuda/thin.cuh"

enum { THIN_STAGES = 5, THIN_RANK = 32 /* largest */ };
struct thin_linear {
    const act16 *dy, *b; /* (R,N), (N,r) */
    float *dB;
    int N, slab; /* its first */
};
struct thin_work {
    struct thin_linear v[ADAPTED_MOST];
    struct dealt d;
    const act16 *h;
    act16 *dh;
    float *shares, *parts; /* (splits, slabs, SLAB, RANKS); (slabs, RANKS, 16·tiles) */
    float s;
    int n, r, R;
};
template <int M> struct thin_shape : strip<128 / M, M> {
    typedef strip<128 / M, M> S;
    enum { STAGE_BYTES = S::BYTES + S::H_BYTES, RING_BYTES = THIN_STAGES * STAGE_BYTES, SHARED_BYTES = STRIP_WARPS * (RING_BYTES + 2 * S::PART * 4) };
};

template <int M> __device__ inline void fetch_tile(const thin_work &w, int j, int column, int tile, uint32_t stage) {
    typedef thin_shape<M> S;
    fetch_strip<S>(stage, w.v[j].dy, w.v[j].N, column, tile * TILE, w.R);
    fetch_h<M>(stage + S::BYTES, w.h + j * w.r, w.n * w.r, tile * TILE, w.r, w.R);
}

/* Parts go by turns into one half of `sums` or the other: one barrier a tile. */
template <int M> static __global__ void __launch_bounds__(STRIP_THREADS, 1) thin(const __grid_constant__ thin_work w) {
    typedef thin_shape<M> S;
    extern __shared__ __align__(128) char shared[];
    let_next_start();
    float *sums = (float *)(shared + STRIP_WARPS * S::RING_BYTES);
    const uint32_t ring = (uint32_t)__cvta_generic_to_shared(shared) + threadIdx.x / 32 * S::RING_BYTES;
    const int slab = blockIdx.x;
    int j = 0;
    while (j + 1 < w.n && slab >= w.v[j + 1].slab) j++;
    const int N = w.v[j].N, start = (slab - w.v[j].slab) * S::SLAB, column = start + threadIdx.x / 32 * S::WIDE;
    const int warps = min((int)STRIP_WARPS, (N - start + S::WIDE - 1) / S::WIDE);
    const int64_t rows = (int64_t)w.d.tiles * TILE;
    const bool works = column < N;
    typename S::factors b;
    typename S::share db = {};
    auto fetch = [&](int i, int to) { /* the i-th tile of this split */
        int tile = blockIdx.y + i * w.d.splits;
        if (works && tile < w.d.tiles) fetch_tile<M>(w, j, column, tile, ring + to * S::STAGE_BYTES);
        loads_issued();
    };
#pragma unroll
    for (int i = 0; i < THIN_STAGES - 1; i++) fetch(i, i);
    take_factors<S, M>(b, w.v[j].b, N, w.r, column);
    for (int i = 0, at = 0, tile = blockIdx.y; tile < w.d.tiles; i++, tile += w.d.splits) {
        typename S::part dh = {};
        loads_wait<THIN_STAGES - 2>();
        __syncwarp();
        fetch(i + THIN_STAGES - 1, at ? at - 1 : THIN_STAGES - 1); /* where was read last */
        uint32_t stage = ring + at * S::STAGE_BYTES;
        float *half = sums + (i & 1) * (STRIP_WARPS * S::PART);
        if (works) {
            add_part<S, M>(dh, b, stage);
            add_share<S, M>(db, stage + S::BYTES, stage);
        }
        put_part<M>(dh, half, S::PART);
        __syncthreads();
        sum_part<S>(w.parts + (int64_t)slab * S::RANKS * rows + tile * TILE, rows, half, S::PART, warps);
        at = at + 1 < THIN_STAGES ? at + 1 : 0;
    }
    if (works) put_share<S, M>(db, w.shares + dealt_share(w.d, blockIdx.y, slab) * (S::SLAB * S::RANKS));
}

/* ---- the host's side ---- */
/* 16 bytes must divide what is read by them. */
static bool thin_fits(act16 *dh, float *const *dB, const void *const *dy, const act16 *h, const struct adapted *a) {
    uintptr_t odd = (uintptr_t)h | (uintptr_t)dh | (uintptr_t)(2 * a->r);
    for (int j = 0; j < a->n; j++) odd |= (uintptr_t)dy[j] | (uintptr_t)dB[j] | (uintptr_t)(2 * a->w[j].rows);
    return odd % 16 == 0;
}

template <int M> static void thin_piece(struct kctx *k, struct thin_work *w) {
    typedef thin_shape<M> S;
    w->d = deal(w->R, w->d.slabs, k->multiprocessors);
    w->shares = (float *)k->workspace;
    w->parts = w->shares + (int64_t)w->d.splits * w->d.slabs * S::SLAB * S::RANKS;
    thin<M><<<dealt_grid(&w->d), STRIP_THREADS, S::SHARED_BYTES, k->stream>>>(*w);
    launched(k, "gradients of LoRA");
    struct sum_work sum = {};
    sum.d = w->d;
    sum.n_shares = sum.n_parts = w->n;
    for (int j = 0; j < w->n; j++) {
        sum.share[j] = {w->v[j].dB, w->shares, w->s, w->v[j].N, w->v[j].slab, false};
        sum.part[j] = w->v[j].slab;
    }
    sum.part[w->n] = w->d.slabs;
    sum.parts = w->parts;
    sum.dh = w->dh;
    sum.r = w->r;
    sum.R = w->R;
    add_up<typename S::S>(k, &sum);
}

template <int M> static bool thin_all(struct kctx *k, struct thin_work *w) {
    typedef thin_shape<M> S;
    static const bool fits = has_shared(thin<M>, S::SHARED_BYTES);
    if (!fits) return false;
    for (int j = 0; j < w->n; j++) {
        w->v[j].slab = w->d.slabs;
        w->d.slabs += (int)ceil_div(w->v[j].N, S::SLAB);
    }
    const int most = rows_at_once<typename S::S>(k, w->d.slabs, w->d.slabs, 1);
    if (!most) return false;
    for (int left = w->R; left > 0; left -= w->R) {
        w->R = left < most ? left : most;
        thin_piece<M>(k, w);
        for (int j = 0; j < w->n; j++) w->v[j].dy += (int64_t)w->R * w->v[j].N;
        w->h += (int64_t)w->R * w->n * w->r;
        w->dh += (int64_t)w->R * w->n * w->r;
    }
    return true;
}

bool cuda_thin_bwd(struct kctx *k, act16 *dh, float *const *dB, const void *const *dy, const act16 *h, const act16 *const *b, const struct adapted *a, int R) {
    if (a->r > THIN_RANK || R < 64 || !thin_fits(dh, dB, dy, h, a)) return false;
    struct thin_work w = {};
    for (int j = 0; j < a->n; j++) w.v[j] = {(const act16 *)dy[j], b[j], dB[j], (int)a->w[j].rows, 0};
    w.h = h;
    w.dh = dh;
    w.s = a->s;
    w.n = a->n;
    w.r = a->r;
    w.R = R;
    return a->r <= 16 ? thin_all<1>(k, &w) : thin_all<2>(k, &w);
}
