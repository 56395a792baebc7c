/* Inverted dropout whose mask is a pure function of what is dropped, so that it does not depend on packing,
   threads or device: Philox4x32-10 (Salmon et al., SC'11) with
     key     = { seed low 32 bits, seed high 32 bits XOR (layer << 8 | site) }
     counter = { column / 4, position in its sequence, sequence number within the step, step }
   The step lies on the device, so that a graph holds for every step.
   lane column % 4 of the output u; the element is kept iff u >= floor(p · 2^32), and scaled by 1/(1−p). */
#ifndef COADOR_DROPOUT_H
#define COADOR_DROPOUT_H
#include <stdint.h>
struct kctx;
struct dropout_key {
    uint64_t seed;
    const uint32_t *step; /* (1) device */
    uint32_t layer, site; /* site: 0 attention in, 1 attention out, 2 MLP in, 3 MLP middle; 8 + module with one mask a module */
    float p;                    /* 0 <= p < 1 */
};
/* y(R,C) act = beta·y + mask ⊙ x(R,C) act / (1−p); seq(R), pos(R) i32 on the device. y may be x when beta is 0.
   The backward is the same op on the gradient. */
typedef void dropout_fn(struct kctx *, float beta, void *y, const void *x, const int32_t *seq, const int32_t *pos, const struct dropout_key *key, int R, int C);
dropout_fn dropout_ref, dropout_cpu;
#endif
