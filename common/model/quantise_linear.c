/* What a linear becomes, type by type: names and shapes, then bytes. See quantise_impl.h. Values of four bytes come first and
   the bytes of a linear end at a multiple of 8, so that every tensor in the file is aligned. */
#include "common/io/json.h"
#include "common/model/quant.h"
#include "common/model/quantise_impl.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names and shapes ---- */
/* NAME.weight + suffix; "/x" stands in place of "weight" */
static void add(struct quantise *q, const char *name, const char *suffix, enum dtype type, int dims, int64_t d0, int64_t d1) {
    struct buf b = BUF_INIT;
    if (suffix[0] == '/')
        buf_addf(&b, "%.*s%s", (int)(strlen(name) - strlen("weight")), name, suffix + 1);
    else
        buf_addf(&b, "%s%s", name, suffix);
    GROW(q->t, q->n, q->cap);
    q->t[q->n++] = (struct tensor){.name = buf_detach(&b), .type = type, .dims = dims, .shape = {d0, d1}, .bytes = dtype_bytes(type, dims == 2 ? d0 * d1 : d0)};
}

static void plan_4bit(struct quantise *q, const char *name, int64_t n) {
    int64_t blocks = (n + QUANT_BLOCK - 1) / QUANT_BLOCK, bytes = (n + 1) / 2, state = QUANTISE_STATE_ROOM;
    char suffix[60];
    snprintf(suffix, sizeof suffix, ".quant_state.bitsandbytes__%s", dtype_name(quantise_type(q->o.to)));
    add(q, name, ".quant_map", DT_F32, 1, 16, 0);
    if (q->o.nested) {
        add(q, name, ".nested_absmax", DT_F32, 1, (blocks + QUANT_NESTED - 1) / QUANT_NESTED, 0);
        add(q, name, ".nested_quant_map", DT_F32, 1, 256, 0);
    } else {
        add(q, name, ".absmax", DT_F32, 1, blocks, 0);
    }
    add(q, name, "", DT_U8, 2, bytes, 1);
    if (q->o.nested) add(q, name, ".absmax", DT_U8, 1, blocks, 0);
    while ((bytes + (q->o.nested ? blocks : 0) + state) % 8) state++;
    add(q, name, suffix, DT_U8, 1, state, 0);
}

void quantise_plan_linear(struct quantise *q, const char *name, int64_t rows, int64_t cols) {
    switch (q->o.to) {
    case TO_INT8:
        add(q, name, "/SCB", DT_F32, 1, rows, 0);
        add(q, name, "", DT_I8, 2, rows, cols);
        break;
    case TO_NF4:
    case TO_FP4: plan_4bit(q, name, rows * cols); break;
    case TO_TERNARY:
        add(q, name, "/weight_scale", DT_F32, 1, 1, 0);
        add(q, name, "", DT_U8, 2, rows / 4, cols);
        break;
    default: add(q, name, "", quantise_type(q->o.to), 2, rows, cols);
    }
}

/* ---- bytes ---- */
static void *take(struct encoded *out, int i, size_t bytes) { return out->memory[i] = malloc(bytes + 1); }

static int no_memory(struct err *e, size_t bytes) { return err_set(e, RC_IO, "out of memory: it needs %zu bytes", bytes); }

/* Python's json.dumps, padded with spaces, which its reader passes over. */
static void put_state(struct quantise *q, struct encoded *out, size_t n) {
    struct buf b = BUF_INIT;
    buf_addf(&b, "{\"quant_type\": \"%s\", \"blocksize\": %d, \"dtype\": \"%s\", \"shape\": [%" PRId64 ", %" PRId64 "]", dtype_name(out->w.type), QUANT_BLOCK,
             hf_type_name(q->rest), out->w.rows, out->w.cols);
    if (q->o.nested) {
        buf_addf(&b, ", \"nested_blocksize\": %d, \"nested_dtype\": \"float32\", \"nested_offset\": ", QUANT_NESTED);
        json_put_number(&b, (double)out->w.offset);
    }
    buf_addc(&b, '}');
    if (b.n > n) BUG("quant_state of %zu bytes, room for %zu", b.n, n);
    memset(out->state, ' ', n);
    memcpy(out->state, b.p, b.n);
    buf_release(&b);
}

static int encode_4bit(struct quantise *q, const struct step *s, const float *x, struct encoded *out, struct err *e) {
    struct weight *w = &out->w;
    int64_t n = w->rows * w->cols;
    w->block = QUANT_BLOCK;
    w->nested = QUANT_NESTED;
    int64_t blocks = weight_blocks(w);
    uint8_t *packed = take(out, 0, weight_data_bytes(w)), *codes = take(out, 2, (size_t)blocks);
    float *absmax = take(out, 1, (size_t)blocks * 4), *second = take(out, 3, (size_t)weight_nested(w) * 4);
    if (!packed || !absmax || !codes || !second) return no_memory(e, weight_data_bytes(w));
    quant_4bit(w->type, packed, absmax, x, n, QUANT_BLOCK);
    w->data = packed;
    w->scale = absmax;
    int i = 0;
    out->pieces[i++] = w->type == DT_NF4 ? dtype_nf4 : dtype_fp4;
    if (q->o.nested) {
        w->offset = quant_mean(absmax, blocks);
        quant_nested(codes, second, absmax, blocks, w->offset);
        quant_dynamic_map(out->map);
        w->scale = second, w->scale_q = codes, w->scale_map = out->map;
        out->pieces[i++] = second;
        out->pieces[i++] = out->map;
    } else {
        out->pieces[i++] = absmax;
    }
    out->pieces[i++] = packed;
    if (q->o.nested) out->pieces[i++] = codes;
    put_state(q, out, q->t[s->first + i].bytes);
    out->pieces[i] = out->state;
    return 0;
}

static int encode_int8(const float *x, struct encoded *out, struct err *e) {
    struct weight *w = &out->w;
    int8_t *q = take(out, 0, weight_data_bytes(w));
    float *scale = take(out, 1, (size_t)w->rows * 4);
    if (!q || !scale) return no_memory(e, weight_data_bytes(w));
    int64_t beyond = quant_int8(q, scale, x, w->rows, w->cols);
    if (beyond >= 0) return err_set(e, RC_INPUT, "value (%" PRId64 ",%" PRId64 ") is %g, but int8 rows go through f16", beyond / w->cols, beyond % w->cols, (double)x[beyond]);
    w->data = q;
    w->scale = scale;
    out->pieces[0] = scale;
    out->pieces[1] = q;
    return 0;
}

static int encode_ternary(const float *x, struct encoded *out, struct err *e) {
    uint8_t *packed = take(out, 0, weight_data_bytes(&out->w));
    if (!packed) return no_memory(e, weight_data_bytes(&out->w));
    out->unit = out->w.unit = quant_ternary(packed, x, out->w.rows, out->w.cols);
    out->w.data = packed;
    out->pieces[0] = &out->unit; /* linear_class autobitlinear multiplies by it */
    out->pieces[1] = packed;
    return 0;
}

static int encode_plain(const float *x, struct encoded *out, struct err *e) {
    struct weight *w = &out->w;
    int64_t n = w->rows * w->cols, beyond = n;
    if (w->type == DT_F32) {
        w->data = out->pieces[0] = x;
        return 0;
    }
    uint16_t *h = take(out, 0, (size_t)n * 2);
    if (!h) return no_memory(e, (size_t)n * 2);
    w->data = out->pieces[0] = h;
#pragma omp parallel for schedule(static) reduction(min : beyond)
    for (int64_t i = 0; i < n; i++) {
        h[i] = w->type == DT_F16 ? f32_to_f16(x[i]) : f32_to_bf16(x[i]);
        if (!isfinite(w->type == DT_F16 ? f16_to_f32(h[i]) : bf16_to_f32(h[i])) && i < beyond) beyond = i;
    }
    if (beyond == n) return 0;
    return err_set(e, RC_INPUT, "value (%" PRId64 ",%" PRId64 ") is %g, beyond %s", beyond / w->cols, beyond % w->cols, (double)x[beyond], dtype_name(w->type));
}

int quantise_encode(struct quantise *q, const struct step *s, const float *x, struct encoded *out, struct err *e) {
    memset(out, 0, sizeof *out);
    out->w = weight_plain(quantise_type(q->o.to), s->m->w.rows, s->m->w.cols, NULL);
    int rc = q->o.to == TO_INT8 ? encode_int8(x, out, e) : q->o.to == TO_TERNARY ? encode_ternary(x, out, e) : q->o.to <= TO_BF16 ? encode_plain(x, out, e) : encode_4bit(q, s, x, out, e);
    if (rc < 0) encoded_release(out);
    return rc;
}

void encoded_release(struct encoded *x) {
    for (int i = 0; i < 5; i++) free(x->memory[i]);
}
