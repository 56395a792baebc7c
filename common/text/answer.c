/* Answers as text and as truth: see answer.h. */
#include "common/text/answer.h"
#include "common/text/pyrepr.h"
#include <stdlib.h>
#include <string.h>

struct answer {
    const char *what;
    const struct template *t;
    enum answer_style style;
    /* A template that is JSON whatever its cells say, they being its strings, needs no reading row by row: then these are
       its text in the style and its truth. Else both NULL, and the row's answer is below. */
    struct template *text_of, *truth_of;
    const struct cell *cells;
    struct buf rendered, text, truth;
    struct json_doc *doc;
};

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

/* Where b's text begins and ends without the white space around it. */
static void trim(const struct buf *b, size_t *from, size_t *to) {
    *from = 0;
    *to = b->n;
    while (*from < *to && is_space(b->p[*from])) ++*from;
    while (*to > *from && is_space(b->p[*to - 1])) --*to;
}

/* Reads rendered as JSON into a->doc; text is it in the style, truth it compact, both empty before. */
static int restyle(struct answer *a, const struct buf *rendered, struct buf *text, struct buf *truth, struct err *e) {
    size_t from, to;
    trim(rendered, &from, &to);
    if (json_reparse(a->doc, rendered->p + from, to - from, e) < 0) return -1;
    const struct json *v = json_root(a->doc);
    json_put_value(truth, v);
    buf_add(text, rendered->p, from);
    if (a->style == ANSWER_COMPACT)
        buf_add(text, truth->p, truth->n);
    else
        put_styled(text, v, a->style);
    buf_add(text, rendered->p + to, rendered->n - to);
    return 0;
}

/* ---- templates that are always JSON ---- */
/* Whether a cell is the key of a member: such keys may come twice in some rows. */
static bool cell_is_key(const struct json *v) {
    for (const struct json *x = v->first; x; x = x->next)
        if ((x->key && !strncmp(x->key, TEMPLATE_MARK, strlen(TEMPLATE_MARK))) || cell_is_key(x)) return true;
    return false;
}

static bool rewrite(struct answer *a, const struct buf *marked, struct buf *text, struct buf *truth) {
    struct err ignored;
    return restyle(a, marked, text, truth, &ignored) == 0 && !cell_is_key(json_root(a->doc));
}

static bool rewrite_text(void *arg, const struct buf *marked, struct buf *to) {
    struct buf truth = BUF_INIT;
    bool done = rewrite(arg, marked, to, &truth);
    buf_release(&truth);
    return done;
}

static bool rewrite_truth(void *arg, const struct buf *marked, struct buf *to) {
    struct buf text = BUF_INIT;
    bool done = rewrite(arg, marked, &text, to);
    buf_release(&text);
    return done;
}

struct answer *answer_new(const char *what, const struct template *t, enum answer_style style) {
    struct answer *a = xcalloc(1, sizeof *a);
    *a = (struct answer){.what = what, .t = t, .style = style, .doc = json_doc_new()};
    if (style == ANSWER_NOTEBOOK || !(a->truth_of = template_rewrite(t, rewrite_truth, a))) return a; /* Python's quotes follow the content */
    if ((a->text_of = template_rewrite(t, rewrite_text, a))) return a;
    template_free(a->truth_of);
    a->truth_of = NULL;
    return a;
}

void answer_free(struct answer *a) {
    if (!a) return;
    struct buf *bufs[] = {&a->rendered, &a->text, &a->truth};
    for (int i = 0; i < 3; i++) buf_release(bufs[i]);
    template_free(a->text_of);
    template_free(a->truth_of);
    json_doc_free(a->doc);
    free(a);
}

/* ---- rows ---- */
/* The answer in a->rendered, which is not JSON, for the reason `why`. */
static int read_words(struct answer *a, const struct err *why, struct err *e) {
    char first = template_first(a->t);
    size_t from, to;
    if (first == '{' || first == '[')
        return err_set(e, RC_INPUT, "the %s is not JSON (%s), expected JSON as %s starts with %c (write text as {column|json})",
                       a->what, why->msg, template_name(a->t), first);
    if (a->style == ANSWER_NOTEBOOK)
        return err_set(e, RC_INPUT, "the %s is not JSON (%s), expected JSON for --notebook-quotes", a->what, why->msg);
    trim(&a->rendered, &from, &to);
    json_put_string(&a->truth, a->rendered.p + from, to - from);
    buf_add(&a->text, a->rendered.p, a->rendered.n);
    return 0;
}

int answer_read(struct answer *a, const struct cell *cells, struct err *e) {
    struct err why = ERR_INIT;
    a->cells = cells;
    if (a->text_of) return 0;
    buf_clear(&a->rendered);
    buf_add(&a->rendered, "", 0); /* never NULL */
    buf_clear(&a->text);
    buf_clear(&a->truth);
    template_render(a->t, cells, &a->rendered);
    if (restyle(a, &a->rendered, &a->text, &a->truth, &why) == 0) return 0;
    return read_words(a, &why, e);
}

void answer_text(const struct answer *a, struct buf *b) {
    if (a->text_of)
        template_render(a->text_of, a->cells, b);
    else
        buf_add(b, a->text.p, a->text.n);
}

void answer_text_chars(const struct answer *a, struct buf *b) {
    if (a->text_of)
        template_render_chars(a->text_of, a->cells, b);
    else
        json_put_chars(b, a->text.p, a->text.n);
}

void answer_truth(const struct answer *a, struct buf *b) {
    if (a->truth_of)
        template_render(a->truth_of, a->cells, b);
    else
        buf_add(b, a->truth.p, a->truth.n);
}
