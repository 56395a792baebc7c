/* Adapters' parameters on a device: see lora.h. Their files are lora_peft.c's. */
#include "common/model/lora.h"
#include "common/io/buf.h"
#include "common/model/lora_files.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

float lora_scale(const struct lora_config *c) { return (float)(c->alpha / (c->rslora ? sqrt((double)c->r) : (double)c->r)); }

const char *lora_module_name(int layer, enum site s) {
    static char name[80];
    snprintf(name, sizeof name, "model.layers.%d.%s", layer, site_paths[s]);
    return name;
}

/* ---- initial values ---- */
/* SplitMix64's output function (Steele, Lea, Flood 2014): a bijection of 64 bits that scatters counters. */
static uint64_t mix(uint64_t z) {
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Value i of tensor t is mix(key + (i+1)·golden), key = mix(seed + (t+1)·golden): no state, so any value can be had
   alone. Its upper 24 bits, read as u in [0,1), become bound·(2u − 1); each step is exact in f32 but the last. */
static void kaiming_uniform(float *a, int64_t n, int K, uint64_t seed, int tensor) {
    const uint64_t golden = 0x9e3779b97f4a7c15u;
    uint64_t key = mix(seed + (uint64_t)(tensor + 1) * golden);
    float bound = (float)(1 / sqrt((double)K));
    for (int64_t i = 0; i < n; i++) {
        float u = (float)(mix(key + (uint64_t)(i + 1) * golden) >> 40) * 0x1p-24f;
        a[i] = bound * (2 * u - 1);
    }
}

/* ---- the buffer ---- */
/* Offsets of every A and B, and their sum a->n. */
static int lay_out(struct lora *a, const struct model *m, struct err *e) {
    bool any = false;
    if (a->cfg.r < 1 || a->cfg.r > LORA_MAX_RANK)
        return err_set(e, RC_INPUT, "LoRA rank r is %d, expected 1 to %d", a->cfg.r, LORA_MAX_RANK);
    for (int i = 0; i < a->L * N_SITES; i++) {
        int rows, cols;
        a->a_off[i] = a->b_off[i] = -1;
        if (!a->cfg.sites[i % N_SITES]) continue;
        any = true;
        site_shape(&m->cfg, (enum site)(i % N_SITES), &rows, &cols);
        a->a_off[i] = a->n;
        a->b_off[i] = a->n + (int64_t)a->cfg.r * cols;
        a->n = a->b_off[i] + (int64_t)rows * a->cfg.r;
    }
    return any ? 0 : err_set(e, RC_INPUT, "no module carries an adapter, expected at least one of the seven linears");
}

struct lora *lora_plan(const struct model *m, const struct lora_config *cfg, struct err *e) {
    struct lora *a = xcalloc(1, sizeof *a);
    size_t sites = (size_t)m->cfg.L * N_SITES;
    *a = (struct lora){.cfg = *cfg, .d = m->d, .L = m->cfg.L, .scale = lora_scale(cfg)};
    a->a_off = xcalloc(sites, sizeof *a->a_off);
    a->b_off = xcalloc(sites, sizeof *a->b_off);
    if (lay_out(a, m, e) == 0) return a;
    lora_free(a);
    return NULL;
}

int lora_reserve(struct lora *a, struct err *e) {
    void *p;
    size_t bytes = (size_t)a->n * 4;
    if (dev_err(a->d, a->d->alloc(a->d->ctx, &p, bytes), e, "the adapter", bytes) < 0) return -1;
    a->p = p;
    return 0;
}

struct lora *lora_new(const struct model *m, const struct lora_config *cfg, uint64_t seed, struct err *e) {
    struct lora *a = lora_plan(m, cfg, e);
    if (!a) return NULL;
    float *host = calloc((size_t)a->n, 4);
    int rc = host ? lora_reserve(a, e) : err_set(e, RC_IO, "out of memory: the adapter needs %zu bytes", (size_t)a->n * 4);
    for (int i = 0; !rc && i < a->L * N_SITES; i++) {
        int rows, cols;
        site_shape(&m->cfg, (enum site)(i % N_SITES), &rows, &cols);
        if (a->a_off[i] >= 0) kaiming_uniform(host + a->a_off[i], (int64_t)cfg->r * cols, cols, seed, i);
    }
    if (!rc) rc = lora_upload(a, host, e);
    free(host);
    if (!rc) return a;
    lora_free(a);
    return NULL;
}

void lora_free(struct lora *a) {
    if (!a) return;
    if (a->p) a->d->free(a->d->ctx, a->p);
    free(a->a_off);
    free(a->b_off);
    free(a);
}

int lora_download(const struct lora *a, float *p, struct err *e) {
    size_t bytes = (size_t)a->n * 4;
    if (dev_err(a->d, a->d->download(a->d->ctx, p, a->p, bytes), e, "reading the adapter", bytes) < 0) return -1;
    return dev_err(a->d, a->d->sync(a->d->ctx), e, "reading the adapter", bytes);
}

int lora_upload(struct lora *a, const float *p, struct err *e) {
    size_t bytes = (size_t)a->n * 4;
    if (dev_err(a->d, a->d->upload(a->d->ctx, a->p, p, bytes), e, "writing the adapter", bytes) < 0) return -1;
    return dev_err(a->d, a->d->sync(a->d->ctx), e, "writing the adapter", bytes);
}

char *lora_split_scale(const char *arg, double *scale) {
    char *dir = xstrdup(arg), *eq = strrchr(dir, '='), *end = NULL;
    *scale = eq ? strtod(eq + 1, &end) : 1;
    if (eq && end != eq + 1 && !*end)
        *eq = 0;
    else
        *scale = 1;
    return dir;
}
