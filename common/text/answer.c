/* Answers as text and as truth: see answer.h. */
#include "common/text/answer.h"
#include "common/text/pyrepr.h"
#include <stdlib.h>
#include <string.h>

struct answer {
    struct buf rendered;
    struct json_doc *doc;
};

struct answer *answer_new(void) {
    struct answer *a = xcalloc(1, sizeof *a);
    a->doc = json_doc_new();
    return a;
}

void answer_free(struct answer *a) {
    if (!a) return;
    buf_release(&a->rendered);
    json_doc_free(a->doc);
    free(a);
}

/* As json.dumps(v, ensure_ascii=False) spaces it. */
static void put_spaced(struct buf *b, const struct json *v) {
    if (v->type != JSON_ARRAY && v->type != JSON_OBJECT) {
        json_put_value(b, v);
        return;
    }
    buf_addc(b, v->type == JSON_ARRAY ? '[' : '{');
    for (const struct json *x = v->first; x; x = x->next) {
        if (x != v->first) buf_adds(b, ", ");
        if (v->type == JSON_OBJECT) {
            json_put_string(b, x->key, x->key_len);
            buf_adds(b, ": ");
        }
        put_spaced(b, x);
    }
    buf_addc(b, v->type == JSON_ARRAY ? ']' : '}');
}

static void put_styled(struct buf *b, const struct json *v, enum answer_style style) {
    switch (style) {
    case ANSWER_COMPACT: json_put_value(b, v); break;
    case ANSWER_PYTHON: put_spaced(b, v); break;
    case ANSWER_VERBATIM: buf_add(b, v->raw, v->raw_len); break;
    case ANSWER_NOTEBOOK: pyrepr(b, v); break;
    }
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

int answer_put(struct answer *a, const char *what, const struct template *t, enum answer_style style, const struct cell *cells,
               struct buf *text, struct buf *truth, struct err *e) {
    struct err why = ERR_INIT;
    buf_clear(&a->rendered);
    template_render(t, cells, &a->rendered);
    const char *s = a->rendered.n ? a->rendered.p : "";
    size_t from = 0, to = a->rendered.n;
    while (from < to && is_space(s[from])) from++;
    while (to > from && is_space(s[to - 1])) to--;
    if (json_reparse(a->doc, s + from, to - from, &why) == 0) {
        const struct json *v = json_root(a->doc);
        size_t begin = truth->n;
        json_put_value(truth, v);
        if (!text) return 0;
        buf_add(text, s, from);
        if (style == ANSWER_COMPACT)
            buf_add(text, truth->p + begin, truth->n - begin);
        else
            put_styled(text, v, style);
        buf_add(text, s + to, a->rendered.n - to);
        return 0;
    }
    char first = template_first(t);
    if (first == '{' || first == '[')
        return err_set(e, RC_INPUT, "the %s is not JSON (%s), expected JSON as %s starts with %c (write text as {column|json})",
                       what, why.msg, template_name(t), first);
    if (style == ANSWER_NOTEBOOK)
        return err_set(e, RC_INPUT, "the %s is not JSON (%s), expected JSON for --notebook-quotes", what, why.msg);
    json_put_string(truth, s + from, to - from);
    if (text) buf_add(text, s, a->rendered.n);
    return 0;
}
