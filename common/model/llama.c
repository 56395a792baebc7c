/* Forward and backward over a packed batch, from token ids to losses and gradients. */
#include "common/model/llama.h"
#include "common/model/llama_pass.h"

/* Ids come from records, so they are checked here once more; the rest is the packer's promise. */
static int check_batch(const struct llama_pass *p, const struct packed *b, struct err *e) {
    int32_t V = p->m->cfg.V;
    if (b->R < 1 || b->R > p->size.R || b->S < 1 || b->S > p->size.S || b->M < 0 || b->M > b->R)
        BUG("batch of %d rows, %d sequences, %d selected in a pass for %d and %d", b->R, b->S, b->M, p->size.R, p->size.S);
    if (b->cu[0] != 0 || b->cu[b->S] != b->R) BUG("batch of %d rows whose sequences cover %d..%d", b->R, b->cu[0], b->cu[b->S]);
    for (int s = 0; s < b->S; s++)
        if (b->cu[s] >= b->cu[s + 1]) BUG("sequence %d of the batch is empty", s);
    for (int i = 0; i < b->R; i++)
        if (b->ids[i] < 0 || b->ids[i] >= V) return err_set(e, RC_INPUT, "token id %d, the model has 0..%d", (int)b->ids[i], (int)V - 1);
    for (int i = 0; i < b->M; i++) {
        if (b->sel[i] < (i ? b->sel[i - 1] + 1 : 0) || b->sel[i] >= b->R) BUG("selected row %d of %d is %d", i, b->M, (int)b->sel[i]);
        if (b->target && (b->target[i] < 0 || b->target[i] >= V))
            return err_set(e, RC_INPUT, "target id %d, the model has 0..%d", (int)b->target[i], (int)V - 1);
    }
    return 0;
}

static void check_adapters(const struct llama_pass *p, const struct lora *const *a, int n) {
    for (int i = 0; i < n; i++) {
        if (a[i]->cfg.r > p->lora.r) BUG("adapter of rank %d in a pass for %d", a[i]->cfg.r, p->lora.r);
        for (int s = 0; p->size.trains && s < N_SITES; s++)
            if (a[i]->cfg.sites[s] && !p->lora.sites[s]) BUG("adapter on %s in a pass without", site_names[s]);
    }
}

static int upload_batch(struct llama_pass *p, const struct packed *b, struct err *e) {
    struct dev *d = p->m->d;
    const struct {
        void *to;
        const void *from;
        int n;
    } u[] = {{p->ids, b->ids, b->R}, {p->pos, b->pos, b->R}, {p->seq, b->seq, b->R}, {p->cu, b->cu, b->S + 1},
        {p->sel, b->sel, b->M}, {p->target, b->target, b->M}, {p->scale, b->scale, b->M}};
    for (size_t i = 0; i < sizeof u / sizeof *u; i++) {
        size_t bytes = (size_t)u[i].n * sizeof(int32_t);
        if (!u[i].from || !bytes) continue;
        if (dev_err(d, d->upload(d->ctx, u[i].to, u[i].from, bytes), e, "the batch", bytes) < 0) return -1;
    }
    return 0;
}

static int download(struct llama_pass *p, float *to, const void *from, size_t n, struct err *e) {
    struct dev *d = p->m->d;
    if (dev_err(d, d->download(d->ctx, to, from, n * sizeof *to), e, "results", 0) < 0) return -1;
    return dev_err(d, d->sync(d->ctx), e, "the pass", 0);
}

/* Embedding and all layers; leaves x_out. */
static void forward(struct llama_pass *p, const struct run *r, const struct packed *b) {
    const struct model *m = p->m;
    int L = m->cfg.L;
    m->d->embed(m->d->ctx, p->acts[0].x, &m->embed, p->ids, r->R);
    for (int l = 0; l < L; l++) {
        struct acts *t = &p->acts[l];
        layer_qkv(r, l, t);
        layer_attention(r, t, b->cu, p->cu, b->S);
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
    d->scatter_rows(d->ctx, p->dx, p->dxg, p->sel, b->M, b->R, c->C);
}

static struct run run_of(const struct llama_pass *p, const struct lora *const *a, int n_a, const struct packed *b) {
    return (struct run){.m = p->m, .a = a, .n_a = n_a, .R = b->R, .seq = p->seq, .pos = p->pos, .xn = p->xn, .xd = p->xd, .keeps_h = p->size.trains};
}

int llama_train(struct llama_pass *p, const struct lora *a, const struct packed *b, const struct dropout_run *drop, float *grad, float *loss, struct err *e) {
    if (!p->size.trains) BUG("training in a pass without room for it");
    if (drop && a->cfg.dropout > 0 && !p->xd) BUG("dropout in a pass without room for it");
    check_adapters(p, &a, 1);
    if (check_batch(p, b, e) < 0) return -1;
    if (b->M == 0) return 0; /* nothing is trained: no loss, no gradient */
    if (upload_batch(p, b, e) < 0) return -1;
    struct run r = run_of(p, &a, 1, b);
    r.drop = a->cfg.dropout > 0 ? drop : NULL;
    forward(p, &r, b);
    select_rows(p, b);
    if (head_losses(p, b, true, e) < 0) return -1;
    head_backward(p, b);
    llama_backward(p, &r, b->cu, b->S, grad);
    return download(p, loss, p->loss, (size_t)b->M, e);
}

int pass_selected(struct llama_pass *p, const struct lora *const *a, int n_adapters, const struct packed *b, struct err *e) {
    check_adapters(p, a, n_adapters);
    if (check_batch(p, b, e) < 0) return -1;
    if (b->M == 0) return 0;
    if (upload_batch(p, b, e) < 0) return -1;
    struct run r = run_of(p, a, n_adapters, b);
    forward(p, &r, b);
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
