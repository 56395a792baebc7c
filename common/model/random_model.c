/* Random models: see random_model.h. */
#include "common/model/random_model.h"
#include "common/io/buf.h"
#include "common/model/model.h"
#include "kernels/cpu/philox.h"
#include "kernels/cpu/pool.h"
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add(struct random_model *r, enum dtype type, int64_t rows, int64_t cols, const char *name) {
    struct tensor *t = &r->t[r->n++];
    *t = (struct tensor){.name = xstrdup(name), .type = type, .dims = rows ? 2 : 1, .shape = {rows ? rows : cols, cols}};
    t->bytes = dtype_bytes(type, rows ? rows * cols : cols);
}

static void add_layer(struct random_model *r, const struct model_config *c, enum dtype type, int l) {
    char name[100];
    int rows, cols;
    snprintf(name, sizeof name, "model.layers.%d.input_layernorm.weight", l);
    add(r, type, 0, c->C, name);
    for (int s = 0; s < N_SITES; s++) {
        site_shape(c, (enum site)s, &rows, &cols);
        snprintf(name, sizeof name, "model.layers.%d.%s.weight", l, site_paths[s]);
        add(r, type, rows, cols, name);
    }
    snprintf(name, sizeof name, "model.layers.%d.post_attention_layernorm.weight", l);
    add(r, type, 0, c->C, name);
}

void random_model_init(struct random_model *r, const struct model_config *c, enum dtype type, uint64_t seed, float std) {
    *r = (struct random_model){.seed = seed, .std = std, .pool = pool_new(omp_get_max_threads())};
    r->t = xcalloc((size_t)c->L * (N_SITES + 2) + 3, sizeof *r->t);
    add(r, type, c->V, c->C, "model.embed_tokens.weight");
    for (int l = 0; l < c->L; l++) add_layer(r, c, type, l);
    add(r, type, 0, c->C, "model.norm.weight");
    if (!c->tied) add(r, type, c->V, c->C, "lm_head.weight");
}

void random_model_release(struct random_model *r) {
    for (int i = 0; i < r->n; i++) free((char *)(uintptr_t)r->t[i].name);
    free(r->t);
    pool_free(r->pool);
    *r = (struct random_model){0};
}

/* Four normal values, of places 4k to 4k+3. Box, Muller: A Note on the Generation of Random Normal Deviates, 1958. */
static void normals(float v[4], const struct random_model *r, int i, uint64_t k) {
    const uint32_t key[2] = {(uint32_t)r->seed, (uint32_t)(r->seed >> 32)};
    uint32_t c[4] = {(uint32_t)k, (uint32_t)(k >> 32), (uint32_t)i, 0x72616e64}; /* "rand": apart from other uses of the seed */
    philox4x32_10(c, key);
    for (int j = 0; j < 4; j += 2) {
        float u = ((float)c[j] + 1) * 0x1p-32f, angle = (float)c[j + 1] * (6.2831853f * 0x1p-32f), s, co;
        float radius = r->std * sqrtf(-2 * logf(u < 1 ? u : 1));
        sincosf(angle, &s, &co);
        v[j] = radius * co;
        v[j + 1] = radius * s;
    }
}

static void store(void *dst, enum dtype type, int64_t at, float x) {
    uint16_t h;
    if (type == DT_F32) {
        memcpy((char *)dst + 4 * at, &x, 4);
        return;
    }
    h = type == DT_BF16 ? f32_to_bf16(x) : f32_to_f16(x);
    memcpy((char *)dst + 2 * at, &h, 2);
}

struct piece { /* values first..first+n of tensor i */
    const struct random_model *r;
    int i;
    int64_t first, n;
    void *dst;
};

/* Blocks of four places, counted from the tensor's start. */
static void fill_blocks(void *arg, int64_t begin, int64_t end, int thread) {
    const struct piece *p = arg;
    enum dtype type = p->r->t[p->i].type;
    for (int64_t block = p->first / 4 + begin; block < p->first / 4 + end; block++) {
        float v[4];
        normals(v, p->r, p->i, (uint64_t)block);
        for (int64_t j = 0; j < 4; j++) {
            int64_t k = 4 * block + j - p->first;
            if (k >= 0 && k < p->n) store(p->dst, type, k, v[j]);
        }
    }
}

void random_model_fill(const struct random_model *r, int i, int64_t first, int64_t n, void *dst) {
    struct piece p = {r, i, first, n, dst};
    int64_t blocks = (first + n + 3) / 4 - first / 4;
    if (r->t[i].dims == 1)
        for (int64_t k = 0; k < n; k++) store(dst, r->t[i].type, k, 1);
    else if (r->pool)
        pool_run(r->pool, blocks, 1 << 14, fill_blocks, &p);
    else
        fill_blocks(&p, 0, blocks, 0);
}
