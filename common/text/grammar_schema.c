/* Schemas as rules: all of a schema; see grammar_schema.h. */
#include "common/text/grammar_schema.h"
#include <stdlib.h>
#include <string.h>

#define MAX_CONJ 200000

static void set_space(struct builder *b, enum grammar_space space) {
    struct terms *x = b->x;
    struct byteset white = {{0}};
    byteset_add(&white, ' ', ' ');
    byteset_add(&white, '\t', '\n');
    byteset_add(&white, '\r', '\r');
    b->space = space;
    b->gap = space == GRAMMAR_BOUNDED ? term_rep(x, term_set(x, &white), 0, 40) : TERM_EPS;
    b->comma = space == GRAMMAR_PYTHON ? term_str(x, ", ") : term_cat(x, b->gap, term_cat(x, term_byte(x, ','), b->gap));
    b->colon = space == GRAMMAR_PYTHON ? term_str(x, ": ") : term_cat(x, b->gap, term_cat(x, term_byte(x, ':'), b->gap));
}

/* Marks the rules that t leads to. */
static void reach(struct terms *x, term t, bool *terms_seen, bool *rules_seen) {
    struct items todo = {0};
    for (bool more = true; more;) {
        if (!terms_seen[t]) {
            const struct term_node *n = &x->v[t];
            terms_seen[t] = true;
            for (uint32_t i = 0; (n->kind == T_OR || n->kind == T_AND) && i < n->b; i++) {
                GROW(todo.v, todo.n, todo.cap);
                todo.v[todo.n++] = x->lists[n->a + i];
            }
            GROW(todo.v, todo.n + 1, todo.cap);
            if (n->kind == T_CAT) todo.v[todo.n++] = n->b;
            if (n->kind == T_CAT || n->kind == T_REP || n->kind == T_NOT) todo.v[todo.n++] = n->a;
            if (n->kind == T_CALL) rules_seen[n->a] = true, todo.v[todo.n++] = x->rules[n->a].body;
        }
        more = todo.n > 0;
        if (more) t = todo.v[--todo.n];
    }
    free(todo.v);
}

static void tell(struct grammar *g, const char *text) {
    for (size_t i = 0; i < g->n_left; i++)
        if (!strcmp(g->left[i], text)) return;
    GROW(g->left, g->n_left, g->cap_left);
    g->left[g->n_left++] = xstrdup(text);
}

/* The first thing that cannot be kept and matters; tells those that are left out and matter. */
static int complain(struct builder *b, term start, struct err *e) {
    bool *terms_seen = xcalloc(b->x->n, sizeof *terms_seen), *rules_seen = xcalloc(b->x->n_rules, sizeof *rules_seen);
    reach(b->x, start, terms_seen, rules_seen);
    int rc = 0;
    for (size_t i = 0; i < b->n_conj && !rc; i++)
        if (b->conj[i].e.code && rules_seen[b->conj[i].rule]) {
            if (e) *e = b->conj[i].e;
            rc = -1;
        }
    for (size_t i = 0; i < b->n_left; i++)
        if (rules_seen[b->conj[b->left[i].conj].rule]) tell(b->g, b->left[i].text);
    free(terms_seen);
    free(rules_seen);
    return rc;
}

/* A rule that could not be built may hold anything: for proofs of emptiness it counts as not empty. */
static int check_apart(struct builder *b, struct err *e) {
    for (size_t i = 0; i < b->n_apart; i++) {
        const struct apart *a = &b->apart[i];
        if (b->x->rules[a->rule].min == TERM_INF) continue;
        cannot(a->node, e, "oneOf: branches %zu and %zu may hold together, so it cannot be kept", a->i, a->k);
        if (!b->lenient) return -1;
        tell(b->g, e->msg);
    }
    return 0;
}

static void build_rules(struct builder *b) {
    for (size_t i = 0; i < b->n_conj; i++) {
        struct err e = ERR_INIT;
        term body = TERM_EMPTY;
        b->now = i;
        if (i >= MAX_CONJ) b->x->overflow = true;
        if (b->x->overflow) return;
        if (conj_body(b, &b->conj[i].items, &body, &e) < 0) body = TERM_EPS;
        b->conj[i].e = e;
        b->x->rules[b->conj[i].rule].body = body;
    }
}

static void builder_release(struct builder *b) {
    for (size_t i = 0; i < b->n_conj; i++) free(b->conj[i].items.v);
    free(b->conj);
    free(b->slots);
    free(b->apart);
    for (size_t i = 0; i < b->n_left; i++) free(b->left[i].text);
    free(b->left);
}

struct grammar *grammar_from_schema(const struct schema *s, const struct grammar_options *o, struct err *e) {
    struct err own = ERR_INIT;
    struct grammar *g = grammar_new(o);
    struct builder b = {.g = g, .x = &g->x, .s = s, .lenient = o->lenient};
    struct items root = {0};
    lex_init(g);
    set_space(&b, o->space);
    items_add(&root, s->nodes.v[0], PART_ALL);
    term start = term_call(b.x, conj_rule(&b, &root));
    build_rules(&b);
    if (!b.x->overflow && complain(&b, start, &own) < 0) {
        grammar_free(g);
        g = NULL;
    } else if ((g = grammar_finish(g, start, o, &own)) && check_apart(&b, &own) < 0) {
        grammar_free(g);
        g = NULL;
    }
    builder_release(&b);
    if (!g) err_prefix(&own, "%s: ", s->name);
    if (!g && e) *e = own;
    return g;
}
