/* Pages of the key/value cache. */
#include "common/model/kvcache.h"
#include "common/io/buf.h"
#include "kernels/attention.h"
#include <stdlib.h>

static int64_t pages_for(int64_t tokens) { return (tokens + KV_BLOCK - 1) / KV_BLOCK; }

int kvcache_init(struct kvcache *c, int slots, int64_t max_tokens, struct err *e) {
    *c = (struct kvcache){.slots = slots, .max_tokens = max_tokens};
    int64_t pages = pages_for(max_tokens);
    if (max_tokens > INT32_MAX / 2) return err_set(e, RC_USAGE, "--max-cached-tokens %lld is too large, at most %d", (long long)max_tokens, INT32_MAX / 2);
    c->max_pages = (int)pages;
    c->n_pages = (int)pages + slots - 1;
    c->n_free = c->n_pages;
    c->table = xcalloc((size_t)slots * (size_t)pages, sizeof *c->table);
    c->length = xcalloc((size_t)slots, sizeof *c->length);
    c->free_page = xcalloc((size_t)c->n_pages, sizeof *c->free_page);
    c->held = xcalloc((size_t)c->n_pages, sizeof *c->held);
    for (int i = 0; i < c->n_pages; i++) c->free_page[i] = c->n_pages - 1 - i; /* page 0 goes first */
    c->changed = true;
    return 0;
}

void kvcache_release(struct kvcache *c) {
    free(c->table);
    free(c->length);
    free(c->free_page);
    free(c->held);
}

void kvcache_extend(struct kvcache *c, int slot, int n) {
    int64_t from = pages_for(c->length[slot]), to = pages_for((int64_t)c->length[slot] + n);
    if (to - from > c->n_free) BUG("cache of %d pages with %d free, slot %d asks for %d", c->n_pages, c->n_free, slot, (int)(to - from));
    for (int64_t i = from; i < to; i++) c->held[c->table[(int64_t)slot * c->max_pages + i] = c->free_page[--c->n_free]] = 1;
    c->changed |= to > from;
    c->length[slot] += n;
    c->tokens += n;
}

void kvcache_share(struct kvcache *c, int to, int from, int n) {
    if (c->length[to] || n % KV_BLOCK || n > c->length[from]) BUG("%d of %d cached tokens shared with a slot of %d", n, c->length[from], c->length[to]);
    int32_t *there = c->table + (int64_t)to * c->max_pages, *here = c->table + (int64_t)from * c->max_pages;
    for (int i = 0; i < n / KV_BLOCK; i++) c->held[there[i] = here[i]]++;
    c->changed |= n > 0;
    c->length[to] = n;
}

void kvcache_truncate(struct kvcache *c, int slot, int n) {
    int length = c->length[slot];
    if (n % KV_BLOCK || n > length) BUG("%d of %d cached tokens kept", n, length);
    for (int64_t i = pages_for(length); i-- > n / KV_BLOCK;) {
        int32_t page = c->table[(int64_t)slot * c->max_pages + i];
        if (--c->held[page]) continue;
        c->free_page[c->n_free++] = page;
        c->tokens -= length - i * KV_BLOCK < KV_BLOCK ? length - i * KV_BLOCK : KV_BLOCK;
    }
    c->length[slot] = n;
}
