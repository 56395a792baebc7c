/* Quantised linears of a directory: the tensors that bitsandbytes and transformers keep beside NAME.weight, checked and
   put together as a struct weight that lies in the mapped files.
     4 bits: NAME.weight (bytes), .absmax, .quant_map, .quant_state.bitsandbytes__nf4 (JSON), with double quantisation also
             .nested_absmax, .nested_quant_map
     int8:   NAME.weight (int8), NAME.SCB, NAME.weight_format (0: rows)
     BitNet: NAME.weight (bytes, four rows in one), NAME.weight_scale
   NAME.weight of a plain type is a plain linear. */
#include "common/io/buf.h"
#include "common/io/json.h"
#include "common/model/weights.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    struct weights *w;
    const struct matrix *m;
    struct err *e;
};

static int bad(struct err *e, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int bad(struct err *e, const char *name, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    err_vset(e, RC_INPUT, fmt, ap);
    va_end(ap);
    return err_prefix(e, "tensor %s: ", name);
}
#define FAIL(r, ...) bad((r)->e, (r)->m->part[PART_WEIGHT]->name, __VA_ARGS__)

/* The part has n values of `type` */
static int need(const struct reader *r, enum part p, const char *what, enum dtype type, int64_t n) {
    const struct tensor *t = r->m->part[p];
    if (!t) return FAIL(r, "%s beside it is missing", what);
    if (t->type == type && tensor_values(t) == n) return 0;
    return FAIL(r, "%s beside it has %lld values of type %s, expected %lld of %s", what, (long long)tensor_values(t), dtype_name(t->type), (long long)n, dtype_name(type));
}

/* f32 values that kernels may read in place: copied where the file has them at an odd byte. Not finite is refused, as a
   NaN would pass through every product unseen. */
static int floats(const struct reader *r, const float **out, enum part p, const char *what, int64_t n) {
    struct weights *w = r->w;
    if (need(r, p, what, DT_F32, n) < 0) return -1;
    const struct tensor *t = r->m->part[p];
    *out = t->data;
    if ((uintptr_t)t->data % sizeof(float)) {
        w->owned = xrealloc(w->owned, (size_t)w->n_owned + 1, sizeof *w->owned);
        w->owned[w->n_owned++] = xmalloc(t->bytes + 1);
        *out = memcpy(w->owned[w->n_owned - 1], t->data, t->bytes);
    }
    for (int64_t i = 0; i < n; i++)
        if (!isfinite((*out)[i])) return FAIL(r, "%s beside it is %g at %lld, expected a finite number", what, (double)(*out)[i], (long long)i);
    return 0;
}

/* ---- bitsandbytes' 4 bits ---- */
static int power_of_two(const struct reader *r, const struct json *o, const char *key, int min, int *out) {
    const struct json *v = json_get(o, key);
    int64_t x;
    if (!v || !json_int(v, &x) || x < min || x > 4096 || (x & (x - 1))) return FAIL(r, "quant_state has no usable %s, expected a power of two from %d to 4096", key, min);
    *out = (int)x;
    return 0;
}

static int check_shape(const struct reader *r, const struct json *o, const struct weight *w) {
    const struct json *s = json_get(o, "shape");
    int64_t rows, cols;
    if (!s || s->type != JSON_ARRAY || s->count != 2 || !json_int(s->first, &rows) || !json_int(s->first->next, &cols) || rows != w->rows || cols != w->cols)
        return FAIL(r, "quant_state has shape %.*s, expected [%lld, %lld]", s ? (int)(s->raw_len < 60 ? s->raw_len : 60) : 4, s ? s->raw : "none", (long long)w->rows, (long long)w->cols);
    return 0;
}

static int read_state(const struct reader *r, const struct json *o, struct weight *w, bool *nested) {
    const struct json *type = json_get(o, "quant_type"), *offset = json_get(o, "nested_offset");
    if (!type || !json_is_str(type, dtype_name(w->type))) return FAIL(r, "quant_state has another quant_type than its name, expected \"%s\"", dtype_name(w->type));
    if (check_shape(r, o, w) < 0 || power_of_two(r, o, "blocksize", 32, &w->block) < 0) return -1;
    *nested = offset;
    if (!offset) return 0;
    w->offset = (float)offset->number;
    if (offset->type != JSON_NUMBER || !isfinite(w->offset)) return FAIL(r, "quant_state has nested_offset %.*s, expected a number", (int)(offset->raw_len < 60 ? offset->raw_len : 60), offset->raw);
    return power_of_two(r, o, "nested_blocksize", 1, &w->nested);
}

static int parse_state(const struct reader *r, struct weight *w, bool *nested) {
    const struct tensor *t = r->m->part[PART_STATE];
    if (t->type != DT_U8) return FAIL(r, "quant_state has type %s, expected u8", dtype_name(t->type));
    struct json_doc *doc = json_parse(t->data, t->bytes, r->e);
    if (!doc) return err_prefix(r->e, "tensor %s: quant_state: ", r->m->part[PART_WEIGHT]->name);
    const struct json *o = json_root(doc);
    int rc = o->type == JSON_OBJECT ? read_state(r, o, w, nested) : FAIL(r, "quant_state is no object");
    json_doc_free(doc);
    return rc;
}

/* The table that the codes stand for must be the one that we decode by. */
static int check_table(const struct reader *r, const struct weight *w) {
    const float *want = w->type == DT_NF4 ? dtype_nf4 : dtype_fp4, *got;
    if (floats(r, &got, PART_TABLE, "quant_map", 16) < 0) return -1;
    for (int i = 0; i < 16; i++)
        if (!(fabsf(got[i] - want[i]) <= 1e-6f)) return FAIL(r, "quant_map has %g at %d, expected %s's %g", (double)got[i], i, dtype_name(w->type), (double)want[i]);
    return 0;
}

static int finish_4bit(const struct reader *r, struct weight *w) {
    bool nested;
    if (parse_state(r, w, &nested) < 0 || check_table(r, w) < 0) return -1;
    if (!nested && (r->m->part[PART_SECOND] || r->m->part[PART_MAP])) return FAIL(r, "nested scales lie beside it, but quant_state has no nested_offset");
    if (!nested) return floats(r, &w->scale, PART_SCALE, "absmax", weight_blocks(w));
    if (need(r, PART_SCALE, "absmax", DT_U8, weight_blocks(w)) < 0) return -1;
    w->scale_q = r->m->part[PART_SCALE]->data;
    return floats(r, &w->scale, PART_SECOND, "nested_absmax", weight_nested(w)) < 0 ? -1 : floats(r, &w->scale_map, PART_MAP, "nested_quant_map", 256);
}

/* ---- int8 ---- */
static int finish_int8(const struct reader *r, struct weight *w) {
    const struct tensor *format = r->m->part[PART_STATE];
    if (format && (format->type != DT_U8 || format->bytes != 1 || *(const uint8_t *)format->data)) return FAIL(r, "weight_format beside it is not 0 (rows)");
    return floats(r, &w->scale, PART_SCALE, "SCB", w->rows);
}

/* ---- BitNet ---- */
/* The fourth code stands for nothing. */
static int check_codes(const struct reader *r, const struct weight *w) {
    const uint8_t *p = w->data;
    for (size_t i = 0; i < weight_data_bytes(w); i++)
        if (p[i] & p[i] >> 1 & 0x55) return FAIL(r, "byte %zu is 0x%02x, expected pairs of bits of 0, 1 or 2", i, p[i]);
    return 0;
}

static int finish_ternary(const struct reader *r, struct weight *w) {
    const struct tensor *s = r->m->part[PART_SCALE];
    float scale;
    if (!s || tensor_values(s) != 1 || (s->type != DT_F32 && s->type != DT_F16 && s->type != DT_BF16)) return FAIL(r, "weight_scale beside it is missing or not one f32, f16 or bf16");
    dtype_to_f32(&scale, s->type, s->data, 1);
    w->unit = r->w->cfg.quant == QUANT_BITNET_DIV ? 1 / scale : scale;
    if (!isfinite(w->unit)) return FAIL(r, "weight_scale beside it is %g", (double)scale);
    return check_codes(r, w);
}

int matrix_finish(struct weights *w, struct matrix *m, struct err *e) {
    struct reader r = {w, m, e};
    m->w.data = m->part[PART_WEIGHT]->data;
    switch (m->w.type) {
    case DT_NF4:
    case DT_FP4: return finish_4bit(&r, &m->w);
    case DT_I8: return finish_int8(&r, &m->w);
    case DT_TERNARY: return finish_ternary(&r, &m->w);
    default: return 0;
    }
}

/* ---- by name ---- */
struct namer {
    const char *name; /* "….q_proj.weight" */
    weights_get *get;
    void *arg;
};

/* NAME.weight + suffix; a suffix with a leading "/" stands in place of "weight" */
static const struct tensor *beside(const struct namer *n, const char *suffix) {
    char name[300];
    if (suffix[0] == '/')
        snprintf(name, sizeof name, "%.*s%s", (int)(strlen(n->name) - strlen("weight")), n->name, suffix + 1);
    else
        snprintf(name, sizeof name, "%s%s", n->name, suffix);
    return n->get(n->arg, name);
}

static int find_4bit(struct matrix *m, const struct namer *n, struct err *e) {
    const struct tensor *t = m->part[PART_WEIGHT], *nf4 = beside(n, ".quant_state.bitsandbytes__nf4"), *fp4 = beside(n, ".quant_state.bitsandbytes__fp4");
    if (!nf4 == !fp4) return bad(e, n->name, "expected one quant_state.bitsandbytes__nf4 or …__fp4 beside it");
    m->w.type = nf4 ? DT_NF4 : DT_FP4;
    m->part[PART_STATE] = nf4 ? nf4 : fp4;
    m->part[PART_SCALE] = beside(n, ".absmax");
    m->part[PART_TABLE] = beside(n, ".quant_map");
    m->part[PART_SECOND] = beside(n, ".nested_absmax");
    m->part[PART_MAP] = beside(n, ".nested_quant_map");
    if (t->bytes == weight_data_bytes(&m->w)) return 1;
    return bad(e, n->name, "%zu bytes, expected %zu for %lldx%lld", t->bytes, weight_data_bytes(&m->w), (long long)m->w.rows, (long long)m->w.cols);
}

static int find_int8(struct matrix *m, const struct namer *n, struct err *e) {
    const struct tensor *t = m->part[PART_WEIGHT];
    m->w.type = DT_I8;
    m->part[PART_SCALE] = beside(n, "/SCB");
    m->part[PART_STATE] = beside(n, "/weight_format");
    if (t->dims == 2 && t->shape[0] == m->w.rows && t->shape[1] == m->w.cols) return 1;
    return bad(e, n->name, "expected the shape %lldx%lld", (long long)m->w.rows, (long long)m->w.cols);
}

static int find_ternary(struct matrix *m, const struct namer *n, struct err *e) {
    const struct tensor *t = m->part[PART_WEIGHT];
    m->w.type = DT_TERNARY;
    m->part[PART_SCALE] = beside(n, "/weight_scale");
    if (m->w.rows % 4 == 0 && t->dims == 2 && t->shape[0] == m->w.rows / 4 && t->shape[1] == m->w.cols) return 1;
    return bad(e, n->name, "expected the shape %lldx%lld, four rows in one", (long long)(m->w.rows / 4), (long long)m->w.cols);
}

int matrix_find(struct matrix *m, const struct model_config *c, const char *name, int rows, int cols, weights_get *get, void *arg, struct err *e) {
    struct namer n = {name, get, arg};
    if (c->quant == QUANT_PLAIN) return 0;
    const struct tensor *t = get(arg, name);
    if (!t) return bad(e, name, "it is missing");
    bool plain = t->type == DT_F32 || t->type == DT_F16 || t->type == DT_BF16, four = c->quant == QUANT_BNB4;
    if (plain && !(four && t->shape[0] != rows)) return 0; /* 4 bits may be stored under a plain type's name: (bytes/size, 1) */
    m->part[PART_WEIGHT] = t;
    m->w = weight_plain(t->type, rows, cols, NULL);
    if (four) return find_4bit(m, &n, e);
    if (c->quant == QUANT_BNB8 && t->type == DT_I8) return find_int8(m, &n, e);
    if (c->quant != QUANT_BNB8 && t->type == DT_U8) return find_ternary(m, &n, e);
    return bad(e, name, "type %s is not what quantization_config promises", dtype_name(t->type));
}
