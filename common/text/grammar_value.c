/* Schemas as rules: enum, const, numbers, strings; see grammar_schema.h. */
#include "common/text/grammar_schema.h"
#include <stdlib.h>
#include <string.h>

/* ---- values as they are written ---- */
static void put_value(struct buf *b, const struct json *v, bool python) {
    const char *comma = python ? ", " : ",", *colon = python ? ": " : ":";
    switch (v->type) {
    case JSON_STRING: json_put_string(b, v->str, v->len); return;
    case JSON_ARRAY:
    case JSON_OBJECT: break;
    default: buf_add(b, v->raw, v->raw_len); return;
    }
    buf_addc(b, v->type == JSON_ARRAY ? '[' : '{');
    for (const struct json *x = v->first; x; x = x->next) {
        if (x != v->first) buf_adds(b, comma);
        if (v->type == JSON_OBJECT) json_put_string(b, x->key, x->key_len), buf_adds(b, colon);
        put_value(b, x, python);
    }
    buf_addc(b, v->type == JSON_ARRAY ? ']' : '}');
}

term value_text(struct builder *b, const struct json *v) {
    struct buf text = BUF_INIT;
    put_value(&text, v, b->space == GRAMMAR_PYTHON);
    term t = term_text(b->x, text.p, text.n, TERM_EPS);
    buf_release(&text);
    return t;
}

/* The listed values that all of the conjunction holds for: exact, whatever its other keywords are. */
bool values_fit(const struct merged *m, const struct json *v) {
    for (size_t i = 0; i < m->n_plain; i++)
        if (!schema_node_holds(m->plain[i], v)) return false;
    for (size_t i = 0; i < m->n_not; i++)
        if (schema_node_holds(m->not[i], v)) return false;
    return true;
}

int values_term(struct merged *m, const struct json *values, const struct json *constant, term *out) {
    struct builder *b = m->b;
    size_t n = 0;
    if (constant) {
        *out = values_fit(m, constant) ? value_text(b, constant) : TERM_EMPTY;
        return 0;
    }
    term *all = xcalloc(values->count + 1, sizeof *all);
    for (const struct json *v = values->first; v; v = v->next)
        if (values_fit(m, v)) all[n++] = value_text(b, v);
    *out = term_or(b->x, all, n);
    free(all);
    return 0;
}

/* ---- numbers ---- */
static void narrow_least(struct limits *l, const struct json *v, bool strict) {
    int c = v && l->least ? json_number_cmp(v, l->least) : 1;
    if (!v || c < 0) return;
    l->above = c ? strict : l->above || strict;
    l->least = v;
}

static void narrow_most(struct limits *l, const struct json *v, bool strict) {
    int c = v && l->most ? json_number_cmp(v, l->most) : -1;
    if (!v || c > 0) return;
    l->below = c ? strict : l->below || strict;
    l->most = v;
}

int plain_number(struct merged *m, term *out) {
    struct limits l = {0};
    struct err why = ERR_INIT;
    const struct node *of_multiple = NULL;
    for (size_t i = 0; i < m->n_plain; i++) {
        const struct node *n = m->plain[i];
        narrow_least(&l, n->minimum, false);
        narrow_least(&l, n->above, true);
        narrow_most(&l, n->maximum, false);
        narrow_most(&l, n->below, true);
        if (!n->multiple) continue;
        of_multiple = n;
        if (l.n_multiple < (int)(sizeof l.multiple / sizeof *l.multiple)) l.multiple[l.n_multiple++] = n->multiple;
        else if (left_out(m, n, "multipleOf", "too many upon each other to be kept") < 0) return -1;
    }
    bool whole = !(m->types & 1u << JSON_NUMBER);
    if (number_term(m->b->x, &l, whole, out, &why) == 0) return 0;
    const struct node *n = of_multiple ? of_multiple : m->n_plain ? m->plain[0] : m->b->s->nodes.v[0];
    if (left_out(m, n, of_multiple ? "multipleOf" : "minimum or maximum", "%s", why.msg) < 0) return -1;
    l.n_multiple = 0;
    if (number_term(m->b->x, &l, whole, out, &why) == 0) return 0;
    return left_out(m, n, "minimum or maximum", "%s", why.msg) < 0 ? -1 : number_term(m->b->x, &(struct limits){0}, whole, out, m->e);
}

/* ---- strings ---- */
int string_term(struct merged *m, term *out) {
    struct terms *x = m->b->x;
    struct grammar *g = m->b->g;
    term quote = term_byte(x, '"'), all[64];
    size_t n = 0;
    uint64_t lo = 0, hi = SCHEMA_NO_LIMIT;
    for (size_t i = 0; i < m->n_plain; i++) {
        const struct node *p = m->plain[i];
        const struct json *pattern = json_get(p->source, "pattern");
        struct err why = ERR_INIT;
        if (p->min_length > lo) lo = p->min_length;
        if (p->max_length < hi) hi = p->max_length;
        if (n + 3 > sizeof all / sizeof *all) {
            if (left_out(m, p, "pattern", "too many upon each other to be kept") < 0) return -1;
            continue;
        }
        if (p->pattern && pattern) {
            if (regex_string_term(g, pattern->str, pattern->len, &all[n], &why) == 0) n++;
            else if (left_out(m, p, "pattern", "%s", why.msg) < 0) return -1;
        }
        if (p->format) {
            if (regex_string_term(g, p->format_text, strlen(p->format_text), &all[n], &why) == 0) n++;
            else if (left_out(m, p, "format", "%s", why.msg) < 0) return -1;
        }
        if (p->is_regex && left_out(m, p, "format", "regular expressions nest, so they are no regular language") < 0) return -1;
    }
    if (lo > hi) return *out = TERM_EMPTY, 0;
    if (lo >= MIN_UNKNOWN) {
        if (left_out(m, m->plain[0], "minLength", "too long to be kept") < 0) return -1;
        lo = 0;
    }
    uint32_t to = hi >= MIN_UNKNOWN ? TERM_INF : (uint32_t)hi;
    if (!n || lo || to != TERM_INF) {
        term chars = term_rep(x, n || m->n_not ? g->char_plain : g->char_free, (uint32_t)lo, to);
        all[n++] = term_cat(x, quote, term_cat(x, chars, quote));
    }
    *out = term_and(x, all, n);
    return opposite_strings(m, out);
}
