/* Peak memory by part: see estimate.h. */
#include "common/train/estimate.h"
#include "common/model/llama.h"

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

/* Converted weights leave the pages they were read from behind, which stay resident: the packed linears' bytes. */
static int converted_from(const char *model, enum base_dtype base, size_t weights, const struct model_config *c, size_t *bytes, struct err *e) {
    struct model_config same;
    size_t kept, linears = 0;
    *bytes = 0;
    if (base == BASE_KEEP) return 0;
    if (model_estimate(model, BASE_KEEP, &same, &kept, e) < 0) return -1;
    for (int s = 0; s < N_SITES; s++) {
        int rows, cols;
        site_shape(c, (enum site)s, &rows, &cols);
        linears += (size_t)rows * (size_t)cols * (size_t)c->L;
    }
    size_t others = weights - linears * (base == BASE_F32 ? 4 : 2); /* embedding, head, norms: alike in both */
    if (kept != weights && kept > others) *bytes = kept - others;
    return 0;
}

int estimate_training(struct estimate *x, const char *model, enum base_dtype base, const struct settings *s, int rows, int threads, struct err *e) {
    struct model_config c;
    struct lora_config a = {.r = (int)s->r, .alpha = s->lora_alpha, .dropout = s->lora_dropout, .rslora = s->use_rslora, .per_module = s->lora_dropout_per_module};
    *x = (struct estimate){0};
    if (model_estimate(model, base, &c, &x->weights, e) < 0 || settings_targets(s, c.L, a.sites, e) < 0) return -1;
    size_t source;
    if (converted_from(model, base, x->weights, &c, &source, e) < 0) return -1;
    x->weights += source;
    size_t n = (size_t)parameters(&c, &a) * sizeof(float), seqs = (size_t)(s->batch * s->accumulation);
    int S = seqs < (size_t)rows ? (int)seqs : rows;
    size_t all = llama_pass_bytes(&c, &a, rows, S, true, 0), less = llama_pass_bytes(&c, &a, rows, S, true, 1);
    int chunk = rows < 128 ? rows : 128; /* what llama_pass_new chooses */
    x->logits = chunk > 1 ? (all - less) / (size_t)(chunk - 1) * (size_t)chunk : (size_t)c.V * sizeof(float);
    x->activations = all - x->logits;
    x->adapter = 4 * n;
    x->saving = 2 * n;
    x->runtime = RUNTIME_BYTES + THREAD_BYTES * (size_t)threads + TOKENIZER_BYTES_PER_TOKEN * (size_t)c.V;
    x->total = x->weights + x->adapter + x->activations + x->logits + x->saving + x->runtime;
    return 0;
}

void estimate_put(const struct estimate *x, struct buf *out) {
    const struct { const char *what; size_t bytes; } lines[] = {
        {"weights", x->weights}, {"adapter, gradients, moments", x->adapter}, {"activations", x->activations},
        {"logits", x->logits}, {"saving", x->saving}, {"program and tokenizer", x->runtime}, {"peak", x->total}};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        buf_addf(out, "%-28s %9.1f MiB\n", lines[i].what, (double)lines[i].bytes / 1048576.0);
}
