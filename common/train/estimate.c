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

int estimate_training(struct estimate_of *of, const char *model, enum base_dtype base, const struct settings *s, int threads, struct err *e) {
    *of = (struct estimate_of){.seqs = (int)(s->batch * s->accumulation)};
    struct estimate *x = &of->fixed;
    of->a = (struct lora_config){.r = (int)s->r, .alpha = s->lora_alpha, .dropout = s->lora_dropout, .rslora = s->use_rslora, .per_module = s->lora_dropout_per_module};
    if (model_estimate(model, base, &of->c, &x->weights, e) < 0 || settings_targets(s, of->c.L, of->a.sites, e) < 0) return -1;
    size_t source;
    if (converted_from(model, base, x->weights, &of->c, &source, e) < 0) return -1;
    x->weights += source;
    size_t n = (size_t)parameters(&of->c, &of->a) * sizeof(float);
    x->adapter = 4 * n;
    x->saving = 2 * n;
    x->runtime = RUNTIME_BYTES + THREAD_BYTES * (size_t)threads + TOKENIZER_BYTES_PER_TOKEN * (size_t)of->c.V;
    return 0;
}

struct estimate estimate_pass(const struct estimate_of *of, const struct pass_plan *plan) {
    struct estimate x = of->fixed;
    int S = of->seqs < plan->rows ? of->seqs : plan->rows;
    size_t all = llama_pass_bytes(&of->c, &of->a, plan->rows, S, plan->kept, 0), less = llama_pass_bytes(&of->c, &of->a, plan->rows, S, plan->kept, 1);
    int chunk = plan->rows < 128 ? plan->rows : 128; /* what llama_pass_new chooses */
    x.logits = chunk > 1 ? (all - less) / (size_t)(chunk - 1) * (size_t)chunk : (size_t)of->c.V * sizeof(float);
    x.activations = all - x.logits;
    x.total = x.weights + x.adapter + x.activations + x.logits + x.saving + x.runtime;
    return x;
}

/* Time of a token, in that of a large pass that keeps all. Decoding the packed weights for a pass takes as long as some
   40 rows of it; a step is 3 forwards, of which the MLP's gate and up are 45 % and all but the projection down 77 %. */
static double cost(const struct pass_plan *p) {
    static const double again[] = {[KEEP_ALL] = 1, [KEEP_ATTENTION] = 1.15, [KEEP_INPUTS] = 1.26};
    return again[p->kept] * (1 + 40.0 / p->rows);
}

int estimate_fit(const struct estimate_of *of, size_t limit, int longest, struct pass_plan *plan, struct err *e) {
    struct pass_plan best = {0}, p;
    int most = plan->rows > longest ? plan->rows : longest;
    for (int k = plan->kept; k <= KEEP_INPUTS; k++)
        for (int parts = 1; parts <= 16; parts++) {
            p = (struct pass_plan){most / parts > longest ? most / parts : longest, (enum kept)k};
            if (estimate_pass(of, &p).total <= limit && (!best.rows || cost(&p) < cost(&best))) best = p;
        }
    if (!best.rows) {
        p = (struct pass_plan){longest, KEEP_INPUTS};
        return err_set(e, RC_IO, "training takes at least %.0f MiB with its longest row of %d tokens", (double)estimate_pass(of, &p).total / 1048576.0, longest);
    }
    *plan = best;
    return 0;
}

void estimate_put(const struct estimate *x, struct buf *out) {
    const struct { const char *what; size_t bytes; } lines[] = {
        {"weights", x->weights}, {"adapter, gradients, moments", x->adapter}, {"activations", x->activations},
        {"logits", x->logits}, {"saving", x->saving}, {"program and tokenizer", x->runtime}, {"peak", x->total}};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        buf_addf(out, "%-28s %9.1f MiB\n", lines[i].what, (double)lines[i].bytes / 1048576.0);
}
