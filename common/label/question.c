/* From a record to the teacher's messages and back: see question.h. */
#include "common/label/question.h"
#include <stdlib.h>
#include <string.h>

static void add_cell(struct question *q, const char *name, size_t n, const char *value, size_t len) {
    if (q->n == q->cap) {
        q->cap = q->cap ? 2 * q->cap : 32;
        q->names = xrealloc(q->names, q->cap, sizeof *q->names);
        q->cells = xrealloc(q->cells, q->cap, sizeof *q->cells);
    }
    q->names[q->n] = (struct cell){name, n};
    q->cells[q->n++] = (struct cell){value, len};
}

static void add_strings(struct question *q, const struct json *object) {
    for (const struct json *m = object && object->type == JSON_OBJECT ? object->first : NULL; m; m = m->next)
        if (m->type == JSON_STRING) add_cell(q, m->key, m->key_len, m->str, m->len);
}

static int fill(struct question *q, const struct record *r, struct buf *text, struct err *e) {
    struct buf line = BUF_INIT;
    q->n = 0;
    record_put(r, &line);
    struct json_doc *d = json_parse(line.p, line.n, e);
    if (!d) BUG("a record is no JSON: %s", e ? e->msg : "");
    add_strings(q, json_get(json_root(d), "row"));
    add_strings(q, json_root(d));
    add_cell(q, "schema", 6, q->task->told, strlen(q->task->told));
    struct columns c = {q->names, q->n, NULL, 0};
    int rc = template_bind(q->template, &c, e);
    if (!rc) template_render(q->template, q->cells, text);
    json_doc_free(d);
    buf_release(&line);
    return rc;
}

static void put_user(struct buf *out, const char *text, size_t n) {
    buf_adds(out, "[{\"role\":\"user\",\"content\":");
    json_put_string(out, text, n);
    buf_adds(out, "}]");
}

int question_put(struct question *q, const struct record *r, struct buf *out, struct err *e) {
    struct json *messages = record_get(r, "messages");
    size_t n;
    if (q->template) {
        struct buf text = BUF_INIT;
        int rc = fill(q, r, &text, e);
        if (!rc) put_user(out, text.p ? text.p : "", text.n);
        buf_release(&text);
        return rc;
    }
    const char *prompt = record_str(r, "prompt", &n);
    if (prompt)
        put_user(out, prompt, n);
    else if (messages && messages->type == JSON_ARRAY && messages->count)
        json_put_value(out, messages);
    else
        return err_set(e, RC_INPUT, "no prompt: expected a string field prompt, or messages");
    return 0;
}

void question_release(struct question *q) {
    template_free(q->template);
    free(q->names);
    free(q->cells);
    *q = (struct question){0};
}

void question_answer(struct record *r, const char *completion, size_t n) {
    struct json *messages = record_get(r, "messages");
    struct buf b = BUF_INIT;
    if (record_get(r, "prompt") || !messages || messages->type != JSON_ARRAY) {
        record_set_str(r, "completion", completion, n);
        return;
    }
    json_put_value(&b, messages);
    b.p[--b.n] = 0;
    buf_adds(&b, b.n > 1 ? ",{\"role\":\"assistant\",\"content\":" : "{\"role\":\"assistant\",\"content\":");
    json_put_string(&b, completion, n);
    buf_adds(&b, "}]");
    record_set_raw(r, "messages", b.p, b.n);
    buf_release(&b);
}
