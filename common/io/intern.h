/* Strings to small integers: each distinct string is copied once and gets the next number, from 0. Takes a string's bytes and some 25. */
#ifndef COADOR_INTERN_H
#define COADOR_INTERN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct intern {
    char **key;    /* by number; owned, NUL-terminated */
    int64_t n, cap;
    /* private */
    int32_t *slot; /* numbers by hash, -1: free; n_slots of them, a power of two or 0 */
    size_t n_slots;
    char **block;  /* where the strings stand */
    size_t n_blocks, blocks_cap, left; /* left: free bytes of the last */
};
void intern_release(struct intern *t);
/* Number of the string, added if new (*is_new may be NULL). */
int64_t intern_add(struct intern *t, const char *s, size_t n, int *is_new);
int64_t intern_find(const struct intern *t, const char *s, size_t n); /* -1: absent */
bool intern_is(const struct intern *t, int64_t number, const char *s, size_t n); /* false, too, where there is no such number */
#endif
