/* Grammars: making and walking; see grammar.h. */
#include "common/text/grammar.h"
#include "common/text/grammar_impl.h"
#include <stdlib.h>
#include <string.h>

struct grammar *grammar_new(const struct grammar_options *o) {
    struct grammar *g = xcalloc(1, sizeof *g);
    struct byteset usable;
    if (o->bytes) memcpy(usable.w, o->bytes, sizeof usable.w);
    terms_init(&g->x, o->bytes ? &usable : NULL);
    return g;
}

void grammar_free(struct grammar *g) {
    if (!g) return;
    terms_release(&g->x);
    for (size_t i = 0; i < g->n_left; i++) free(g->left[i]);
    free(g->left);
    free(g);
}

/* Terms that a grammar may have when it is compiled: decoding adds a term for each state it meets, and from this many on its
   first masks took half a second (MaskBench's tmlanguage, 774,000). */
#define MAX_COMPILED 500000

struct grammar *grammar_finish(struct grammar *g, term body, const struct grammar_options *o, struct err *e) {
    struct terms *x = &g->x;
    term prefix = o->prefix ? term_str(x, o->prefix) : term_opt(x, term_byte(x, ' '));
    g->start = term_cat(x, prefix, body);
    g->prefix = o->prefix ? strlen(o->prefix) : 0;
    bool good = terms_freeze(x);
    if (!good || x->overflow || x->n > MAX_COMPILED) {
        err_set(e, RC_INPUT, "too large or too tangled to be kept");
    } else if (term_min(x, g->start) == TERM_INF) {
        err_set(e, RC_INPUT, "no answer fits%s", o->bytes ? ", or none that the model's vocabulary can write" : "");
    } else if (!x->overflow) {
        return g;
    }
    grammar_free(g);
    return NULL;
}

struct grammar *grammar_from_regex(const char *pattern, const struct grammar_options *o, struct err *e) {
    struct grammar *g = grammar_new(o);
    term t;
    size_t n = strlen(pattern);
    if (utf8_valid(pattern, n) != n) {
        err_set(e, RC_INPUT, "regular expression is not UTF-8");
    } else if (regex_text_term(g, pattern, n, &t, e) == 0) {
        g = grammar_finish(g, t, o, e);
        if (!g) err_prefix(e, "regular expression %.200s: ", pattern);
        return g;
    }
    grammar_free(g);
    return NULL;
}

struct grammar *grammar_from_choices(const char *const *v, int n, const struct grammar_options *o, struct err *e) {
    struct grammar *g = grammar_new(o);
    term t = TERM_EMPTY;
    for (int i = 0; i < n; i++) t = term_or2(&g->x, t, term_str(&g->x, v[i]));
    return grammar_finish(g, t, o, e);
}

size_t grammar_n_left_out(const struct grammar *g) { return g->n_left; }
const char *grammar_left_out(const struct grammar *g, size_t i) { return g->left[i]; }

bool grammar_open(const struct grammar *g, size_t *prefix) {
    *prefix = g->prefix;
    return g->open;
}

/* ---- walking ---- */
void grammar_try(struct grammar *g) {
    g->x.budget = GRAMMAR_SEARCH;
    g->x.overflow = false;
}

bool grammar_beyond(const struct grammar *g) { return g->x.overflow; }

uint32_t grammar_start(const struct grammar *g) { return g->start; }

uint32_t grammar_byte(struct grammar *g, uint32_t state, unsigned char byte) {
    if (!byteset_has(&g->x.usable, byte)) return GRAMMAR_DEAD;
    return term_step(&g->x, state, g->x.class_of[byte]);
}

bool grammar_done(struct grammar *g, uint32_t state) { return term_nullable(&g->x, state); }

uint32_t grammar_min_close(struct grammar *g, uint32_t state) { return term_min(&g->x, state); }

/* A usable byte of class c, or -1. */
static int byte_of(const struct terms *x, int c) {
    for (int b = x->first_of[c]; b < 256; b++)
        if (x->class_of[b] == c && byteset_has(&x->usable, (unsigned)b)) return b;
    return -1;
}

/* The one class that leads on; -1 where there is none or a choice. */
static int only_class(struct grammar *g, uint32_t state) {
    int only = -1;
    for (int c = 0; c < g->x.classes; c++) {
        if (term_step(&g->x, state, c) == TERM_EMPTY) continue;
        if (only >= 0 || g->x.size_of[c] != 1) return -1;
        only = c;
    }
    return only;
}

bool grammar_ended(struct grammar *g, uint32_t state) {
    if (!grammar_done(g, state)) return false;
    for (int c = 0; c < g->x.classes; c++)
        if (term_step(&g->x, state, c) != TERM_EMPTY) return false;
    return true;
}

uint32_t grammar_forced(struct grammar *g, uint32_t state, size_t max, struct buf *out) {
    while (max-- && !grammar_done(g, state)) {
        int c = only_class(g, state);
        if (c < 0) break;
        buf_addc(out, (char)g->x.first_of[c]);
        state = term_step(&g->x, state, c);
    }
    return state;
}

void grammar_close(struct grammar *g, uint32_t state, struct buf *out) {
    for (uint32_t left = term_min(&g->x, state); left && left != TERM_INF; left--) {
        int c = 0;
        uint32_t to = TERM_EMPTY;
        for (; c < g->x.classes; c++) {
            to = term_step(&g->x, state, c);
            if (to != TERM_EMPTY && term_min(&g->x, to) == left - 1) break;
        }
        if (c == g->x.classes && g->x.overflow) return;
        if (c == g->x.classes) BUG("no way of %u bytes to the end", left);
        buf_addc(out, (char)byte_of(&g->x, c));
        state = to;
    }
}
