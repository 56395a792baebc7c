/* Ids of rows: see rowids.h. */
#include "common/text/rowids.h"
#include "common/io/buf.h"
#include "common/io/sha256.h"
#include "common/io/strmap.h"
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct seen {
    char *id;
    int64_t line, times;
};

/* Hashes of rows: open addressing, at most three quarters full. 0 is a free place: a row of that hash is counted apart. */
struct hashes {
    uint64_t *v;
    uint32_t *again; /* how often each came after its first time: memory is touched for repeated rows only */
    size_t n, cap;
    uint32_t zero;
};

struct rowids {
    struct strmap map; /* id → index into seen */
    struct seen *seen;
    size_t n, cap;
    struct hashes rows;
    struct buf scratch;
};

struct rowids *rowids_new(void) { return xcalloc(1, sizeof(struct rowids)); }

void rowids_free(struct rowids *r) {
    if (!r) return;
    for (size_t i = 0; i < r->n; i++) free(r->seen[i].id);
    free(r->seen);
    strmap_release(&r->map);
    free(r->rows.v);
    free(r->rows.again);
    buf_release(&r->scratch);
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

static size_t place(const struct hashes *h, uint64_t x) {
    size_t i = x & (h->cap - 1);
    while (h->v[i] && h->v[i] != x) i = (i + 1) & (h->cap - 1);
    return i;
}

static void grow(struct hashes *h) {
    struct hashes old = *h;
    h->cap = old.cap ? 2 * old.cap : 1024;
    h->v = xcalloc(h->cap, sizeof *h->v);
    h->again = xcalloc(h->cap, sizeof *h->again);
    for (size_t i = 0; i < old.cap; i++) {
        if (!old.v[i]) continue;
        size_t at = place(h, old.v[i]);
        h->v[at] = old.v[i];
        if (old.again[i]) h->again[at] = old.again[i];
    }
    free(old.v);
    free(old.again);
}

/* How often x has come, this time included. */
static uint32_t count_hash(struct hashes *h, uint64_t x) {
    if (!x) return ++h->zero;
    if (4 * h->n >= 3 * h->cap) grow(h);
    size_t i = place(h, x);
    if (h->v[i]) return ++h->again[i] + 1;
    h->v[i] = x;
    h->n++;
    return 1;
}

uint64_t rowids_hash(struct rowids *r, const struct cell *cells, size_t n) {
    uint64_t hash = cells_hash(cells, n, NULL, &r->scratch);
    if (r->rows.cap) __builtin_prefetch(&r->rows.v[hash & (r->rows.cap - 1)]);
    return hash;
}

void rowids_put(struct rowids *r, uint64_t hash, char id[ROWID_SIZE]) {
    uint32_t times = count_hash(&r->rows, hash);
    put_hex(id, hash);
    if (times > 1) snprintf(id + 16, ROWID_SIZE - 16, "-%" PRIu32, times);
}
