/* A layer for one row, and the head. All of it is reading weights: a kernel asks for its first ones before it waits for the kernel
   before it (chain.cuh), and a row of a weight is in flight whole: a warp takes a row of up to 2,048 columns, several warps a wider
   one. */
#include "kernels/cuda/chain.cuh"
#include "kernels/cuda/weight.cuh"
#include <math.h>

enum { FEW_WARPS = 8, FEW_THREADS = 32 * FEW_WARPS, SLAB = 2048 };
#ifdef COADOR_FP16
enum { MAX_SLABS = 4 }; /* 64 KiB of shared memory a block */
#else
enum { MAX_SLABS = 8 };
#endif

/* ---- products: y = W·x ---- */
enum mode { PLAIN, ADDED, GATED }; /* y = ; y += ; y = silu(w[0]·x)·(w[1]·x) */
constexpr int blocks_of(int mode) { return mode == GATED ? 2 : 3; } /* a multiprocessor: two rows at once take more registers */
struct few {
    struct weight w[3]; /* one below the other, GATED: side by side */
    act16 *y[3];
    int end[3];         /* rows up to and with each */
    int K, log_slabs;   /* 2^log_slabs warps a row */
    const act16 *x;
    const float *norm;  /* NULL: x as it is */
    float eps;
};

/* A lane's share of a row: chunks of V neighbouring columns, 32·V apart. */
template <int T> struct share {
    static constexpr bool FOUR_BITS = T == DT_NF4 || T == DT_FP4, ASKED = FOUR_BITS || T == DT_BF16; /* read ahead of its use */
    static constexpr int V = FOUR_BITS ? 32 : 8, N = SLAB / 32 / V;
    uint4 bits[ASKED ? N : 1];
    float scale[FOUR_BITS ? N : 1];
    uint8_t code[FOUR_BITS ? N : 1];
};
struct lookup { /* shared memory of four-bit types, before x */
    __half2 pair[256 * 32]; /* of a byte, once a lane, so that lanes never meet in a bank */
    float scale_map[3][256]; /* of each matrix */
};
/* x lies in shared memory eight values at a time, in the order in which a warp's lanes ask for them. */
template <int V> static __device__ inline int place_of(int c) { return (c / V / 32 * (V / 8) + c % V / 8) * 32 + c / V % 32; }

template <int T> static __device__ inline void ask(struct share<T> &s, const struct weight &w, int64_t row, int first) {
    using S = struct share<T>;
#pragma unroll
    for (int i = 0; i < S::N; i++) {
        int c = first + i * 32 * S::V;
        bool in = c < w.cols;
        int64_t at = row * w.cols + (in ? c : 0);
        if constexpr (T == DT_BF16) {
            s.bits[i] = __ldcs((const uint4 *)((const bf16 *)w.data + at));
        } else if constexpr (S::FOUR_BITS) {
            s.bits[i] = __ldcs((const uint4 *)((const uint8_t *)w.data + at / 2));
            int64_t b = over(at, w.block);
            s.code[i] = w.scale_q ? w.scale_q[b] : 0;
            s.scale[i] = w.scale[w.scale_q ? over(b, w.nested) : b];
        }
    }
}
static __device__ inline float low(uint32_t x) { return __uint_as_float(x << 16); } /* of two bf16 in a word */
static __device__ inline float high(uint32_t x) { return __uint_as_float(x & 0xffff0000u); }
static __device__ inline float eight(const float v[8], uint4 x) {
    return v[0] * act_low(x.x) + v[1] * act_high(x.x) + v[2] * act_low(x.y) + v[3] * act_high(x.y) + v[4] * act_low(x.z) + v[5] * act_high(x.z) + v[6] * act_low(x.w) + v[7] * act_high(x.w);
}

/* x is zero where a lane's columns lie beyond the row; it begins with the lane's share. */
template <int T> static __device__ inline float product(const struct share<T> &s, const struct weight &w, int64_t row, int first, const uint4 *x, const struct lookup *t, int m) {
    using S = struct share<T>;
    float sum = 0;
#pragma unroll
    for (int i = 0; i < S::N; i++) {
        if constexpr (T == DT_BF16) {
            const uint4 q = s.bits[i];
            const float v[8] = {low(q.x), high(q.x), low(q.y), high(q.y), low(q.z), high(q.z), low(q.w), high(q.w)};
            sum += eight(v, x[i * 32]);
        } else if constexpr (S::FOUR_BITS) {
            const uint32_t q[4] = {s.bits[i].x, s.bits[i].y, s.bits[i].z, s.bits[i].w};
            float part = 0;
#pragma unroll
            for (int j = 0; j < 4; j++) {
                float v[8];
#pragma unroll
                for (int n = 0; n < 4; n++) {
                    float2 two = __half22float2(t->pair[(q[j] >> 8 * n & 255) * 32 + threadIdx.x % 32]);
                    v[2 * n] = two.x, v[2 * n + 1] = two.y;
                }
                part += eight(v, x[(4 * i + j) * 32]);
            }
            sum += part * (w.scale_q ? t->scale_map[m][s.code[i]] * s.scale[i] + w.offset : s.scale[i]);
        } else {
            int c = first + i * 32 * S::V;
            float v[8];
            if (c >= w.cols) continue;
            weight_eight<T>(v, w, row, c);
            sum += eight(v, x[i * 32]);
        }
    }
    return sum;
}

/* x, normed, to shared memory, with zeros up to whole slabs. */
template <int V> static __device__ inline void take_x(uint4 *x, const struct few &f) {
    __shared__ float sums[32];
    float rs = 1, sum = 0, v[8];
    if (f.norm) {
        for (int c = (int)threadIdx.x * 8; c < f.K; c += FEW_THREADS * 8) {
            load<8>(v, f.x + c);
#pragma unroll
            for (int j = 0; j < 8; j++) sum += v[j] * v[j];
        }
        rs = 1 / sqrtf(block_sum(sum, sums) / (float)f.K + f.eps);
    }
    for (int c = (int)threadIdx.x * 8; c < SLAB << f.log_slabs; c += FEW_THREADS * 8) {
#pragma unroll
        for (int j = 0; j < 8; j++) v[j] = 0;
        if (c < f.K) {
            load<8>(v, f.x + c);
#pragma unroll
            for (int j = 0; j < 8 && f.norm; j++) v[j] *= rs * f.norm[c + j];
        }
        x[place_of<V>(c)] = make_uint4(pack(v[0], v[1]), pack(v[2], v[3]), pack(v[4], v[5]), pack(v[6], v[7]));
    }
    __syncthreads();
}

template <int T> static __device__ inline void fill(struct lookup *t, const struct few &f) {
#pragma unroll 8
    for (int i = threadIdx.x; i < 256 * 32; i += FEW_THREADS) {
        const float *v = T == DT_NF4 ? table_nf4 : table_fp4;
        t->pair[i] = __floats2half2_rn(v[i / 512], v[i / 32 % 16]); /* a byte's first value is its high half */
    }
    for (int m = 0; m < 3; m++)
        if (f.w[m].scale_q) t->scale_map[m][threadIdx.x] = f.w[m].scale_map[threadIdx.x]; /* as many threads as codes */
}

template <int T, int MODE> static __global__ void __launch_bounds__(FEW_THREADS, blocks_of(MODE)) few(struct few f) {
    using S = struct share<T>;
    constexpr int SIDES = MODE == GATED ? 2 : 1;
    extern __shared__ __align__(16) char shared[];
    __shared__ float parts[2][SIDES][FEW_WARPS];
    struct lookup *t = S::FOUR_BITS ? (struct lookup *)shared : NULL;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, slabs = 1 << f.log_slabs, slab = warp & (slabs - 1), place = warp >> f.log_slabs;
    const int rows = f.end[2], step = FEW_WARPS >> f.log_slabs, first = slab * SLAB + lane * S::V;
    let_next_start();
    auto which = [&](int row) { return MODE == GATED ? 0 : (row >= f.end[0]) + (row >= f.end[1]); };
    auto inside = [&](int row, int m) { return m ? row - f.end[m - 1] : row; };
    uint4 *all = (uint4 *)(shared + (S::FOUR_BITS ? sizeof(struct lookup) : 0));
    const uint4 *x = all + slab * (SLAB / 8) + lane;
    struct share<T> s, ahead;
    int row = (int)blockIdx.x * step + place;
    if (row < rows) ask<T>(s, f.w[which(row)], inside(row, which(row)), first);
    if constexpr (S::FOUR_BITS) fill<T>(t, f);
    wait_for_inputs();
    take_x<S::V>(all, f);
    for (int base = (int)blockIdx.x * step, turn = 0; base < rows; base += (int)gridDim.x * step, turn ^= 1) {
        float sum[SIDES] = {0};
        row = base + place;
        const int next = row + (int)gridDim.x * step, m = which(row), at = inside(row, m);
        const bool more = next < rows;
        if (row < rows) {
            constexpr bool EARLY = S::FOUR_BITS; /* two rows in flight: these are short */
            auto ask_next = [&](struct share<T> &to) {
                if (more) ask<T>(to, f.w[which(next)], inside(next, which(next)), first);
            };
            if constexpr (MODE == GATED) {
                if (EARLY) ask<T>(ahead, f.w[1], row, first);
                sum[0] = product<T>(s, f.w[0], row, first, x, t, 0);
                if (EARLY) ask_next(s);
                if (!EARLY) ask<T>(ahead, f.w[1], row, first);
                sum[SIDES - 1] = product<T>(ahead, f.w[1], row, first, x, t, 1);
                if (!EARLY) ask_next(s);
            } else {
                if (EARLY) ask_next(ahead);
                sum[0] = product<T>(s, f.w[m], at, first, x, t, m);
                if (EARLY) s = ahead;
                else ask_next(s);
            }
        }
#pragma unroll
        for (int i = 0; i < SIDES; i++) sum[i] = warp_sum(sum[i]);
        if (slabs > 1) {
#pragma unroll
            for (int i = 0; i < SIDES; i++)
                if (lane == 0) parts[turn][i][warp] = sum[i];
            __syncthreads();
#pragma unroll
            for (int i = 0; i < SIDES; i++) {
                sum[i] = 0;
                for (int j = 0; j < slabs; j++) sum[i] += parts[turn][i][(place << f.log_slabs) + j];
            }
        }
        if (row >= rows || lane || slab) continue;
        act16 *y = f.y[m] + at;
        if constexpr (MODE == PLAIN) *y = to_act(sum[0]);
        if constexpr (MODE == ADDED) *y = to_act(to_f32(*y) + sum[0]);
        if constexpr (MODE == GATED) *y = to_act(sum[0] / (1 + expf(-sum[0])) * sum[1]);
    }
}

template <int T, int MODE> static void launch_few(struct kctx *k, const struct few &f) {
    int step = FEW_WARPS >> f.log_slabs, blocks = (int)ceil_div(f.end[2], step), room = blocks_of(MODE) * k->multiprocessors;
    int bytes = (share<T>::FOUR_BITS ? (int)sizeof(struct lookup) : 0) + ((SLAB * (int)sizeof(act16)) << f.log_slabs);
    if (bytes > 48 << 10 && !cuda_ok(k, cudaFuncSetAttribute(few<T, MODE>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), "decoding")) return;
    chain(k, few<T, MODE>, (unsigned)(blocks < room ? blocks : room), FEW_THREADS, bytes, f);
}
#define FEW_TYPES(X) X(DT_BF16) X(DT_F32) X(DT_I8) X(DT_NF4) X(DT_FP4) X(DT_Q8_0) X(DT_Q4_0) X(DT_Q4_1)
template <int MODE> static void run_few(struct kctx *k, const struct few &f) {
#define FEW(T) case T: launch_few<T, MODE>(k, f); break;
    switch (f.w[0].type) { FEW_TYPES(FEW) default: break; }
}

/* n matrices of one type and width that a share can be cut from; 2^log_slabs of 2,048 columns cover it. */
static bool fits(const struct weight *w, int n, int *log_slabs) {
#define IS(T) w[0].type == T ||
    if (!(FEW_TYPES(IS) false)) return false;
    for (int i = 0; i < n; i++) {
        bool four = w[i].type == DT_NF4 || w[i].type == DT_FP4;
        if (w[i].type != w[0].type || w[i].cols != w[0].cols || w[i].cols % (four ? 32 : 8) || (four && w[i].block % 32)) return false;
        if ((four || w[i].type == DT_BF16) && (uintptr_t)w[i].data % 16) return false;
    }
    *log_slabs = 0;
    while ((int64_t)SLAB << *log_slabs < w[0].cols) ++*log_slabs;
    return 1 << *log_slabs <= MAX_SLABS;
}

/* ---- the ops ---- */
bool cuda_decode_layer(struct kctx *k, const struct decode_layer *l, const int32_t *seq, const int32_t *pos) {
    const struct weight *w = l->w;
    int in, out, mlp, down, hd = l->H * l->D, gd = l->G * l->D;
    if ((l->D != 64 && l->D != 128) || !fits(w, 3, &in) || !fits(w + 3, 1, &out) || !fits(w + 4, 2, &mlp) || !fits(w + 6, 1, &down)) return false;
    cuda_flush(k);
    act16 *x = (act16 *)l->x, *q = (act16 *)l->q, *kk = (act16 *)l->k, *v = (act16 *)l->v, *o = (act16 *)l->o, *act = (act16 *)l->act;
    run_few<PLAIN>(k, {{w[0], w[1], w[2]}, {q, kk, v}, {hd, hd + gd, hd + 2 * gd}, l->C, in, x, l->attn_norm, l->eps});
    cuda_attend_one(k, o, q, kk, v, l, seq, pos);
    run_few<ADDED>(k, {{w[3], w[3], w[3]}, {x, x, x}, {l->C, l->C, l->C}, hd, out, o, NULL, 0});
    run_few<GATED>(k, {{w[4], w[5], w[5]}, {act, act, act}, {l->F, l->F, l->F}, l->C, mlp, x, l->mlp_norm, l->eps});
    run_few<ADDED>(k, {{w[6], w[6], w[6]}, {x, x, x}, {l->C, l->C, l->C}, l->F, down, act, NULL, 0});
    return true;
}

bool cuda_decode_head(struct kctx *k, void *logits, const void *x, const float *norm, float eps, const struct weight *w) {
    int slabs, V = (int)w->rows;
    act16 *y = (act16 *)logits;
    if (!fits(w, 1, &slabs)) return false;
    cuda_flush(k);
    run_few<PLAIN>(k, {{*w, *w, *w}, {y, y, y}, {V, V, V}, (int)w->cols, slabs, (const act16 *)x, norm, eps});
    return true;
}
