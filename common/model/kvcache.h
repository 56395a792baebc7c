/* Pages of the key/value cache and who holds them: host bookkeeping only; decode.c keeps the tensors.
   Every slot's last page may be part empty, so there is one page more a slot than max_tokens fill: as long as the tokens
   cached stay within max_tokens, a page is always there. Slots whose sequences begin alike may hold the same whole pages,
   which count once. */
#ifndef COADOR_KVCACHE_H
#define COADOR_KVCACHE_H
#include "common/io/err.h"
#include <stdbool.h>
#include <stdint.h>

struct kvcache {
    int slots, n_pages;
    int max_pages;      /* a slot's row of the table */
    int64_t max_tokens, tokens; /* tokens cached: a shared page's count once */
    int32_t *table;     /* (slots, max_pages) */
    int *length;        /* (slots) tokens cached */
    int32_t *free_page; /* (n_free) a stack */
    int *held;          /* (n_pages) slots that hold it */
    int n_free;
    bool changed;       /* the table, since it was last sent to the device */
};
/* RC_USAGE where max_tokens does not fit the table. */
int kvcache_init(struct kvcache *c, int slots, int64_t max_tokens, struct err *e);
void kvcache_release(struct kvcache *c);
/* Room for n more tokens of a slot; the caller knows that tokens + n <= max_tokens. */
void kvcache_extend(struct kvcache *c, int slot, int n);
/* `to`, which is empty, begins with the first n tokens of `from`: whole pages, held by both from now on. */
void kvcache_share(struct kvcache *c, int to, int from, int n);
/* The slot's first n tokens stay: whole pages, or 0. */
void kvcache_truncate(struct kvcache *c, int slot, int n);
#endif
