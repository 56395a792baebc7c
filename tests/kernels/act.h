/* For tests: the 16-bit type t of a card's activations, bf16 or f16. */
#ifndef COADOR_TESTS_ACT_H
#define COADOR_TESTS_ACT_H
#include "kernels/dtype.h"

static inline uint16_t act_of(enum dtype t, float x) { return t == DT_F16 ? f32_to_f16(x) : f32_to_bf16(x); }
static inline float act_value(enum dtype t, uint16_t h) { return t == DT_F16 ? f16_to_f32(h) : bf16_to_f32(h); }
/* Rounding's largest error at 1, and what is nearest to 0 */
static inline double act_unit(enum dtype t) {
    double u = 1;
    while (act_value(t, act_of(t, (float)(1 + u))) > 1) u /= 2;
    return u;
}
static inline double act_least(enum dtype t) { return (double)act_value(t, 1); }
#endif
