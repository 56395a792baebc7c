/* Schemas as rules: the opposites that reduce to plain assertions; see grammar_schema.h. Of {"not": N}, N may say only a
   type; values (strings) of enum or const; one required member; a pattern; each with a type beside it. */
#include "common/text/grammar_schema.h"
#include <string.h>

/* What N says besides its type: a bit each. */
enum { SAYS_VALUES = 1, SAYS_REQUIRED = 2, SAYS_PATTERN = 4, SAYS_MORE = 8 };

static unsigned says(const struct node *n) {
    unsigned s = 0;
    for (const struct json *k = n->source->first; k; k = k->next) {
        static const char *const silent[] = {"type", "title", "description", "$comment", "examples", "default"};
        bool quiet = false;
        for (size_t i = 0; i < sizeof silent / sizeof *silent; i++) quiet |= !strcmp(k->key, silent[i]);
        if (quiet) continue;
        s |= !strcmp(k->key, "enum") || !strcmp(k->key, "const") ? SAYS_VALUES : !strcmp(k->key, "required") ? SAYS_REQUIRED : !strcmp(k->key, "pattern") ? SAYS_PATTERN : SAYS_MORE;
    }
    return s;
}

static bool only_strings(const struct node *n) {
    if (n->constant) return n->constant->type == JSON_STRING && !n->values;
    for (const struct json *v = n->values->first; v; v = v->next)
        if (v->type != JSON_STRING) return false;
    return true;
}

/* Of what has type t, N lets nothing or something through beside what the keyword `t` of it says: without a type, N holds for
   every other type, so its opposite is of type t. */
static void keep_type(struct merged *m, const struct node *n, unsigned t) {
    if (!n->types) m->types &= t;
}

int opposite_types(struct merged *m) {
    for (size_t i = 0; i < m->n_not; i++) {
        const struct node *n = m->not[i];
        unsigned s = says(n), number = 1u << JSON_NUMBER;
        bool strings = !n->types || n->types & 1u << JSON_STRING, objects = !n->types || n->types & 1u << JSON_OBJECT;
        if (s == 0) {
            if (n->types & TYPE_INTEGER && !(n->types & number) && m->types & number) {
                if (left_out(m, n, "not", "numbers but integers cannot be kept") < 0) return -1;
                m->not[i] = NULL;
                continue;
            }
            m->types &= ~(n->types ? n->types & number ? n->types | TYPE_INTEGER : n->types : m->types);
        } else if (s == SAYS_VALUES && only_strings(n)) {
            continue; /* string_term leaves them out */
        } else if (s == SAYS_PATTERN && strings && (!n->types || n->types == 1u << JSON_STRING)) {
            keep_type(m, n, 1u << JSON_STRING);
        } else if (s == SAYS_REQUIRED && objects && (!n->types || n->types == 1u << JSON_OBJECT) && n->required->count == 1) {
            keep_type(m, n, 1u << JSON_OBJECT);
        } else {
            if (left_out(m, n, "not", "this cannot be kept") < 0) return -1;
            m->not[i] = NULL;
        }
    }
    size_t to = 0;
    for (size_t i = 0; i < m->n_not; i++)
        if (m->not[i]) m->not[to++] = m->not[i];
    m->n_not = to;
    return 0;
}

int opposite_strings(struct merged *m, term *t) {
    struct builder *b = m->b;
    for (size_t i = 0; i < m->n_not; i++) {
        const struct node *n = m->not[i];
        const struct json *pattern = json_get(n->source, "pattern");
        struct err why = ERR_INIT;
        term out = TERM_EMPTY;
        if (n->constant) out = value_text(b, n->constant);
        for (const struct json *v = n->values ? n->values->first : NULL; v; v = v->next) out = term_or2(b->x, out, value_text(b, v));
        if (n->types && !(n->types & 1u << JSON_STRING)) out = TERM_EMPTY;
        if (n->pattern && pattern && regex_string_term(b->g, pattern->str, pattern->len, &out, &why) < 0) {
            if (left_out(m, n, "not", "pattern: %s", why.msg) < 0) return -1;
            continue;
        }
        if (out != TERM_EMPTY) *t = term_and2(b->x, *t, term_not(b->x, out));
    }
    return 0;
}
