/* Scoring by packed forward passes: see score.h. */
#include "common/model/score.h"
#include <stdlib.h>

struct scorer {
    const struct model *m;
    const struct lora *const *a;
    int n_adapters, max_rows, K;
    struct llama_pass *pass;
    int pass_rows;
    struct ids ids, pos, seq, cu, sel, target; /* the packed batch */
    float *loss;
    size_t cap_loss;
    int32_t *id; /* soft labels of a pass: (cap_soft,K) (cap_soft,K) (cap_soft) */
    float *logp, *tail;
    size_t cap_soft;
};
struct sink { /* where soft labels go; NULL: the items take log-probabilities */
    float T;
    soft_put_fn *put;
    void *arg;
};

/* The adapter whose rank asks for most room. */
static const struct lora_config *widest(const struct lora *const *a, int n) {
    const struct lora_config *w = NULL;
    for (int i = 0; i < n; i++)
        if (!w || a[i]->cfg.r > w->r) w = &a[i]->cfg;
    return w;
}

/* A pass that holds R rows, in place of the one there. */
static int new_pass(struct scorer *s, int R, struct err *e) {
    llama_pass_free(s->pass);
    s->pass_rows = R;
    s->pass = llama_pass_new(s->m, widest(s->a, s->n_adapters), R, R, false, 0, e);
    if (!s->pass) return -1;
    return s->K ? llama_pass_soft(s->pass, s->K, e) : 0;
}

struct scorer *scorer_new(const struct model *m, const struct lora *const *a, int n, int max_rows, int K, struct err *e) {
    struct scorer *s = xcalloc(1, sizeof *s);
    *s = (struct scorer){.m = m, .a = a, .n_adapters = n, .max_rows = max_rows, .K = K};
    if (new_pass(s, max_rows, e) == 0) return s;
    scorer_free(s);
    return NULL;
}

void scorer_free(struct scorer *s) {
    if (!s) return;
    struct ids *all[] = {&s->ids, &s->pos, &s->seq, &s->cu, &s->sel, &s->target};
    for (int i = 0; i < 6; i++) ids_release(all[i]);
    llama_pass_free(s->pass);
    free(s->loss);
    free(s->id);
    free(s->logp);
    free(s->tail);
    free(s);
}

static void pack(struct scorer *s, const struct score_item *it) {
    for (size_t i = 0; i < it->ids.n; i++) {
        if (i + 1 < it->ids.n && i + 1 >= it->n_prompt) {
            ids_add(&s->sel, (int32_t)s->ids.n);
            ids_add(&s->target, it->ids.v[i + 1]);
        }
        ids_add(&s->ids, it->ids.v[i]);
        ids_add(&s->pos, (int32_t)i);
        ids_add(&s->seq, (int32_t)s->cu.n - 1);
    }
    ids_add(&s->cu, (int32_t)s->ids.n);
}

static int run_scores(struct scorer *s, const struct packed *b, struct score_item *items, int n, struct err *e) {
    GROW(s->loss, s->sel.n, s->cap_loss);
    if (llama_score(s->pass, s->a, s->n_adapters, b, s->loss, e) < 0) return -1;
    const float *loss = s->loss;
    for (int i = 0; i < n; i++)
        for (size_t k = items[i].n_prompt; k < items[i].ids.n; k++) items[i].logprob[k - items[i].n_prompt] = -*loss++;
    return 0;
}

static int run_soft(struct scorer *s, const struct packed *b, const struct sink *to, struct err *e) {
    size_t n = s->sel.n, K = (size_t)s->K;
    if (n > s->cap_soft) {
        s->cap_soft = n;
        s->id = xrealloc(s->id, n * K, sizeof *s->id);
        s->logp = xrealloc(s->logp, n * K, sizeof *s->logp);
        s->tail = xrealloc(s->tail, n, sizeof *s->tail);
    }
    if (llama_topk(s->pass, s->a, s->n_adapters, b, to->T, s->id, s->logp, s->tail, e) < 0) return -1;
    return to->put(to->arg, (int64_t)n, s->id, s->logp, s->tail, e);
}

static int run_pass(struct scorer *s, struct score_item *items, int n, const struct sink *to, struct err *e) {
    struct ids *all[] = {&s->ids, &s->pos, &s->seq, &s->cu, &s->sel, &s->target};
    for (int i = 0; i < 6; i++) all[i]->n = 0;
    ids_add(&s->cu, 0);
    for (int i = 0; i < n; i++) pack(s, &items[i]);
    struct packed b = {.R = (int)s->ids.n, .S = n, .M = (int)s->sel.n, .ids = s->ids.v, .pos = s->pos.v, .seq = s->seq.v,
                       .cu = s->cu.v, .sel = s->sel.v, .target = s->target.v};
    if (b.R > s->pass_rows && new_pass(s, b.R, e) < 0) return -1; /* a single long item */
    return to ? run_soft(s, &b, to, e) : run_scores(s, &b, items, n, e);
}

static int run_passes(struct scorer *s, struct score_item *items, int n, const struct sink *to, struct err *e) {
    for (int i = 0; i < n;) {
        size_t rows = items[i].ids.n;
        int k = i + 1;
        while (k < n && rows + items[k].ids.n <= (size_t)s->max_rows) rows += items[k++].ids.n;
        if (run_pass(s, items + i, k - i, to, e) < 0) return -1;
        i = k;
    }
    return 0;
}

int scorer_run(struct scorer *s, struct score_item *items, int n, struct err *e) { return run_passes(s, items, n, NULL, e); }

int scorer_soft(struct scorer *s, struct score_item *items, int n, float T, soft_put_fn *put, void *arg, struct err *e) {
    if (!s->K) BUG("a scorer without room for soft labels");
    return run_passes(s, items, n, &(struct sink){T, put, arg}, e);
}
