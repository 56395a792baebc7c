/* Decoding with a paged key/value cache: rows of several sequences a pass, prompt pieces and single tokens mixed. */
#ifndef COADOR_DECODE_H
#define COADOR_DECODE_H
#include "common/model/lora.h"

struct decoder;
/* Room for `slots` sequences and `max_tokens` cached tokens in all, however they are spread over the slots; at most
   `max_rows` rows a call. Adapters are summed and borrowed. give: decoder_free. */
struct decoder *decoder_new(const struct model *m, const struct lora *const *a, int n_adapters, int slots, int64_t max_tokens, int max_rows, struct err *e);
void decoder_free(struct decoder *d);
/* How the products with the frozen weights are computed: COMPUTE_INT8 as kernels/linear.h's linear_int8, whose logits are off
   by a few hundredths of their spread. The default is COMPUTE_F32. RC_DEVICE where the device has no such op. */
enum compute { COMPUTE_F32, COMPUTE_INT8 };
int decoder_compute(struct decoder *d, enum compute c, struct err *e);
/* Feeds rows: ids(R), slot(R); positions follow each slot's length. logits_at(M): rows whose next-token logits are
   wanted, ascending; logits(M,V) f32 host. A row's logits do not depend on what else is fed with it, but on
   cards. No room for R more tokens: RC_IO naming --max-cached-tokens, an id outside the vocabulary: RC_INPUT, and nothing was fed. After
   any other error the decoder may only be freed. */
int decoder_feed(struct decoder *d, const int32_t *ids, const int32_t *slot, int R, const int32_t *logits_at, int M, float *logits, struct err *e);
/* The same on a device that chooses the next tokens itself (decoder_chooses), in two halves: decoder_begin queues the rows and how(M)
   the tokens of the rows at(M) are chosen (kernels/decode.h), and what the host does then goes on beside the device's work: it may
   find out and upload which tokens are allowed. decoder_choose, with bits that lie on the device, waits for chosen(M). */
int decoder_begin(struct decoder *d, const int32_t *ids, const int32_t *slot, int R, const int32_t *at, int M, const struct choice *how, struct err *e);
int decoder_choose(struct decoder *d, const uint32_t *allowed, const uint32_t *seen, int32_t *chosen, struct err *e);
bool decoder_chooses(const struct decoder *d);
int decoder_length(const struct decoder *d, int slot); /* tokens cached */
void decoder_reset(struct decoder *d, int slot);       /* frees the slot's pages */
/* `to`, which is empty, begins with the first n tokens of `from`: whole pages of KV_BLOCK tokens, which both hold from now on
   and which count once. decoder_truncate leaves a slot its first n tokens, whole pages too. */
void decoder_share(struct decoder *d, int to, int from, int n);
void decoder_truncate(struct decoder *d, int slot, int n);
int decoder_pages(const struct decoder *d);            /* of KV_BLOCK tokens, held by any slot */
int64_t decoder_free_tokens(const struct decoder *d);  /* cached tokens there is still room for */
#endif
