/* Time of the products of one decoding step of SmolLM2-135M (30 layers of TYPE, head Q8_0, every weight its own memory) for
   1 to MOST rows, in f32 and with integers, and of attention over a cache: best and median of n runs, and the share of the
   floor that reading the weights once at GB_S (default 31) sets.
   make BUILD=build build/tests/bench/decode && build/tests/bench/decode [threads [runs [context [type [most]]]]] */
#include "tests/bench/bench.h"

enum { C = 576, F = 1536, V = 49152, H = 9, G = 3, D = 64, LAYERS = 30, MOST = 512 };
static const int shapes[7][2] = {{C, C}, {G * D, C}, {G * D, C}, {C, C}, {F, C}, {F, C}, {C, F}};

struct step {
    struct dev *d;
    struct weight w[LAYERS][7], head;
    float *x, *y;
    struct kv_view view;
    int32_t seq[MOST], pos[MOST];
};

static void products(struct step *s, bool int8, int R) {
    struct dev *d = s->d;
    void *y[3] = {s->y, s->y + (int64_t)R * F, s->y + 2 * (int64_t)R * F};
    static const int first[] = {0, 3, 4, 6, 7};
    for (int l = 0; l < LAYERS; l++)
        for (int g = 0; g < 4; g++) {
            if (int8) d->linear_int8(d->ctx, 0, y, s->x, &s->w[l][first[g]], first[g + 1] - first[g], R);
            for (int m = first[g]; !int8 && m < first[g + 1]; m++) d->linear(d->ctx, 0, s->y, s->x, &s->w[l][m], R);
        }
    if (R > 64) return; /* a prompt: no logits */
    if (int8) d->linear_int8(d->ctx, 0, y, s->x, &s->head, 1, R);
    else d->linear(d->ctx, 0, s->y, s->x, &s->head, R);
}

static void attention(struct step *s, bool unused, int R) {
    for (int l = 0; l < LAYERS; l++) s->d->attention_cached(s->d->ctx, s->y, s->x, &s->view, s->seq, s->pos, R, H, G, D, 0.125f);
}

static void line(const char *what, void (*f)(struct step *, bool, int), struct step *st, bool int8, int R, int n) {
    double s[BENCH_MAX];
    for (int i = -1; i < n; i++) {
        double t0 = bench_now();
        f(st, int8, R);
        if (i >= 0) s[i] = bench_now() - t0;
    }
    bench_sort(s, n);
    printf("%-14s %3d rows %9.3f %9.3f ms  %8.1f tokens/s if that were all\n", what, R, s[0] * 1e3, s[n / 2] * 1e3, R / s[0]);
    fflush(stdout);
}

static enum dtype type_of(const char *name) {
    for (int t = 0; t < DT_COUNT; t++)
        if (!strcmp(name, dtype_name((enum dtype)t)) && (dtype_block((enum dtype)t) >= 32 || t == DT_F32)) return (enum dtype)t;
    fprintf(stderr, "no type %s for this\n", name);
    exit(2);
}

int main(int argc, char **argv) {
    static struct step s;
    int threads = argc > 1 ? atoi(argv[1]) : 2, runs = argc > 2 ? atoi(argv[2]) : 15, context = argc > 3 ? atoi(argv[3]) : 500, pages = context / KV_BLOCK + 1;
    enum dtype type = type_of(argc > 4 ? argv[4] : "q4_1");
    int most = argc > 5 ? atoi(argv[5]) : 32;
    const char *why;
    if (runs < 1 || runs > BENCH_MAX || context < 1 || most > MOST || dev_open(&s.d, "cpu", threads, &why) != K_OK) return 2;
    bench_machine();
    printf("# %d threads, %s; %s; n = %d: best, median\n", threads, dev_cpu_features(), dtype_name(type), runs);
    for (int l = 0; l < LAYERS; l++)
        for (int m = 0; m < 7; m++) s.w[l][m] = bench_weight(s.d, type, shapes[m][0], shapes[m][1]);
    s.head = bench_weight(s.d, DT_Q8_0, V, C);
    s.x = bench_values(s.d, (int64_t)most * F);
    s.y = bench_values(s.d, (int64_t)(most < 64 ? 64 : most) * (most < 64 ? V : 3 * F));
    int batch = most < 32 ? most : 32;
    int64_t cache = (int64_t)batch * pages * G * KV_BLOCK * D;
    int32_t *table = bench_get(s.d, (size_t)(batch * pages) * sizeof *table);
    for (int i = 0; i < batch; i++) s.seq[i] = i, s.pos[i] = context - 1;
    for (int i = 0; i < batch * pages; i++) table[i] = i;
    s.view = (struct kv_view){bench_values(s.d, cache), bench_values(s.d, cache), table, pages};
    for (int R = 1; R <= most; R *= 2) {
        line("products f32", products, &s, false, R, runs);
        line("products int8", products, &s, true, R, runs);
        if (R <= batch) line("attention", attention, &s, false, R, runs);
    }
    s.d->close(s.d);
    return 0;
}
