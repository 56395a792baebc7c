/* Soft labels in a pass: a teacher's made, a student's losses against them. Chunk by chunk, as the logits are. */
#include "common/model/llama.h"
#include "common/model/llama_pass.h"

int llama_soft_able(const struct dev *d, struct err *e) {
    return d->topk && d->distill ? 0 : err_set(e, RC_DEVICE, "soft labels cannot be computed on %s: --device cpu", d->name);
}

int llama_pass_soft(struct llama_pass *p, int K, struct err *e) {
    struct dev *d = p->m->d;
    size_t rows = (size_t)p->size.chunk, bytes = rows * ((size_t)K * 8 + 4);
    if (K < 1 || K > TOPK_MAX || K >= p->m->cfg.V || p->soft_id) BUG("room for %d of %d tokens", K, p->m->cfg.V);
    if (llama_soft_able(d, e) < 0) return -1;
    if (dev_err(d, d->alloc(d->ctx, (void **)&p->soft_id, bytes), e, "soft labels", bytes) < 0) return -1;
    p->K = K;
    p->soft_logp = (float *)(p->soft_id + rows * (size_t)K);
    p->soft_tail = p->soft_logp + rows * (size_t)K;
    return p->pads ? stage_room(p, (size_t)p->size.R * ((size_t)K * 8 + 4), e) : 0;
}

static int upload(struct llama_pass *p, void *to, const void *from, size_t n, struct err *e) {
    struct dev *d = p->m->d;
    return dev_err(d, d->upload(d->ctx, to, stage_put(p, from, n * 4), n * 4), e, "soft labels", n * 4);
}

int pass_distill(struct llama_pass *p, const struct packed *b, int at, int n, bool grad, struct err *e) {
    struct dev *d = p->m->d;
    struct soft_labels s = *b->soft;
    size_t from = (size_t)at * (size_t)s.K, values = (size_t)n * (size_t)s.K;
    if (s.K != p->K) BUG("soft labels of %d tokens in a pass for %d", s.K, p->K);
    if (upload(p, p->soft_id, s.id + from, values, e) < 0 || upload(p, p->soft_logp, s.logp + from, values, e) < 0 ||
        upload(p, p->soft_tail, s.tail + at, (size_t)n, e) < 0)
        return -1;
    s.id = p->soft_id;
    s.logp = p->soft_logp;
    s.tail = p->soft_tail;
    d->distill(d->ctx, p->loss + at, p->logits, p->target + at, grad ? p->scale + at : NULL, &s, n, p->m->cfg.V);
    return 0;
}

static int download(struct llama_pass *p, void *to, const void *from, size_t n, struct err *e) {
    struct dev *d = p->m->d;
    return dev_err(d, d->download(d->ctx, to, from, n * 4), e, "soft labels", n * 4);
}

int llama_topk(struct llama_pass *p, const struct lora *const *a, int n_adapters, const struct packed *b, float T, int32_t *id, float *logp, float *tail, struct err *e) {
    struct dev *d = p->m->d;
    if (!p->K) BUG("a pass without room for soft labels");
    int rc = pass_selected(p, a, n_adapters, b, e);
    if (rc <= 0) return rc;
    for (int at = 0; at < b->M; at += p->size.chunk) {
        int n = b->M - at < p->size.chunk ? b->M - at : p->size.chunk;
        size_t from = (size_t)at * (size_t)p->K, values = (size_t)n * (size_t)p->K;
        pass_head(p, at, n);
        d->topk(d->ctx, p->soft_id, p->soft_logp, p->soft_tail, p->logits, T, n, p->m->cfg.V, p->K);
        if (download(p, id + from, p->soft_id, values, e) < 0 || download(p, logp + from, p->soft_logp, values, e) < 0 ||
            download(p, tail + at, p->soft_tail, (size_t)n, e) < 0)
            return -1;
    }
    return dev_err(d, d->sync(d->ctx), e, "the pass", 0);
}
