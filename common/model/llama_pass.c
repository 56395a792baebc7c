/* The memory of a pass: one piece, laid out once; nothing is allocated per step. */
#include "common/model/llama_pass.h"
#include <stdlib.h>

static bool drops(const struct lora_config *a) { return a->dropout > 0; }

/* Those of one input follow each other. */
static void take_inner(struct layout *l, struct acts *t, const struct lora_config *a, size_t each) {
    for (int in = 0; in < N_INPUTS; in++) {
        size_t n = 0;
        for (int j = 0; j < input_sites[in].n; j++) n += a->sites[(int)input_sites[in].first + j];
        unsigned char *h = layout_take(l, n * each);
        for (int j = 0; j < input_sites[in].n; j++) {
            int s = (int)input_sites[in].first + j;
            t->h[s] = NULL;
            if (!a->sites[s] || !h) continue;
            t->h[s] = h;
            h += each;
        }
    }
}

/* The input of a layer, its attention, its MLP: the three parts that are kept or shared as one. */
/* LoRA's inner activations, small, are kept per site with the input (that of the projection down is not computed again);
   without a backward one scratch serves all. */
static void take_input(struct layout *l, struct acts *t, const struct model_config *c, const struct lora_config *a, int64_t R, bool train, enum dtype act) {
    t->x = layout_take(l, dtype_bytes(act, R * c->C));
    void *h = train || !a->r ? NULL : layout_take(l, dtype_bytes(act, R * a->r));
    for (int s = 0; s < N_SITES; s++) t->h[s] = h;
    if (train) take_inner(l, t, a, dtype_bytes(act, R * a->r));
}

static void take_attention(struct layout *l, struct acts *t, const struct model_config *c, int64_t R, bool train, enum dtype act) {
    t->q = layout_take(l, dtype_bytes(act, R * c->H * c->D));
    t->k = layout_take(l, dtype_bytes(act, R * c->G * c->D));
    t->v = layout_take(l, dtype_bytes(act, R * c->G * c->D));
    t->o = layout_take(l, dtype_bytes(act, R * c->H * c->D));
    t->lse = layout_take(l, (size_t)R * (size_t)c->H * sizeof(float));
    t->x_mid = train ? layout_take(l, dtype_bytes(act, R * c->C)) : t->x;
    for (int i = 0; i < 2; i++) t->rstd[i] = train ? layout_take(l, (size_t)R * sizeof(float)) : NULL;
}

static void take_mlp(struct layout *l, struct acts *t, const struct model_config *c, int64_t R, enum dtype act) {
    t->gate = layout_take(l, dtype_bytes(act, R * c->F));
    t->up = layout_take(l, dtype_bytes(act, R * c->F));
}

/* Layer i's set; a part that is not kept is the first layer's. */
static void take_acts(struct layout *l, struct llama_pass *p, int i, const struct model_config *c, enum dtype act) {
    struct acts counted, *t = p->acts ? &p->acts[i] : &counted;
    if (i > 0 && p->acts) *t = p->acts[0];
    if (i == 0 || p->kept != KEEP_NOTHING) take_input(l, t, c, &p->lora, p->R, p->kept, act);
    if (i == 0 || p->kept == KEEP_ALL || p->kept == KEEP_ATTENTION) take_attention(l, t, c, p->R, p->kept, act);
    if (i == 0 || p->kept == KEEP_ALL) take_mlp(l, t, c, p->R, act);
}

static void take_gradients(struct layout *l, struct llama_pass *p, const struct model_config *c, int64_t R, enum dtype act) {
    p->x_out = layout_take(l, dtype_bytes(act, R * c->C));
    p->dx = layout_take(l, dtype_bytes(act, R * c->C));
    p->dn = layout_take(l, dtype_bytes(act, R * widest_input(c)));
    p->dxg = layout_take(l, dtype_bytes(act, R * c->C));
}

/* Scratch that only the layers use: it lies where the logits are while the head runs. */
static void take_layer_scratch(struct layout *l, struct llama_pass *p, const struct model_config *c, const struct lora_config *a, int64_t R, enum dtype act) {
    int64_t wide = R * widest_input(c);
    p->dq = layout_take(l, dtype_bytes(act, R * c->H * c->D));
    p->dk = layout_take(l, dtype_bytes(act, R * c->G * c->D));
    p->dv = layout_take(l, dtype_bytes(act, R * c->G * c->D));
    p->dh = layout_take(l, dtype_bytes(act, R * a->r * ADAPTED_MOST));
    p->xd = drops(a) ? layout_take(l, dtype_bytes(act, wide)) : NULL;
    p->dxd = drops(a) ? layout_take(l, dtype_bytes(act, wide)) : NULL;
}

static void take_batch(struct layout *l, struct llama_pass *p) {
    size_t rows = (size_t)p->R * sizeof(int32_t);
    p->ids = layout_take(l, rows);
    p->pos = layout_take(l, rows);
    p->seq = layout_take(l, rows);
    p->cu = layout_take(l, ((size_t)p->S + 1) * sizeof(int32_t));
    p->sel = layout_take(l, rows);
    p->target = layout_take(l, rows);
    p->scale = layout_take(l, rows);
}

/* Lays p out from base; with base NULL only counts. */
static size_t lay_out(struct llama_pass *p, const struct model_config *c, enum dtype act, void *base) {
    struct layout l = {base, 0};
    int64_t R = p->R;
    for (int i = 0; i < c->L; i++) take_acts(&l, p, i, c, act);
    p->xn = layout_take(&l, dtype_bytes(act, R * widest_input(c)));
    p->xg = layout_take(&l, dtype_bytes(act, R * c->C));
    p->rstd_g = layout_take(&l, (size_t)R * sizeof(float));
    p->loss = layout_take(&l, (size_t)R * sizeof(float));
    take_batch(&l, p);
    if (p->kept) take_gradients(&l, p, c, R, act);
    else if (p->acts) p->x_out = p->acts[0].x;
    struct layout layers = l;
    p->logits = layout_take(&l, dtype_bytes(act, (int64_t)p->chunk * c->V));
    if (p->kept) take_layer_scratch(&layers, p, c, &p->lora, R, act);
    return l.at > layers.at ? l.at : layers.at;
}

/* Rows of logits at a time: enough that decoding the head's packed weight is small beside the product; a card needs more of
   them to be busy (512 MB of a vocabulary of 128,256). */
#define DEFAULT_CHUNK 128
#define CARD_CHUNK 2048

int download_acts(struct dev *d, float *to, const void *from, int64_t n, struct err *e) {
    size_t bytes = dtype_bytes(d->act, n);
    uint16_t *half = d->act == DT_F32 ? NULL : xmalloc(bytes);
    int rc = dev_err(d, d->download(d->ctx, half ? (void *)half : to, from, bytes), e, "activations", bytes);
    for (int64_t i = 0; half && !rc && i < n; i++) to[i] = d->act == DT_BF16 ? bf16_to_f32(half[i]) : f16_to_f32(half[i]);
    free(half);
    return rc;
}

static void describe(struct llama_pass *p, const struct lora_config *lora, int R, int S, enum kept kept, int chunk) {
    *p = (struct llama_pass){.R = R, .S = S, .kept = kept};
    if (lora) p->lora = *lora;
    p->chunk = chunk > 0 ? chunk : DEFAULT_CHUNK;
    if (p->chunk > R) p->chunk = R;
}

size_t llama_pass_bytes(const struct model_config *c, const struct lora_config *lora, int R, int S, enum kept kept, int chunk) {
    struct llama_pass p;
    describe(&p, lora, R, S, kept, chunk);
    return lay_out(&p, c, DT_F32, NULL);
}

struct llama_pass *llama_pass_new(const struct model *m, const struct lora_config *lora, int R, int S, enum kept kept, int chunk, struct err *e) {
    if (R < 1 || S < 1 || (kept && !lora)) BUG("pass of %d rows, %d sequences", R, S);
    struct llama_pass *p = xmalloc(sizeof *p);
    describe(p, lora, R, S, kept, chunk > 0 || m->d->act == DT_F32 ? chunk : CARD_CHUNK);
    size_t bytes = lay_out(p, &m->cfg, m->d->act, NULL);
    void *arena = NULL;
    if (dev_err(m->d, m->d->alloc(m->d->ctx, &arena, bytes), e, "activations", bytes) < 0) {
        free(p);
        return NULL;
    }
    p->m = m;
    p->arena = arena;
    p->acts = xcalloc((size_t)m->cfg.L, sizeof *p->acts);
    lay_out(p, &m->cfg, m->d->act, arena);
    return p;
}

void llama_pass_free(struct llama_pass *p) {
    if (!p) return;
    p->m->d->free(p->m->d->ctx, p->arena);
    p->m->d->free(p->m->d->ctx, p->soft_id); /* the first of three in one piece */
    free(p->acts);
    free(p);
}
