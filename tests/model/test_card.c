/* Training on a card (bf16, or f16 with loss scaling) beside the CPU (f32): the same model, adapter with A and B not zero, batches and dropout masks.
   Every adapter tensor's gradient must point the same way, and the losses of a run stay together, over the rated news sentences.
   Only where COADOR_DEVICE is cuda; CARD_MODEL names another model than the fetched one (a machine with a card may have a
   shortened one). */
#include "common/io/gguf.h"
#include "common/model/decode.h"
#include "common/text/tokenizer.h"
#include "common/train/loss_scale.h"
#include "tests/kernels/act.h"
#include "tests/model/parity.h"
#include <stdio.h>

#define MIN_COSINE 0.9995 /* of every tensor's gradient */
#define MIN_COSINE_E4M3 0.96
#define MIN_LOGITS_COSINE 0.9999
#define LOSS_TOLERANCE 0.01 /* relative, of one pass, and of each step of a run */
#define SIGNS_KEPT 0.999
#define FALL_TOLERANCE 0.12 /* of the first step's fall of the loss, relative */
/* A gradient's tokens: of few, some of the first layers' tensors hang on single roundings to bf16 (kernels/cuda/NOTES.md). */
enum { MAX_ROWS = 4096, MAX_SEQS = 512, STEP_TEXTS = 20, STEPS = 200, CPU = 0, CARD = 1 };

struct side {
    struct dev *d;
    struct model *m;
    struct lora *a;
    struct llama_pass *pass;
    float *grad, *m1, *m2; /* (n) device */
    double *norm_sq;       /* device */
    struct loss_scale scale;
};
struct texts {
    struct ids ids;
    size_t *end; /* of each text */
    int n;
};
struct pair {
    struct side s[2];
    struct texts texts;
    int64_t n;
};

static void *zeros(struct dev *d, size_t bytes) {
    void *p;
    assert_int_equal(d->alloc(d->ctx, &p, bytes), K_OK);
    assert_int_equal(d->zero(d->ctx, p, bytes), K_OK);
    return p;
}

static void side_open(struct side *s, const char *device, const char *path, double dropout, bool live) {
    struct err e = ERR_INIT;
    const char *why = "";
    struct lora_config cfg = {.r = 16, .alpha = 32, .dropout = dropout};
    for (int i = 0; i < N_SITES; i++) cfg.sites[i] = true;
    if (dev_open(&s->d, device, 0, &why) != K_OK) fail_msg("%s: %s", device, why);
    if (!(s->m = model_open(path, s->d, BASE_KEEP, &e)) || !(s->a = lora_new(s->m, &cfg, 1, &e))) fail_msg("%s: %s", device, e.msg);
    float *p = xmalloc((size_t)s->a->n * sizeof *p);
    if (lora_download(s->a, p, &e) < 0) fail_msg("%s", e.msg);
    for (int64_t i = 0; live && i < s->a->n; i++) /* B is zero: give it small values of both signs */
        if (p[i] == 0) p[i] = (float)((int64_t)((uint64_t)i * 2654435761u >> 8 & 0xffff) - 32768) * 0x1p-25f;
    if (lora_upload(s->a, p, &e) < 0) fail_msg("%s", e.msg);
    free(p);
    size_t bytes = (size_t)s->a->n * sizeof(float);
    s->grad = zeros(s->d, bytes);
    s->m1 = zeros(s->d, bytes);
    s->m2 = zeros(s->d, bytes);
    s->norm_sq = zeros(s->d, sizeof(double));
    s->scale = loss_scale_start(s->d->act);
    if (!(s->pass = llama_pass_new(s->m, &cfg, MAX_ROWS, MAX_SEQS, true, 0, &e))) fail_msg("%s: %s", device, e.msg);
}

static void side_close(struct side *s) {
    void *mem[] = {s->grad, s->m1, s->m2, s->norm_sq};
    for (int i = 0; i < 4; i++) s->d->free(s->d->ctx, mem[i]);
    llama_pass_free(s->pass);
    lora_free(s->a);
    model_close(s->m);
    s->d->close(s->d);
}

/* The sentences behind the second tab of each line, in ids of the model's own tokenizer. */
static void texts_open(struct texts *t, const char *model, const char *file) {
    struct err e = ERR_INIT;
    struct buf all = BUF_INIT;
    struct gguf *g = gguf_open(model, &e);
    struct tokenizer *k = g ? tokenizer_from_gguf(g, &e) : NULL;
    if (!k || io_read_all(file, 0, &all, &e) < 0) fail_msg("%s", e.msg);
    *t = (struct texts){0};
    for (char *line = all.p, *next; line && *line; line = next) {
        if ((next = strchr(line, '\n'))) *next++ = 0;
        char *text = strchr(line, '\t');
        if (!text || !(text = strchr(text + 1, '\t'))) continue;
        if (tokenizer_encode(k, text + 1, strcspn(text + 1, "\r"), &t->ids, &e) < 0) continue; /* a line that is not UTF-8 */
        t->end = xrealloc(t->end, (size_t)t->n + 1, sizeof *t->end);
        t->end[t->n++] = t->ids.n;
    }
    buf_release(&all);
    tokenizer_free(k);
    gguf_close(g);
}

static void need(const char *path, const char *make) {
    if (io_exists(path)) return;
    print_message("# SKIP %s is not here: make %s\n", path, make);
    skip();
}

static void pair_open(struct pair *p, double dropout, bool live) {
    const char *device = getenv("COADOR_DEVICE"), *given = getenv("CARD_MODEL"), *dir = getenv("FETCHED");
    if (!device || strncmp(device, "cuda", 4)) {
        print_message("# SKIP not on a card: COADOR_DEVICE=cuda asks for it\n");
        skip();
    }
    char *path = given ? xstrdup(given) : parity_model_path(), *file = io_join(dir ? dir : ".fetched", "nytEditorialSnippets_GroundTruth.txt");
    need(path, "model");
    need(file, "nyt-data");
    side_open(&p->s[CPU], "cpu", path, dropout, live);
    side_open(&p->s[CARD], device, path, dropout, live);
    p->n = p->s[CPU].a->n;
    texts_open(&p->texts, path, file);
    free(path);
    free(file);
}

static void pair_close(struct pair *p) {
    side_close(&p->s[CPU]);
    side_close(&p->s[CARD]);
    ids_release(&p->texts.ids);
    free(p->texts.end);
}

/* Texts first, first + 1, … : as many as there is room for, n at most; all tokens trained. */
static void pack(struct packed *b, const struct texts *t, int first, int n) {
    static int32_t ids[MAX_ROWS], pos[MAX_ROWS], seq[MAX_ROWS], cu[MAX_SEQS + 1], sel[MAX_ROWS], target[MAX_ROWS];
    static float scale[MAX_ROWS];
    *b = (struct packed){.S = 0, .ids = ids, .pos = pos, .seq = seq, .cu = cu, .sel = sel, .target = target, .scale = scale};
    for (int s = 0; s < n && b->S < MAX_SEQS && first + s < t->n; s++) {
        size_t from = first + s ? t->end[first + s - 1] : 0, tokens = t->end[first + s] - from;
        if (b->R + (int)tokens > MAX_ROWS) break;
        if (tokens < 2) continue;
        for (int i = 0; i < (int)tokens; i++) {
            if (i > 0) sel[b->M] = b->R - 1, target[b->M++] = t->ids.v[from + (size_t)i];
            ids[b->R] = t->ids.v[from + (size_t)i], pos[b->R] = i, seq[b->R++] = b->S;
        }
        cu[++b->S] = b->R;
    }
    assert_true(b->M > 0);
    for (int i = 0; i < b->M; i++) scale[i] = 1.0f / (float)b->M;
}

/* Gradients of a pass, scaled where the type asks for it: again with half of it until they are finite, so that both sides take every step. */
static void train(struct side *s, const struct packed *b, const struct dropout_run *drop, float *loss) {
    static float scale[MAX_ROWS];
    struct err e = ERR_INIT;
    struct dev *d = s->d;
    struct packed p = *b;
    double norm_sq = INFINITY;
    p.scale = scale;
    while (!isfinite(norm_sq)) {
        for (int i = 0; i < b->M; i++) scale[i] = b->scale[i] * (float)loss_scale_factor(&s->scale);
        d->zero(d->ctx, s->grad, (size_t)s->a->n * sizeof(float));
        if (llama_train(s->pass, s->a, &p, drop, s->grad, loss, &e) < 0) fail_msg("%s: %s", d->name, e.msg);
        if (s->scale.scale > 0) d->unscale(d->ctx, s->grad, s->a->n, s->scale.scale);
        d->sumsq(d->ctx, s->norm_sq, s->grad, s->a->n, 0);
        assert_int_equal(d->download(d->ctx, &norm_sq, s->norm_sq, sizeof norm_sq), K_OK);
        if (!isfinite(norm_sq)) print_message("# %s: gradients at a loss scale of %g are not finite\n", d->name, s->scale.scale);
        if (s->scale.scale > 0 && loss_scale_after(&s->scale, 0, isfinite(norm_sq), &e) < 0) fail_msg("%s", e.msg);
        assert_true(isfinite(norm_sq) || s->scale.scale > 0);
    }
}

static double pass(struct side *s, const struct packed *b, int step, bool update) {
    struct dev *d = s->d;
    static float loss[MAX_ROWS];
    double mean = 0;
    struct dropout_run drop = {7, (uint32_t)step};
    train(s, b, s->a->cfg.dropout > 0 ? &drop : NULL, loss);
    for (int i = 0; i < b->M; i++) mean += loss[i] / (double)b->M;
    if (!update) return mean;
    struct adamw_step u = {.lr = 1e-4, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .max_norm = 0.3, .t = step + 1};
    d->adamw(d->ctx, s->a->p, s->m1, s->m2, s->grad, s->a->n, &u, s->norm_sq);
    assert_int_equal(d->sync(d->ctx), K_OK);
    return mean;
}

/* Smallest cosine between the two sides' gradients of a tensor. */
static void check_cosines(struct pair *p, const char *what, double least) {
    size_t bytes = (size_t)p->n * sizeof(float);
    float *g[2] = {xmalloc(bytes), xmalloc(bytes)};
    double worst = 1;
    int below = 0;
    for (int i = 0; i < 2; i++) assert_int_equal(p->s[i].d->download(p->s[i].d->ctx, g[i], p->s[i].grad, bytes), K_OK);
    const struct lora *a = p->s[CPU].a;
    for (int t = 0; t < 2 * N_SITES * a->L; t++) {
        const struct weight *w = &p->s[CPU].m->layers[t / 2 / N_SITES].w[t / 2 % N_SITES];
        int64_t at = t % 2 ? a->b_off[t / 2] : a->a_off[t / 2], n = a->cfg.r * (t % 2 ? w->rows : w->cols);
        double xy = 0, xx = 0, yy = 0;
        for (int64_t i = at; i < at + n; i++) xy += (double)g[0][i] * g[1][i], xx += (double)g[0][i] * g[0][i], yy += (double)g[1][i] * g[1][i];
        double cosine = xy / sqrt(xx * yy), length = sqrt(yy / xx);
        below += !(cosine >= least);
        if (!(cosine >= least)) print_message("# %s: %s %c: cosine %.6f, length %.4f of the CPU's\n", what, lora_module_name(t / 2 / N_SITES, (enum site)(t / 2 % N_SITES)), "AB"[t % 2], cosine, length);
        worst = cosine < worst || isnan(cosine) ? cosine : worst;
    }
    print_message("# %s: smallest cosine %.6f of %d tensors, %d below %g\n", what, worst, 2 * N_SITES * a->L, below, least);
    assert_true(worst >= least);
    free(g[0]);
    free(g[1]);
}

/* The card's side in fp8, where it can. */
static void use_e4m3(struct side *s) {
    struct err e = ERR_INIT;
    struct pass_size size = pass_size(&s->m->cfg, MAX_ROWS, MAX_SEQS, KEEP_ALL, 0);
    size.e4m3 = true;
    if (llama_e4m3_able(s->d, &e) < 0) {
        print_message("# SKIP %s\n", e.msg);
        skip();
    }
    llama_pass_free(s->pass);
    if (!(s->pass = llama_pass_sized(s->m, &s->a->cfg, &size, &e))) fail_msg("%s", e.msg);
}

static void gradients(double dropout, bool e4m3, const char *what) {
    struct pair p;
    struct packed b;
    pair_open(&p, dropout, true);
    if (e4m3) use_e4m3(&p.s[CARD]);
    pack(&b, &p.texts, 0, MAX_SEQS);
    double cpu = pass(&p.s[CPU], &b, 0, false), card = pass(&p.s[CARD], &b, 0, false);
    print_message("# %s: %d tokens, loss %.5f, on the card %.5f\n", what, b.R, cpu, card);
    assert_true(fabs(card - cpu) <= LOSS_TOLERANCE * cpu);
    check_cosines(&p, what, e4m3 ? MIN_COSINE_E4M3 : MIN_COSINE);
    pair_close(&p);
}
static void test_gradients(void **state) { gradients(0, false, "gradients"); }
static void test_gradients_dropout(void **state) { gradients(0.1, false, "gradients with dropout"); }
static void test_gradients_e4m3(void **state) { gradients(0, true, "gradients in fp8"); }

/* Sum of |CPU's| over elements whose signs agree, less those that do not, of the whole sum: what a step of signs keeps. */
static double signs_kept(const float *cpu, const float *card, int64_t n) {
    double kept = 0, all = 0;
    for (int64_t i = 0; i < n; i++) {
        double x = fabs((double)cpu[i]);
        all += x;
        kept += ((cpu[i] < 0) == (card[i] < 0) && card[i] != 0) || cpu[i] == 0 ? x : -x;
    }
    return kept / all;
}

/* The first step from B = 0, which AdamW takes by signs alone: the gradients' signs agree where it matters, and B as small as after
   one step, and after a few, lowers the loss as much as on the CPU: shares that small are not lost in bf16. */
static void test_first_step(void **state) {
    struct pair p;
    struct packed b;
    struct err e = ERR_INIT;
    pair_open(&p, 0, false);
    size_t bytes = (size_t)p.n * sizeof(float);
    float *g[2] = {xmalloc(bytes), xmalloc(bytes)}, *w = xmalloc(bytes);
    double from[2];
    pack(&b, &p.texts, 0, MAX_SEQS); /* of few, the fall is hidden by the losses' own roundings */
    for (int i = 0; i < 2; i++) {
        from[i] = pass(&p.s[i], &b, 0, false);
        assert_int_equal(p.s[i].d->download(p.s[i].d->ctx, g[i], p.s[i].grad, bytes), K_OK);
    }
    double kept = signs_kept(g[CPU], g[CARD], p.n);
    print_message("# first step: %.4f of the CPU's signs kept, by size\n", kept);
    const struct lora *a = p.s[CPU].a;
    if (lora_download(a, w, &e) < 0) fail_msg("%s", e.msg);
    for (int k = 1; k <= 4; k *= 2) {
        double fell[2];
        for (int t = 0; t < a->L * N_SITES; t++) {
            int64_t at = a->b_off[t], n = (int64_t)a->cfg.r * p.s[CPU].m->layers[t / N_SITES].w[t % N_SITES].rows;
            for (int64_t i = at; i < at + n; i++) w[i] = (float)(g[CPU][i] > 0 ? -k : g[CPU][i] < 0 ? k : 0) * 1e-4f;
        }
        for (int i = 0; i < 2; i++) {
            if (lora_upload(p.s[i].a, w, &e) < 0) fail_msg("%s", e.msg);
            fell[i] = from[i] - pass(&p.s[i], &b, 0, false);
        }
        print_message("# %d steps: the loss fell by %.4f, on the card by %.4f\n", k, fell[CPU], fell[CARD]);
        assert_true(fabs(fell[CARD] - fell[CPU]) <= FALL_TOLERANCE * fell[CPU]);
    }
    assert_true(kept >= SIGNS_KEPT);
    free(g[0]), free(g[1]), free(w);
    pair_close(&p);
}

/* As a training begins, B zero; one epoch, so that no text is learnt by heart. */
static void test_steps(void **state) {
    struct pair p;
    double worst = 0, cpu = 0, card = 0, first = 0;
    int at = 0;
    pair_open(&p, 0.1, false);
    for (int i = 0; i < STEPS; i++) {
        struct packed b;
        pack(&b, &p.texts, i * STEP_TEXTS, STEP_TEXTS);
        cpu = pass(&p.s[CPU], &b, i, true), card = pass(&p.s[CARD], &b, i, true);
        if (!i) first = cpu;
        double off = fabs(card - cpu) / cpu;
        if (off > worst || isnan(off)) worst = off, at = i;
    }
    print_message("# %d steps: losses from %.4f to %.4f, on the card %.4f; within %.2g, farthest at step %d\n", STEPS, first, cpu, card, worst, at + 1);
    assert_true(worst <= LOSS_TOLERANCE);
    pair_close(&p);
}

/* The same bytes twice: nothing is summed in an order that changes. */
static void test_same_bytes(void **state) {
    struct pair p;
    struct packed b;
    pair_open(&p, 0.1, true);
    struct side *s = &p.s[CARD];
    size_t bytes = (size_t)p.n * sizeof(float);
    float *g[2] = {xmalloc(bytes), xmalloc(bytes)};
    pack(&b, &p.texts, STEP_TEXTS, STEP_TEXTS);
    for (int i = 0; i < 2; i++) {
        pass(s, &b, 0, false);
        assert_int_equal(s->d->download(s->d->ctx, g[i], s->grad, bytes), K_OK);
    }
    assert_memory_equal(g[0], g[1], bytes);
    free(g[0]);
    free(g[1]);
    pair_close(&p);
}

/* Decoding: a prompt, then token by token; the logits point where the CPU's do. */
static void test_decode(void **state) {
    struct pair p;
    struct err e = ERR_INIT;
    struct decoder *d[2];
    enum { PROMPT = 20, NEW = 50 };
    static int32_t ids[PROMPT + NEW], slot[PROMPT + NEW];
    double worst = 1;
    pair_open(&p, 0, false);
    int V = p.s[CPU].m->cfg.V, zero = 0, last = PROMPT - 1;
    float *z[2];
    for (int i = 0; i < PROMPT + NEW; i++) ids[i] = (int32_t)((unsigned)i * 2654435761u % (unsigned)V);
    for (int s = 0; s < 2; s++) {
        z[s] = xmalloc((size_t)V * sizeof(float));
        if (!(d[s] = decoder_new(p.s[s].m, NULL, 0, 2, 256, 64, &e)) || decoder_feed(d[s], ids, slot, PROMPT, &last, 1, z[s], &e) < 0) fail_msg("%s", e.msg);
    }
    for (int i = PROMPT;; i++) {
        double xy = 0, xx = 0, yy = 0;
        for (int c = 0; c < V; c++) xy += (double)z[0][c] * z[1][c], xx += (double)z[0][c] * z[0][c], yy += (double)z[1][c] * z[1][c];
        double cosine = xy / sqrt(xx * yy);
        worst = cosine < worst || isnan(cosine) ? cosine : worst;
        if (i == PROMPT + NEW) break;
        for (int s = 0; s < 2; s++)
            if (decoder_feed(d[s], ids + i, slot, 1, &zero, 1, z[s], &e) < 0) fail_msg("%s", e.msg);
    }
    print_message("# decoding: smallest cosine of logits %.6f\n", worst);
    assert_true(worst >= MIN_LOGITS_COSINE);
    for (int s = 0; s < 2; s++) decoder_free(d[s]), free(z[s]);
    pair_close(&p);
}

/* A prompt that goes on where another one's pages end, and one fed in two pieces, give the logits of one fed whole; several at once. */
static void test_continued(void **state) {
    struct pair p;
    struct err e = ERR_INIT;
    enum { PROMPT = 150, SHARED = 96, N = 3, ROWS = N * PROMPT };
    static int32_t ids[ROWS], slot[ROWS];
    int32_t whole[N], rest[N];
    pair_open(&p, 0, false);
    struct side *c = &p.s[CARD];
    size_t V = (size_t)c->m->cfg.V;
    float *z[2] = {xmalloc(N * V * sizeof(float)), xmalloc(N * V * sizeof(float))};
    struct decoder *d[2];
    for (int s = 0; s < 2; s++)
        if (!(d[s] = decoder_new(c->m, NULL, 0, N, 2048, ROWS, &e))) fail_msg("%s", e.msg);
    for (int n = 0; n < N; n++)
        for (int i = 0; i < PROMPT; i++) ids[n * PROMPT + i] = (int32_t)((unsigned)(i < SHARED ? i : n * PROMPT + i) * 2654435761u % (unsigned)V), slot[n * PROMPT + i] = n;
    for (int n = 0; n < N; n++) whole[n] = (n + 1) * PROMPT - 1, rest[n] = (n + 1) * (PROMPT - SHARED) - 1;
    if (decoder_feed(d[0], ids, slot, ROWS, whole, N, z[0], &e) < 0 || decoder_feed(d[1], ids, slot, SHARED, NULL, 0, NULL, &e) < 0) fail_msg("%s", e.msg);
    for (int n = 1; n < N; n++) decoder_share(d[1], n, 0, SHARED);
    for (int n = 0; n < N; n++)
        for (int i = SHARED; i < PROMPT; i++) ids[n * (PROMPT - SHARED) + i - SHARED] = ids[n * PROMPT + i], slot[n * (PROMPT - SHARED) + i - SHARED] = n;
    if (decoder_feed(d[1], ids, slot, N * (PROMPT - SHARED), rest, N, z[1], &e) < 0) fail_msg("%s", e.msg);
    for (int n = 0; n < N; n++) {
        double xy = 0, xx = 0, yy = 0;
        for (size_t i = n * V; i < (n + 1) * V; i++) xy += (double)z[0][i] * z[1][i], xx += (double)z[0][i] * z[0][i], yy += (double)z[1][i] * z[1][i];
        print_message("# continued %d: cosine of logits %.6f\n", n, xy / sqrt(xx * yy));
        assert_true(xy / sqrt(xx * yy) >= MIN_LOGITS_COSINE);
    }
    for (int s = 0; s < 2; s++) decoder_free(d[s]), free(z[s]);
    pair_close(&p);
}

/* The card's own choice of a step, as a graph and not, is the largest of the logits it would have given; several slots at once. */
static void test_choose_steps(void **state) {
    struct pair p;
    struct err e = ERR_INIT;
    enum { SLOTS = 3, STEPS_EACH = 40 };
    int32_t ids[SLOTS], slot[SLOTS] = {0, 1, 2}, at[SLOTS] = {0, 1, 2}, chosen[SLOTS];
    struct choice greedy[SLOTS];
    for (int i = 0; i < SLOTS; i++) greedy[i] = (struct choice){.top_p = 1, .penalty = 1, .allowed = -1, .seen = -1};
    pair_open(&p, 0, false);
    struct side *c = &p.s[CARD];
    size_t V = (size_t)c->m->cfg.V;
    float *z = xmalloc(SLOTS * V * sizeof *z);
    for (int n = 1; n <= SLOTS; n += 2) {
        struct decoder *a = decoder_new(c->m, NULL, 0, SLOTS, 512, 8, &e), *b = decoder_new(c->m, NULL, 0, SLOTS, 512, 8, &e);
        if (!a || !b || !decoder_chooses(b)) fail_msg("%s", e.msg);
        for (int i = 0; i < n; i++) ids[i] = 100 + i;
        for (int s = 0; s < STEPS_EACH; s++) {
            if (decoder_feed(a, ids, slot, n, at, n, z, &e) < 0 || decoder_begin(b, ids, slot, n, at, n, greedy, &e) < 0 || decoder_choose(b, NULL, NULL, chosen, &e) < 0) fail_msg("%s", e.msg);
            for (int i = 0; i < n; i++) {
                float *row = z + (size_t)i * V, top = row[0];
                for (size_t v = 1; v < V; v++) top = row[v] > top ? row[v] : top;
                assert_in_range(chosen[i], 0, V - 1);
                if (!(row[chosen[i]] >= top - 0.02f * fabsf(top))) print_message("# %d slots, step %d, slot %d: chose %d of logit %.4f, the largest is %.4f\n", n, s, i, (int)chosen[i], row[chosen[i]], top);
                assert_true(row[chosen[i]] >= top - 0.02f * fabsf(top)); /* two kernels' roundings of one logit */
                ids[i] = (chosen[i] + s * 7919) % (int)V;
            }
        }
        decoder_free(a);
        decoder_free(b);
    }
    free(z);
    pair_close(&p);
}

int main(int argc, char **argv) { /* names of tests, * for all: for one alone */
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_first_step), cmocka_unit_test(test_decode), cmocka_unit_test(test_continued), cmocka_unit_test(test_choose_steps),
        cmocka_unit_test(test_gradients), cmocka_unit_test(test_gradients_dropout), cmocka_unit_test(test_gradients_e4m3), cmocka_unit_test(test_steps), cmocka_unit_test(test_same_bytes)};
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
