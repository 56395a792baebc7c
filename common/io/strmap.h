/* Map from byte strings to indices: open addressing, grown by doubling. For tables of names inside files. */
#ifndef COADOR_STRMAP_H
#define COADOR_STRMAP_H
#include <stdbool.h>
#include <stddef.h>

struct strmap {
    struct strmap_slot *v; /* cap slots, cap a power of two or 0 */
    size_t n, cap;
};
#define STRMAP_INIT {0, 0, 0}
/* Borrows key[0..n) for the life of the map; false when the key is already there (nothing is changed). */
bool strmap_put(struct strmap *m, const char *key, size_t n, int value);
/* The value, or -1. */
int strmap_get(const struct strmap *m, const char *key, size_t n);
void strmap_release(struct strmap *m);
#endif
