/* The layers' backward: gradients of the adapters, and of the residual stream down to the lowest adapter.
   Nothing is computed for frozen weights. What is cheap is computed again (norms' outputs, SwiGLU's, dropout). */
#include "common/model/llama_pass.h"
#include <math.h>

/* Adds dA, dB of one site. xd: the input its A saw. dx(R,K) = beta·dx + dh·A unless NULL. */
static void site_backward(struct llama_pass *p, const struct run *r, int layer, enum site s, const void *dy, const void *xd, float beta, void *dx, float *grad) {
    struct dev *d = r->m->d;
    const struct weight *w = &r->m->layers[layer].w[s];
    const struct lora *a = r->a[0];
    int at = layer * N_SITES + (int)s;
    const float *A = a->p + a->a_off[at], *B = a->p + a->b_off[at];
    d->lora_up_bwd(d->ctx, p->dh, grad + a->b_off[at], dy, p->acts[layer].h[s], B, a->scale, r->R, a->cfg.r, (int)w->rows);
    d->lora_down_bwd(d->ctx, beta, dx, grad + a->a_off[at], p->dh, xd, A, r->R, a->cfg.r, (int)w->cols);
}

/* The adapters of one input with dropout: their input gradients meet in p->dxd, pass the mask, and join dx. */
static void dropped_backward(struct llama_pass *p, const struct run *r, int layer, enum input in, const void *x, const void *const *dy, void *dx, float *grad) {
    struct dev *d = r->m->d;
    const struct lora *a = r->a[0];
    enum site s0 = input_sites[in].first;
    int K = (int)r->m->layers[layer].w[s0].cols;
    bool shared = !a->cfg.per_module;
    const void *xd = shared ? run_drop(r, layer, in, 0, x, K) : NULL;
    float beta = 0;
    for (int j = 0; j < input_sites[in].n; j++) {
        int module = (int)s0 + j;
        if (a->a_off[layer * N_SITES + module] < 0) continue;
        if (!shared) xd = run_drop(r, layer, in, module, x, K);
        site_backward(p, r, layer, s0 + j, dy[j], xd, beta, dx ? p->dxd : NULL, grad);
        beta = shared;
        if (shared || !dx) continue;
        struct dropout_key key = run_drop_key(r, layer, in, module);
        d->dropout(d->ctx, 1, dx, p->dxd, r->seq, r->pos, &key, r->R, K);
    }
    if (!shared || !dx) return;
    struct dropout_key key = run_drop_key(r, layer, in, 0);
    d->dropout(d->ctx, 1, dx, p->dxd, r->seq, r->pos, &key, r->R, K);
}

/* All of it by one op: dx as below; with dropout the adapters' part passes the mask. x NULL: A's gradient comes later; begun: B's and p->dh
   are there. */
static void adapted_backward(struct llama_pass *p, const struct run *r, int layer, enum input in, const struct adapted *a, bool begun, const void *x, const void *const *dy, void *dx, float *grad) {
    struct dev *d = r->m->d;
    const struct lora *l = r->a[0];
    int at = layer * N_SITES + (int)input_sites[in].first, K = (int)a->w[0].cols;
    float *dA[ADAPTED_MOST], *dB[ADAPTED_MOST];
    for (int j = 0; j < a->n; j++) dA[j] = grad + l->a_off[at + j], dB[j] = grad + l->b_off[at + j];
    const void *xd = x ? run_drop(r, layer, in, 0, x, K) : NULL;
    d->adapted_bwd(d->ctx, dx, r->drop ? p->dxd : NULL, dA, begun ? NULL : dB, dy, xd, p->acts[layer].h[input_sites[in].first], p->dh, a, r->R);
    if (!r->drop || !dx) return;
    struct dropout_key key = run_drop_key(r, layer, in, 0);
    d->dropout(d->ctx, 1, dx, p->dxd, r->seq, r->pos, &key, r->R, K);
}

/* dx(R,K) = gradient of the input x of some linears, from theirs, dy[j]; NULL: not wanted. x may be anything where
   no adapter sits. begun: as above. */
static void input_backward(struct llama_pass *p, const struct run *r, int layer, enum input in, bool begun, const void *x, const void *const *dy, void *dx, float *grad) {
    struct dev *d = r->m->d;
    enum site s0 = input_sites[in].first;
    struct adapted a;
    if (run_adapted(r, layer, in, &a)) {
        a.rounded = r->e4m3 && in == IN_MLP; /* by down_backward */
        adapted_backward(p, r, layer, in, &a, begun, x, dy, dx, grad);
        return;
    }
    for (int j = 0; dx && j < input_sites[in].n; j++)
        d->linear_dx(d->ctx, j > 0, dx, dy[j], &r->m->layers[layer].w[s0 + j], r->R);
    if (!run_adapts(r, layer, in)) return;
    if (r->drop) {
        dropped_backward(p, r, layer, in, x, dy, dx, grad);
        return;
    }
    for (int j = 0; j < input_sites[in].n; j++)
        if (r->a[0]->a_off[layer * N_SITES + (int)s0 + j] >= 0) site_backward(p, r, layer, s0 + j, dy[j], x, 1, dx, grad);
}

/* SwiGLU's backward with A's gradient of the last linear, and B's and p->dh of gate and up; false where the device has no such op. */
static bool swiglu_backward(struct llama_pass *p, const struct run *r, int layer, float *grad) {
    struct dev *d = r->m->d;
    struct acts *t = &p->acts[layer];
    const struct lora *l = r->a[0];
    struct adapted a;
    struct dropped drop;
    if (!d->swiglu_adapted_bwd || !run_adapted(r, layer, IN_MLP, &a)) return false;
    int at = layer * N_SITES;
    float *dB[] = {grad + l->b_off[at + SITE_GATE], grad + l->b_off[at + SITE_UP]};
    return d->swiglu_adapted_bwd(d->ctx, t->gate, t->up, p->dn, t->gate, t->up, grad + l->a_off[at + SITE_DOWN], p->dh, dB, t->h[SITE_GATE], run_dropped(r, layer, IN_DOWN, &drop), &a, r->R);
}

/* The last linear and SwiGLU with one reading of gate and up: the input that A saw comes out of SwiGLU's backward. false where
   the device has no such op. *begun: so are B's gradients of gate and up. */
static bool down_backward(struct llama_pass *p, const struct run *r, int layer, bool *begun, float *grad) {
    struct dev *d = r->m->d;
    struct acts *t = &p->acts[layer];
    struct adapted a;
    if (!d->swiglu_bwd_again || !run_adapted(r, layer, IN_DOWN, &a)) return false;
    int K = (int)a.w[0].cols;
    adapted_backward(p, r, layer, IN_DOWN, &a, false, NULL, (const void *[]){p->dx}, p->dn, grad);
    if ((*begun = !r->e4m3 && swiglu_backward(p, r, layer, grad))) return true;
    if (r->e4m3) d->swiglu_bwd_e4m3(d->ctx, t->gate, t->up, r->xn, p->dn, t->gate, t->up, r->R, K);
    else d->swiglu_bwd_again(d->ctx, t->gate, t->up, r->xn, p->dn, t->gate, t->up, (int64_t)r->R * K);
    const void *xd = run_drop(r, layer, IN_DOWN, 0, r->xn, K);
    d->lora_down_bwd(d->ctx, 0, NULL, grad + r->a[0]->a_off[layer * N_SITES + SITE_DOWN], p->dh, xd, a.A[0], r->R, a.r, K);
    return true;
}

/* Second half: p->dx is the gradient of the next layer's x on entry, of x_mid on return.
   gate and up are overwritten by their gradients. */
static void mlp_backward(struct llama_pass *p, const struct run *r, int layer, enum input lowest, float *grad) {
    const struct model *m = r->m;
    const struct model_config *c = &m->cfg;
    struct dev *d = m->d;
    struct acts *t = &p->acts[layer];
    int64_t n = (int64_t)r->R * c->F;
    bool begun = false;
    if (lowest == IN_DOWN || !down_backward(p, r, layer, &begun, grad)) {
        if (run_adapts(r, layer, IN_DOWN)) d->swiglu(d->ctx, r->xn, t->gate, t->up, n);
        input_backward(p, r, layer, IN_DOWN, false, r->xn, (const void *[]){p->dx}, lowest < IN_DOWN ? p->dn : NULL, grad);
        if (lowest == IN_DOWN) return;
        d->swiglu_bwd(d->ctx, t->gate, t->up, p->dn, t->gate, t->up, n);
    }
    if (run_adapts(r, layer, IN_MLP)) d->rmsnorm(d->ctx, r->xn, NULL, t->x_mid, m->layers[layer].mlp_norm, c->norm_eps, r->R, c->C);
    input_backward(p, r, layer, IN_MLP, begun, r->xn, (const void *[]){t->gate, t->up}, lowest < IN_MLP ? p->dn : NULL, grad);
    if (lowest == IN_MLP) return;
    d->rmsnorm_bwd(d->ctx, p->dx, p->dn, t->x_mid, m->layers[layer].mlp_norm, t->rstd[1], r->R, c->C);
}

/* First half: p->dx goes from the gradient of x_mid to that of x; in layer 0 only the adapters' gradients are wanted. */
static void attention_backward(struct llama_pass *p, const struct run *r, int layer, enum input lowest, float *grad) {
    const struct model *m = r->m;
    const struct model_config *c = &m->cfg;
    struct dev *d = m->d;
    struct acts *t = &p->acts[layer];
    input_backward(p, r, layer, IN_O, false, t->o, (const void *[]){p->dx}, lowest < IN_O ? p->dn : NULL, grad);
    if (lowest == IN_O) return;
    d->attention_bwd(d->ctx, p->dq, p->dk, p->dv, p->dn, t->q, t->k, t->v, t->o, t->lse, p->shape.cu, p->cu, p->shape.S, c->H, c->G, c->D, 1 / sqrtf((float)c->D));
    d->rope(d->ctx, p->dq, r->pos, m->inv_freq, -1, r->R, c->H, c->D);
    d->rope(d->ctx, p->dk, r->pos, m->inv_freq, -1, r->R, c->G, c->D);
    if (run_adapts(r, layer, IN_ATTN)) d->rmsnorm(d->ctx, r->xn, NULL, t->x, m->layers[layer].attn_norm, c->norm_eps, r->R, c->C);
    input_backward(p, r, layer, IN_ATTN, false, r->xn, (const void *[]){p->dq, p->dk, p->dv}, layer > 0 ? p->dn : NULL, grad);
    if (layer == 0) return;
    d->rmsnorm_bwd(d->ctx, p->dx, p->dn, t->x, m->layers[layer].attn_norm, t->rstd[0], r->R, c->C);
}

/* What the forward did not keep of a layer; that of the last one that shares still lies where they do. */
static void compute_again(struct llama_pass *p, const struct run *r, int layer) {
    struct acts *t = &p->acts[layer];
    if (layer < p->size.layers_again - 1) {
        layer_qkv(r, layer, t);
        layer_attention(r, t, p->shape.cu, p->cu, p->shape.S);
        layer_mid(r, layer, t);
    }
    if (layer < p->size.mlp_again - 1) layer_gate_up(r, layer, t);
}

void llama_backward(struct llama_pass *p, const struct run *r, float *grad) {
    enum input lowest = IN_ATTN; /* below layer 0's lowest adapter no gradient is needed */
    while (lowest < IN_DOWN && !run_adapts(r, 0, lowest)) lowest++;
    for (int l = r->m->cfg.L - 1; l >= 0; l--) {
        enum input low = l > 0 ? IN_ATTN : lowest;
        compute_again(p, r, l);
        mlp_backward(p, r, l, low, grad);
        if (low < IN_MLP) attention_backward(p, r, l, low, grad);
    }
}
