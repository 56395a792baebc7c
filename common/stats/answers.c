/* Answers aligned with a reference: see answers.h. */
#include "common/stats/answers.h"
#include "common/io/jsonl.h"
#include "common/stats/confusion.h"
#include <stdlib.h>
#include <string.h>

/* ---- the task ---- */
static const char *last_part(const char *path) {
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

static bool same_values(const struct schema *s, int a, int b) {
    int n = schema_field_n_values(s, a);
    if (n != schema_field_n_values(s, b)) return false;
    for (int k = 0; k < n; k++)
        if (strcmp(schema_field_value(s, a, k), schema_field_value(s, b, k))) return false;
    return true;
}

static int group_for(struct task *t, int field) {
    for (int i = 0; i < field; i++)
        if (same_values(t->schema, i, field)) return t->group_of[i];
    struct group *g = &t->groups[t->n_groups];
    g->K = schema_field_n_values(t->schema, field);
    g->labels = xcalloc((size_t)g->K, sizeof *g->labels);
    for (int k = 0; k < g->K; k++) g->labels[k] = schema_field_value(t->schema, field, k);
    return t->n_groups++;
}

static void name_group(struct task *t, int g) {
    struct buf b = BUF_INIT;
    const char *shared = NULL;
    bool same = true;
    for (int i = 0; i < t->n_fields; i++) {
        if (t->group_of[i] != g) continue;
        const char *part = last_part(t->field[i]);
        same = same && (!shared || !strcmp(shared, part));
        shared = part;
        buf_addf(&b, "%s%s", b.n ? "," : "", t->field[i]);
    }
    t->groups[g].name = t->groups[g].n_fields > 1 && same ? xstrdup(shared) : buf_detach(&b);
    buf_release(&b);
}

int task_init(struct task *t, const struct schema *s, struct err *e) {
    *t = (struct task){.schema = s, .n_fields = schema_n_fields(s)};
    if (!t->n_fields) return err_set(e, RC_INPUT, "the schema has no property with an enum of strings: nothing to score");
    t->field = xcalloc((size_t)t->n_fields, sizeof *t->field);
    t->group_of = xcalloc((size_t)t->n_fields, sizeof *t->group_of);
    t->groups = xcalloc((size_t)t->n_fields, sizeof *t->groups);
    for (int i = 0; i < t->n_fields; i++) {
        t->field[i] = schema_field(s, i);
        if (schema_field_n_values(s, i) > MAX_CLASSES)
            return err_set(e, RC_INPUT, "field %s has %d values, at most %d can be scored", t->field[i], schema_field_n_values(s, i), MAX_CLASSES);
        t->group_of[i] = group_for(t, i);
        t->groups[t->group_of[i]].n_fields++;
    }
    for (int g = 0; g < t->n_groups; g++) name_group(t, g);
    return 0;
}

void task_release(struct task *t) {
    for (int g = 0; g < t->n_groups; g++) {
        free(t->groups[g].name);
        free(t->groups[g].labels);
    }
    free(t->field);
    free(t->group_of);
    free(t->groups);
}

/* ---- records ---- */
static const struct json *walk(const struct json *v, const char *path) {
    while (v && *path) {
        size_t n = strcspn(path, ".");
        v = json_getn(v, path, n);
        path += n + (path[n] == '.');
    }
    return v;
}

/* Class of a field's value in v, or -1. */
static int class_of(const struct task *t, int field, const struct json *v) {
    const struct json *leaf = walk(v, t->field[field]);
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
    if (cluster) {
        const struct json *v = record_get(r, cluster);
        if (!v) v = walk(record_get(r, "row"), cluster);
        if (!v) return err_set(e, RC_INPUT, "no field %s in the record or its row, wanted by --cluster", cluster);
        value_text(v, &b);
    } else {
        buf_addf(&b, "%lld", (long long)row);
    }
    ref->unit[row] = (int32_t)intern_add(&ref->units, b.p ? b.p : "", b.n, NULL);
    buf_release(&b);
    return 0;
}

static int add_truth(struct reference *ref, const struct task *t, const struct record *r, const char *cluster, struct err *e) {
    const char *id;
    size_t n;
    int is_new;
    const struct json *truth = record_get(r, "truth");
    if (id_of(r, &id, &n, e) < 0) return -1;
    if (!truth) return err_set(e, RC_INPUT, "no truth: expected the true answer in field truth");
    int64_t row = intern_add(&ref->ids, id, n, &is_new);
    if (!is_new) return err_set(e, RC_INPUT, "id %.*s stands twice", (int)n, id);
    if (row >= ref->cap) {
        ref->cap = ref->cap ? 2 * ref->cap : 256;
        ref->truth = xrealloc(ref->truth, (size_t)(ref->cap * t->n_fields), sizeof *ref->truth);
        ref->unit = xrealloc(ref->unit, (size_t)ref->cap, sizeof *ref->unit);
    }
    for (int f = 0; f < t->n_fields; f++) {
        int k = class_of(t, f, truth);
        if (k < 0) return err_set(e, RC_INPUT, "truth has no value of the schema's enum at %s", t->field[f]);
        ref->truth[row * t->n_fields + f] = (int16_t)k;
    }
    ref->rows = row + 1;
    return add_unit(ref, r, cluster, row, e);
}

int reference_read(struct reference *ref, const struct task *t, const char *path, const char *cluster, struct err *e) {
    *ref = (struct reference){0};
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
    intern_release(&r->units);
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

static int row_of(const struct reference *ref, const struct record *r, int64_t *row, struct err *e) {
    const char *id;
    size_t n;
    if (id_of(r, &id, &n, e) < 0) return -1;
    *row = intern_find(&ref->ids, id, n);
    return *row < 0 ? err_set(e, RC_INPUT, "id %.*s is not in the reference", (int)n, id) : 0;
}

static void make_room(struct answers *a, const struct task *t, int64_t rows) {
    if (rows <= a->cap) return;
    int64_t cap = rows < 2 * a->cap ? 2 * a->cap : rows;
    a->pred = xrealloc(a->pred, (size_t)(cap * t->n_fields), sizeof *a->pred);
    a->valid = xrealloc(a->valid, (size_t)cap, sizeof *a->valid);
    a->exact = xrealloc(a->exact, (size_t)cap, sizeof *a->exact);
    a->seen = xrealloc(a->seen, (size_t)cap, sizeof *a->seen);
    memset(a->seen + a->cap, 0, (size_t)(cap - a->cap) * sizeof *a->seen);
    a->cap = cap;
}

static int add_answer(struct answers *a, const struct task *t, const struct reference *ref, const struct record *r, struct err *e) {
    int64_t row;
    struct err why;
    if (row_of(ref, r, &row, e) < 0 || same_truth(t, ref, r, row, e) < 0) return -1;
    make_room(a, t, ref->rows);
    if (a->seen[row]) return err_set(e, RC_INPUT, "id %s stands twice", ref->ids.key[row]);
    a->seen[row] = true;
    const struct json *parsed = record_get(r, "parsed");
    a->has_parsed = a->has_parsed || parsed;
    a->valid[row] = parsed && parsed->type != JSON_NULL && schema_validate(t->schema, parsed, &why) == 0;
    a->exact[row] = true;
    for (int f = 0; f < t->n_fields; f++) {
        int k = a->valid[row] ? class_of(t, f, parsed) : -1;
        a->pred[row * t->n_fields + f] = (int16_t)(k < 0 ? t->groups[t->group_of[f]].K : k);
        a->exact[row] = a->exact[row] && k == ref->truth[row * t->n_fields + f];
    }
    return add_logprobs(a, r, e);
}

static int none_missing(const struct answers *a, const struct reference *ref, struct err *e) {
    for (int64_t i = 0; i < ref->rows; i++)
        if (i >= a->cap || !a->seen[i]) return err_set(e, RC_INPUT, "%s: no record for id %s of the reference", a->path, ref->ids.key[i]);
    return 0;
}

int answers_read(struct answers *a, const struct task *t, struct reference *ref, bool learn, const char *cluster, const char *name, const char *path, struct err *e) {
    *a = (struct answers){.name = name, .path = path};
    struct jsonl *in = jsonl_open(path, e);
    struct record *r;
    int rc;
    if (!in) return -1;
    while ((rc = jsonl_next(in, &r, e)) > 0) {
        if ((learn && add_truth(ref, t, r, cluster, e) < 0) || add_answer(a, t, ref, r, e) < 0) rc = where(e, jsonl_name(in), r);
        record_free(r);
        if (rc < 0) break;
    }
    if (!rc && !ref->rows) rc = err_set(e, RC_INPUT, "%s: no record, expected at least one", jsonl_name(in));
    if (!rc) rc = none_missing(a, ref, e);
    jsonl_close(in);
    return rc;
}

void answers_release(struct answers *a) {
    free(a->pred);
    free(a->valid);
    free(a->exact);
    free(a->seen);
}

int64_t *answers_by_unit(const struct answers *a, const struct task *t, const struct reference *ref, int g) {
    int K = t->groups[g].K, cells = K * (K + 1);
    int64_t *c = xcalloc((size_t)ref->units.n * (size_t)cells, sizeof *c);
    for (int64_t row = 0; row < ref->rows; row++)
        for (int f = 0; f < t->n_fields; f++)
            if (t->group_of[f] == g)
                c[ref->unit[row] * (int64_t)cells + ref->truth[row * t->n_fields + f] * (K + 1) + a->pred[row * t->n_fields + f]]++;
    return c;
}

int64_t *share_by_unit(const bool *yes, const struct reference *ref) {
    int64_t *c = xcalloc((size_t)ref->units.n * 2, sizeof *c);
    for (int64_t row = 0; row < ref->rows; row++) {
        c[ref->unit[row] * 2] += yes[row];
        c[ref->unit[row] * 2 + 1]++;
    }
    return c;
}
