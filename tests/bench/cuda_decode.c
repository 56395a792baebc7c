/* Speed of generation on a device: prompts of 300 random tokens, 256 more tokens, greedy: JSON lines of prefill and decoding, the
   median of runs after one that warms up. The host's own work (no text: ids in, ids out) is in it.
   cuda_decode MODEL DEVICE [BATCH ...]     (1 and 32) */
#include "common/model/generate.h"
#include "common/io/buf.h"
#include "tests/bench/bench.h"

enum { PROMPT = 300, NEW = 256, RUNS = 3 };

static double run(struct generator *g, int batch, int V, struct err *e) {
    static int32_t ids[PROMPT];
    static unsigned seed = 7; /* no prompt comes twice: what was kept of it would be shared */
    double t0 = bench_now();
    for (int b = 0; b < batch; b++) {
        for (int i = 0; i < PROMPT; i++) ids[i] = (int32_t)(rand_r(&seed) % (unsigned)V);
        if (!generator_ready(g, ids, PROMPT) || generator_submit(g, ids, PROMPT, (uint64_t)b, e) < 0) return -1;
    }
    while (generator_active(g))
        if (generator_step(g, e) < 0) return -1;
    for (struct gen_answer *a; (a = generator_take(g));) gen_answer_free(a);
    return bench_now() - t0;
}

static double median(const struct model *m, int batch, int new, struct err *e) {
    double s[RUNS];
    struct gen_options o = {.slots = batch, .max_cached = (int64_t)batch * (PROMPT + NEW + 64), .max_new = new, .sampling = {.top_p = 1, .repetition_penalty = 1}};
    struct generator *g = generator_new(m, NULL, 0, &o, e);
    if (!g) return -1;
    for (int i = -1; i < RUNS; i++) {
        double t = run(g, batch, m->cfg.V, e);
        if (i >= 0) s[i] = t;
        if (t < 0) break;
    }
    generator_free(g);
    bench_sort(s, RUNS);
    return e->code ? -1 : s[RUNS / 2];
}

int main(int argc, char **argv) {
    struct dev *d;
    struct err e = ERR_INIT;
    const char *why = "";
    if (argc < 3) return 2;
    if (dev_open(&d, argv[2], 0, &why) != K_OK) return fprintf(stderr, "%s\n", why), 5;
    struct model *m = model_open(argv[1], d, BASE_KEEP, &e);
    if (!m) return fprintf(stderr, "%s\n", e.msg), 3;
    for (int i = 3; i < (argc > 3 ? argc : 5); i++) {
        int batch = argc > 3 ? atoi(argv[i]) : i == 3 ? 1 : 32;
        double one = median(m, batch, 1, &e), all = one < 0 ? -1 : median(m, batch, NEW + 1, &e);
        if (all < 0) return fprintf(stderr, "%s\n", e.msg), 4;
        printf("{\"model\":\"%s\",\"batch\":%d,\"prefill_tok_s\":%.0f,\"decode_tok_s\":%.0f}\n", argv[1], batch, batch * PROMPT / one, batch * NEW / (all - one));
        fflush(stdout);
    }
    model_close(m);
    d->close(d);
    return 0;
}
