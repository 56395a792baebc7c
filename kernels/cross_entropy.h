/* Token losses from logits, and the gradient in their place. */
#ifndef COADOR_CROSS_ENTROPY_H
#define COADOR_CROSS_ENTROPY_H
#include <stdint.h>
struct kctx;
/* loss(M) f32 = −log softmax(logits)[target], unweighted. logits(M,V) act; target(M) i32; scale(M) f32 or NULL.
   scale given: logits = scale[i]·(softmax − onehot), the gradient of Σ scale·loss. scale NULL: logits stay. */
typedef void cross_entropy_fn(struct kctx *, float *loss, void *logits, const int32_t *target, const float *scale, int M, int V);
cross_entropy_fn cross_entropy_ref, cross_entropy_cpu;
#endif
