/* Beginnings that prompts share: a request whose prompt starts with the same tokens as one of the last PREFIXES prompts holds
   that one's pages of the cache instead of computing them again. A prompt's whole pages stay cached when its request has
   ended, in a slot of the decoder of their own, until newer prompts or the room for them take their place: which pages a
   request shares follows from the order of the prompts, not from when others end. */
#ifndef COADOR_PREFIXES_H
#define COADOR_PREFIXES_H
#include "common/model/decode.h"
#include "common/text/tokenizer.h"

#define PREFIXES 4

struct prefix {
    struct ids ids; /* of the prompt, whole pages */
    int row;        /* the decoder's slot that keeps them in the end */
    int at;         /* the one that has them now, or will have: its request's, or row */
};
struct prefixes {
    struct decoder *d;
    struct prefix v[PREFIXES]; /* the newest first */
    int n;
};
/* The decoder has PREFIXES slots from first_row on that nobody else uses. */
void prefixes_init(struct prefixes *p, struct decoder *d, int first_row);
void prefixes_release(struct prefixes *p);
/* Which of v has most of the prompt's beginning, and how many tokens: whole pages, and fewer than n, since the last token
   gives the logits. 0: none has a page. */
int prefixes_find(const struct prefixes *p, const int32_t *prompt, size_t n, int *which);
/* Before a request that takes `need` tokens of cache, `shared` of them found in v[which]: gives up older ones until what is
   kept and the request together are at most limit. */
void prefixes_make_room(struct prefixes *p, int which, int shared, int64_t need, int64_t limit);
/* A request has started in a slot, which must end by prefixes_keep before the slot is reset. */
void prefixes_add(struct prefixes *p, int slot, const int32_t *prompt, size_t n);
void prefixes_keep(struct prefixes *p, int slot);
#endif
