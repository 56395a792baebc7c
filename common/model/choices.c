/* Choices made on a device: see choices.h. */
#include "common/model/choices.h"
#include "common/io/buf.h"
#include "common/model/model.h"
#include <stdlib.h>
#include <string.h>

/* ---- bits ---- */
static int bits_init(struct bitrows *b, struct dev *d, int slots, int V, struct err *e) {
    b->words = (V + 31) / 32;
    size_t bytes = (size_t)slots * (size_t)b->words * sizeof *b->host;
    void *host = NULL, *dev = NULL;
    enum kerr rc = d->host_alloc(d->ctx, &host, bytes);
    if (rc == K_OK) rc = d->alloc(d->ctx, &dev, bytes);
    b->host = host;
    b->dev = dev;
    if (dev_err(d, rc, e, "masks of tokens", bytes) < 0) return -1;
    memset(host, 0, bytes);
    b->from = 0;
    b->to = slots;
    return 0;
}

static void bits_release(struct bitrows *b, struct dev *d) {
    if (b->dev) d->free(d->ctx, b->dev);
    if (b->host) d->host_free(d->ctx, b->host);
}

static uint32_t *bits_of(const struct bitrows *b, int slot) { return b->host + (size_t)slot * (size_t)b->words; }

static void bits_changed(struct bitrows *b, int slot) {
    if (b->from >= b->to) b->from = slot, b->to = slot + 1;
    if (slot < b->from) b->from = slot;
    if (slot >= b->to) b->to = slot + 1;
}

/* All between the first and the last that changed: one copy of some hundred KB costs less than a second copy. */
static int bits_send(struct bitrows *b, struct dev *d, struct err *e) {
    if (b->from >= b->to) return 0;
    size_t at = (size_t)b->from * (size_t)b->words, bytes = (size_t)(b->to - b->from) * (size_t)b->words * sizeof *b->host;
    b->to = b->from;
    return dev_err(d, d->upload(d->ctx, b->dev + at, b->host + at, bytes), e, "masks of tokens", bytes);
}

/* ---- choices ---- */
int choices_init(struct choices *c, struct dev *d, const struct sampling *how, int slots, int V, bool constrained, struct err *e) {
    *c = (struct choices){.d = d, .how = *how, .V = V};
    c->rows = xcalloc((size_t)slots, sizeof *c->rows);
    c->marked = xcalloc((size_t)slots, sizeof *c->marked);
    if (constrained && bits_init(&c->allowed, d, slots, V, e) < 0) return -1;
    return how->repetition_penalty != 1 ? bits_init(&c->seen, d, slots, V, e) : 0;
}

void choices_release(struct choices *c) {
    if (!c->d) return;
    bits_release(&c->allowed, c->d);
    bits_release(&c->seen, c->d);
    free(c->marked);
    free(c->rows);
}

static void mark(struct choices *c, int slot, const int32_t *seen, size_t n) {
    uint32_t *bits = bits_of(&c->seen, slot);
    for (; c->marked[slot] < n; c->marked[slot]++) {
        int32_t id = seen[c->marked[slot]];
        bits[id >> 5] |= 1u << (id & 31);
    }
    bits_changed(&c->seen, slot);
}

void choices_set(struct choices *c, int k, int slot, const int32_t *seen, size_t n_seen, uint64_t record, uint64_t step) {
    const struct sampling *s = &c->how;
    c->rows[k] = (struct choice){.temperature = s->temperature, .top_p = s->top_p, .u = sampler_uniform(s->seed, record, step), .penalty = (float)s->repetition_penalty,
        .top_k = s->top_k, .allowed = c->allowed.host ? slot : -1, .seen = c->seen.host ? slot : -1};
    if (c->seen.host) mark(c, slot, seen, n_seen);
}

void choices_forget(struct choices *c, int slot) {
    c->marked[slot] = 0;
    if (c->seen.host) memset(bits_of(&c->seen, slot), 0, (size_t)c->seen.words * sizeof *c->seen.host);
}

void choices_allow(struct choices *c, int slot, const uint32_t *bits) {
    uint32_t *there = bits_of(&c->allowed, slot);
    size_t bytes = (size_t)c->allowed.words * sizeof *there;
    if (!memcmp(there, bits, bytes)) return;
    memcpy(there, bits, bytes);
    bits_changed(&c->allowed, slot);
}

int choices_send(struct choices *c, struct err *e) { return bits_send(&c->allowed, c->d, e) < 0 || bits_send(&c->seen, c->d, e) < 0 ? -1 : 0; }
