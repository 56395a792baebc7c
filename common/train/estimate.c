/* Peak memory by part: see estimate.h. */
#include "common/train/estimate.h"
#include <stdio.h>

/* What a process has before model and adapter: program and libraries, a thread's stack and kernel scratch, and per
   vocabulary entry the tokenizer. Measured on x86-64 Linux; tests/tools/t3-lora-train-memory.sh holds it to account. */
#define RUNTIME_BYTES (10u << 20)
#define THREAD_BYTES (2u << 20)
#define TOKENIZER_BYTES_PER_TOKEN 220u

static int64_t parameters(const struct model_config *c, const struct lora_config *a) {
    int64_t n = 0;
    for (int s = 0; s < N_SITES; s++) {
        int rows, cols;
        site_shape(c, (enum site)s, &rows, &cols);
        if (a->sites[s]) n += (int64_t)a->r * ((int64_t)rows + cols);
    }
    return n * c->L;
}

/* ---- a card ---- */
static int64_t more(int64_t a, int64_t b) { return a > b ? a : b; }

/* The linears that share an input: sites first..end-1. */
static void count_input(struct dev_work *w, const struct estimate_of *of, int first, int end) {
    int64_t factors = 0, of_a = 0, linears = 0, values = 0;
    for (int s = first; s < end; s++) {
        int rows, cols;
        if (!of->a.sites[s]) continue;
        site_shape(&of->c, (enum site)s, &rows, &cols);
        factors += (int64_t)of->a.r * ((int64_t)rows + cols);
        of_a += (int64_t)of->a.r * cols;
        linears++;
        values += (int64_t)rows * cols;
        w->wide = more(w->wide, rows);
        if (of->a.r % 8 || rows % 8 || cols % 8) w->odd = more(w->odd, rows);
    }
    w->factors = more(w->factors, factors);
    if (linears > 1) w->stacked = more(w->stacked, of_a);
    if (of->packed && linears == end - first && !(of->a.per_module && of->a.dropout > 0)) w->together = more(w->together, values);
}

/* Of all linears, each with an adapter. */
static void count_e4m3(struct dev_work *w, const struct estimate_of *of) {
    static const enum site ends[4] = {SITE_O, SITE_GATE, SITE_DOWN, N_SITES};
    w->e4m3.layers = of->c.L;
    w->e4m3.keeps = of->plain > 0;
    w->e4m3.decodes = of->other > 0;
    for (int in = 0, s = 0; in < 4; in++)
        for (; s < (int)ends[in]; s++) {
            int rows, cols;
            site_shape(&of->c, (enum site)s, &rows, &cols);
            w->e4m3.rows[in] += rows;
            w->e4m3.cols[in] = cols;
        }
}

static struct dev_work work_of(const struct estimate_of *of, int rows, bool e4m3) {
    struct dev_work w = {.rows = rows, .heads = of->c.H, .packed = of->packed, .graph_layers = (int64_t)LLAMA_GRAPHS * of->c.L};
    count_input(&w, of, SITE_Q, SITE_O);
    count_input(&w, of, SITE_O, SITE_GATE);
    count_input(&w, of, SITE_GATE, SITE_DOWN);
    count_input(&w, of, SITE_DOWN, N_SITES);
    if (e4m3) count_e4m3(&w, of);
    return w;
}

/* What is in use already is partly ours (context), and partly another program's. */
static int card_room(struct estimate_of *of, struct dev *d, struct err *e) {
    size_t left, total;
    if (dev_err(d, d->memory_info(d->ctx, &left, &total), e, "the question how much memory is free", 0) < 0) return -1;
    of->fixed.runtime = d->own_bytes(d->ctx, &(struct dev_work){0});
    of->room = left + d->own_bytes(d->ctx, NULL);
    return 0;
}

size_t estimate_held(const struct estimate_of *of, size_t free_bytes) { return of->room > free_bytes ? of->room - free_bytes : 0; }

/* ---- both ---- */
int estimate_training(struct estimate_of *of, struct dev *d, const char *model, enum base_dtype base, const struct settings *s, struct err *e) {
    struct model_size m;
    *of = (struct estimate_of){.d = d, .seqs = (int)(s->batch * s->accumulation), .room = SIZE_MAX};
    struct estimate *x = &of->fixed;
    of->a = (struct lora_config){.r = (int)s->r, .alpha = s->lora_alpha, .dropout = s->lora_dropout, .rslora = s->use_rslora, .per_module = s->lora_dropout_per_module};
    if (model_estimate(model, base, d, &m, e) < 0 || settings_targets(s, m.cfg.L, of->a.sites, e) < 0) return -1;
    of->c = m.cfg;
    of->packed = m.packed;
    of->plain = m.plain;
    of->other = m.other;
    size_t n = (size_t)parameters(&of->c, &of->a) * sizeof(float);
    x->weights = m.bytes;
    of->moments = 2 * dev_block(d, n);
    x->adapter = 2 * of->moments;
    if (d->own_bytes) return card_room(of, d, e);
    x->weights += m.source; /* converted weights leave the pages behind that they were read from */
    x->saving = 2 * n;
    x->runtime = RUNTIME_BYTES + THREAD_BYTES * (size_t)dev_threads(d) + TOKENIZER_BYTES_PER_TOKEN * (size_t)of->c.V;
    return 0;
}

struct estimate estimate_pass(const struct estimate_of *of, const struct pass_size *size) {
    struct estimate x = of->fixed;
    struct pass_size s = *size;
    if (of->paged) x.adapter -= of->moments;
    s.trains = true;
    s.S = of->seqs < s.R ? of->seqs : s.R;
    size_t all = llama_pass_bytes(&of->c, &of->a, &s, of->d->act);
    x.logits = dtype_bytes(of->d->act, (int64_t)pass_chunk(&s, of->d->act) * of->c.V);
    x.activations = dev_block(of->d, all) - x.logits;
    if (of->d->own_bytes) {
        struct dev_work w = work_of(of, s.R, s.e4m3);
        x.scratch = of->d->own_bytes(of->d->ctx, &w) - x.runtime;
    }
    x.total = x.weights + x.adapter + x.activations + x.logits + x.scratch + x.saving + x.runtime;
    return x;
}

void estimate_put(const struct estimate_of *of, const struct estimate *x, struct buf *out) {
    char peak[40];
    bool card = of->d->own_bytes != NULL;
    snprintf(peak, sizeof peak, "peak on %s", of->d->name);
    const struct { const char *what; size_t bytes; } lines[] = {
        {"weights", x->weights}, {of->paged ? "adapter, gradients" : "adapter, gradients, moments", x->adapter}, {"activations", x->activations},
        {"logits", x->logits}, {"scratch of the kernels", x->scratch}, {"saving", x->saving},
        {card ? "context and libraries" : "program and tokenizer", x->runtime}, {peak, x->total}};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (lines[i].bytes) buf_addf(out, "%-28s %9.1f MiB\n", lines[i].what, (double)lines[i].bytes / 1048576.0);
    if (of->paged) buf_addf(out, "%-28s %9.1f MiB\n", "moments, of the host", (double)of->moments / 1048576.0);
}
