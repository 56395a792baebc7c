/* Sparse counts by unit: see units.h. An entry is, from its lowest bit: the cell, 1 for a unit's last, the signed count. A count
   that does not fit is several entries. */
#include "common/stats/units.h"
#include "common/io/buf.h"
#include "common/io/err.h"
#include <stdlib.h>

enum { NARROW = 10, WIDE = 24 }; /* bits of a cell in entries of 2 and 4 bytes: counts from -15 to 15, and from -63 to 63 */

void units_init(struct units *s, int cells) {
    if (cells > UNITS_CELLS) BUG("%d cells", cells);
    *s = (struct units){.cells = cells, .wide = cells > 1 << NARROW, .ones = true};
}

void units_release(struct units *s) {
    free(s->x);
    *s = (struct units){0};
}

static int cell_bits(const struct units *s) { return s->wide ? WIDE : NARROW; }

static int32_t entry_at(const struct units *s, size_t i) { return s->wide ? ((const int32_t *)s->x)[i] : ((const int16_t *)s->x)[i]; }

static void set_entry(struct units *s, size_t i, int32_t entry) {
    if (s->wide)
        ((int32_t *)s->x)[i] = entry;
    else
        ((int16_t *)s->x)[i] = (int16_t)entry;
}

static void put_entry(struct units *s, int cell, int64_t count) {
    if (s->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 1024;
        s->x = xrealloc(s->x, s->cap, s->wide ? 4 : 2);
    }
    set_entry(s, s->n++, (int32_t)(count * ((int64_t)2 << cell_bits(s)) + cell));
    s->ones = s->ones && count == 1;
}

void units_put(struct units *s, int cell, int64_t count) {
    int64_t most = s->wide ? 63 : 15;
    while (count) {
        int64_t now = count > most ? most : count < -most ? -most : count;
        put_entry(s, cell, now);
        count -= now;
    }
}

void units_end(struct units *s) {
    int32_t last = (int32_t)1 << cell_bits(s);
    if (!s->n || entry_at(s, s->n - 1) & last) put_entry(s, 0, 0); /* nothing but zeros */
    set_entry(s, s->n - 1, entry_at(s, s->n - 1) | last);
    s->U++;
}

/* Called with constants. A right shift of a negative number shifts signs in, as gcc and clang say. */
static inline __attribute__((always_inline)) void sum_all(const struct units *s, bool wide, bool ones, int bits, const int32_t *times, int64_t *sum) {
    const void *x = s->x;
    size_t i = 0;
    for (int u = 0; u < s->U; u++) {
        int64_t weight = times ? times[u] : 1, entry;
        do {
            entry = wide ? ((const int32_t *)x)[i] : ((const int16_t *)x)[i];
            sum[entry & (((int64_t)1 << bits) - 1)] += ones ? weight : weight * (entry >> (bits + 1));
            i++;
        } while (!(entry >> bits & 1));
    }
}

void units_sum(const struct units *s, const int32_t *times, int64_t *sum) {
    if (s->wide)
        sum_all(s, true, false, WIDE, times, sum);
    else if (s->ones)
        sum_all(s, false, true, NARROW, times, sum);
    else
        sum_all(s, false, false, NARROW, times, sum);
}
