/* Log-probabilities of given completions, and soft labels of their tokens: packed forward passes, many sequences at once. */
#ifndef COADOR_SCORE_H
#define COADOR_SCORE_H
#include "common/model/llama.h"

struct score_item {
    struct ids ids;      /* prompt, then what is scored; borrowed */
    size_t n_prompt;     /* ids before the first scored one, at least 1 */
    float *logprob;      /* (ids.n - n_prompt): filled; owned by the caller */
};
struct scorer;
/* Passes of at most max_rows tokens (a longer item gets a pass of its own). K: tokens a soft label names, 0 where scorer_soft
   is not called; RC_DEVICE where the device cannot. give: scorer_free. */
struct scorer *scorer_new(const struct model *m, const struct lora *const *a, int n, int max_rows, int K, struct err *e);
void scorer_free(struct scorer *s);
/* Scores items[0..n): results do not depend on how they are grouped. */
int scorer_run(struct scorer *s, struct score_item *items, int n, struct err *e);
/* Where soft labels go: those of the next n tokens, as kernels/topk.h has them. */
typedef int soft_put_fn(void *arg, int64_t n, const int32_t *id, const float *logp, const float *tail, struct err *e);
/* Soft labels of the items' scored tokens, in order, at temperature T. logprob is not looked at. */
int scorer_soft(struct scorer *s, struct score_item *items, int n, float T, soft_put_fn *put, void *arg, struct err *e);
#endif
