/* An answer under a grammar while a model writes it: which tokens may come, which must (they need no step of the model), and
   that it ends within its tokens. */
#ifndef COADOR_CONSTRAINT_H
#define COADOR_CONSTRAINT_H
#include "common/text/mask.h"

struct constraint;
/* Takes g, which was made with the bytes of vocab; borrows both others for its life. give: constraint_free. */
struct constraint *constraint_new(struct grammar *g, const struct vocab *v, const struct tokenizer *t);
void constraint_free(struct constraint *c);
/* Tokens of the shortest answer, or more than any answer may take. */
uint32_t constraint_shortest(struct constraint *c);

/* One answer. */
struct constrained {
    uint32_t state;
    uint32_t left; /* tokens it may still take */
    bool cut;      /* a token was withheld because there was no room for what follows it */
    struct names *names; /* where objects are open: those written so far, names.h */
    size_t before;       /* bytes of the prefix that are still to come */
    const char *failed; /* why it cannot go on, NULL while it can: what it was asked for last is of no use. Others are not touched */
};
void constrained_start(struct constrained *a, struct constraint *c, uint32_t tokens); /* give: constrained_end */
void constrained_end(struct constrained *a);
bool constrained_done(const struct constrained *a, struct constraint *c);  /* it may end here */
bool constrained_ended(struct constrained *a, struct constraint *c); /* it must: by the grammar, or no token is left */
/* bits (constraint_words of them): tokens that may come next. None gives an object a name that it has already: an answer that could
   only go on so, or has no tokens left for another name, fails. */
void constrained_mask(struct constrained *a, struct constraint *c, uint32_t *bits);
size_t constraint_words(const struct constraint *c);
/* Takes a token of the mask. */
void constrained_accept(struct constrained *a, struct constraint *c, int32_t token);
/* Takes what must follow, as tokens, and appends them to ids, the answer so far from index `first` on. They are those that
   the tokenizer makes of the whole answer, up to the last border that whatever may follow leaves in place (of words; where a
   tokenizer cuts none, of bytes that no token joins); none where they would not leave room for the end. */
int constrained_force(struct constrained *a, struct constraint *c, struct ids *ids, size_t first, struct err *e);
#endif
