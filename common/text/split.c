/* Splits by content: see split.h. */
#include "common/text/split.h"
#include "common/io/sha256.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

/* One "name=fraction" of n bytes. */
static int parse_part(struct split *s, const char *p, size_t n, struct err *e) {
    size_t name = strspn(p, LETTERS);
    if (s->n == SPLIT_MAX) return err_set(e, RC_USAGE, "more than %d parts", SPLIT_MAX);
    if (!name || name >= n || p[name] != '=' || name >= sizeof s->name[0])
        return err_set(e, RC_USAGE, "'%.*s' is not a part, expected NAME=FRACTION", (int)n, p);
    memcpy(s->name[s->n], p, name);
    s->name[s->n][name] = 0;
    if (split_find(s, s->name[s->n]) >= 0) return err_set(e, RC_USAGE, "part %s stands twice", s->name[s->n]);
    char *end;
    const char *value = p + name + 1;
    double x = strtod(value, &end);
    if (end != p + n || end == value || !(x > 0 && x <= 1))
        return err_set(e, RC_USAGE, "%.*s: expected a fraction above 0 and up to 1", (int)n, p);
    s->upto[s->n] = (s->n ? s->upto[s->n - 1] : 0) + x;
    s->n++;
    return 0;
}

int split_parse(struct split *s, const char *spec, uint64_t seed, struct err *e) {
    *s = (struct split){.seed = seed};
    for (const char *p = spec;; p++) {
        size_t n = strcspn(p, ",");
        if (parse_part(s, p, n, e) < 0) return err_prefix(e, "--split %s: ", spec);
        p += n;
        if (!*p) break;
    }
    double sum = s->upto[s->n - 1];
    if (!(fabs(sum - 1) <= 1e-9)) return err_set(e, RC_USAGE, "--split %s: the fractions sum to %.9g, expected 1", spec, sum);
    s->upto[s->n - 1] = 1;
    return 0;
}

int split_find(const struct split *s, const char *name) {
    for (int i = 0; i < s->n; i++)
        if (!strcmp(s->name[i], name)) return i;
    return -1;
}

uint64_t split_hash(uint64_t a, uint64_t b) {
    unsigned char bytes[16];
    for (int i = 0; i < 8; i++) {
        bytes[i] = (unsigned char)(a >> 8 * i);
        bytes[8 + i] = (unsigned char)(b >> 8 * i);
    }
    return sha256_u64(bytes, sizeof bytes);
}

int split_part(const struct split *s, uint64_t key) {
    double u = (double)(split_hash(s->seed, key) >> 11) * 0x1p-53; /* in [0, 1) */
    for (int i = 0; i < s->n; i++)
        if (u < s->upto[i]) return i;
    return s->n - 1;
}
