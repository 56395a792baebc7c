/* How a device chooses the next tokens of its rows: kernels/decode.h's struct choice for each, and the bits of tokens that are
   allowed or were seen, kept by slot and sent only where they changed. */
#ifndef COADOR_CHOICES_H
#define COADOR_CHOICES_H
#include "common/io/err.h"
#include "common/model/sampler.h"
#include "kernels/device.h"

/* Bits of V tokens for each slot, on the host and on the device. */
struct bitrows {
    uint32_t *host, *dev; /* (slots, words) */
    int words;
    int from, to;         /* slots from..to-1 have changed since they were sent */
};
struct choices {
    struct dev *d;
    struct sampling how;
    int V;
    struct bitrows allowed, seen; /* host NULL: not asked for */
    size_t *marked;               /* (slots) of a slot's tokens, those in seen */
    struct choice *rows;          /* (slots) */
};
/* constrained: rows may have tokens that are not allowed. give: choices_release, also after an error. */
int choices_init(struct choices *c, struct dev *d, const struct sampling *how, int slots, int V, bool constrained, struct err *e);
void choices_release(struct choices *c);
/* Row k is slot's: the choice of token `step` of a record. seen[0..n_seen): prompt and answer so far, which only grows until choices_forget. */
void choices_set(struct choices *c, int k, int slot, const int32_t *seen, size_t n_seen, uint64_t record, uint64_t step);
void choices_forget(struct choices *c, int slot);
/* bits as sampler_next's; to be called before choices_send of every pass that has the slot, where constrained. */
void choices_allow(struct choices *c, int slot, const uint32_t *bits);
int choices_send(struct choices *c, struct err *e);
#endif
