/* Terms: classes of bytes, and which of them a term treats alike (the derivative classes of Owens, Reppy and Turon), so that one
   derivative does for many bytes; see grammar_term.h. */
#include "common/text/grammar_term.h"
#include <string.h>

static void split_classes(struct terms *x) {
    uint8_t class_of[256] = {0};
    int n = 1;
    for (size_t s = 0; s < x->n_sets && n < 256; s++) { /* split each class by the set */
        int moved[256], before = n;
        for (int i = 0; i < before; i++) moved[i] = -1;
        bool stays[256] = {false};
        for (int b = 0; b < 256; b++) stays[class_of[b]] |= !byteset_has(&x->sets[s], (unsigned)b);
        for (int b = 0; b < 256; b++) {
            int c = class_of[b];
            if (!byteset_has(&x->sets[s], (unsigned)b) || !stays[c]) continue;
            if (moved[c] < 0) moved[c] = n++;
            class_of[b] = (uint8_t)moved[c];
        }
    }
    memcpy(x->class_of, class_of, sizeof class_of);
    x->classes = n;
    for (int b = 255; b >= 0; b--) {
        x->first_of[class_of[b]] = (uint8_t)b;
        x->size_of[class_of[b]]++;
    }
}

void terms_classes(struct terms *x) {
    split_classes(x);
    x->set_classes = xcalloc(x->n_sets + 1, sizeof *x->set_classes);
    for (size_t s = 0; s < x->n_sets; s++)
        for (int c = 0; c < x->classes; c++)
            if (byteset_has(&x->sets[s], x->first_of[c])) byteset_add(&x->set_classes[s], (unsigned)c, (unsigned)c);
}

/* ---- classes alike ---- */
/* Leaves in block those that are on c's side of the set. */
static void keep_side(const struct byteset *set, int c, struct byteset *block) {
    bool in = byteset_has(set, (unsigned)c);
    for (int i = 0; i < 4; i++) block->w[i] &= in ? set->w[i] : ~set->w[i];
}

/* Every digit leads to a remainder of its own. */
static void keep_digit(const struct terms *x, int c, struct byteset *block) {
    for (int i = 0; i < x->classes; i++) {
        unsigned b = x->first_of[i];
        struct byteset one = {{0}};
        byteset_add(&one, (unsigned)i, (unsigned)i);
        if (b >= '0' && b <= '9') keep_side(&one, c, block);
    }
}

/* By the sets that t can begin with. */
static void narrow(struct terms *x, term t, int c, struct byteset *block) {
    for (; x->v[t].kind == T_CAT; t = x->v[t].b) {
        narrow(x, x->v[t].a, c, block);
        if (!term_nullable(x, x->v[t].a)) return;
    }
    const struct term_node n = x->v[t];
    switch (n.kind) {
    case T_SET: keep_side(&x->set_classes[n.a], c, block); return;
    case T_REM: keep_digit(x, c, block); return;
    case T_OR:
    case T_AND:
        for (uint32_t i = 0; i < n.b; i++) narrow(x, x->lists[n.a + i], c, block);
        return;
    case T_NOT:
    case T_REP: narrow(x, n.a, c, block); return;
    case T_CALL: narrow(x, x->rules[n.a].body, c, block); return;
    default: return;
    }
}

void term_alike(struct terms *x, term t, int c, struct byteset *block) {
    memset(block, 0xff, sizeof *block);
    narrow(x, t, c, block);
}
