/* Sums of whole buffers. */
#ifndef COADOR_ELEMENTWISE_H
#define COADOR_ELEMENTWISE_H
#include <stdint.h>
struct kctx;
/* y += x, n act values */
typedef void add_fn(struct kctx *, void *y, const void *x, int64_t n);
add_fn add_ref, add_cpu;
#endif
