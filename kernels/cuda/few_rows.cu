/* Products of few rows on the tensor cores. A warp takes a tile, 16 rows of the weight; with one row of x the block's warps share a
   tile's columns, a unit each in turn. A lane holds the same pieces of two rows, and the fragments' order of columns
   (mma.m16n8k16) is given up for one in which they are neighbours in memory; x, the other factor, is read in the same order. A weight
   goes from memory to registers, AHEAD units before its use, the first of them before the kernel waits for the one before it.
   Four bits are looked up two at a time in a table that each lane has for itself; a block's scale is applied to its 64 columns' sum. */
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/few_rows.cuh"
#include "kernels/cuda/weight.cuh"

enum { FEW_WARPS = 8, FEW_THREADS = 32 * FEW_WARPS, TILE = 16, AHEAD = 4, STAGES = 4, TABLE_BYTES = 256 * 256, MAP_BYTES = 3 * 1024, OWN_BYTES = 2304, MOST_SPLITS = 8 };
static constexpr __host__ __device__ int unit_of(bool four) { return four ? 128 : 64; }       /* columns */
static constexpr __host__ __device__ int pad_of(bool four) { return four ? 16 : 64; }         /* bytes behind a row of x, against bank conflicts */
static constexpr __host__ __device__ int tables_of(bool four) { return four ? TABLE_BYTES + MAP_BYTES : 0; }

/* A unit of a lane's two rows, a and b. */
template <bool FOUR> struct unit {
    uint4 a[2], b[2];
};
template <> struct unit<true> {
    uint2 a[2], b[2];
    float scale; /* of row a (even lanes) or b, its first 64 columns (lanes 0 and 1 of four) or the others */
    uint8_t code;
};
/* Where a lane reads: its two rows, and the scales of the one that it sees to. */
struct source {
    const char *a, *b;
    const uint8_t *codes; /* NULL: not doubly quantised */
    const float *scales;
    uint32_t at; /* in the matrix's run of values */
    int log_block, log_nested;
};
/* NF4's and FP4's values times these are rounded to bf16: by a quarter less than the values themselves, and without a common direction
   (their mean is off by 3e-7); FP4's not at all. Scales make up for it. */
static __device__ inline float stretch_of(int type) { return type == DT_NF4 ? 1.8598544375f : 12; }
static __device__ inline int log_of(int power) { return 31 - __clz(power); }

template <bool FOUR> static __device__ inline void ask(struct unit<FOUR> &r, const struct source &s, int u) {
#pragma unroll
    for (int h = 0; h < 2; h++) {
        if constexpr (FOUR) {
            r.a[h] = __ldcs((const uint2 *)(s.a + u * 64 + h * 32));
            r.b[h] = __ldcs((const uint2 *)(s.b + u * 64 + h * 32));
        } else {
            r.a[h] = __ldcs((const uint4 *)(s.a + u * 128 + h * 64));
            r.b[h] = __ldcs((const uint4 *)(s.b + u * 128 + h * 64));
        }
    }
    if constexpr (FOUR) {
        uint32_t block = (s.at + (uint32_t)u * 128) >> s.log_block;
        r.code = s.codes ? __ldg(s.codes + block) : 0;
        r.scale = __ldg(s.scales + (s.codes ? block >> s.log_nested : block));
    }
}

/* Byte n of q as two values. The table has 256 bytes an entry, of which a lane reads the word that is its own. */
static __device__ inline uint32_t look_up(const char *table, uint32_t q, int n, uint32_t own) {
    return *(const uint32_t *)(table + __byte_perm(q, own, 0x5504 | n << 4));
}

/* acc(16,8·N) += unit · x; x: the lane's place in the unit, off: of each row that it reads */
template <int N> static __device__ inline void multiply(float (&acc)[N][4], const struct unit<false> &r, const char *x, const int (&off)[N]) {
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const uint32_t first[4] = {r.a[h].x, r.b[h].x, r.a[h].y, r.b[h].y}, second[4] = {r.a[h].z, r.b[h].z, r.a[h].w, r.b[h].w};
#pragma unroll
        for (int n = 0; n < N; n++) {
            const uint4 v = *(const uint4 *)(x + off[n] + h * 64);
            const uint32_t b[4] = {v.x, v.y, v.z, v.w};
            mma(acc[n], first, b);
            mma(acc[n], second, b + 2);
        }
    }
}
template <int N> static __device__ inline void multiply(float (&acc)[N][4], const struct unit<true> &r, const char *x, const int (&off)[N], const char *table, float scale) {
    const uint32_t own = threadIdx.x % 32 * 4;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const float sa = __shfl_sync(~0u, scale, (threadIdx.x & 28) + 2 * h), sb = __shfl_sync(~0u, scale, (threadIdx.x & 28) + 2 * h + 1);
        float part[N][4] = {};
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const uint32_t qa = i ? r.a[h].y : r.a[h].x, qb = i ? r.b[h].y : r.b[h].x;
            const uint32_t first[4] = {look_up(table, qa, 0, own), look_up(table, qb, 0, own), look_up(table, qa, 1, own), look_up(table, qb, 1, own)};
            const uint32_t second[4] = {look_up(table, qa, 2, own), look_up(table, qb, 2, own), look_up(table, qa, 3, own), look_up(table, qb, 3, own)};
#pragma unroll
            for (int n = 0; n < N; n++) {
                const uint4 v = *(const uint4 *)(x + off[n] + h * 128 + i * 16);
                const uint32_t b[4] = {v.x, v.y, v.z, v.w};
                mma(part[n], first, b);
                mma(part[n], second, b + 2);
            }
        }
#pragma unroll
        for (int n = 0; n < N; n++) {
            acc[n][0] += part[n][0] * sa, acc[n][1] += part[n][1] * sa;
            acc[n][2] += part[n][2] * sb, acc[n][3] += part[n][3] * sb;
        }
    }
}

static __device__ inline void fill_tables(char *shared, const struct few_rows &f) {
    const int i = threadIdx.x; /* as many threads as bytes, and as codes */
    const float *v = f.w[0].type == DT_NF4 ? table_nf4 : table_fp4, stretch = stretch_of(f.w[0].type);
    const uint32_t two = pack(v[i / 16] * stretch, v[i % 16] * stretch); /* a byte's first value is its high half */
#pragma unroll
    for (int c = 0; c < 8; c++) *(uint4 *)(shared + i * 256 + (c + i) % 8 * 16) = make_uint4(two, two, two, two);
#pragma unroll
    for (int m = 0; m < 3; m++)
        if (f.w[m].scale_q) ((float *)(shared + TABLE_BYTES))[m * 256 + i] = f.w[m].scale_map[i];
}

/* One row, normed; `norm`: the thread's eight values of the norm, asked for before. */
enum { ROW_EIGHTS = 4 };
static __device__ inline void take_row(char *x, const struct few_rows &f, const float4 (&norm)[2]) {
    __shared__ float sums[32];
    for (int from = 0; from < f.K; from += FEW_THREADS * 8 * ROW_EIGHTS) {
        uint4 v[ROW_EIGHTS];
#pragma unroll
        for (int i = 0; i < ROW_EIGHTS; i++) {
            const int c = from + (i * FEW_THREADS + (int)threadIdx.x) * 8;
            v[i] = c < f.K ? *(const uint4 *)(f.x + c) : make_uint4(0, 0, 0, 0);
        }
        float rs = 1, sum = 0;
        if (f.norm) { /* K is within the first ROW_EIGHTS */
#pragma unroll
            for (int i = 0; i < ROW_EIGHTS; i++) {
                const uint32_t w[4] = {v[i].x, v[i].y, v[i].z, v[i].w};
#pragma unroll
                for (int j = 0; j < 4; j++) sum += act_low(w[j]) * act_low(w[j]) + act_high(w[j]) * act_high(w[j]);
            }
            rs = 1 / sqrtf(block_sum(sum, sums) / (float)f.K + f.eps);
        }
#pragma unroll
        for (int i = 0; i < ROW_EIGHTS; i++) {
            const int c = from + (i * FEW_THREADS + (int)threadIdx.x) * 8;
            if (c >= f.K) continue;
            if (f.norm) {
                const float4 a = i ? *(const float4 *)(f.norm + c) : norm[0], b = i ? *(const float4 *)(f.norm + c + 4) : norm[1];
                v[i].x = pack(act_low(v[i].x) * rs * a.x, act_high(v[i].x) * rs * a.y);
                v[i].y = pack(act_low(v[i].y) * rs * a.z, act_high(v[i].y) * rs * a.w);
                v[i].z = pack(act_low(v[i].z) * rs * b.x, act_high(v[i].z) * rs * b.y);
                v[i].w = pack(act_low(v[i].w) * rs * b.z, act_high(v[i].w) * rs * b.w);
            }
            *(uint4 *)(x + c * 2) = v[i];
        }
    }
    __syncthreads();
}
/* Several, a stage of columns after the other: asked for at once, waited for where they are needed. */
static __device__ inline void ask_rows(char *x, const act16 *from, int pitch, int rows, int K, int columns, int stage) {
    for (int q = 0; q < STAGES; q++) {
        const int first = q * stage, wide = min(stage, columns - first);
        for (int r = (int)threadIdx.x / 32; r < rows; r += FEW_WARPS)
            for (int c = (int)threadIdx.x % 32 * 8; c < wide; c += 256)
                asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"((uint32_t)__cvta_generic_to_shared(x + r * pitch + (first + c) * 2)), "l"(from + (int64_t)r * K + first + c));
        asm volatile("cp.async.commit_group;");
    }
}
static __device__ inline void await_stage(int q) {
    if (q == 0) asm volatile("cp.async.wait_group 3;" ::: "memory");
    else if (q == 1) asm volatile("cp.async.wait_group 2;" ::: "memory");
    else if (q == 2) asm volatile("cp.async.wait_group 1;" ::: "memory");
    else asm volatile("cp.async.wait_group 0;" ::: "memory");
    __syncthreads();
}
static __device__ inline float gated(float gate, float up) { return gate / (1 + expf(-gate)) * up; }

/* n bytes from p on to L2; p and n multiples of 16. */
static __device__ inline void ask_piece(const char *p, int n) {
#if __CUDA_ARCH__ >= 900
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(__cvta_generic_to_global(p)), "r"(n) : "memory");
#endif
}

/* NT: tiles of 8 rows of x; 0: one row */
template <bool FOUR, int MODE, int NT> static __global__ void __launch_bounds__(FEW_THREADS, 2) few_rows(const __grid_constant__ struct few_rows f) {
    constexpr bool ONE = NT == 0, STREAM = !ONE && (FOUR || MODE == FEW_PLAIN);
    constexpr int N = ONE ? 1 : NT, UNIT = unit_of(FOUR), UNIT_BYTES = FOUR ? UNIT / 2 : UNIT * 2, SIDE = MODE == FEW_GATED ? TILE / 2 : TILE;
    extern __shared__ __align__(1024) char shared[];
    __shared__ float parts[2][FEW_WARPS][TILE];
    char *all = shared + tables_of(FOUR);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
    const int share = ONE ? f.log_sharers : 0, sharer = warp & ((1 << share) - 1), place = warp >> share, step = FEW_WARPS >> share;
    const int columns = f.K / f.splits, units = columns / UNIT, mine = (units + (1 << share) - 1) >> share; /* of a tile */
    const int tiles = f.end[2] / SIDE, all_step = (int)gridDim.x * step, begin_at = (int)blockIdx.x * step, total = (tiles - begin_at + all_step - 1) / all_step * mine;
    const int pitch = ONE ? 0 : columns * 2 + pad_of(FOUR), stage = (mine + STAGES - 1) / STAGES;
    let_next_start();
    auto which = [&](int tile) { return MODE == FEW_GATED ? 0 : (tile * TILE >= f.end[0]) + (tile * TILE >= f.end[1]); };
    struct source s;
    auto begin = [&](int tile) { /* a tile behind the last reads that one */
        tile = min(tile, tiles - 1);
        const int m = which(tile), from = MODE == FEW_GATED ? tile * SIDE + g : tile * TILE - (m ? f.end[m - 1] : 0) + 2 * g;
        const int64_t k0 = (int64_t)blockIdx.y * columns, a = (int64_t)from * f.K + k0, b = MODE == FEW_GATED ? a : a + f.K;
        const struct weight &wa = f.w[m], &wb = f.w[MODE == FEW_GATED ? 1 : m];
        s.a = (const char *)wa.data + (FOUR ? a / 2 + t * 8 : a * 2 + t * 16);
        s.b = (const char *)wb.data + (FOUR ? b / 2 + t * 8 : b * 2 + t * 16);
        if constexpr (FOUR) {
            const struct weight &w = t & 1 ? wb : wa;
            s.codes = w.scale_q, s.scales = w.scale, s.log_block = log_of(w.block), s.log_nested = w.scale_q ? log_of(w.nested) : 0;
            s.at = (uint32_t)(t & 1 ? b : a) + (uint32_t)(t / 2) * 64;
        }
    };
    /* AHEAD units from unit u on, of row r of a tile, to L2 in one piece: the memory is slow where it is asked for 64 or 128 bytes of many
       rows. It pays where what is read is long. */
    auto soon = [&](int tile, int r, int u) {
        const int n = min((int)AHEAD, units - u);
        if (tile >= tiles || n <= 0) return;
        const int m = which(tile), side = MODE == FEW_GATED ? r / SIDE : m, from = MODE == FEW_GATED ? tile * SIDE + r % SIDE : tile * TILE - (m ? f.end[m - 1] : 0) + r;
        const int64_t at = (int64_t)from * f.K + (int64_t)blockIdx.y * columns;
        ask_piece((const char *)f.w[side].data + (FOUR ? at / 2 : at * 2) + u * UNIT_BYTES, n * UNIT_BYTES);
    };
    struct unit<FOUR> ring[AHEAD];
    int next_tile = begin_at + place, next_unit = sharer;
    begin(next_tile);
    auto ask_next = [&](struct unit<FOUR> &to) {
        if (next_unit < units) ask(to, s, next_unit);
        next_unit += 1 << share;
        if (next_unit >= mine << share) {
            next_unit = sharer;
            begin(next_tile += all_step);
        }
    };
#pragma unroll
    for (int i = 0; i < AHEAD; i++)
        if (i < total) ask_next(ring[i]);
    if (STREAM && lane < TILE) soon(begin_at + place, lane, AHEAD);
    float4 norm[2] = {};
    if (ONE && f.norm && (int)threadIdx.x * 8 < f.K) norm[0] = ((const float4 *)f.norm)[threadIdx.x * 2], norm[1] = ((const float4 *)f.norm)[threadIdx.x * 2 + 1];
    if constexpr (FOUR) fill_tables(shared, f);
    wait_for_inputs();
    int tile = begin_at + place, j = 0, turn = 0;
    auto place_in = [&](int tile) { /* one row: where the lane's two results belong */
        const int m = which(tile);
        return (act16 *)f.y[m] + (MODE == FEW_GATED ? tile * SIDE + g : tile * TILE - (m ? f.end[m - 1] : 0) + 2 * g);
    };
    act16x2 before = {};
    auto look_before = [&] {
        if (MODE == FEW_ADDED && tile < tiles && t == 0 && sharer == 0) before = *(const act16x2 *)place_in(tile);
    };
    look_before();
    if constexpr (ONE) take_row(all, f, norm);
    else ask_rows(all, f.x + (int64_t)blockIdx.y * columns, pitch, f.R, f.K, columns, stage * UNIT);
    int off[N];
#pragma unroll
    for (int n = 0; n < N; n++) off[n] = min(n * 8 + g, f.R - 1) * pitch;
    const char *x = all + t * (FOUR ? 32 : 16);
    const float shrink = 1 / stretch_of(f.w[0].type);
    float acc[N][4] = {};

    auto finish_one = [&] { /* every column of a fragment is the row's */
        float a = acc[0][0], b = acc[0][2];
        if (t == 0) parts[turn][warp][2 * g] = a, parts[turn][warp][2 * g + 1] = b;
        __syncthreads();
        if (tile < tiles && t == 0 && sharer == 0) {
            a = b = 0;
#pragma unroll 8
            for (int i = 0; i < 1 << share; i++) a += parts[turn][warp + i][2 * g], b += parts[turn][warp + i][2 * g + 1];
            act16 *to = place_in(tile);
            const float2 more = to_f32x2(before);
            if constexpr (MODE == FEW_GATED) *to = to_act(gated(a, b));
            else *(act16x2 *)to = to_act2(more.x + a, more.y + b);
        }
        turn ^= 1;
    };
    auto finish_rows = [&] {
#pragma unroll
        for (int i = 0; i < 2 * N; i++) {
            const int r = i / 2 * 8 + 2 * t + i % 2;
            const float a = acc[i / 2][i % 2], b = acc[i / 2][2 + i % 2];
            if (r >= f.R || tile >= tiles) continue;
            const int64_t row = (int64_t)r * f.end[2];
            if constexpr (MODE == FEW_PARTS) *(float2 *)((float *)f.y[0] + (int64_t)blockIdx.y * f.R * f.end[2] + row + tile * TILE + 2 * g) = make_float2(a, b);
            if constexpr (MODE == FEW_PLAIN) *(act16x2 *)((act16 *)f.y[0] + row + tile * TILE + 2 * g) = to_act2(a, b);
            if constexpr (MODE == FEW_GATED) ((act16 *)f.y[0])[row + tile * SIDE + g] = to_act(gated(a, b));
        }
    };

    for (int q = 0; q < total; q += AHEAD) {
        if (STREAM && lane < TILE) { /* those after the next */
            const int u = j + 2 * AHEAD;
            if (u < mine) soon(tile, lane, u);
            else soon(tile + all_step, lane, u - mine);
        }
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            if (q + i >= total) continue;
            if (!ONE && q + i < mine && j % stage == 0) await_stage(j / stage);
            const int u = sharer + (j << share);
            if (u < units) {
                const char *here = x + u * UNIT * 2;
                if constexpr (FOUR) {
                    const int own = MODE == FEW_GATED ? t & 1 : which(min(tile, tiles - 1));
                    const float *map = (const float *)(shared + TABLE_BYTES) + own * 256;
                    const float scale = f.w[own].scale_q ? __fadd_rn(__fmul_rn(map[ring[i].code], ring[i].scale), f.w[own].offset) : ring[i].scale;
                    multiply<N>(acc, ring[i], here, off, shared, scale * shrink);
                } else {
                    multiply<N>(acc, ring[i], here, off);
                }
            }
            if (q + i + AHEAD < total) ask_next(ring[i]);
            if (++j < mine) continue;
            if constexpr (ONE) finish_one();
            else finish_rows();
            j = 0;
            tile += all_step;
            look_before();
#pragma unroll
            for (int n = 0; n < N; n++) acc[n][0] = acc[n][1] = acc[n][2] = acc[n][3] = 0;
        }
    }
}

/* ---- launches ---- */
static bool is_four(const struct weight *w) { return w->type == DT_NF4 || w->type == DT_FP4; }
static int shared_bytes(bool four, int R, int columns) { return tables_of(four) + (R == 1 ? columns * 2 : R * (columns * 2 + pad_of(four))); }

bool cuda_few_rows_fit(const struct kctx *k, enum few_mode mode, const struct weight *w, int n, int R, int *splits) {
    const bool four = is_four(w);
    const int side = mode == FEW_GATED ? TILE / 2 : TILE, unit = unit_of(four);
    int64_t rows = 0;
    *splits = 1;
    if (R < 1 || R > FEW_MOST || (!four && w->type != DT_BF16)) return false;
    for (int i = 0; i < n; i++) {
        if (w[i].type != w->type || w[i].cols != w->cols || w[i].rows % side || w[i].cols % unit || w[i].rows * w[i].cols > UINT32_MAX || (uintptr_t)w[i].data % 16) return false;
        if (four && w[i].block % 64) return false;
        rows += mode == FEW_GATED ? (i == 0) * w[i].rows : w[i].rows;
    }
    int most = 0; /* bytes of shared memory a block */
    if (cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, k->index) != cudaSuccess) return false;
    auto large = [&] { return shared_bytes(four, R, (int)w->cols / *splits) + OWN_BYTES > most; };
    if (R == 1) return four && !large() && (mode == FEW_ADDED || w->cols <= FEW_THREADS * 8 * ROW_EIGHTS); /* bf16: decode.cu is as fast; may be normed */
    const int64_t blocks = ceil_div(rows / side, FEW_WARPS);
    auto can = [&](int more) { return mode == FEW_PARTS && more <= MOST_SPLITS && w->cols % (more * unit) == 0 && w->cols / more >= AHEAD * unit; };
    while ((large() || 2 * *splits * blocks <= k->multiprocessors) && can(2 * *splits)) *splits *= 2;
    return !large();
}

template <bool FOUR, int MODE, int NT> static void launch(struct kctx *k, struct few_rows f) {
    const int tiles = f.end[2] / (MODE == FEW_GATED ? TILE / 2 : TILE), units = f.K / f.splits / unit_of(FOUR);
    for (f.log_sharers = 0; NT == 0 && f.log_sharers < 3 && 2 << f.log_sharers <= units;) f.log_sharers++;
    /* two blocks a multiprocessor where there is much to read, else one, beside which the next kernel's finds room */
    const int64_t blocks = ceil_div(tiles, FEW_WARPS >> f.log_sharers), full = (NT == 0 && tiles >= 4 * k->multiprocessors ? 2 : 1) * k->multiprocessors;
    const int bytes = shared_bytes(FOUR, f.R, f.K / f.splits);
    if (bytes > 40 << 10 && !cuda_ok(k, cudaFuncSetAttribute(few_rows<FOUR, MODE, NT>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes), "decoding")) return;
    chain(k, few_rows<FOUR, MODE, NT>, dim3((unsigned)(blocks < full ? blocks : full), (unsigned)f.splits), FEW_THREADS, bytes, f);
}
template <bool FOUR, int MODE> static void by_rows(struct kctx *k, const struct few_rows &f) {
    if constexpr (FOUR && MODE != FEW_PARTS)
        if (f.R == 1) return launch<FOUR, MODE, 0>(k, f);
    if constexpr (MODE != FEW_ADDED) {
        if (f.R <= 8) launch<FOUR, MODE, 1>(k, f);
        else if (f.R <= 16) launch<FOUR, MODE, 2>(k, f);
        else launch<FOUR, MODE, 4>(k, f);
    }
}
void cuda_few_rows(struct kctx *k, enum few_mode mode, struct few_rows f) {
    const bool four = is_four(f.w);
#define FEW_MODE(M) case M: four ? by_rows<true, M>(k, f) : by_rows<false, M>(k, f); break;
    switch (mode) { FEW_MODE(FEW_PARTS) FEW_MODE(FEW_PLAIN) FEW_MODE(FEW_ADDED) FEW_MODE(FEW_GATED) }
}
