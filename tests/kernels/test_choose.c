/* The choice of the next token beside one made with nothing but a sort and sums: by the sampler, and where COADOR_DEVICE is cuda by the card. */
#include "common/model/sampler.h"
#include "tests/kernels/ktest.h"

#define NEAR 0x1p-27 /* of the whole: where another token may come by rounding */
enum { ROWS = 96, RECORD = 11 };

struct item { float z; int32_t id; };
struct row_case {
    const float *z;            /* (V) */
    const uint32_t *may, *was; /* bits or NULL */
    struct sampling how;
    uint64_t step;
};
struct wanted {
    int32_t id, other; /* the latter where u is near the border between the two */
    bool loose;        /* what top_p keeps is near another choice */
};

/* ---- the reference ---- */
static int falling(const void *a, const void *b) {
    const struct item *x = a, *y = b;
    return x->z != y->z ? (x->z < y->z ? 1 : -1) : x->id - y->id;
}

static int candidates(const struct row_case *c, int V, struct item *out) {
    int n = 0;
    float f = (float)c->how.repetition_penalty;
    for (int i = 0; i < V; i++) {
        float z = c->z[i];
        if (c->was && c->was[i / 32] >> i % 32 & 1) z = z > 0 ? z / f : z * f;
        if (isfinite(z) && (!c->may || c->may[i / 32] >> i % 32 & 1)) out[n++] = (struct item){z, i};
    }
    return n;
}

static struct wanted reference(const struct row_case *c, int V) {
    struct item *x = malloc((size_t)V * sizeof *x);
    int n = candidates(c, V, x);
    struct wanted w = {-1, -1, false};
    bool cut = c->how.top_k > 0 || c->how.top_p < 1;
    float top = -INFINITY;
    for (int i = 0; i < n; i++) top = x[i].z > top ? x[i].z : top;
    if (cut || c->how.temperature == 0) qsort(x, (size_t)n, sizeof *x, falling);
    if (c->how.temperature == 0) n = n ? 1 : 0;
    if (c->how.top_k > 0 && n > c->how.top_k) n = c->how.top_k;
    long double sum = 0, below = 0, all = 0;
#define WEIGHT(i) expl(((long double)x[i].z - top) / c->how.temperature)
    for (int i = 0; i < n && c->how.temperature > 0; i++) sum += WEIGHT(i);
    for (int i = 0; i < n && c->how.top_p < 1 && c->how.temperature > 0; i++) {
        if (i && fabsl(below - c->how.top_p * sum) < NEAR * sum) w.loose = true;
        if (i && below >= c->how.top_p * sum) n = i;
        else below += WEIGHT(i);
    }
    for (int i = 0; i < n && c->how.temperature > 0; i++) all += WEIGHT(i);
    long double u = sampler_uniform(c->how.seed, RECORD, c->step) * all, at = 0;
    for (int i = 0; i < n; i++) {
        if (c->how.temperature > 0) at += WEIGHT(i);
        if (w.id < 0 && (at > u || i == n - 1)) w.id = w.other = x[i].id;
        if (fabsl(at - u) < NEAR * all && i + 1 < n) w.other = w.id == x[i].id ? x[i + 1].id : x[i].id;
    }
    free(x);
    return w;
}

/* ---- who chooses ---- */
static void by_sampler(int32_t *got, const struct row_case *c, int M, int V) {
    float *z = malloc((size_t)V * sizeof *z);
    int32_t *seen = malloc((size_t)V * sizeof *seen);
    for (int m = 0; m < M; m++) {
        size_t n = 0;
        struct sampler *s = sampler_new(&c[m].how, V);
        for (int i = 0; i < V && c[m].was; i++)
            if (c[m].was[i / 32] >> i % 32 & 1) seen[n++] = i;
        memcpy(z, c[m].z, (size_t)V * sizeof *z);
        got[m] = sampler_next(s, z, c[m].may, seen, n, RECORD, c[m].step);
        sampler_free(s);
    }
    free(z);
    free(seen);
}

static void *on_card(struct dev *d, const void *p, size_t bytes) {
    void *to;
    assert_int_equal(d->alloc(d->ctx, &to, bytes), K_OK);
    assert_int_equal(d->upload(d->ctx, to, p, bytes), K_OK);
    return to;
}

static void by_card(struct dev *d, int32_t *got, const struct row_case *c, int M, int V) {
    const size_t words = ((size_t)V + 31) / 32, v = (size_t)V;
    uint16_t *z = malloc((size_t)M * v * sizeof *z);
    uint32_t *bits[2] = {calloc((size_t)M * words, 4), calloc((size_t)M * words, 4)}, *bits_dev[2];
    struct choice *how = calloc((size_t)M, sizeof *how);
    for (size_t m = 0; m < (size_t)M; m++) {
        const struct sampling *s = &c[m].how;
        for (size_t i = 0; i < v; i++) z[m * v + i] = act_of(d->act, c[m].z[i]);
        if (c[m].may) memcpy(bits[0] + m * words, c[m].may, words * 4);
        if (c[m].was) memcpy(bits[1] + m * words, c[m].was, words * 4);
        how[m] = (struct choice){s->temperature, s->top_p, sampler_uniform(s->seed, RECORD, c[m].step), (float)s->repetition_penalty, s->top_k, c[m].may ? (int)m : -1, c[m].was ? (int)m : -1};
    }
    void *z_dev = on_card(d, z, (size_t)M * v * sizeof *z), *how_dev = on_card(d, how, (size_t)M * sizeof *how);
    memset(got, 0x5a, (size_t)M * sizeof *got);
    int32_t *got_dev = on_card(d, got, (size_t)M * sizeof *got), again[ROWS];
    for (int i = 0; i < 2; i++) bits_dev[i] = on_card(d, bits[i], (size_t)M * words * 4);
    for (int run = 0; run < 2; run++) {
        d->choose(d->ctx, got_dev, z_dev, M, V, how_dev, bits_dev[0], bits_dev[1]);
        assert_int_equal(d->download(d->ctx, run ? again : got, got_dev, (size_t)M * sizeof *got), K_OK);
        if (d->sync(d->ctx) != K_OK) fail_msg("%s", d->error_text(d->ctx));
    }
    assert_memory_equal(got, again, (size_t)M * sizeof *got);
    d->free(d->ctx, z_dev), d->free(d->ctx, how_dev), d->free(d->ctx, got_dev), d->free(d->ctx, bits_dev[0]), d->free(d->ctx, bits_dev[1]);
    free(z), free(how), free(bits[0]), free(bits[1]);
}

static struct dev *card;
static int open_card(void **state) {
    const char *asked = getenv("COADOR_DEVICE"), *why = "";
    if (!asked || strncmp(asked, "cuda", 4)) return 0;
    if (dev_open(&card, asked, 1, &why) != K_OK) return print_message("# %s\n", why), -1;
    card_act = card->act;
    return 0;
}
static int close_card(void **state) {
    if (card) card->close(card);
    return 0;
}

static int n_loose;
static void check(const struct row_case *c, int M, int V) {
    int32_t got[2][ROWS];
    assert_true(M <= ROWS);
    by_sampler(got[0], c, M, V);
    if (card) by_card(card, got[1], c, M, V);
    for (int m = 0; m < M; m++) {
        struct wanted w = reference(&c[m], V);
        const struct sampling *s = &c[m].how;
        n_loose += w.loose || w.id != w.other;
        for (int i = 0; i <= (card != NULL) && !w.loose; i++)
            if (got[i][m] != w.id && got[i][m] != w.other)
                fail_msg("%s, row %d of %d: %d instead of %d; V %d, temperature %g, top_k %d, top_p %g, penalty %g, %s, %s", i ? "card" : "sampler", m, M, got[i][m], w.id, V,
                    s->temperature, s->top_k, s->top_p, s->repetition_penalty, c[m].may ? "mask" : "no mask", c[m].was ? "seen" : "none seen");
    }
}

/* ---- cases ---- */
enum kind { SPREAD, TIES, EQUAL, ODD, NONE_FINITE, HUGE_ONES, N_KINDS };
static float logit(enum kind kind, int i) {
    static const float odd[] = {NAN, INFINITY, -INFINITY, 0, -0.0f, 1e-39f, -1e-39f};
    float x = 6 * normal();
    switch (kind) {
    case TIES: return floorf(x / 2);
    case EQUAL: return -1.5f;
    case ODD: return rng() % 3 ? odd[rng() % 7] : x;
    case NONE_FINITE: return odd[i % 3];
    case HUGE_ONES: return x * 0x1p120f;
    default: return x;
    }
}

static const float *row_of(enum kind kind, int V) {
    float *z = buf((size_t)V * sizeof *z);
    for (int i = 0; i < V; i++) z[i] = rounded(logit(kind, i));
    return z;
}

/* One token in `each` is in it, at random; 0: none; 1: a single one. */
static const uint32_t *bits_of(int V, int each) {
    uint32_t *b = buf(((size_t)V + 31) / 32 * 4);
    memset(b, 0, ((size_t)V + 31) / 32 * 4);
    if (each == 1) each = V, b[(unsigned)(V / 2) / 32] |= 1u << V / 2 % 32;
    else
        for (int i = 0; each && i < V; i++)
            if (rng() % (unsigned)each == 0) b[i / 32] |= 1u << i % 32;
    return b;
}

static void check_kind(enum kind kind, int V) {
    static const double temperature[] = {0, 0.7, 1, 5, 0.05, 1000, 1e-310}, top_p[] = {1, 0.9, 0.5, 1e-9, 0.999999}, penalty[] = {1, 1.3, 0.7};
    const int top_k[] = {0, 1, 2, 50, V - 1, V, V + 5, 1000000000}, masks[] = {-1, 2, 40, 1, 0};
    static struct row_case c[ROWS];
    for (int m = 0; m < ROWS; m++) {
        int may = masks[rng() % 5], k = rng() % 2 ? top_k[rng() % 8] : 0;
        double p = rng() % 2 ? top_p[rng() % 5] : 1;
        c[m] = (struct row_case){.z = row_of(kind, V), .may = may < 0 ? NULL : bits_of(V, may), .step = rng(),
            .how = {temperature[rng() % 7], k < 0 ? 0 : k, p, rng() % 3 ? 1 : penalty[rng() % 3], rng()}};
        if (c[m].how.repetition_penalty != 1) c[m].was = bits_of(V, 3);
    }
    check(c, V > 10000 ? 24 : ROWS, V);
    end_bufs("choose");
}

static void test_kinds(void **state) {
    static const int sizes[] = {1, 2, 7, 8, 31, 32, 33, 255, 256, 257, 1000, 1003, 8192, 8200};
    for (int kind = 0; kind < N_KINDS; kind++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) check_kind((enum kind)kind, sizes[i]);
}

static void test_vocabularies(void **state) {
    for (int kind = SPREAD; kind <= ODD; kind++) check_kind((enum kind)kind, 49152);
    check_kind(SPREAD, 50257);
    check_kind(SPREAD, 128256);
}

/* Weights that are alike, so that borders are met exactly: what is kept and what comes has no rounding. */
static void test_borders(void **state) {
    static const double top_p[] = {0.1, 0.25, 0.5, 0.9, 0.3};
    enum { V = 40 };
    for (int i = 0; i < 5; i++) {
        float *z = buf(V * sizeof *z);
        struct row_case c[ROWS];
        for (int t = 0; t < V; t++) z[t] = t % 4 ? -80 : 2.5f; /* ten of weight 1, others of 0 */
        for (int m = 0; m < ROWS; m++) c[m] = (struct row_case){.z = z, .step = (uint64_t)m, .how = {0.5, 0, top_p[i], 1, 3}};
        int32_t want[ROWS], kept = 0;
        for (double below = 0; kept == 0 || below < top_p[i] * 10; kept++) below++;
        for (int m = 0; m < ROWS; m++) want[m] = 4 * (int32_t)(sampler_uniform(3, RECORD, (uint64_t)m) * kept);
        int32_t got[ROWS];
        by_sampler(got, c, ROWS, V);
        assert_memory_equal(got, want, sizeof got);
        if (card) by_card(card, got, c, ROWS, V);
        assert_memory_equal(got, want, sizeof got);
    }
    end_bufs("choose");
}

static void test_few_are_near(void **state) {
    print_message("# %d choices were near a border\n", n_loose);
    assert_in_range(n_loose, 0, 100) /* of some 8,000 */;
}

int main(int argc, char **argv) { /* names of tests, * for all: for one alone */
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kinds), cmocka_unit_test(test_vocabularies), cmocka_unit_test(test_borders), cmocka_unit_test(test_few_are_near)};
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, open_card, close_card);
}
