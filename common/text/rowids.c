/* Ids of rows: see rowids.h. */
#include "common/text/rowids.h"
#include "common/io/buf.h"
#include "common/io/sha256.h"
#include "common/io/strmap.h"
#include <limits.h>
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
    char text[40];
};

struct rowids *rowids_new(void) { return xcalloc(1, sizeof(struct rowids)); }

void rowids_free(struct rowids *r) {
    if (!r) return;
    for (size_t i = 0; i < r->n; i++) free(r->seen[i].id);
    free(r->seen);
    strmap_release(&r->map);
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

uint64_t cells_hash(const struct cell *cells, size_t n, const bool *chosen) {
    static struct buf b; /* kept between rows */
    buf_clear(&b);
    for (size_t i = 0; i < n; i++) {
        if (chosen && !chosen[i]) continue;
        buf_addf(&b, "%zu:", cells[i].n);
        buf_add(&b, cells[i].p, cells[i].n);
    }
    return sha256_u64(b.p, b.n);
}

const char *rowids_content(struct rowids *r, const struct cell *cells, size_t n) {
    int len = snprintf(r->text, sizeof r->text, "%016llx", (unsigned long long)cells_hash(cells, n, NULL));
    const struct seen *s = note_id(r, r->text, (size_t)len, 0);
    if (s->times > 1) snprintf(r->text + len, sizeof r->text - (size_t)len, "-%lld", (long long)s->times);
    return r->text;
}
