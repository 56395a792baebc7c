/* What a constraint has found to be forced, kept: under a schema the same text comes in every answer, behind the same tokens. */
#ifndef COADOR_FORCED_H
#define COADOR_FORCED_H
#include "common/text/tokenizer.h"

#define FORCED_CONTEXT 16 /* tokens before forced text that tokenizing it again looks at */

struct forced_key {
    uint32_t state;
    uint32_t n; /* of last */
    int32_t last[FORCED_CONTEXT];
};
/* Of a state behind ids[0..n). */
struct forced_key forced_key(uint32_t state, const int32_t *ids, size_t n);
struct forced;
struct forced *forced_new(void); /* give: forced_free */
void forced_free(struct forced *f);
/* The tokens kept, valid until the next forced_keep; NULL: not met. */
const struct ids *forced_find(const struct forced *f, const struct forced_key *k);
const struct ids *forced_keep(struct forced *f, const struct forced_key *k, const int32_t *ids, size_t n);
#endif
