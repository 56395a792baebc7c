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

/* Layer i's set; a part that is not kept is the first layer's. Those that are not kept are the lowest layers'. */
static void take_acts(struct layout *l, struct llama_pass *p, int i, const struct model_config *c, enum dtype act) {
    struct acts counted, *t = p->acts ? &p->acts[i] : &counted;
    const struct pass_size *s = &p->size;
    if (i > 0 && p->acts) *t = p->acts[0];
    if (i == 0 || s->trains) take_input(l, t, c, &p->lora, s->R, s->trains, act);
    if (i == 0 || (s->trains && i >= s->layers_again)) take_attention(l, t, c, s->R, s->trains, act);
    if (i == 0 || (s->trains && i >= s->mlp_again)) take_mlp(l, t, c, s->R, act);
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
    p->batch = layout_take(l, pass_batch_bytes(&p->size));
}

/* Lays p out from base; with base NULL only counts. */
static size_t lay_out(struct llama_pass *p, const struct model_config *c, enum dtype act, void *base) {
    struct layout l = {base, 0};
    int64_t R = p->size.R;
    for (int i = 0; i < c->L; i++) take_acts(&l, p, i, c, act);
    p->xn = layout_take(&l, dtype_bytes(act, R * widest_input(c)));
    p->xg = layout_take(&l, dtype_bytes(act, R * c->C));
    p->rstd_g = layout_take(&l, (size_t)R * sizeof(float));
    p->loss = layout_take(&l, (size_t)R * sizeof(float));
    take_batch(&l, p);
    if (p->size.trains) take_gradients(&l, p, c, R, act);
    else if (p->acts) p->x_out = p->acts[0].x;
    struct layout layers = l;
    p->logits = layout_take(&l, dtype_bytes(act, (int64_t)p->size.chunk * c->V));
    if (p->size.trains) take_layer_scratch(&layers, p, c, &p->lora, R, act);
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

struct pass_size pass_size(const struct model_config *c, int R, int S, enum kept kept, int chunk) {
    return (struct pass_size){.R = R, .S = S, .chunk = chunk, .trains = kept != KEEP_NOTHING, .layers_again = kept == KEEP_INPUTS ? c->L : 0,
        .mlp_again = kept == KEEP_INPUTS || kept == KEEP_ATTENTION ? c->L : 0};
}

int pass_chunk(const struct pass_size *s, enum dtype act) {
    int chunk = s->chunk > 0 ? s->chunk : act == DT_F32 ? DEFAULT_CHUNK : CARD_CHUNK;
    return chunk < s->R ? chunk : s->R;
}

static void describe(struct llama_pass *p, const struct lora_config *lora, const struct pass_size *size, enum dtype act) {
    *p = (struct llama_pass){.size = *size};
    if (lora) p->lora = *lora;
    p->size.chunk = pass_chunk(size, act);
}

size_t llama_pass_bytes(const struct model_config *c, const struct lora_config *lora, const struct pass_size *size, enum dtype act) {
    struct llama_pass p;
    describe(&p, lora, size, act);
    return lay_out(&p, c, act, NULL);
}

struct llama_pass *llama_pass_new(const struct model *m, const struct lora_config *lora, int R, int S, enum kept kept, int chunk, struct err *e) {
    struct pass_size size = pass_size(&m->cfg, R, S, kept, chunk);
    return llama_pass_sized(m, lora, &size, e);
}

struct llama_pass *llama_pass_sized(const struct model *m, const struct lora_config *lora, const struct pass_size *size, struct err *e) {
    if (size->R < 1 || size->S < 1 || ((size->trains || size->e4m3) && !lora)) BUG("pass of %d rows, %d sequences", size->R, size->S);
    if (size->layers_again < 0 || size->layers_again > size->mlp_again || size->mlp_again > m->cfg.L)
        BUG("%d and %d of %d layers computed again", size->layers_again, size->mlp_again, m->cfg.L);
    if (size->e4m3 && (llama_e4m3_able(m->d, e) < 0 || llama_e4m3_fits(&m->cfg, lora, e) < 0)) return NULL;
    struct llama_pass *p = xmalloc(sizeof *p);
    describe(p, lora, size, m->d->act);
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
    p->shape.cu = xcalloc((size_t)pass_sequences(&p->size) + 1, sizeof *p->shape.cu);
    p->pads = size->trains && graphs_able(m->d);
    p->n_stages = p->pads ? MOST_STAGES : 1;
    if (stage_room(p, 0, e) < 0) {
        llama_pass_free(p);
        return NULL;
    }
    llama_pass_graphs(p, true);
    return p;
}

void llama_pass_free(struct llama_pass *p) {
    if (!p) return;
    llama_pass_graphs(p, false);
    stage_free(p);
    free(p->shape.cu);
    p->m->d->free(p->m->d->ctx, p->arena);
    p->m->d->free(p->m->d->ctx, p->soft_id); /* the first of three in one piece */
    free(p->acts);
    free(p);
}
