/* The next token of each row: a block a row. Nothing is sorted: along the tokens, in falling order of logits or in order of ids, the one
   is looked for at which a sum of weights reaches its goal; by logits digit by digit of their bits (radix select, Alabi et al. 2012). Weights are
   whole numbers, so that sums are the same in whatever order they are added. */
#include "kernels/cuda/cuda.cuh"
#include <limits.h>
#include <math.h>

enum { CHOOSE_THREADS = 1024, CHOOSE_WARPS = CHOOSE_THREADS / 32, STEP = 32 * 8, DIGIT = 11, BINS = 1 << DIGIT, MAX_V = 1 << 19 };
typedef unsigned long long u64;
#define WEIGHT_ONE (1ull << 44) /* of the largest logit */
#define NO_WEIGHT (-32.0f)      /* its logarithm is less than half of 1 / WEIGHT_ONE */

struct row {
    const act16 *z;
    const uint32_t *allowed, *seen; /* or NULL */
    int V;
    float penalty;
    bool aligned;
};
struct best { float value; int id; }; /* id INT_MAX: none yet */
struct space { /* shared memory */
    uint32_t low[BINS], high[BINS]; /* sums by digit: shared memory adds 32 bits by itself, 64 by trying */
    u64 sum[CHOOSE_WARPS];
    struct best best[CHOOSE_WARPS];
    u64 before;
    int found;
};

/* Logits of ids c..c+7; −∞ for those that cannot be chosen. */
static __device__ inline void read(float v[8], const struct row &r, int c) {
    const uint32_t may = r.allowed ? r.allowed[c >> 5] >> (c & 31) & 255 : 255, was = r.seen ? r.seen[c >> 5] >> (c & 31) & 255 : 0;
    if (may && r.aligned) load<8>(v, r.z + c);
#pragma unroll
    for (int i = 0; i < 8; i++) {
        if (!may) v[i] = -INFINITY;
        else if (!r.aligned) v[i] = c + i < r.V ? to_f32(r.z[c + i]) : -INFINITY;
        if (was >> i & 1) v[i] = v[i] > 0 ? __fdiv_rn(v[i], r.penalty) : __fmul_rn(v[i], r.penalty);
        v[i] = may >> i & 1 && isfinite(v[i]) ? v[i] + 0.0f : -INFINITY; /* −0 is 0 */
    }
}

/* f(logit, id) of each token that can be chosen. A warp has one stretch of ids, in whole steps. */
static __device__ inline int stretch_of(int V) { return (V + STEP * CHOOSE_WARPS - 1) / (STEP * CHOOSE_WARPS) * STEP; }
template <class F> static __device__ inline void each(const struct row &r, F f) {
    const int n = stretch_of(r.V), from = (int)threadIdx.x / 32 * n, to = min(from + n, r.V);
    for (int c = from + (int)threadIdx.x % 32 * 8; c < to; c += STEP) {
        float v[8];
        read(v, r, c);
#pragma unroll
        for (int i = 0; i < 8; i++)
            if (v[i] > -INFINITY) f(v[i], c + i);
    }
}

static __device__ inline struct best better(struct best a, struct best b) { return b.value > a.value || (b.value == a.value && b.id < a.id) ? b : a; }
static __device__ struct best largest(const struct row &r, struct space *s) {
    struct best b = {-INFINITY, INT_MAX};
    each(r, [&](float v, int id) { b = better(b, {v, id}); });
    for (int i = 16; i; i /= 2) b = better(b, {__shfl_xor_sync(~0u, b.value, i), __shfl_xor_sync(~0u, b.id, i)});
    if (threadIdx.x % 32 == 0) s->best[threadIdx.x / 32] = b;
    __syncthreads();
    b = s->best[0];
    for (int i = 1; i < CHOOSE_WARPS; i++) b = better(b, s->best[i]);
    return b;
}

/* ---- sums ---- */
/* Over the warp, up to and with each lane. */
static __device__ inline u64 warp_sums(u64 x) {
    const int lane = (int)threadIdx.x % 32;
    for (int i = 1; i < 32; i *= 2) {
        u64 y = __shfl_up_sync(~0u, x, i);
        if (lane >= i) x += y;
    }
    return x;
}
/* The sum of those before this warp's `sum` (its last lane's), and of all. */
static __device__ inline u64 before_warp(u64 sum, struct space *s, u64 *total) {
    if (threadIdx.x % 32 == 31) s->sum[threadIdx.x / 32] = sum;
    __syncthreads();
    u64 before = 0;
    *total = 0;
    for (int i = 0; i < CHOOSE_WARPS; i++) {
        if (i == (int)threadIdx.x / 32) before = *total;
        *total += s->sum[i];
    }
    return before;
}

/* Order of floats that are no NaN, as whole numbers. */
static __device__ inline uint32_t key_of(float v) {
    uint32_t b = __float_as_uint(v);
    return b ^ (b >> 31 ? ~0u : 1u << 31);
}
enum { SAME_BITS = 32 - 2 * DIGIT }; /* the lowest of a key, which are alike for all activations of one sign */
static __device__ inline float of_key(uint32_t key) { return __uint_as_float(key ^ (key >> 31 ? 1u << 31 : ~0u)); }

static __device__ inline void add(struct space *s, uint32_t digit, u64 w) {
    uint32_t w0 = (uint32_t)w, old = atomicAdd(&s->low[digit], w0), w1 = (uint32_t)(w >> 32) + (old + w0 < old);
    if (w1) atomicAdd(&s->high[digit], w1);
}
static __device__ inline u64 sum_of(const struct space *s, int digit) { return (u64)s->high[digit] << 32 | s->low[digit]; }

/* In falling order of logits: the key at which the sum of weight(logit, id) reaches goal(the whole) > 0, and what it still lacks before that
   key's tokens. false: the goal is 0. */
template <class W, class G> static __device__ bool by_logit(const struct row &r, struct space *s, W weight, G goal, uint32_t *key, u64 *lacks) {
    uint32_t prefix = 0;
    u64 want = 0;
    const int t = (int)threadIdx.x;
    for (int high = 32, bit; high > (r.seen ? 0 : SAME_BITS); high = bit) {
        bit = high > DIGIT ? high - DIGIT : 0; /* 21, 10, 0 */
        __syncthreads();
        s->low[t] = s->low[t + CHOOSE_THREADS] = s->high[t] = s->high[t + CHOOSE_THREADS] = 0;
        __syncthreads();
        each(r, [&](float v, int id) {
            uint32_t k = key_of(v);
            if ((uint32_t)((u64)k >> high) != prefix) return;
            if (u64 w = weight(v, id)) add(s, (k & (uint32_t)((1ull << high) - 1)) >> bit, w);
        });
        __syncthreads();
        u64 total, a = sum_of(s, BINS - 1 - 2 * t), b = sum_of(s, BINS - 2 - 2 * t), upto = warp_sums(a + b);
        upto += before_warp(upto, s, &total);
        if (high == 32 && !(want = goal(total))) return false;
        const u64 before = upto - a - b;
        if (before < want && want <= upto) {
            s->found = BINS - 1 - 2 * t - (want > before + a);
            s->before = want > before + a ? before + a : before;
        }
        __syncthreads();
        want -= s->before;
        prefix = prefix << (high - bit) | (uint32_t)s->found;
    }
    *key = r.seen ? prefix : prefix << SAME_BITS | (prefix >> (31 - SAME_BITS) ? 0 : (1u << SAME_BITS) - 1);
    *lacks = want;
    return true;
}

/* In order of ids: the id at which the sum of weight(logit, id) reaches goal(the whole) > 0. */
template <class W, class G> static __device__ int by_id(const struct row &r, struct space *s, W weight, G goal) {
    const int n = stretch_of(r.V), from = (int)threadIdx.x / 32 * n, to = min(from + n, r.V);
    u64 own = 0, total;
    each(r, [&](float v, int id) { own += weight(v, id); });
    __syncthreads();
    own = __shfl_sync(~0u, warp_sums(own), 31);
    u64 before = before_warp(own, s, &total);
    const u64 want = goal(total);
    if (before < want && want <= before + own) /* this warp's */
        for (int c0 = from; c0 < to; c0 += STEP) {
            const int c = c0 + (int)threadIdx.x % 32 * 8;
            float v[8];
            u64 w[8], sum = 0;
            if (c < to) read(v, r, c);
#pragma unroll
            for (int i = 0; i < 8; i++) sum += w[i] = c < to && v[i] > -INFINITY ? weight(v[i], c + i) : 0;
            u64 upto = before + warp_sums(sum), at = upto - sum;
#pragma unroll
            for (int i = 0; i < 8; i++) {
                if (at < want && want <= at + w[i]) s->found = c + i;
                at += w[i];
            }
            before = __shfl_sync(~0u, upto, 31);
            if (before >= want) break;
        }
    __syncthreads();
    return s->found;
}

/* Where a choice ends: in falling order of logits, lower ids first. */
struct end { uint32_t key; int id; };
static __device__ inline bool within(const struct end &e, float v, int id) {
    uint32_t k = key_of(v);
    return k > e.key || (k == e.key && id <= e.id);
}
/* The token of a key at which weights, each `one`, reach what is lacking. */
static __device__ struct end end_at(const struct row &r, struct space *s, uint32_t key, u64 lacks, u64 one) {
    return {key, by_id(r, s, [=](float v, int) -> u64 { return key_of(v) == key; }, [=](u64) { return (lacks + one - 1) / one; })};
}

static __global__ void __launch_bounds__(CHOOSE_THREADS) choose(int32_t *ids, const act16 *logits, int V, const struct choice *how, const uint32_t *allowed, const uint32_t *seen) {
    __shared__ struct space space;
    struct space *const s = &space;
    const struct choice h = how[blockIdx.x];
    const int64_t words = (V + 31) / 32;
    const struct row r = {logits + (int64_t)blockIdx.x * V, h.allowed < 0 ? NULL : allowed + h.allowed * words, h.seen < 0 || h.penalty == 1 ? NULL : seen + h.seen * words,
        V, h.penalty, V % 8 == 0 && (uintptr_t)logits % 16 == 0};
    const struct best b = largest(r, s);
    if (threadIdx.x == 0) ids[blockIdx.x] = b.id == INT_MAX ? -1 : b.id;
    if (h.temperature == 0 || b.id == INT_MAX) return;

    const double per = 1 / h.temperature, top = b.value;
    const float per_f = (float)per;
    auto weight = [=](float v) -> u64 {
        if (v == b.value) return WEIGHT_ONE;
        return (v - b.value) * per_f < NO_WEIGHT ? 0 : __double2ull_rn(exp(((double)v - top) * per) * (double)WEIGHT_ONE);
    };
    struct end e = {0, INT_MAX};
    auto left = [&](float v, int id) -> u64 { return within(e, v, id) ? weight(v) : 0; };
    uint32_t key;
    u64 lacks;
    if (h.top_k > 0 && by_logit(r, s, [](float, int) -> u64 { return 1; }, [&](u64 n) -> u64 { return n > (u64)h.top_k ? h.top_k : 0; }, &key, &lacks))
        e = end_at(r, s, key, lacks, 1);
    if (h.top_p < 1) {
        by_logit(r, s, left, [&](u64 sum) { return max(1ull, __double2ull_ru(h.top_p * (double)sum)); }, &key, &lacks);
        e = end_at(r, s, key, lacks, weight(of_key(key)));
    }
    auto goal = [&](u64 sum) { return min(sum, __double2ull_rd(h.u * (double)sum) + 1); };
    int id;
    if (h.top_k > 0 || h.top_p < 1) {
        by_logit(r, s, left, goal, &key, &lacks);
        id = end_at(r, s, key, lacks, weight(of_key(key))).id;
    } else {
        id = by_id(r, s, left, goal);
    }
    if (threadIdx.x == 0) ids[blockIdx.x] = id;
}

void cuda_choose(struct kctx *k, int32_t *ids, const void *logits, int M, int V, const struct choice *how, const uint32_t *allowed, const uint32_t *seen) {
    cuda_flush(k);
    if (V > MAX_V) cuda_fail(k, K_UNSUPPORTED, "a vocabulary of %d tokens, at most %d", V, MAX_V);
    else if (M > 0) choose<<<(unsigned)M, CHOOSE_THREADS, 0, k->stream>>>(ids, (const act16 *)logits, V, how, allowed, seen);
    launched(k, "choose");
}
