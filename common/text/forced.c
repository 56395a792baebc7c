/* Forced tokens, kept: see forced.h. */
#include "common/text/forced.h"
#include "common/io/strmap.h"
#include <stdlib.h>
#include <string.h>

#define MOST 4096 /* entries; beyond that all are forgotten */

struct entry {
    struct forced_key key;
    struct ids ids;
};
struct forced {
    struct strmap map; /* by the bytes of the key */
    struct entry *v[MOST];
    int n;
};

struct forced_key forced_key(uint32_t state, const int32_t *ids, size_t n) {
    struct forced_key k = {.state = state, .n = n < FORCED_CONTEXT ? (uint32_t)n : FORCED_CONTEXT};
    if (k.n) memcpy(k.last, ids + n - k.n, k.n * sizeof *ids);
    return k;
}

struct forced *forced_new(void) { return xcalloc(1, sizeof(struct forced)); }

static void forget(struct forced *f) {
    for (int i = 0; i < f->n; i++) {
        ids_release(&f->v[i]->ids);
        free(f->v[i]);
    }
    f->n = 0;
    strmap_release(&f->map);
    f->map = (struct strmap)STRMAP_INIT;
}

void forced_free(struct forced *f) {
    if (!f) return;
    forget(f);
    free(f);
}

const struct ids *forced_find(const struct forced *f, const struct forced_key *k) {
    int i = strmap_get(&f->map, (const char *)k, sizeof *k);
    return i < 0 ? NULL : &f->v[i]->ids;
}

const struct ids *forced_keep(struct forced *f, const struct forced_key *k, const int32_t *ids, size_t n) {
    if (f->n == MOST) forget(f);
    struct entry *e = xcalloc(1, sizeof *e);
    e->key = *k;
    for (size_t i = 0; i < n; i++) ids_add(&e->ids, ids[i]);
    strmap_put(&f->map, (const char *)&e->key, sizeof e->key, f->n);
    f->v[f->n++] = e;
    return &e->ids;
}
