/* Schemas as rules: unevaluatedProperties and unevaluatedItems, as far as the schemas beside them are known when they are read;
   see grammar_schema.h. The branches of oneOf and of if are: one holds. Those of anyOf are not: several may. */
#include "common/text/grammar_schema.h"
#include <stdlib.h>

struct search {
    struct merged *m;
    const struct node *from;
    bool of_items, any; /* any: an anyOf stands in the way */
    struct rest *to;
    size_t cap;
};

static bool held(const struct merged *m, const struct node *n) {
    for (size_t i = 0; i < m->n_plain; i++)
        if (m->plain[i] == n) return true;
    return false;
}

static void walk(struct search *s, const struct node *n);

static void walk_all(struct search *s, const struct nodes *list) {
    for (size_t i = 0; i < list->n; i++) walk(s, list->v[i]);
}

static void walk(struct search *s, const struct node *n) {
    struct rest *to = s->to;
    if (n->is_bool || !held(s->m, n)) return; /* a branch that was not chosen */
    for (size_t i = 0; i < to->n; i++)
        if (to->v[i] == n) return;
    GROW(to->v, to->n, s->cap);
    to->v[to->n++] = n;
    to->all |= n != s->from && (s->of_items ? n->rest_items : n->rest_members);
    to->all |= s->of_items ? n->items != NULL : n->additional != NULL;
    s->any |= n->any.n > 0 || (s->of_items && n->contains && n->contains_marks);
    if (n->ref) walk(s, n->ref);
    walk_all(s, &n->all);
    walk_all(s, &n->also);
    walk_all(s, &n->one);
    if (!n->cond) return;
    if (!n->then && !n->otherwise) s->any = true; /* no choice was made */
    bool yes = n->cond->is_bool ? n->cond->truth : held(s->m, n->cond);
    if (yes) walk(s, n->cond);
    const struct node *next = yes ? n->then : n->otherwise;
    if (next) walk(s, next);
}

int rests(struct merged *m, bool of_items, struct rest **v, size_t *n) {
    *v = xcalloc(m->n_plain, sizeof **v);
    *n = 0;
    for (size_t i = 0; i < m->n_plain; i++) {
        const struct node *from = m->plain[i], *rest = of_items ? from->rest_items : from->rest_members;
        if (!rest || (rest->is_bool && rest->truth)) continue;
        struct rest *to = &(*v)[(*n)++];
        struct search s = {m, from, of_items, false, to, 0};
        *to = (struct rest){.schema = rest};
        walk(&s, from);
        if (!s.any || to->all) continue;
        const char *name = of_items ? "unevaluatedItems" : "unevaluatedProperties";
        if (left_out(m, from, name, "cannot be kept beside %s", of_items ? "anyOf, contains or a bare if" : "anyOf or a bare if") < 0) return -1;
        to->all = true;
    }
    return 0;
}

void rests_free(struct rest *v, size_t n) {
    for (size_t i = 0; v && i < n; i++) free(v[i].v);
    free(v);
}
