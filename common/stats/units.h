/* Counts by unit, few of whose cells are not zero: those alone are kept, in 2 bytes each, or 4 where there are many cells. */
#ifndef COADOR_UNITS_H
#define COADOR_UNITS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNITS_CELLS (1 << 24) /* at most */
struct units {
    int U, cells;    /* units so far; cells of each */
    /* private: entries of a count, a cell and whether it is its unit's last */
    bool wide, ones; /* of 4 bytes; no count but 1 */
    void *x;
    size_t n, cap;
};
void units_init(struct units *s, int cells);
void units_release(struct units *s);
/* One unit: its cells, which may come in any order, then the end. Several counts of one cell are added up. */
void units_put(struct units *s, int cell, int64_t count);
void units_end(struct units *s);
/* Adds each unit's counts, times[unit] times over (NULL: once), to sum[cells]. */
void units_sum(const struct units *s, const int32_t *times, int64_t *sum);
#endif
