/* Answers aligned with a reference: see answers.h. */
#include "common/stats/answers.h"
#include "common/io/jsonl.h"
#include "common/io/xxh64.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

const struct json *json_walk(const struct json *v, const char *path) {
    while (v && *path) {
        size_t n = strcspn(path, ".");
        v = json_getn(v, path, n);
        path += n + (path[n] == '.');
    }
    return v;
}

/* Class of a field's value in v, or -1. */
static int class_of(const struct task *t, int field, const struct json *v) {
    const struct json *leaf = json_walk(v, t->field[field]);
    const struct group *g = &t->groups[t->group_of[field]];
    if (!leaf) return -1;
    for (int k = 0; k < g->K; k++)
        if (json_is_str(leaf, g->labels[k])) return k;
    return -1;
}

static int where(struct err *e, const char *name, const struct record *r) {
    return err_prefix(e, "%s:%lld: ", name, (long long)record_line(r));
}

static int id_of(const struct record *r, const char **id, size_t *n, struct err *e) {
    *id = record_str(r, "id", n);
    return *id ? 0 : err_set(e, RC_INPUT, "no id: expected a string field id");
}

static void value_text(const struct json *v, struct buf *b) {
    if (v->type == JSON_STRING)
        buf_add(b, v->str, v->len);
    else
        json_put_value(b, v);
}

static int add_unit(struct reference *ref, const struct record *r, const char *cluster, int64_t row, struct err *e) {
    struct buf b = BUF_INIT;
    if (!cluster) {
        ref->n_units = row + 1;
        return 0;
    }
    const struct json *v = record_get(r, cluster);
    if (!v) v = json_walk(record_get(r, "row"), cluster);
    if (!v) return err_set(e, RC_INPUT, "no field %s in the record or its row, wanted by --cluster", cluster);
    value_text(v, &b);
    ref->unit[row] = (int32_t)intern_add(&ref->clusters, b.p ? b.p : "", b.n, NULL);
    ref->n_units = ref->clusters.n;
    buf_release(&b);
    return 0;
}

/* The number of a new row. */
static int add_id(struct reference *ref, const char *id, size_t n, int64_t *row, struct err *e) {
    uint32_t times = 1;
    int is_new = 1;
    if (ref->rows == INT32_MAX) return err_set(e, RC_INPUT, "more than %d rows", INT32_MAX);
    *row = ref->alone ? ref->rows : intern_add(&ref->ids, id, n, &is_new);
    if (ref->alone && rowcount_add(ref->alone, xxh64(id, n), &times, e) < 0) return -1;
    return is_new && times == 1 ? 0 : err_set(e, RC_INPUT, "id %.*s stands twice", (int)n, id);
}

static void widen_reference(struct reference *ref, const struct task *t, bool clusters) {
    ref->cap = ref->cap ? 2 * ref->cap : 256;
    ref->truth = xrealloc(ref->truth, (size_t)(ref->cap * t->n_fields), sizeof *ref->truth);
    if (clusters) ref->unit = xrealloc(ref->unit, (size_t)ref->cap, sizeof *ref->unit);
}

static int add_truth(struct reference *ref, const struct task *t, const struct record *r, const char *cluster, struct err *e) {
    const char *id;
    size_t n;
    int64_t row = -1;
    const struct json *truth = record_get(r, "truth");
    if (id_of(r, &id, &n, e) < 0) return -1;
    if (!truth) return err_set(e, RC_INPUT, "no truth: expected the true answer in field truth");
    if (add_id(ref, id, n, &row, e) < 0) return -1;
    if (row >= ref->cap) widen_reference(ref, t, cluster);
    for (int f = 0; f < t->n_fields; f++) {
        int k = class_of(t, f, truth);
        if (k < 0) return err_set(e, RC_INPUT, "truth has no value of the schema's enum at %s", t->field[f]);
        ref->truth[row * t->n_fields + f] = (uint8_t)k;
    }
    ref->rows = row + 1;
    return add_unit(ref, r, cluster, row, e);
}

int reference_read(struct reference *ref, const struct task *t, const char *path, const char *cluster, struct err *e) {
    struct jsonl *in = jsonl_open(path, e);
    struct record *r;
    int rc;
    if (!in) return -1;
    while ((rc = jsonl_next(in, &r, e)) > 0) {
        if (add_truth(ref, t, r, cluster, e) < 0) rc = where(e, jsonl_name(in), r);
        record_free(r);
        if (rc < 0) break;
    }
    if (!rc && !ref->rows) rc = err_set(e, RC_INPUT, "%s: no record, expected at least one", jsonl_name(in));
    jsonl_close(in);
    return rc;
}

void reference_release(struct reference *r) {
    intern_release(&r->ids);
    intern_release(&r->clusters);
    rowcount_free(r->alone);
    free(r->truth);
    free(r->unit);
}

static int add_logprobs(struct answers *a, const struct record *r, struct err *e) {
    const struct json *list = record_get(r, "token_logprobs");
    if (!list || list->type == JSON_NULL) return 0;
    if (list->type != JSON_ARRAY) return err_set(e, RC_INPUT, "token_logprobs is not an array of numbers");
    for (const struct json *v = list->first; v; v = v->next) {
        if (v->type != JSON_NUMBER) return err_set(e, RC_INPUT, "token_logprobs is not an array of numbers");
        a->logprob += v->number;
        a->scored_tokens++;
    }
    return 0;
}

/* The record's own truth must be the reference's. */
static int same_truth(const struct task *t, const struct reference *ref, const struct record *r, int64_t row, struct err *e) {
    const struct json *truth = record_get(r, "truth");
    for (int f = 0; truth && f < t->n_fields; f++)
        if (class_of(t, f, truth) != ref->truth[row * t->n_fields + f])
            return err_set(e, RC_INPUT, "truth at %s differs from the reference's for the same id", t->field[f]);
    return 0;
}

/* The row of a record that did not make the reference: files mostly have the same order. */
static int row_of(const struct answers *a, const struct task *t, const struct reference *ref, const struct record *r, int64_t *row, struct err *e) {
    const char *id;
    size_t n;
    if (id_of(r, &id, &n, e) < 0) return -1;
    *row = intern_is(&ref->ids, a->next, id, n) ? a->next : intern_find(&ref->ids, id, n);
    if (*row < 0) return err_set(e, RC_INPUT, "id %.*s is not in the reference", (int)n, id);
    if (same_truth(t, ref, r, *row, e) < 0) return -1;
    return *row < a->cap && a->state[*row] ? err_set(e, RC_INPUT, "id %.*s stands twice", (int)n, id) : 0;
}

static void widen_confidence(struct answers *a, const struct task *t, int64_t cap) {
    int64_t have = a->confidence ? a->cap * t->n_fields : 0;
    a->confidence = xrealloc(a->confidence, (size_t)(cap * t->n_fields), sizeof *a->confidence);
    for (int64_t i = have; i < cap * t->n_fields; i++) a->confidence[i] = NAN;
}

static void make_room(struct answers *a, const struct task *t, int64_t rows) {
    if (rows <= a->cap) return;
    int64_t cap = rows < 2 * a->cap ? 2 * a->cap : rows;
    a->pred = xrealloc(a->pred, (size_t)(cap * t->n_fields), sizeof *a->pred);
    a->state = xrealloc(a->state, (size_t)cap, sizeof *a->state);
    if (a->confidence) widen_confidence(a, t, cap);
    memset(a->state + a->cap, ANSWER_NONE, (size_t)(cap - a->cap));
    a->cap = cap;
}

/* One number for all fields, or an object of numbers by field. */
static int add_confidence(struct answers *a, const struct task *t, const struct record *r, int64_t row, struct err *e) {
    const struct json *c = record_get(r, "confidence");
    if (!c || c->type == JSON_NULL) return 0;
    if (c->type != JSON_NUMBER && c->type != JSON_OBJECT) return err_set(e, RC_INPUT, "confidence is neither a number nor an object of numbers by field");
    if (!a->confidence) widen_confidence(a, t, a->cap);
    for (int f = 0; f < t->n_fields; f++) {
        const struct json *v = c->type == JSON_NUMBER ? c : json_get(c, t->field[f]);
        if (!v) continue;
        if (v->type != JSON_NUMBER || !(v->number >= 0 && v->number <= 1))
            return err_set(e, RC_INPUT, "confidence of %s is not a number from 0 to 1", t->field[f]);
        a->confidence[row * t->n_fields + f] = v->number;
    }
    return 0;
}

static void add_usage(struct answers *a, const struct record *r) {
    const struct json *u = record_get(r, "usage");
    int64_t in, out;
    const struct json *i = json_get(u, "prompt_tokens"), *o = json_get(u, "completion_tokens");
    if (!i || !o || !json_int(i, &in) || !json_int(o, &out) || in < 0 || out < 0 || in > INT32_MAX || out > INT32_MAX) return;
    a->with_usage++;
    a->tokens_in += in;
    a->tokens_out += out;
}

static int add_answer(struct answers *a, const struct task *t, const struct reference *ref, bool learn, const struct record *r, struct err *e) {
    int64_t row = ref->rows - 1;
    struct err why;
    if (!learn && row_of(a, t, ref, r, &row, e) < 0) return -1;
    make_room(a, t, ref->rows);
    a->next = row + 1;
    const struct json *parsed = record_get(r, "parsed");
    a->has_parsed = a->has_parsed || parsed;
    bool valid = parsed && parsed->type != JSON_NULL && schema_validate(t->schema, parsed, &why) == 0;
    a->state[row] = valid ? ANSWER_VALID : ANSWER_INVALID;
    for (int f = 0; f < t->n_fields; f++) {
        int k = valid ? class_of(t, f, parsed) : -1;
        a->pred[row * t->n_fields + f] = (uint8_t)(k < 0 ? t->groups[t->group_of[f]].K : k);
    }
    add_usage(a, r);
    return add_confidence(a, t, r, row, e) < 0 ? -1 : add_logprobs(a, r, e);
}

static int none_missing(const struct answers *a, const struct reference *ref, struct err *e) {
    for (int64_t i = 0; i < ref->rows; i++)
        if (i >= a->cap || !a->state[i]) return err_set(e, RC_INPUT, "%s: no record for id %s of the reference", a->path, ref->ids.key[i]);
    return 0;
}

int answers_read(struct answers *a, const struct task *t, struct reference *ref, bool learn, const char *cluster, const char *path, struct err *e) {
    *a = (struct answers){.path = path};
    struct jsonl *in = jsonl_open(path, e);
    struct record *r;
    int rc;
    if (!in) return -1;
    while ((rc = jsonl_next(in, &r, e)) > 0) {
        if ((learn && add_truth(ref, t, r, cluster, e) < 0) || add_answer(a, t, ref, learn, r, e) < 0) rc = where(e, jsonl_name(in), r);
        record_free(r);
        if (rc < 0) break;
    }
    if (!rc && !ref->rows) rc = err_set(e, RC_INPUT, "%s: no record, expected at least one", jsonl_name(in));
    if (!rc && !learn) rc = none_missing(a, ref, e);
    jsonl_close(in);
    return rc;
}

void answers_release(struct answers *a) {
    free(a->pred);
    free(a->state);
    free(a->confidence);
}
