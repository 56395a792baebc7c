/* Strings to small integers: see intern.h. Strings stand behind their lengths, one behind another in blocks. */
#include "common/io/intern.h"
#include "common/io/buf.h"
#include "common/io/err.h"
#include "common/io/xxh64.h"
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 1 << 14 };

void intern_release(struct intern *t) {
    for (size_t i = 0; i < t->n_blocks; i++) free(t->block[i]);
    free(t->block);
    free(t->key);
    free(t->slot);
    *t = (struct intern){0};
}

static size_t length(const char *key) {
    uint32_t n;
    memcpy(&n, key - sizeof n, sizeof n);
    return n;
}

static char *copy(struct intern *t, const char *s, size_t n) {
    uint32_t n32 = (uint32_t)n;
    size_t need = sizeof n32 + n + 1;
    if (n != n32) BUG("a string of %zu bytes", n);
    size_t size = need > BLOCK ? need : BLOCK; /* a longer string has a block of its own, which it fills */
    if (need > t->left) {
        GROW(t->block, t->n_blocks, t->blocks_cap);
        t->block[t->n_blocks++] = xmalloc(size);
        t->left = size;
    }
    char *p = t->block[t->n_blocks - 1] + size - t->left;
    t->left -= need;
    memcpy(p, &n32, sizeof n32);
    p += sizeof n32;
    if (n) memcpy(p, s, n);
    p[n] = 0;
    return p;
}

bool intern_is(const struct intern *t, int64_t k, const char *s, size_t n) {
    return k >= 0 && k < t->n && length(t->key[k]) == n && (!n || !memcmp(t->key[k], s, n));
}

/* Where the string stands, or could. */
static int32_t *find(const struct intern *t, const char *s, size_t n) {
    size_t i = xxh64(s, n) & (t->n_slots - 1);
    while (t->slot[i] >= 0 && !intern_is(t, t->slot[i], s, n)) i = (i + 1) & (t->n_slots - 1);
    return &t->slot[i];
}

int64_t intern_find(const struct intern *t, const char *s, size_t n) { return t->n_slots ? *find(t, s, n) : -1; }

static void widen(struct intern *t) {
    t->n_slots = t->n_slots ? 2 * t->n_slots : 64;
    free(t->slot);
    t->slot = xcalloc(t->n_slots, sizeof *t->slot);
    memset(t->slot, 0xff, t->n_slots * sizeof *t->slot);
    for (int64_t k = 0; k < t->n; k++) *find(t, t->key[k], length(t->key[k])) = (int32_t)k;
}

int64_t intern_add(struct intern *t, const char *s, size_t n, int *is_new) {
    int64_t k = intern_find(t, s, n);
    if (is_new) *is_new = k < 0;
    if (k >= 0) return k;
    if (t->n == INT32_MAX) BUG("more than %d strings", INT32_MAX);
    if (4 * ((size_t)t->n + 1) > 3 * t->n_slots) widen(t);
    GROW(t->key, t->n, t->cap);
    t->key[t->n] = copy(t, s, n);
    *find(t, s, n) = (int32_t)t->n;
    return t->n++;
}
