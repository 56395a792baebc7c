/* Strings to small integers: see intern.h. */
#include "common/io/intern.h"
#include "common/io/buf.h"
#include <stdlib.h>

void intern_release(struct intern *t) {
    for (int64_t i = 0; i < t->n; i++) free(t->key[i]);
    free(t->key);
    strmap_release(&t->map);
    *t = (struct intern){0};
}

int64_t intern_find(const struct intern *t, const char *s, size_t n) { return strmap_get(&t->map, s, n); }

int64_t intern_add(struct intern *t, const char *s, size_t n, int *is_new) {
    int64_t k = intern_find(t, s, n);
    if (is_new) *is_new = k < 0;
    if (k >= 0) return k;
    GROW(t->key, t->n, t->cap);
    t->key[t->n] = xmemdup0(s, n);
    strmap_put(&t->map, t->key[t->n], n, (int)t->n);
    return t->n++;
}
