/* Attention, packed and cached, against the reference; independence of what is packed or batched beside it. */
#include "tests/kernels/ktest.h"

/* Dots of D values feed an exponential, so an error of the score is an error of the weight: 2^-24·sqrt(D)·|s|, |s| up to 8,
   and the backward subtracts sums of that accuracy. */
#define BOUND_FWD (EPS32 * 60)
#define BOUND_BWD (EPS32 * 200)
/* A card also rounds the weights to 16 bits before they meet the values, and the scores' gradient before it meets q and k. */
#define CARD_FWD (2 * CARD_BOUND)
#define CARD_BWD (4 * CARD_BOUND)

struct shape { int S, T[5], H, G, D; };
static const struct shape shapes[] = {
    {1, {1}, 1, 1, 8},        {2, {1, 3}, 3, 3, 16},          {3, {5, 64, 65}, 9, 3, 64}, {2, {48, 49}, 4, 1, 20},         {1, {200}, 9, 3, 64},
    {4, {7, 0, 130, 1}, 6, 2, 24}, {2, {33, 97}, 2, 1, 256}, {1, {70}, 20, 1, 32},       {5, {1, 1, 96, 2, 128}, 3, 1, 7}, {1, {300}, 3, 1, 64},
    {2, {70, 200}, 4, 2, 128}, {3, {1, 128, 257}, 8, 2, 64},
};

static int offsets(const struct shape *s, int32_t *cu) {
    cu[0] = 0;
    for (int i = 0; i < s->S; i++) cu[i + 1] = cu[i] + s->T[i];
    return cu[s->S];
}

static void one_shape(const struct shape *s) {
    int32_t cu[6];
    int R = offsets(s, cu), nq = R * s->H * s->D, nk = R * s->G * s->D;
    const float *q = values(nq), *k = values(nk), *v = values(nk), *dout = values(nq);
    float scale = 1.5f / sqrtf((float)s->D), *o[NDEV], *lse[NDEV], *dq[NDEV], *dk[NDEV], *dv[NDEV];
    char what[100];
    snprintf(what, sizeof what, "attention S %d R %d H %d G %d D %d", s->S, R, s->H, s->G, s->D);
    outputs(o, NULL, nq);
    outputs(lse, NULL, R * s->H);
    for (int i = 0; i < n_devs; i++) devs[i]->attention(devs[i]->ctx, o[i], lse[i], q, k, v, cu, cu, s->S, s->H, s->G, s->D, scale);
    check_act_within(o, nq, BOUND_FWD, CARD_FWD, what);
    check_outputs(lse, R * s->H, BOUND_FWD, what);
    outputs(dq, NULL, nq);
    outputs(dk, NULL, nk);
    outputs(dv, NULL, nk);
    for (int i = 0; i < n_devs; i++) devs[i]->attention_bwd(devs[i]->ctx, dq[i], dk[i], dv[i], dout, q, k, v, o[REF], lse[REF], cu, cu, s->S, s->H, s->G, s->D, scale);
    if (R > s->S) check_act_within(dq, nq, BOUND_BWD, CARD_BWD, what); /* one key: dq and dk are exactly 0, but for rounding */
    if (R > s->S) check_act_within(dk, nk, BOUND_BWD, CARD_BWD, what);
    check_act_within(dv, nk, BOUND_BWD, CARD_BWD, what);
    end_bufs(what);
}

static void test_shapes(void **state) {
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) one_shape(&shapes[i]);
}

/* A sequence packed between others: the same bytes as alone, forward and backward. */
static void test_packed_alone(void **state) {
    enum { H = 9, G = 3, D = 64, A = 37, T = 101, R = A + T + 20 };
    const int32_t cu[] = {0, A, A + T, R}, one[] = {0, T};
    for (int i = CPU1; i < n_devs; i++) {
        struct dev *d = devs[i];
        const float *q = values(R * H * D), *k = values(R * G * D), *v = values(R * G * D), *g = values(R * H * D);
        float *o = values(R * H * D), *l = values(R * H), *dq = values(R * H * D), *dk = values(R * G * D), *dv = values(R * G * D);
        float *o1 = values(T * H * D), *l1 = values(T * H), *dq1 = values(T * H * D), *dk1 = values(T * G * D), *dv1 = values(T * G * D);
        d->attention(d->ctx, o, l, q, k, v, cu, cu, 3, H, G, D, 0.125f);
        d->attention(d->ctx, o1, l1, q + A * H * D, k + A * G * D, v + A * G * D, one, one, 1, H, G, D, 0.125f);
        assert_memory_equal(o1, o + A * H * D, T * H * D * sizeof *o);
        assert_memory_equal(l1, l + A * H, T * H * sizeof *o);
        d->attention_bwd(d->ctx, dq, dk, dv, g, q, k, v, o, l, cu, cu, 3, H, G, D, 0.125f);
        d->attention_bwd(d->ctx, dq1, dk1, dv1, g + A * H * D, q + A * H * D, k + A * G * D, v + A * G * D, o1, l1, one, one, 1, H, G, D, 0.125f);
        assert_memory_equal(dq1, dq + A * H * D, T * H * D * sizeof *o);
        assert_memory_equal(dk1, dk + A * G * D, T * G * D * sizeof *o);
        assert_memory_equal(dv1, dv + A * G * D, T * G * D * sizeof *o);
        end_bufs("packed and alone");
    }
}

/* Scores of some hundred must not overflow. */
static void test_large_scores(void **state) {
    const int32_t cu[] = {0, 90};
    const float *q = values(90 * 3 * 16), *k = values(90 * 16), *v = values(90 * 16);
    float *o[NDEV], *lse[NDEV];
    outputs(o, NULL, 90 * 3 * 16);
    outputs(lse, NULL, 90 * 3);
    for (int i = 0; i < n_devs; i++) devs[i]->attention(devs[i]->ctx, o[i], lse[i], q, k, v, cu, cu, 1, 3, 1, 16, 60);
    check_act_within(o, 90 * 3 * 16, EPS32 * 3000, CARD_FWD, "large scores"); /* |s| some 300, so 50 times the error of |s| 6 */
    check_outputs(lse, 90 * 3, EPS32 * 60, "large scores");
    end_bufs("large scores");
}

static void test_head_too_large(void **state) {
    const int32_t cu[] = {0, 1};
    for (int i = 0; i < n_devs; i++) {
        float *x = values(300), *y = values(300), *l = values(1);
        devs[i]->attention(devs[i]->ctx, y, l, x, x, x, cu, cu, 1, 1, 1, 300, 1);
        assert_int_equal(devs[i]->sync(devs[i]->ctx), K_UNSUPPORTED);
        assert_non_null(strstr(devs[i]->error_text(devs[i]->ctx), "256"));
        assert_int_equal(devs[i]->sync(devs[i]->ctx), K_OK);
    }
    end_bufs("head too large");
}

/* ---- the paged cache ---- */
enum { SEQS = 3, MAX_PAGES = 8, H = 6, G = 2, N_PAGES = SEQS * MAX_PAGES };

struct cache { float *k, *v; int32_t *table; };
static struct cache cache_new(int D) {
    size_t n = (size_t)N_PAGES * G * KV_BLOCK * (size_t)D;
    struct cache c = {buf(n * 4), buf(n * 4), buf(N_PAGES * 4)};
    memset(c.k, 0xff, n * 4); /* what was never stored is NaN, and must never be read */
    memset(c.v, 0xff, n * 4);
    for (int i = 0; i < N_PAGES; i++) c.table[i] = (i * 7 + 5) % N_PAGES; /* pages in no order: 7 and 24 have no common factor */
    return c;
}

static void cached_case(int D) {
    static const int len[SEQS] = {1, 33, 200};
    for (int i = 0; i < n_devs; i++) {
        struct dev *d = devs[i];
        struct cache c = cache_new(D);
        struct kv_view view = {c.k, c.v, c.table, MAX_PAGES};
        for (int s = 0; s < SEQS; s++) { /* all rows at once, beside packed attention */
            int T = len[s], n = T * H * D;
            int32_t cu[] = {0, T}, *seq = buf((size_t)T * 4), *pos = buf((size_t)T * 4);
            for (int t = 0; t < T; t++) seq[t] = s, pos[t] = t;
            const float *q = values(n), *k = values(T * G * D), *v = values(T * G * D);
            float *o = values(n), *want = values(n), *lse = values(T * H), *last = values(H * D);
            d->kv_store(d->ctx, &view, k, v, seq, pos, T, G, D);
            d->attention_cached(d->ctx, o, q, &view, seq, pos, T, H, G, D, 0.2f);
            devs[REF]->attention(devs[REF]->ctx, want, lse, q, k, v, cu, cu, 1, H, G, D, 0.2f);
            double off = distance(o, want, n);
            if (!(off <= (i == CARD ? CARD_FWD : BOUND_FWD))) fail_msg("cached attention, device %d, D %d, T %d: off by %g", i, D, T, off);
            d->attention_cached(d->ctx, last, q + (T - 1) * H * D, &view, seq + T - 1, pos + T - 1, 1, H, G, D, 0.2f);
            assert_memory_equal(last, o + (T - 1) * H * D, H * (size_t)D * 4); /* alone as in the batch */
        }
        end_bufs("cached");
    }
}

static void test_cached(void **state) {
    static const int D[] = {64, 8, 20, 100, 128};
    for (int i = 0; i < 5; i++) cached_case(D[i]);
}

/* Parts of sequences behind what is in the cache, as their tokens one by one. What is stored behind them is not theirs to see. */
static void paged_case(struct dev *d, int heads, int groups, int D) {
    static const int len[SEQS] = {70, 33, 256}, from[SEQS] = {69, 5, 40}, to[SEQS] = {70, 20, 239};
    size_t n = (size_t)N_PAGES * (size_t)groups * KV_BLOCK * (size_t)D;
    int32_t cu[SEQS + 1] = {0}, *seq = buf(1000 * 4), *pos = buf(1000 * 4);
    struct cache c = {buf(n * 4), buf(n * 4), buf(N_PAGES * 4)};
    struct kv_view view = {c.k, c.v, c.table, MAX_PAGES};
    memset(c.k, 0xff, n * 4);
    memset(c.v, 0xff, n * 4);
    for (int i = 0; i < N_PAGES; i++) c.table[i] = (i * 7 + 5) % N_PAGES;
    for (int s = 0; s < SEQS; s++) {
        for (int t = 0; t < len[s]; t++) seq[t] = s, pos[t] = t;
        const float *k = values(len[s] * groups * D), *v = values(len[s] * groups * D);
        d->kv_store(d->ctx, &view, k, v, seq, pos, len[s], groups, D);
    }
    for (int i = 0; i < SEQS; i++) { /* in another order than the cache's */
        int s = (i + 2) % SEQS, R = cu[i];
        for (int t = from[s]; t < to[s]; t++, R++) seq[R] = s, pos[R] = t;
        cu[i + 1] = R;
    }
    int R = cu[SEQS], nq = R * heads * D;
    const float *q = values(nq);
    float *o = values(nq), *want = values(nq);
    d->attention_paged(d->ctx, o, q, &view, seq, pos, cu, cu, SEQS, heads, groups, D, 0.2f);
    d->attention_cached(d->ctx, want, q, &view, seq, pos, R, heads, groups, D, 0.2f);
    double off = distance(o, want, nq);
    if (!(off <= CARD_FWD)) fail_msg("paged attention of %d and %d heads of %d: off by %g", heads, groups, D, off);
    end_bufs("paged");
}

static void test_paged(void **state) {
    static const int heads[][3] = {{6, 2, 64}, {9, 3, 64}, {32, 8, 64}, {4, 4, 64}, {7, 1, 64}, {8, 2, 128}, {5, 1, 128}, {6, 2, 20}};
    int none = 0;
    for (int i = 0; i < n_devs; i++)
        for (size_t s = 0; devs[i]->attention_paged && s < sizeof heads / sizeof *heads; s++) paged_case(devs[i], heads[s][0], heads[s][1], heads[s][2]);
    for (int i = 0; i < n_devs; i++) none += !devs[i]->attention_paged;
    if (none == n_devs) skip(); /* of cards only */
}

int main(int argc, char **argv) { /* names of tests, * for all: for one alone */
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shapes), cmocka_unit_test(test_packed_alone), cmocka_unit_test(test_large_scores), cmocka_unit_test(test_head_too_large), cmocka_unit_test(test_cached), cmocka_unit_test(test_paged)};
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("attention", tests, open_devs, close_devs);
}
