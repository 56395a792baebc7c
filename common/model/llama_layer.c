/* A layer's forward in two parts, with whatever attention between them: packed in llama.c, cached in decode.c. */
#include "common/model/llama_pass.h"
#include <math.h>

const struct input_sites input_sites[N_INPUTS] = {
    [IN_ATTN] = {SITE_Q, 3}, [IN_O] = {SITE_O, 1}, [IN_MLP] = {SITE_GATE, 2}, [IN_DOWN] = {SITE_DOWN, 1}};

void *layout_take(struct layout *l, size_t bytes) {
    void *p = l->base ? l->base + l->at : NULL;
    l->at += (bytes + 63) / 64 * 64;
    return p;
}

int widest_input(const struct model_config *c) {
    int w = c->C > c->H * c->D ? c->C : c->H * c->D;
    return w > c->F ? w : c->F;
}

static bool has_site(const struct lora *a, int layer, enum site s) { return a->a_off[layer * N_SITES + s] >= 0; }

bool run_adapts(const struct run *r, int layer, enum input in) {
    for (int i = 0; i < r->n_a; i++)
        for (int j = 0; j < input_sites[in].n; j++)
            if (has_site(r->a[i], layer, input_sites[in].first + j)) return true;
    return false;
}

/* Only training drops, and it runs one adapter. */
struct dropout_key run_drop_key(const struct run *r, int layer, enum input in, int module) {
    const struct lora_config *c = &r->a[0]->cfg;
    return (struct dropout_key){.seed = r->drop->seed, .step = r->step, .layer = (uint32_t)layer,
        .site = c->per_module ? 8 + (uint32_t)module : (uint32_t)in, .p = (float)c->dropout};
}

const struct dropped *run_dropped(const struct run *r, int layer, enum input in, struct dropped *drop) {
    if (!r->drop) return NULL;
    *drop = (struct dropped){run_drop_key(r, layer, in, 0), r->seq, r->pos};
    return drop;
}

const void *run_drop(const struct run *r, int layer, enum input in, int module, const void *x, int K) {
    if (!r->drop) return x;
    struct dev *d = r->m->d;
    struct dropout_key key = run_drop_key(r, layer, in, module);
    d->dropout(d->ctx, 0, r->xd, x, r->seq, r->pos, &key, r->R, K);
    return r->xd;
}

/* y += Σ over adapters of scale·(x·Aᵀ)·Bᵀ for one site; h is scratch, or what the backward will read. */
static void site_adapt(const struct run *r, int layer, enum site s, void *y, const void *x, void *h) {
    struct dev *d = r->m->d;
    const struct weight *w = &r->m->layers[layer].w[s];
    for (int i = 0; i < r->n_a; i++) {
        const struct lora *a = r->a[i];
        if (!has_site(a, layer, s)) continue;
        int at = layer * N_SITES + (int)s;
        d->lora_down(d->ctx, h, x, a->p + a->a_off[at], r->R, a->cfg.r, (int)w->cols);
        d->lora_up(d->ctx, y, h, a->p + a->b_off[at], a->scale, r->R, a->cfg.r, (int)w->rows);
    }
}

void linears(struct dev *d, bool int8, float beta, void *const *y, const void *x, const struct weight *w, int n, int R) {
    if (int8)
        d->linear_int8(d->ctx, beta, y, x, w, n, R);
    else
        for (int j = 0; j < n; j++) d->linear(d->ctx, beta, y[j], x, &w[j], R);
}

bool run_adapted(const struct run *r, int layer, enum input in, struct adapted *a) {
    enum site s0 = input_sites[in].first;
    if (!r->m->d->adapted || r->n_a != 1 || (r->drop && r->a[0]->cfg.per_module)) return false;
    const struct lora *l = r->a[0];
    *a = (struct adapted){.n = input_sites[in].n, .r = l->cfg.r, .e4m3 = r->e4m3, .s = l->scale, .w = &r->m->layers[layer].w[s0]};
    for (int j = 0; j < a->n; j++) {
        int at = layer * N_SITES + (int)s0 + j;
        if (l->a_off[at] < 0) return false;
        a->A[j] = l->p + l->a_off[at];
        a->B[j] = l->p + l->b_off[at];
    }
    return true;
}

/* y = x unless they are the same buffer. */
static void carry(const struct run *r, void *y, const void *x) {
    struct dev *d = r->m->d;
    if (y != x) d->copy(d->ctx, y, x, dtype_bytes(d->act, (int64_t)r->R * r->m->cfg.C));
}

/* y[j] = the linears of one input, y[0] with `onto` (residual stream; NULL: none) added; the base path sees x undropped. */
static void input_forward(const struct run *r, int layer, enum input in, const void *x, const void *onto, void *const *y, void *const *h) {
    struct dev *d = r->m->d;
    const struct weight *w = r->m->layers[layer].w;
    enum site s0 = input_sites[in].first;
    struct adapted a;
    if (r->keeps_h && run_adapted(r, layer, in, &a)) {
        a.rounded = r->e4m3 && in != IN_O; /* so input_norm and layer_rest write it */
        d->adapted(d->ctx, onto, y, x, run_drop(r, layer, in, 0, x, (int)w[s0].cols), h[s0], &a, r->R);
        return;
    }
    if (onto) carry(r, y[0], onto);
    linears(d, r->int8, onto ? 1 : 0, y, x, &w[s0], input_sites[in].n, r->R);
    if (!run_adapts(r, layer, in)) return;
    bool per_module = r->drop && r->a[0]->cfg.per_module;
    const void *xd = per_module ? NULL : run_drop(r, layer, in, 0, x, (int)w[s0].cols);
    for (int j = 0; j < input_sites[in].n; j++) {
        if (per_module) {
            if (!has_site(r->a[0], layer, s0 + j)) continue;
            xd = run_drop(r, layer, in, (int)s0 + j, x, (int)w[s0].cols);
        }
        site_adapt(r, layer, s0 + j, y[j], xd, h[s0 + j]);
    }
}

/* xn = x normed, the input of the next linears */
static void input_norm(const struct run *r, float *rstd, const void *x, const float *w) {
    const struct model_config *c = &r->m->cfg;
    struct dev *d = r->m->d;
    if (r->e4m3) d->rmsnorm_e4m3(d->ctx, r->xn, rstd, x, w, c->norm_eps, r->R, c->C);
    else d->rmsnorm(d->ctx, r->xn, rstd, x, w, c->norm_eps, r->R, c->C);
}

void layer_qkv(const struct run *r, int layer, struct acts *t) {
    const struct model *m = r->m;
    const struct model_config *c = &m->cfg;
    struct dev *d = m->d;
    input_norm(r, t->rstd[0], t->x, m->layers[layer].attn_norm);
    input_forward(r, layer, IN_ATTN, r->xn, NULL, (void *[]){t->q, t->k, t->v}, t->h);
    d->rope(d->ctx, t->q, r->pos, m->inv_freq, 1, r->R, c->H, c->D);
    d->rope(d->ctx, t->k, r->pos, m->inv_freq, 1, r->R, c->G, c->D);
}

void layer_attention(const struct run *r, struct acts *t, const int32_t *cu, const int32_t *cu_dev, int S) {
    const struct model_config *c = &r->m->cfg;
    struct dev *d = r->m->d;
    d->attention(d->ctx, t->o, t->lse, t->q, t->k, t->v, cu, cu_dev, S, c->H, c->G, c->D, 1 / sqrtf((float)c->D));
}

void layer_mid(const struct run *r, int layer, struct acts *t) {
    input_forward(r, layer, IN_O, t->o, t->x, (void *[]){t->x_mid}, t->h);
}

void layer_gate_up(const struct run *r, int layer, struct acts *t) {
    input_norm(r, t->rstd[1], t->x_mid, r->m->layers[layer].mlp_norm);
    input_forward(r, layer, IN_MLP, r->xn, NULL, (void *[]){t->gate, t->up}, t->h);
}

/* SwiGLU with h of the adapter that it feeds, where the device can and nothing is rounded to e4m3. */
static bool swiglu_and_h(const struct run *r, int layer, struct acts *t, struct adapted *a) {
    struct dev *d = r->m->d;
    if (!d->swiglu_adapted || !r->keeps_h || r->e4m3 || !run_adapted(r, layer, IN_DOWN, a)) return false;
    struct dropped drop;
    return d->swiglu_adapted(d->ctx, r->xn, t->h[SITE_DOWN], t->gate, t->up, a->A[0], run_dropped(r, layer, IN_DOWN, &drop), r->m->cfg.F, a->r, r->R);
}

void layer_rest(const struct run *r, int layer, struct acts *t, void *x_next) {
    struct dev *d = r->m->d;
    struct adapted a;
    layer_mid(r, layer, t);
    layer_gate_up(r, layer, t);
    if (swiglu_and_h(r, layer, t, &a)) {
        d->adapted(d->ctx, t->x_mid, (void *[]){x_next}, r->xn, NULL, t->h[SITE_DOWN], &a, r->R);
        return;
    }
    if (r->e4m3) d->swiglu_e4m3(d->ctx, r->xn, t->gate, t->up, r->R, r->m->cfg.F);
    else d->swiglu(d->ctx, r->xn, t->gate, t->up, (int64_t)r->R * r->m->cfg.F);
    input_forward(r, layer, IN_DOWN, r->xn, t->x_mid, (void *[]){x_next}, t->h);
}
