/* JSON Schema 2020-12, 11.2 and 11.3: unevaluatedItems and unevaluatedProperties. What the schemas beside them evaluate is
   found again, branch by branch, only where one of the two keywords stands. */
#include "common/text/schema_check.h"
#include <stdlib.h>

static void mark(struct check *c, const struct node *n, const struct json *v, const struct place *at, bool *seen);

static void mark_members(struct check *c, const struct node *n, const struct json *v, bool *seen) {
    for (const struct json *m = v->first; m; m = m->next, seen++)
        if (n->additional || check_names(c, n, m)) *seen = true;
}

static void mark_elements(struct check *c, const struct node *n, const struct json *v, const struct place *at, bool *seen) {
    struct place here = {.up = at};
    for (const struct json *x = v->first; x; x = x->next, here.index++)
        if (here.index < n->prefix.n || n->items || (n->contains && n->contains_marks && check_holds(c, n->contains, x, &here))) seen[here.index] = true;
}

static void mark_branches(struct check *c, const struct nodes *list, const struct json *v, const struct place *at, bool *seen) {
    for (size_t i = 0; i < list->n; i++)
        if (check_holds(c, list->v[i], v, at)) mark(c, list->v[i], v, at, seen);
}

/* What n, which holds, evaluates of v, its own two keywords aside. */
static void mark_beside(struct check *c, const struct node *n, const struct json *v, const struct place *at, bool *seen) {
    if (v->type == JSON_OBJECT) mark_members(c, n, v, seen);
    else mark_elements(c, n, v, at, seen);
    if (n->ref) mark(c, n->ref, v, at, seen);
    for (size_t i = 0; i < n->all.n; i++) mark(c, n->all.v[i], v, at, seen);
    for (size_t i = 0; i < n->also.n; i++) mark(c, n->also.v[i], v, at, seen);
    mark_branches(c, &n->any, v, at, seen);
    mark_branches(c, &n->one, v, at, seen);
    if (!n->cond) return;
    bool yes = check_holds(c, n->cond, v, at);
    if (yes) mark(c, n->cond, v, at, seen);
    const struct node *next = yes ? n->then : n->otherwise;
    if (next) mark(c, next, v, at, seen);
}

static void mark(struct check *c, const struct node *n, const struct json *v, const struct place *at, bool *seen) {
    if (n->is_bool || c->given_up) return;
    if (v->type == JSON_OBJECT ? n->rest_members : n->rest_items) {
        for (size_t i = 0; i < v->count; i++) seen[i] = true;
        return;
    }
    mark_beside(c, n, v, at, seen);
}

int check_rest(struct check *c, const struct node *n, const struct json *v, const struct place *at) {
    const struct node *rest = v->type == JSON_OBJECT ? n->rest_members : v->type == JSON_ARRAY ? n->rest_items : NULL;
    struct place here = {.up = at};
    int rc = 0;
    if (!rest || !v->count) return 0;
    bool *seen = xcalloc(v->count, sizeof *seen);
    mark_beside(c, n, v, at, seen);
    for (const struct json *x = v->first; x && !rc; x = x->next, here.index++) {
        if (seen[here.index]) continue;
        here.key = v->type == JSON_OBJECT ? x : NULL;
        if (!rest->is_bool || rest->truth) rc = check_node(c, rest, x, &here);
        else if (!here.key) rc = check_fail(c, at, NULL, "unexpected element %zu", here.index);
        else rc = check_fail(c, at, NULL, "unexpected member \"%.*s\"", (int)(x->key_len < 100 ? x->key_len : 100), x->key);
    }
    free(seen);
    return c->given_up ? -1 : rc;
}
