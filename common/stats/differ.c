/* Where teacher and student differ: see differ.h. */
#include "common/stats/differ.h"
#include "common/io/jsonl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- which rows ---- */
static int fields_apart(const struct task *t, const struct answers *a, const struct answers *b, int64_t row) {
    int n = 0;
    for (int64_t i = row * t->n_fields; i < (row + 1) * t->n_fields; i++) n += a->pred[i] != b->pred[i];
    return n;
}

static double mean_confidence(const struct task *t, const struct answers *a, int64_t row) {
    double sum = 0;
    int n = 0;
    for (int64_t i = row * t->n_fields; a->confidence && i < (row + 1) * t->n_fields; i++)
        if (!isnan(a->confidence[i])) sum += a->confidence[i], n++;
    return n ? sum / n : NAN;
}

static struct said said_by(const struct task *t, const struct system *s, int run, int64_t row) {
    const struct answers *a = &s->runs[run].answers;
    return (struct said){.run = run, .pred = a->pred + row * t->n_fields, .confidence = mean_confidence(t, a, row)};
}

/* The first pair of runs that is farthest apart stands for the row. */
static struct differing_row compare(const struct task *t, const struct system *teacher, const struct system *student, int64_t row) {
    int most = -1, sum = 0, at = 0, as = 0;
    for (int i = 0; i < teacher->n_runs; i++)
        for (int k = 0; k < student->n_runs; k++) {
            int n = fields_apart(t, &teacher->runs[i].answers, &student->runs[k].answers, row);
            sum += n;
            if (n > most) most = n, at = i, as = k;
        }
    double distance = (double)sum / ((double)teacher->n_runs * student->n_runs * t->n_fields);
    return (struct differing_row){.row = row, .distance = distance, .teacher = said_by(t, teacher, at, row), .student = said_by(t, student, as, row)};
}

static int by_distance(const void *a, const void *b) {
    const struct differing_row *x = a, *y = b;
    double cx = isnan(x->teacher.confidence) ? -1 : x->teacher.confidence, cy = isnan(y->teacher.confidence) ? -1 : y->teacher.confidence;
    if (x->distance != y->distance) return x->distance > y->distance ? -1 : 1;
    if (cx != cy) return cx > cy ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

static void keep_first(struct differing *d, int most) {
    qsort(d->rows, (size_t)d->n, sizeof *d->rows, by_distance);
    if (d->n > most) d->n = most;
}

static void choose(struct differing *d, const struct task *t, const struct reference *ref, const struct systems *s, int most) {
    d->rows = xcalloc(2 * (size_t)most, sizeof *d->rows);
    for (int64_t row = 0; row < ref->rows; row++) {
        struct differing_row x = compare(t, &s->v[d->teacher], &s->v[d->student], row);
        if (!(x.distance > 0)) continue;
        d->total++;
        d->rows[d->n++] = x;
        if (d->n == 2 * most) keep_first(d, most);
    }
    keep_first(d, most);
}

/* ---- what they said ---- */
static char *string_of(const struct json *v) { return v && v->type == JSON_STRING && v->len ? xmemdup0(v->str, v->len) : NULL; }

/* A field's cell: of its whole path, else of the path's first part ("f1" for "f1.polarity"). */
static char *cell_of(const struct record *r, const char *field) {
    const struct json *row = record_get(r, "row"), *v = json_get(row, field);
    return string_of(v ? v : json_getn(row, field, strcspn(field, ".")));
}

static void add_texts(struct differing_row *x, const struct task *t, const struct record *r) {
    if (!x->text) x->text = xcalloc((size_t)t->n_fields, sizeof *x->text);
    for (int f = 0; f < t->n_fields; f++)
        if (!x->text[f]) x->text[f] = cell_of(r, t->field[f]);
    if (!x->prompt) x->prompt = string_of(record_get(r, "prompt"));
}

static void add_said(struct said *s, const struct record *r, const char *key) {
    const struct json *reasoning = record_get(r, "reasoning");
    if ((!reasoning || reasoning->type != JSON_STRING) && key) reasoning = json_get(record_get(r, "parsed"), key);
    s->reasoning = string_of(reasoning);
    s->error = string_of(record_get(r, "error"));
}

/* Reads one run's file for the rows that this run stands for. */
static int read_run(struct differing *d, const struct task *t, const struct reference *ref, const struct system *s, int run, bool teacher, const char *key, struct err *e) {
    struct jsonl *in = jsonl_open(s->runs[run].answers.path, e);
    struct record *r;
    int rc;
    if (!in) return -1;
    while ((rc = jsonl_next(in, &r, e)) > 0) {
        size_t n = 0;
        const char *id = record_str(r, "id", &n);
        int64_t row = id ? intern_find(&ref->ids, id, n) : -1;
        for (int i = 0; i < d->n; i++) {
            struct said *said = teacher ? &d->rows[i].teacher : &d->rows[i].student;
            if (d->rows[i].row != row || said->run != run) continue;
            add_texts(&d->rows[i], t, r);
            add_said(said, r, key);
        }
        record_free(r);
    }
    jsonl_close(in);
    return rc;
}

static int read_system(struct differing *d, const struct task *t, const struct reference *ref, const struct system *s, bool teacher, const char *key, struct err *e) {
    for (int k = 0; k < s->n_runs; k++) {
        bool used = false;
        for (int i = 0; i < d->n; i++) used = used || (teacher ? d->rows[i].teacher.run : d->rows[i].student.run) == k;
        if (used && read_run(d, t, ref, s, k, teacher, key, e) < 0) return -1;
    }
    return 0;
}

int differing_find(struct differing *d, const struct task *t, const struct reference *ref, const struct systems *s, int teacher, int student, int most, const char *key, struct err *e) {
    *d = (struct differing){.teacher = teacher, .student = student};
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < s->v[i ? student : teacher].n_runs; k++)
            if (!strcmp(s->v[i ? student : teacher].runs[k].answers.path, "-"))
                return err_set(e, RC_USAGE, "teacher and student are read twice: standard input cannot be");
    choose(d, t, ref, s, most);
    if (read_system(d, t, ref, &s->v[teacher], true, key, e) < 0) return -1;
    return read_system(d, t, ref, &s->v[student], false, key, e);
}

void differing_release(struct differing *d, const struct task *t) {
    for (int i = 0; i < d->n; i++) {
        struct differing_row *x = &d->rows[i];
        for (int f = 0; x->text && f < t->n_fields; f++) free(x->text[f]);
        free(x->text);
        free(x->prompt);
        free(x->teacher.reasoning);
        free(x->teacher.error);
        free(x->student.reasoning);
        free(x->student.error);
    }
    free(d->rows);
    *d = (struct differing){.teacher = -1, .student = -1};
}
