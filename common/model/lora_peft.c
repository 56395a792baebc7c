/* adapter_model.safetensors both ways: see lora.h. One list of (name, place in the buffer, shape) serves both. */
#include "common/io/io.h"
#include "common/io/safetensors.h"
#include "common/model/lora_files.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Every tensor of the adapter in PEFT's names, sorted by name; data is NULL, .bytes those of f32. Names owned. */
struct listing {
    struct tensor *t;
    int64_t *offset; /* into the buffer, in floats; same order as t */
    int n;
};

struct slot {
    struct tensor t;
    int64_t offset;
};

static int by_name(const void *a, const void *b) { return strcmp(((const struct slot *)a)->t.name, ((const struct slot *)b)->t.name); }

static struct slot make_slot(int layer, enum site s, char part, int64_t offset, int64_t rows, int64_t cols) {
    struct buf b = BUF_INIT;
    buf_addf(&b, "base_model.model.%s.lora_%c.weight", lora_module_name(layer, s), part);
    return (struct slot){{.name = buf_detach(&b), .type = DT_F32, .dims = 2, .shape = {rows, cols}, .bytes = (size_t)(rows * cols) * 4}, offset};
}

/* Rows and columns follow from the offsets: A(r,K) lies from a_off to b_off, B(N,r) from there to the next. */
static struct listing list_tensors(const struct lora *a) {
    int all = a->L * N_SITES;
    struct slot *s = xcalloc((size_t)all * 2, sizeof *s);
    struct listing out = {0};
    int64_t end = a->n, r = a->cfg.r;
    for (int i = all; i-- > 0;) {
        if (a->a_off[i] < 0) continue;
        s[out.n++] = make_slot(i / N_SITES, (enum site)(i % N_SITES), 'A', a->a_off[i], r, (a->b_off[i] - a->a_off[i]) / r);
        s[out.n++] = make_slot(i / N_SITES, (enum site)(i % N_SITES), 'B', a->b_off[i], (end - a->b_off[i]) / r, r);
        end = a->a_off[i];
    }
    qsort(s, (size_t)out.n, sizeof *s, by_name);
    out.t = xcalloc((size_t)out.n, sizeof *out.t);
    out.offset = xcalloc((size_t)out.n, sizeof *out.offset);
    for (int i = 0; i < out.n; i++) {
        out.t[i] = s[i].t;
        out.offset[i] = s[i].offset;
    }
    free(s);
    return out;
}

static void listing_release(struct listing *l) {
    for (int i = 0; i < l->n; i++) free((char *)l->t[i].name);
    free(l->t);
    free(l->offset);
}

/* ---- reading ---- */
/* By PEFT's saved name, or with the adapter's name "default" inside, as a state dict has it. */
static const struct tensor *lookup(const struct safetensors *s, const char *name) {
    const struct tensor *t = safetensors_get(s, name);
    if (t) return t;
    char *stem = xmemdup0(name, strlen(name) - strlen(".weight"));
    struct buf b = BUF_INIT;
    buf_addf(&b, "%s.default.weight", stem);
    t = safetensors_get(s, b.p);
    free(stem);
    buf_release(&b);
    return t;
}

static int check_tensor(const struct tensor *want, const struct tensor *t, struct err *e) {
    if (!t) return err_set(e, RC_INPUT, "tensor %s is missing", want->name);
    if (t->type != DT_F32 && t->type != DT_F16 && t->type != DT_BF16)
        return err_set(e, RC_INPUT, "tensor %s has type %s, expected f32, f16 or bf16", t->name, dtype_name(t->type));
    if (t->dims != 2)
        return err_set(e, RC_INPUT, "tensor %s has %d dimensions, expected %lldx%lld", t->name, t->dims, (long long)want->shape[0], (long long)want->shape[1]);
    if (t->shape[0] != want->shape[0] || t->shape[1] != want->shape[1])
        return err_set(e, RC_INPUT, "tensor %s has shape %lldx%lld, expected %lldx%lld for this model and rank", t->name, (long long)t->shape[0],
                       (long long)t->shape[1], (long long)want->shape[0], (long long)want->shape[1]);
    return 0;
}

static int decode_tensor(float *dst, const struct tensor *t, struct err *e) {
    int64_t n = t->shape[0] * t->shape[1];
    dtype_to_f32(dst, t->type, t->data, n);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(dst[i])) return err_set(e, RC_INPUT, "tensor %s has a value that is not finite at place %lld", t->name, (long long)i);
    return 0;
}

/* Says which tensor of the file has no place in the adapter; there is one when the counts differ. */
static int name_stranger(const struct safetensors *s, const struct listing *l, const struct model *m, struct err *e) {
    for (int i = 0; i < safetensors_count(s); i++) {
        const struct tensor *t = safetensors_at(s, i);
        bool known = false;
        for (int k = 0; k < l->n && !known; k++) known = lookup(s, l->t[k].name) == t;
        if (!known) return err_set(e, RC_INPUT, "tensor %s has no place in this model of %d layers with the config's target_modules", t->name, m->cfg.L);
    }
    return 0;
}

/* All values, once every name and shape is known to fit: the file bounds the memory, not the config's rank. */
static int decode_all(struct lora *a, const struct safetensors *s, const struct listing *l, struct err *e) {
    if (lora_reserve(a, e) < 0) return -1;
    float *host = malloc((size_t)a->n * 4);
    int rc = host ? 0 : err_set(e, RC_IO, "out of memory: the adapter needs %zu bytes", (size_t)a->n * 4);
    for (int i = 0; !rc && i < l->n; i++) rc = decode_tensor(host + l->offset[i], lookup(s, l->t[i].name), e);
    if (!rc) rc = lora_upload(a, host, e);
    free(host);
    return rc;
}

static int read_tensors(struct lora *a, const struct model *m, const char *path, struct err *e) {
    struct safetensors *s = safetensors_open(path, e);
    if (!s) return -1;
    struct listing l = list_tensors(a);
    int rc = 0;
    for (int i = 0; !rc && i < l.n; i++) rc = check_tensor(&l.t[i], lookup(s, l.t[i].name), e);
    if (!rc && safetensors_count(s) != l.n) rc = name_stranger(s, &l, m, e);
    if (!rc) rc = decode_all(a, s, &l, e);
    if (rc) err_prefix(e, "%s: ", path);
    listing_release(&l);
    safetensors_close(s);
    return rc;
}

struct lora *lora_read(const struct model *m, const char *dir, bool any_base, struct err *e) {
    struct lora_config cfg;
    char *config = io_join(dir, "adapter_config.json"), *tensors = io_join(dir, "adapter_model.safetensors");
    struct lora *a = NULL;
    int rc = lora_config_read(&cfg, m->cfg.L, config, e);
    if (!rc && !any_base) rc = lora_check_identity(m, dir, e);
    if (!rc && (a = lora_plan(m, &cfg, e))) rc = read_tensors(a, m, tensors, e);
    if (rc) {
        lora_free(a);
        a = NULL;
    }
    free(config);
    free(tensors);
    return a;
}

/* ---- writing ---- */
int lora_write(const struct lora *a, const char *dir, const char *base_name, struct err *e) {
    static const char *const meta[] = {"format", "pt", NULL};
    char *config = io_join(dir, "adapter_config.json"), *tensors = io_join(dir, "adapter_model.safetensors");
    struct listing l = list_tensors(a);
    float *host = malloc((size_t)a->n * 4);
    int rc = host ? lora_download(a, host, e) : err_set(e, RC_IO, "out of memory: the adapter needs %zu bytes", (size_t)a->n * 4);
    for (int i = 0; i < l.n; i++) l.t[i].data = host ? host + l.offset[i] : NULL;
    if (!rc) rc = safetensors_write(tensors, l.t, l.n, meta, e);
    if (!rc) rc = lora_config_write(&a->cfg, config, base_name, e);
    free(host);
    listing_release(&l);
    free(config);
    free(tensors);
    return rc;
}
