/* Ids of rows: see rowids.h. */
#include "common/text/rowids.h"
#include "common/io/buf.h"
#include "common/io/sha256.h"
#include "common/io/strmap.h"
#include "common/text/rowcount.h"
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct seen {
    char *id;
    int64_t line, times;
};

struct rowids {
    struct strmap map; /* id → index into seen */
    struct seen *seen;
    size_t n, cap;
    struct rowcount *rows;
};

struct rowids *rowids_new(void) {
    struct rowids *r = xcalloc(1, sizeof *r);
    r->rows = rowcount_new(ROWCOUNT_TABLE);
    return r;
}

void rowids_free(struct rowids *r) {
    if (!r) return;
    for (size_t i = 0; i < r->n; i++) free(r->seen[i].id);
    free(r->seen);
    strmap_release(&r->map);
    rowcount_free(r->rows);
    free(r);
}

static struct seen *note_id(struct rowids *r, const char *id, size_t n, int64_t line) {
    int at = strmap_get(&r->map, id, n);
    if (at < 0) {
        if (r->n == INT_MAX) BUG("more than %d rows", INT_MAX);
        GROW(r->seen, r->n, r->cap);
        at = (int)r->n++;
        r->seen[at] = (struct seen){xmemdup0(id, n), line, 0};
        strmap_put(&r->map, r->seen[at].id, n, at);
    }
    r->seen[at].times++;
    return &r->seen[at];
}

int64_t rowids_first(struct rowids *r, const char *id, size_t n, int64_t line) {
    const struct seen *s = note_id(r, id, n, line);
    return s->times > 1 ? s->line : 0;
}

/* "%zu:" */
static void put_length(struct buf *b, size_t n) {
    char s[24], *p = s + sizeof s;
    *--p = ':';
    do *--p = (char)('0' + n % 10);
    while (n /= 10);
    buf_add(b, p, (size_t)(s + sizeof s - p));
}

uint64_t cells_hash(const struct cell *cells, size_t n, const bool *chosen, struct buf *scratch) {
    buf_clear(scratch);
    for (size_t i = 0; i < n; i++) {
        if (chosen && !chosen[i]) continue;
        put_length(scratch, cells[i].n);
        buf_add(scratch, cells[i].p, cells[i].n);
    }
    return sha256_u64(scratch->p, scratch->n);
}

/* 16 hexadecimal digits and a NUL */
static void put_hex(char *s, uint64_t v) {
    for (int i = 15; i >= 0; i--, v >>= 4) s[i] = "0123456789abcdef"[v & 15];
    s[16] = 0;
}

void rowids_ahead(const struct rowids *r, uint64_t hash) { rowcount_ahead(r->rows, hash); }

int rowids_put(struct rowids *r, uint64_t hash, char id[ROWID_SIZE], struct err *e) {
    uint32_t times;
    if (rowcount_add(r->rows, hash, &times, e) < 0) return -1;
    put_hex(id, hash);
    if (times > 1) snprintf(id + 16, ROWID_SIZE - 16, "-%" PRIu32, times);
    return 0;
}
