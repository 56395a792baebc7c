/* String map: see strmap.h. */
#include "common/io/strmap.h"
#include "common/io/buf.h"
#include <stdlib.h>
#include <string.h>

struct strmap_slot {
    const char *key; /* NULL: free */
    size_t n;
    uint64_t hash;
    int value;
};

/* FNV-1a, 64 bits, with its high half folded in: the mask keeps low bits only. */
static uint64_t hash_of(const char *s, size_t n) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)s[i]) * 0x100000001b3u;
    return h ^ h >> 32;
}

static struct strmap_slot *find(const struct strmap *m, const char *key, size_t n, uint64_t h) {
    size_t i = h & (m->cap - 1);
    while (m->v[i].key && !(m->v[i].hash == h && m->v[i].n == n && !memcmp(m->v[i].key, key, n))) i = (i + 1) & (m->cap - 1);
    return &m->v[i];
}

static void grow(struct strmap *m) {
    struct strmap old = *m;
    m->cap = old.cap ? old.cap * 2 : 64;
    m->v = xcalloc(m->cap, sizeof *m->v);
    for (size_t i = 0; i < old.cap; i++)
        if (old.v[i].key) *find(m, old.v[i].key, old.v[i].n, old.v[i].hash) = old.v[i];
    free(old.v);
}

bool strmap_put(struct strmap *m, const char *key, size_t n, int value) {
    uint64_t h = hash_of(key, n);
    if (m->n * 2 >= m->cap) grow(m);
    struct strmap_slot *s = find(m, key, n, h);
    if (s->key) return false;
    *s = (struct strmap_slot){key, n, h, value};
    m->n++;
    return true;
}

int strmap_get(const struct strmap *m, const char *key, size_t n) {
    if (!m->cap) return -1;
    const struct strmap_slot *s = find(m, key, n, hash_of(key, n));
    return s->key ? s->value : -1;
}

void strmap_release(struct strmap *m) {
    free(m->v);
    *m = (struct strmap)STRMAP_INIT;
}
