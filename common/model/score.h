/* Log-probabilities of given completions: packed forward passes, many sequences at once. */
#ifndef COADOR_SCORE_H
#define COADOR_SCORE_H
#include "common/model/llama.h"

struct score_item {
    struct ids ids;      /* prompt, then what is scored; borrowed */
    size_t n_prompt;     /* ids before the first scored one, at least 1 */
    float *logprob;      /* (ids.n - n_prompt): filled; owned by the caller */
};
struct scorer;
/* Passes of at most max_rows tokens (a longer item gets a pass of its own). give: scorer_free. */
struct scorer *scorer_new(const struct model *m, const struct lora *const *a, int n, int max_rows, struct err *e);
void scorer_free(struct scorer *s);
/* Scores items[0..n): results do not depend on how they are grouped. */
int scorer_run(struct scorer *s, struct score_item *items, int n, struct err *e);
#endif
