/* Token losses against a teacher's soft labels (Hinton, Vinyals, Dean 2015, "Distilling the knowledge in a neural network"),
   mixed with the cross-entropy of the token itself; the gradient in the logits' place. */
#ifndef COADOR_DISTILL_H
#define COADOR_DISTILL_H
#include "kernels/topk.h"

struct soft_labels { /* of M tokens, as topk gives them */
    int K;             /* tokens named for each: 1 <= K <= TOPK_MAX, K < V */
    float T, alpha;    /* temperature > 0; share of the soft loss, 0..1 */
    const int32_t *id; /* (M,K) ascending */
    const float *logp; /* (M,K) <= 0, finite */
    const float *tail; /* (M) <= 0 */
};
/* With p the teacher's K+1 probabilities and q those of softmax(logits/T) in the same buckets, the tail as one of them:
       loss(M) f32 = alpha·T²·Σ p·(log p − log q) + (1 − alpha)·−log softmax(logits)[target]
   logits(M,V) act; target(M) i32; scale(M) f32 or NULL; soft's arrays lie on the device, soft itself on the host.
   scale given: logits = the gradient of Σ scale·loss. scale NULL: logits stay. Tables may lack it (NULL). */
typedef void distill_fn(struct kctx *, float *loss, void *logits, const int32_t *target, const float *scale, const struct soft_labels *soft, int M, int V);
distill_fn distill_ref, distill_cpu;
#endif
