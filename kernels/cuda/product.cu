/* Products of many rows on Hopper whose result is a sum of several: C = onto + Σ A·B, summed in f32 and rounded once. So a linear and
   LoRA's share of it are one product, and the gradients of one input from all its linears and their adapters are another.

   Two blocks of a cluster keep 128 rows each and read the same 256 columns: each loads half of B for both. Of a block's three warp groups
   one loads and two multiply, 64 × 256 each; tiles follow each other without a pause in the loads (a persistent grid).

   The first term may be in e4m3 with a scale for each row of A and of B: its steps take as many bytes, twice the values, and its sum is
   scaled in the registers before the other terms, in bf16, are added to it there. */
#include "kernels/cuda/product.cuh"
#include "kernels/cuda/tma.cuh"
#include "kernels/cuda/wgmma.cuh"
#include <string.h>

enum {
    ROWS = 128, COLS = 256, STEP_BYTES = 128, STEP = STEP_BYTES / 2, /* of A's and B's rows at a time; values of bf16 */ STAGES = 4, PAIR = 2, /* blocks of a cluster */
    A_BYTES = ROWS * STEP * 2, B_BYTES = COLS * STEP * 2, STAGE_BYTES = A_BYTES + B_BYTES, BOX_BYTES = 64 * 64 * 2,
    OUT_COLS = 128, OUT_BYTES = 64 * OUT_COLS * 2, /* what a group sends off at once */
    SCALES_BYTES = COLS * 2, /* a group's copy of B's scales, as bf16 */
    SHARED_BYTES = 1024 + STAGES * STAGE_BYTES + 2 * (OUT_BYTES + SCALES_BYTES), WIDE_THREADS = 384,
    BAND = 8 /* pairs of row tiles that are worked on side by side, for the cache's sake */
};
struct map_term { CUtensorMap a, b; };
struct map_sum {
    CUtensorMap c;
    struct map_term t[WIDE_TERMS];
    int steps[WIDE_TERMS], n;
    int columns;              /* tiles */
    bool tail;                /* the last term has 16 values at most */
    const bf16 *onto;
    const float *a_scale, *b_scale; /* of the first term in e4m3 */
    int N;
};
enum how { COLUMNS, BY_ROWS, E4M3 }; /* bf16 by b(N,K) or b(K,N), e4m3 by b(N,K) */
struct wide_work {
    struct map_sum v[WIDE_SUMS];
    int n, pairs, tiles, R;
};

#ifdef HAS_WGMMA
struct place { int sum, row, column; };
/* Where tile `id` lies: sums one after the other, in each of them bands of row pairs, columns outside. */
__device__ inline place tile_place(const wide_work &w, int id, int rank) {
    int s = 0;
    for (; s + 1 < w.n && id >= w.pairs * w.v[s].columns; s++) id -= w.pairs * w.v[s].columns;
    int band = id / (BAND * w.v[s].columns), first = band * BAND, high = min(BAND, w.pairs - first);
    id -= first * w.v[s].columns;
    return {s, ((first + id % high) * PAIR + rank) * ROWS, id / high * COLS};
}

struct ring { /* of stages; the phase turns with each round */
    int at = 0, phase = 0;
    __device__ void next() {
        if (++at < STAGES) return;
        at = 0;
        phase ^= 1;
    }
};

template <int HOW> __device__ inline void load_step(const map_term &t, const place &p, int rank, int step, uint32_t stage, uint32_t bar) {
    uint32_t b = stage + A_BYTES + rank * (B_BYTES / 2);
    int column = p.column + rank * (COLS / 2), k = step * (HOW == E4M3 ? STEP_BYTES : STEP);
    box_load(stage, &t.a, k, p.row, bar);
    if (HOW == BY_ROWS) {
        box_load_all(b, &t.b, column, k, bar, 3);
        box_load_all(b + BOX_BYTES, &t.b, column + 64, k, bar, 3);
    } else {
        box_load_all(b, &t.b, k, column, bar, 3);
    }
}

template <int HOW, bool SCALED> __device__ inline void loader(const wide_work &w, uint32_t stages, uint32_t full, uint32_t empty, int rank) {
    ring r;
    for (int id = blockIdx.x / PAIR; id < w.tiles; id += gridDim.x / PAIR) {
        place p = tile_place(w, id, rank);
        const map_sum &s = w.v[p.sum];
        for (int i = 0; i < s.n; i++)
            for (int k = 0; k < s.steps[i]; k++, r.next()) {
                barrier_wait(empty + 8 * r.at, r.phase ^ 1);
                barrier_expect(full + 8 * r.at, STAGE_BYTES);
                if (SCALED && i == 0) load_step<E4M3>(s.t[i], p, rank, k, stages + r.at * STAGE_BYTES, full + 8 * r.at);
                else load_step<HOW>(s.t[i], p, rank, k, stages + r.at * STAGE_BYTES, full + 8 * r.at);
            }
    }
}

#define R8(c, i) "+f"(c[i]), "+f"(c[i + 1]), "+f"(c[i + 2]), "+f"(c[i + 3]), "+f"(c[i + 4]), "+f"(c[i + 5]), "+f"(c[i + 6]), "+f"(c[i + 7])
#define R32(c, i) R8(c, i), R8(c, i + 8), R8(c, i + 16), R8(c, i + 24)
#define R128(c) R32(c, 0), R32(c, 32), R32(c, 64), R32(c, 96)
#define SUMS \
    "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31," \
    "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63," \
    "%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79,%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95," \
    "%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111,%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127}"
/* c (64 × 256) = or += 32 bytes of each row of A by as many of B; B's rows are the result's columns, or with BY_ROWS the values. */
template <int HOW> __device__ inline void multiply(float (&c)[128], uint64_t a, uint64_t b, int onto) {
    if constexpr (HOW == E4M3)
        asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %130, 0;\nwgmma.mma_async.sync.aligned.m64n256k32.f32.e4m3.e4m3 " SUMS ", %128, %129, p, 1, 1;\n}\n"
                     : R128(c) : "l"(a), "l"(b), "r"(onto));
    else
        asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %130, 0;\nwgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 " SUMS ", %128, %129, p, 1, 1, 0, %131;\n}\n"
                     : R128(c) : "l"(a), "l"(b), "r"(onto), "n"((int)(HOW == BY_ROWS)));
}
/* B's tile: rows of 128 bytes as A's, or four boxes of 64 columns, 8 KiB apart. */
template <int HOW> __device__ inline uint64_t right_at(uint32_t at) {
    return HOW == BY_ROWS ? (tile_at(at) & ~(0x3fffull << 16)) | (uint64_t)(BOX_BYTES >> 4) << 16 : tile_at(at);
}
template <int HOW, int N> __device__ inline void multiply_step(float (&c)[128], uint32_t a, uint32_t b, int onto) {
    group_begin();
#pragma unroll
    for (int s = 0; s < N; s++) multiply<HOW>(c, tile_at(a + 32 * s), right_at<HOW>(b + (HOW == BY_ROWS ? 2048 : 32) * s), onto || s);
    group_end();
}

/* Both blocks' loaders learn that this group has read a stage. */
__device__ inline void release(uint32_t empty, int stage) {
    if (threadIdx.x % 128 < PAIR) barrier_arrive_at(empty + 8 * stage, threadIdx.x % 128);
}
__device__ inline void group_sync(int group) { asm volatile("bar.sync %0, 128;\n" ::"r"(group + 1) : "memory"); }

/* Half a tile's columns of what the result is added to; beyond the edges, where nothing is stored, other values of it */
template <int HALF> __device__ inline void add_onto(float (&c)[128], const map_sum &s, int row, int column, int R) {
    uint32_t word[32];
#pragma unroll
    for (int i = 0; i < 32; i++) {
        int r = min(row + i % 2 * 8, R - 1), at = min(column + i / 2 * 8, s.N - 2);
        word[i] = *(const uint32_t *)(s.onto + (int64_t)r * s.N + at);
    }
#pragma unroll
    for (int i = 0; i < 32; i++) {
        float2 y = __bfloat1622float2(*(__nv_bfloat162 *)&word[i]);
        c[64 * HALF + 2 * i] += y.x;
        c[64 * HALF + 2 * i + 1] += y.y;
    }
}

/* Half a tile: in boxes of 64 columns to shared memory in the hardware's swizzle, and off. */
template <int HALF> __device__ inline void store_half(float (&c)[128], const map_sum &s, const place &p, int group, uint32_t out, int R) {
    const int t = threadIdx.x % 128, l = t % 32, row = t / 32 * 16 + l / 4, column = p.column + HALF * OUT_COLS;
    if (s.onto) add_onto<HALF>(c, s, p.row + 64 * group + row, column + l % 4 * 2, R);
    if (t == 0) stores_read();
    group_sync(group);
#pragma unroll
    for (int i = 0; i < 32; i++) {
        int j = i / 2;
        uint32_t at = out + j / 8 * BOX_BYTES + row * 128 + ((j % 8 ^ row % 8) << 4) + l % 4 * 4 + i % 2 * 1024;
        __nv_bfloat162 v = __float22bfloat162_rn({c[64 * HALF + 2 * i], c[64 * HALF + 2 * i + 1]});
        asm volatile("st.shared.b32 [%0], %1;\n" ::"r"(at), "r"(*(uint32_t *)&v) : "memory");
    }
    shared_for_group();
    group_sync(group);
    if (t != 0) return;
    for (int b = 0; b < OUT_COLS / 64; b++) box_store(&s.c, column + 64 * b, p.row + 64 * group, out + b * BOX_BYTES);
    stores_issued();
}

/* Where a group reads: its stages and what of them it has not yet given back (-1: none). */
struct reader {
    uint32_t stages, full, empty;
    int group, before;
    ring r;
    __device__ void finish() {
        group_wait<0>();
        if (before >= 0) release(empty, before);
        before = -1;
    }
};
/* c = or += the next stage, of N × 32 bytes a row; the one before it goes back once this one has been started. */
template <int HOW, int N> __device__ inline void multiply_stage(float (&c)[128], reader &q, int onto) {
    uint32_t stage = q.stages + q.r.at * STAGE_BYTES;
    barrier_wait(q.full + 8 * q.r.at, q.r.phase);
    multiply_step<HOW, N>(c, stage + q.group * BOX_BYTES, stage + A_BYTES, onto);
    if (q.before >= 0) {
        group_wait<1>();
        release(q.empty, q.before);
    }
    q.before = q.r.at;
    q.r.next();
}

/* B's scales of the tile to shared memory, two a thread; they have no more bits than bf16. */
__device__ inline void fetch_scales(const map_sum &s, int column, uint32_t scales) {
    const int t = threadIdx.x % 128;
    float2 v = *(const float2 *)(s.b_scale + min(column + 2 * t, s.N - 2));
    uint32_t two = __byte_perm(__float_as_uint(v.x), __float_as_uint(v.y), 0x7632);
    asm volatile("st.shared.b32 [%0], %1;\n" ::"r"(scales + 4 * t), "r"(two) : "memory");
}
/* c *= the scale of its row of A and of its row of B */
__device__ inline void scale_sums(float (&c)[128], const map_sum &s, int row, int group, uint32_t scales, int R) {
    const int l = threadIdx.x % 32;
    row += threadIdx.x % 128 / 32 * 16 + l / 4;
    float above = s.a_scale[min(row, R - 1)], below = s.a_scale[min(row + 8, R - 1)];
    group_sync(group);
#pragma unroll
    for (int j = 0; j < 32; j++) {
        uint32_t two;
        asm volatile("ld.shared.b32 %0, [%1];\n" : "=r"(two) : "r"(scales + 16 * j + l % 4 * 4) : "memory");
        float x = __uint_as_float(two << 16), y = __uint_as_float(two & 0xffff0000u);
        c[4 * j] *= above * x;
        c[4 * j + 1] *= above * y;
        c[4 * j + 2] *= below * x;
        c[4 * j + 3] *= below * y;
    }
}

template <int HOW, bool SCALED> __device__ inline void multiplier(const wide_work &w, reader q, uint32_t out, uint32_t scales, int rank) {
    for (int id = blockIdx.x / PAIR; id < w.tiles; id += gridDim.x / PAIR) {
        const place p = tile_place(w, id, rank);
        const map_sum &s = w.v[p.sum];
        float c[128];
        int steps = -(int)s.tail;
        for (int i = SCALED; i < s.n; i++) steps += s.steps[i];
        q.before = -1;
        if (SCALED) {
            for (int k = 0; k < s.steps[0]; k++) {
                multiply_stage<E4M3, 4>(c, q, k);
                if (k == 0) fetch_scales(s, p.column, scales);
            }
            q.finish();
            scale_sums(c, s, p.row + 64 * q.group, q.group, scales, w.R);
        }
        for (int k = 0; k < steps; k++) multiply_stage<HOW, 4>(c, q, SCALED || k);
        if (s.tail) multiply_stage<HOW, 1>(c, q, 1);
        q.finish();
        store_half<0>(c, s, p, q.group, out, w.R);
        store_half<1>(c, s, p, q.group, out, w.R);
    }
    if (threadIdx.x % 128 == 0) stores_done();
}
#endif

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
#define IN_PAIRS __cluster_dims__(PAIR, 1, 1)
#else
#define IN_PAIRS
#endif
template <int HOW, bool SCALED> static __global__ void __launch_bounds__(WIDE_THREADS, 1) IN_PAIRS wide(const __grid_constant__ struct wide_work w) {
#ifdef HAS_WGMMA
    extern __shared__ char shared[];
    __shared__ uint64_t bars[2 * STAGES];
    const uint32_t stages = ((uint32_t)__cvta_generic_to_shared(shared) + 1023) / 1024 * 1024, out = stages + STAGES * STAGE_BYTES, scales = out + 2 * OUT_BYTES;
    const uint32_t full = (uint32_t)__cvta_generic_to_shared(bars), empty = full + 8 * STAGES;
    const int rank = cluster_rank(), group = threadIdx.x / 128 - 1;
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; i++) {
            barrier_init(full + 8 * i, 1);
            barrier_init(empty + 8 * i, 2 * PAIR);
        }
        barriers_made();
    }
    cluster_sync();
    if (group < 0) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;\n");
        if (threadIdx.x == 0) loader<HOW, SCALED>(w, stages, full, empty, rank);
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;\n");
        multiplier<HOW, SCALED>(w, {stages, full, empty, group, -1, {}}, out + group * OUT_BYTES, scales + group * SCALES_BYTES, rank);
    }
    __syncwarp();
    cluster_sync(); /* a block must not end while the other may still arrive at its barriers */
#endif
}

/* ---- the host's side ---- */
typedef CUresult encode_fn(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *, const cuuint64_t *, const cuuint64_t *, const cuuint32_t *, const cuuint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
static encode_fn *encoder(void) {
    static encode_fn *f;
    void *p = NULL;
    cudaDriverEntryPointQueryResult found;
    if (!f && cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &p, 12000, cudaEnableDefault, &found) == cudaSuccess && found == cudaDriverEntryPointSuccess) f = (encode_fn *)p;
    return f;
}

/* Boxes of `high` rows of STEP_BYTES of p(rows, columns), whose values have 1 or 2 bytes */
static bool map_of(CUtensorMap *m, const void *p, int value, int64_t rows, int64_t columns, int64_t pitch, int high) {
    cuuint64_t size[2] = {(cuuint64_t)columns, (cuuint64_t)rows}, bytes[1] = {(cuuint64_t)(pitch * value)};
    cuuint32_t box[2] = {(cuuint32_t)(STEP_BYTES / value), (cuuint32_t)high}, each[2] = {1, 1};
    CUtensorMapDataType type = value == 1 ? CU_TENSOR_MAP_DATA_TYPE_UINT8 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    encode_fn *encode = encoder();
    return encode && encode(m, type, 2, (void *)(uintptr_t)p, size, bytes, box, each, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

static bool map_scaled(struct map_sum *m, const struct wide_scaled *q, int N, int R) {
    m->steps[m->n] = (int)ceil_div(q->K, STEP_BYTES);
    m->a_scale = q->a_scale;
    m->b_scale = q->b_scale;
    struct map_term *t = &m->t[m->n++];
    return map_of(&t->a, q->a, 1, R, q->K, q->K, ROWS) && map_of(&t->b, q->b, 1, N, q->K, q->K, COLS / 2);
}
static bool map_term_of(struct map_sum *m, const struct wide_term *t, bool by_rows, int N, int R) {
    m->steps[m->n] = (int)ceil_div(t->K, STEP);
    struct map_term *to = &m->t[m->n++];
    return map_of(&to->a, t->a, 2, R, t->K, t->lda, ROWS) && map_of(&to->b, t->b, 2, by_rows ? t->K : N, by_rows ? N : t->K, t->ldb, by_rows ? 64 : COLS / 2);
}
static bool map_sum_of(struct map_sum *m, const struct wide_sum *s, bool by_rows, int R) {
    memset(m, 0, sizeof *m);
    m->columns = (int)ceil_div(s->N, COLS);
    m->onto = s->onto;
    m->N = s->N;
    if (s->scaled.a && !map_scaled(m, &s->scaled, s->N, R)) return false;
    for (int i = 0; i < s->n; i++)
        if (!map_term_of(m, &s->t[i], by_rows, s->N, R)) return false;
    m->tail = m->n > 1 && s->n && s->t[s->n - 1].K <= 16;
    return map_of(&m->c, s->c, 2, R, s->N, s->N, 64);
}

/* Sixteen bytes must divide every address and pitch. */
static bool fits(const struct wide_sum *s) {
    uintptr_t odd = (uintptr_t)s->c | (uintptr_t)s->onto | (uintptr_t)(2 * s->N);
    odd |= (uintptr_t)s->scaled.a | (uintptr_t)s->scaled.b | (uintptr_t)s->scaled.K;
    for (int i = 0; i < s->n; i++) odd |= (uintptr_t)s->t[i].a | (uintptr_t)s->t[i].b | (uintptr_t)(2 * s->t[i].lda) | (uintptr_t)(2 * s->t[i].ldb);
    return odd % 16 == 0;
}

template <int HOW, bool SCALED> static bool launch(struct kctx *k, const struct wide_work *w) {
    static bool ready;
    if (!ready && !cuda_ok(k, cudaFuncSetAttribute(wide<HOW, SCALED>, cudaFuncAttributeMaxDynamicSharedMemorySize, SHARED_BYTES), "product")) return false;
    ready = true;
    wide<HOW, SCALED><<<(unsigned)(k->multiprocessors / PAIR * PAIR), WIDE_THREADS, SHARED_BYTES, k->stream>>>(*w);
    launched(k, "product");
    return true;
}

bool cuda_is_wide(const struct kctx *k, int R) { return k->wgmma && R >= WIDE_LEAST; }

bool cuda_wide(struct kctx *k, bool by_rows, const struct wide_sum *s, int n, int R) {
    if (!cuda_is_wide(k, R)) return false;
    struct wide_work w;
    w.n = n;
    w.pairs = (int)ceil_div(R, ROWS * PAIR);
    w.tiles = 0;
    w.R = R;
    for (int i = 0; i < n; i++)
        if (s[i].n + (s[i].scaled.a != NULL) > WIDE_TERMS || !fits(&s[i])) return false;
    if (!s->scaled.a && cuda_narrow(k, by_rows, s, n, R)) return true;
    for (int i = 0; i < n; i++) {
        if (!map_sum_of(&w.v[i], &s[i], by_rows, R)) return false;
        w.tiles += w.pairs * w.v[i].columns;
    }
    if (s->scaled.a) return by_rows ? launch<BY_ROWS, true>(k, &w) : launch<COLUMNS, true>(k, &w);
    return by_rows ? launch<BY_ROWS, false>(k, &w) : launch<COLUMNS, false>(k, &w);
}
