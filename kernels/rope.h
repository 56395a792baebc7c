/* Rotary positions (arXiv 2104.09864) in the half-split layout of Hugging Face: dimension i pairs with i + D/2,
   angle pos · inv_freq[i]. The backward is the rotation by the negative angle (sign −1). */
#ifndef COADOR_ROPE_H
#define COADOR_ROPE_H
#include <stdint.h>
struct kctx;
/* x(R,H,D) act in place; pos(R) i32 and inv_freq(D/2) f32 on the device; sign +1 or −1.
   Angles are taken in f32 as transformers does (f32 product, then cos and sin). */
typedef void rope_fn(struct kctx *, void *x, const int32_t *pos, const float *inv_freq, int sign, int R, int H, int D);
rope_fn rope_ref, rope_cpu;
#endif
