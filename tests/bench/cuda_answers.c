/* Speed of answers on a device: prompts of a common beginning and tokens of their own, JSON lines of each way to choose: tokens and answers a second,
   and how much of the time is the host's for constraints, told by doing their part again for the answers that came.
   cuda_answers MODEL DEVICE SCHEMA BATCH ANSWERS NEW [host] [alone]     SCHEMA: its answers, and free ones of as many tokens at most; host: the host
   chooses from logits, where a device did not always choose; alone: no prompt begins as another */
#include "common/model/generate.h"
#include "common/text/asked.h"
#include "tests/bench/bench.h"
#include <math.h>

enum { COMMON = 200, OWN = 60, PROMPT = COMMON + OWN };

struct work {
    const char *name;
    bool constrained;
    struct sampling how;
};
static const struct work works[] = {
    {"plain, greedy", false, {0, 0, 1, 1, 1}},
    {"plain, temperature 0.7", false, {0.7, 0, 1, 1, 1}},
    {"plain, temperature 0.7 top-p 0.9", false, {0.7, 0, 0.9, 1, 1}},
    {"plain, temperature 0.7 top-p 0.9 top-k 50 penalty 1.1", false, {0.7, 50, 0.9, 1.1, 1}},
    {"schema, greedy", true, {0, 0, 1, 1, 1}},
    {"schema, temperature 0.7 top-p 0.9", true, {0.7, 0, 0.9, 1, 1}},
};
struct result {
    long tokens, calls, shared, passes, failed;
    double seconds, mask, take; /* mask: can be beside the device's work; take: cannot */
};

enum { HOST_NEW = 8 }; /* tokens of the host's free answers: sorting takes it 10 ms each */
static bool alone;

static void prompt(int32_t *ids, int i, int V) {
    unsigned seed = alone ? 2000000u + (unsigned)i : 7;
    for (int t = 0; t < PROMPT; t++) {
        if (t == COMMON) seed = 1000u + (unsigned)i;
        ids[t] = 100 + (int32_t)(rand_r(&seed) % (unsigned)(V - 100));
    }
}

/* The constraint's part of an answer again. */
static int again(const struct gen_answer *a, struct constraint *c, int max_new, uint32_t *bits, const int32_t *eos, int n_eos, struct result *r, struct err *e) {
    struct constrained b;
    struct ids ids = {0};
    int rc = 0;
    constrained_start(&b, c, (uint32_t)max_new);
    for (size_t i = 0; rc == 0;) {
        double t0 = bench_now();
        rc = constrained_force(&b, c, &ids, 0, e);
        i = ids.n;
        bool ended = rc < 0 || constrained_ended(&b, c) || i >= a->ids.n;
        double t1 = bench_now();
        r->take += t1 - t0;
        if (ended) break;
        constrained_mask(&b, c, bits);
        double t2 = bench_now();
        r->mask += t2 - t1;
        for (int k = 0; k < n_eos; k++) ended |= a->ids.v[i] == eos[k];
        if (ended) break;
        constrained_accept(&b, c, a->ids.v[i]);
        ids_add(&ids, a->ids.v[i]);
        r->take += bench_now() - t2;
    }
    constrained_end(&b);
    ids_release(&ids);
    return rc;
}

static int run(const struct model *m, const struct gen_options *o, int answers, struct result *r, struct err *e) {
    int32_t ids[PROMPT];
    uint32_t *bits = o->constraint ? calloc(constraint_words(o->constraint) + 1, sizeof *bits) : NULL;
    struct generator *g = generator_new(m, NULL, 0, o, e);
    struct gen_answer **all = calloc((size_t)answers, sizeof(void *));
    int next = 0, n = 0;
    if (!g) return -1;
    double t0 = bench_now();
    while (next < answers || generator_active(g)) {
        for (; next < answers; next++) {
            prompt(ids, next, m->cfg.V);
            if (!generator_ready(g, ids, PROMPT)) break;
            if (generator_submit(g, ids, PROMPT, (uint64_t)next, e) < 0) return -1;
        }
        if (generator_step(g, e) < 0) return -1;
        r->passes++;
        for (struct gen_answer *a; (a = generator_take(g)); n++) all[n] = a;
    }
    r->seconds = bench_now() - t0;
    for (int i = 0; i < n; i++) {
        r->tokens += (long)all[i]->ids.n, r->calls += all[i]->calls, r->shared += (long)all[i]->n_shared, r->failed += all[i]->finish == FINISH_FAILED;
        if (bits && all[i]->finish != FINISH_FAILED && again(all[i], o->constraint, o->max_new, bits, o->eos, o->n_eos, r, e) < 0) return -1;
        gen_answer_free(all[i]);
    }
    free(all);
    free(bits);
    generator_free(g);
    return 0;
}

int main(int argc, char **argv) {
    struct dev *d;
    struct err e = ERR_INIT;
    const char *why = "";
    if (argc < 7) return fprintf(stderr, "usage: cuda_answers MODEL DEVICE SCHEMA BATCH ANSWERS NEW [host] [alone]\n"), 2;
    int batch = atoi(argv[4]), answers = atoi(argv[5]), new = atoi(argv[6]);
    if (dev_open(&d, argv[2], 0, &why) != K_OK) return fprintf(stderr, "%s\n", why), 5;
    const char *who = d->choose ? "device" : "host";
    for (int i = 7; i < argc; i++) {
        if (!strcmp(argv[i], "host")) d->choose = NULL, who = "host";
        else alone = true;
    }
    struct model *m = model_open(argv[1], d, BASE_KEEP, &e);
    struct asked ask = {.schema_file = argv[3], .prefix = " "};
    if (!m || asked_read(&ask, &e) < 0) return fprintf(stderr, "%s\n", e.msg), 3;
    struct vocab *v = vocab_new(m->tok);
    struct grammar *grammar = asked_grammar(&ask, vocab_bytes(v), &e);
    struct constraint *c = constraint_new(grammar, v, m->tok);
    for (size_t i = 0; i < sizeof works / sizeof *works; i++) {
        const struct work *w = &works[i];
        bool host = *who == 'h';
        if (host && !w->constrained && w->how.top_p >= 1) continue;
        struct result r = {0}, warm = {0};
        struct gen_options o = {.slots = batch, .max_cached = (int64_t)batch * 1024, .max_new = host && !w->constrained ? HOST_NEW : new, .eos = m->cfg.eos, .n_eos = w->constrained ? m->cfg.n_eos : 0, .sampling = w->how,
            .constraint = w->constrained ? c : NULL};
        if ((!host && run(m, &o, batch, &warm, &e) < 0) || run(m, &o, answers, &r, &e) < 0) return fprintf(stderr, "%s\n", e.msg), 4;
        printf("{\"work\":\"%s\",\"chooses\":\"%s\",\"batch\":%d,\"answers\":%d,\"failed\":%ld,\"tokens\":%ld,\"calls\":%ld,\"passes\":%ld,\"shared_tokens\":%ld,\"s\":%.3f,\"tok_s\":%.0f,\"answers_s\":%.1f,\"ms_a_pass\":%.3f,\"masks_ms_a_pass\":%.3f,\"taking_ms_a_pass\":%.3f}\n",
            w->name, who, batch, answers, r.failed, r.tokens, r.calls, r.passes, r.shared, r.seconds, (double)r.tokens / r.seconds, answers / r.seconds, 1e3 * r.seconds / (double)r.passes,
            1e3 * r.mask / (double)r.passes, 1e3 * r.take / (double)r.passes);
        fflush(stdout);
    }
    constraint_free(c);
    vocab_free(v);
    asked_release(&ask);
    model_close(m);
    d->close(d);
    return 0;
}
