/* Forward and backward over a packed batch, from token ids to losses and gradients. */
#include "common/model/llama.h"
#include "common/model/llama_pass.h"

static void check_adapters(const struct llama_pass *p, const struct lora *const *a, int n) {
    for (int i = 0; i < n; i++) {
        if (a[i]->cfg.r > p->lora.r) BUG("adapter of rank %d in a pass for %d", a[i]->cfg.r, p->lora.r);
        for (int s = 0; p->size.trains && s < N_SITES; s++)
            if (a[i]->cfg.sites[s] && !p->lora.sites[s]) BUG("adapter on %s in a pass without", site_names[s]);
    }
}

static int download(struct llama_pass *p, float *to, const void *from, size_t n, struct err *e) {
    struct dev *d = p->m->d;
    if (dev_err(d, d->download(d->ctx, to, from, n * sizeof *to), e, "results", 0) < 0) return -1;
    return dev_err(d, d->sync(d->ctx), e, "the pass", 0);
}

/* Embedding and all layers; leaves x_out. */
static void forward(struct llama_pass *p, const struct run *r, float *grad) {
    const struct model *m = p->m;
    int L = m->cfg.L;
    m->d->embed(m->d->ctx, p->acts[0].x, &m->embed, p->ids, r->R);
    for (int l = 0; l < L; l++) {
        struct acts *t = &p->acts[l];
        layer_qkv(r, l, t);
        layer_attention(r, t, p->shape.cu, p->cu, p->shape.S);
        layer_rest(r, l, t, l + 1 < L ? p->acts[l + 1].x : p->x_out);
    }
}

/* The selected rows of x_out through the last norm, into xn (M,C). */
static void select_rows(struct llama_pass *p, const struct packed *b) {
    const struct model_config *c = &p->m->cfg;
    struct dev *d = p->m->d;
    d->gather_rows(d->ctx, p->xg, p->x_out, p->sel, b->M, c->C);
    d->rmsnorm(d->ctx, p->xn, p->rstd_g, p->xg, p->m->norm, c->norm_eps, b->M, c->C);
}

/* Row `at` of a buffer of activations C wide. */
static void *row(const struct llama_pass *p, void *x, int at) {
    return (char *)x + dtype_bytes(p->m->d->act, (int64_t)at * p->m->cfg.C);
}

void pass_head(struct llama_pass *p, int at, int n) {
    struct dev *d = p->m->d;
    d->linear(d->ctx, 0, p->logits, row(p, p->xn, at), &p->m->head, n);
}

/* Losses of the selected rows into p->loss; with `grad` also the gradient of xn, into dn. */
static int head_losses(struct llama_pass *p, const struct packed *b, bool grad, struct err *e) {
    struct dev *d = p->m->d;
    for (int at = 0; at < b->M; at += p->size.chunk) {
        int n = b->M - at < p->size.chunk ? b->M - at : p->size.chunk;
        pass_head(p, at, n);
        if (!b->soft)
            d->cross_entropy(d->ctx, p->loss + at, p->logits, p->target + at, grad ? p->scale + at : NULL, n, p->m->cfg.V);
        else if (pass_distill(p, b, at, n, grad, e) < 0)
            return -1;
        if (grad) d->linear_dx(d->ctx, 0, row(p, p->dn, at), p->logits, &p->m->head, n);
    }
    return 0;
}

/* From dn, the gradient of the last norm's output, to dx, that of x_out. */
static void head_backward(struct llama_pass *p, const struct packed *b) {
    const struct model_config *c = &p->m->cfg;
    struct dev *d = p->m->d;
    d->zero(d->ctx, p->dxg, dtype_bytes(d->act, (int64_t)b->M * c->C));
    d->rmsnorm_bwd(d->ctx, p->dxg, p->dn, p->xg, p->m->norm, p->rstd_g, b->M, c->C);
    d->scatter_rows(d->ctx, p->dx, p->dxg, p->sel, b->M, p->shape.R, c->C);
}

static struct run run_of(const struct llama_pass *p, const struct lora *const *a, int n_a) {
    return (struct run){.m = p->m, .a = a, .n_a = n_a, .R = p->shape.R, .seq = p->seq, .pos = p->pos, .step = p->step, .xn = p->xn, .xd = p->xd, .keeps_h = p->size.trains, .e4m3 = p->size.e4m3};
}

/* All of it queued; the losses are in p->loss. 0 where nothing is trained: nothing ran. */
static int train(struct llama_pass *p, const struct lora *a, const struct packed *b, const struct dropout_run *drop, float *grad, struct err *e) {
    if (!p->size.trains) BUG("training in a pass without room for it");
    if (drop && a->cfg.dropout > 0 && !p->xd) BUG("dropout in a pass without room for it");
    check_adapters(p, &a, 1);
    int rc = pass_batch(p, b, drop ? drop->step : 0, e);
    if (rc <= 0) return rc;
    struct run r = run_of(p, &a, 1);
    r.drop = a->cfg.dropout > 0 ? drop : NULL;
    struct pass_graph *g = graphs_find(p, &r, grad);
    if (graphs_run(p, g, PART_FORWARD, forward, &r, grad, e) < 0) return -1;
    select_rows(p, b);
    if (head_losses(p, b, true, e) < 0) return -1;
    stage_end(p);
    head_backward(p, b);
    return graphs_run(p, g, PART_BACKWARD, llama_backward, &r, grad, e) < 0 ? -1 : 1;
}

int llama_train(struct llama_pass *p, const struct lora *a, const struct packed *b, const struct dropout_run *drop, float *grad, float *loss, struct err *e) {
    int rc = train(p, a, b, drop, grad, e);
    return rc <= 0 ? rc : download(p, loss, p->loss, (size_t)b->M, e);
}

int llama_train_queued(struct llama_pass *p, const struct lora *a, const struct packed *b, const struct dropout_run *drop, float *grad, float *loss, double *loss_sq, struct err *e) {
    struct dev *d = p->m->d;
    int rc = train(p, a, b, drop, grad, e);
    if (rc <= 0) return rc;
    d->sumsq(d->ctx, loss_sq, p->loss, b->M, 1);
    return dev_err(d, d->fetch(d->ctx, loss, p->loss, (size_t)b->M * sizeof *loss), e, "the losses", 0);
}

int pass_selected(struct llama_pass *p, const struct lora *const *a, int n_adapters, const struct packed *b, struct err *e) {
    check_adapters(p, a, n_adapters);
    int rc = pass_batch(p, b, 0, e);
    if (rc <= 0) return rc;
    stage_end(p);
    struct run r = run_of(p, a, n_adapters);
    forward(p, &r, NULL);
    select_rows(p, b);
    return 1;
}

int llama_score(struct llama_pass *p, const struct lora *const *a, int n_adapters, const struct packed *b, float *loss, struct err *e) {
    int rc = pass_selected(p, a, n_adapters, b, e);
    if (rc <= 0) return rc;
    if (head_losses(p, b, false, e) < 0) return -1;
    return download(p, loss, p->loss, (size_t)b->M, e);
}

int llama_logits(struct llama_pass *p, const struct lora *const *a, int n_adapters, const struct packed *b, float *logits, struct err *e) {
    int rc = pass_selected(p, a, n_adapters, b, e);
    if (rc <= 0) return rc;
    size_t V = (size_t)p->m->cfg.V;
    for (int at = 0; at < b->M; at += p->size.chunk) {
        int n = b->M - at < p->size.chunk ? b->M - at : p->size.chunk;
        pass_head(p, at, n);
        if (download_acts(p->m->d, logits + (size_t)at * V, p->logits, (int64_t)n * (int64_t)V, e) < 0) return -1;
    }
    return dev_err(p->m->d, p->m->d->sync(p->m->d->ctx), e, "the pass", 0);
}
