/* Strings to small integers: each distinct string is copied once and gets the next number, from 0. */
#ifndef COADOR_INTERN_H
#define COADOR_INTERN_H
#include "common/io/strmap.h"
#include <stdint.h>

struct intern {
    char **key;    /* by number; owned, NUL-terminated */
    int64_t n, cap;
    struct strmap map;
};
void intern_release(struct intern *t);
/* Number of the string, added if new (*is_new may be NULL). */
int64_t intern_add(struct intern *t, const char *s, size_t n, int *is_new);
int64_t intern_find(const struct intern *t, const char *s, size_t n); /* -1: absent */
#endif
