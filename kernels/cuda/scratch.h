/* The card's memory beside what alloc gave, for --estimate and --memory-limit: tests/bench/cuda.sh's part `memory` holds it to
   account. Host code, C and C++. Whoever gives an op other scratch (cuda_scratch), says so here. */
#ifndef COADOR_CUDA_SCRATCH_H
#define COADOR_CUDA_SCRATCH_H
#include "kernels/device.h"

#define CUDA_GRANULE ((size_t)2 << 20)  /* blocks that are not small come in whole ones of these */
#define CUDA_CODE ((size_t)8 << 20)     /* what is loaded when first used, after the card was opened: some 4 MiB on an H100 */
#define CUDA_CONTEXT ((size_t)1 << 30)  /* more than that in use at opening is another program's */

static inline size_t cuda_scratch_block(int64_t values, size_t each) {
    const struct dev granule = {.granule = CUDA_GRANULE};
    return dev_block(&granule, (size_t)values * each);
}
/* wide: the card takes sums of products whose shapes 8 divides without sums in memory, all linears of an input at once (product.cu). */
static inline size_t cuda_scratch_bytes(const struct dev_work *n, bool wide) {
    int64_t packed = wide && n->together > n->packed ? n->together : n->packed;
    return cuda_scratch_block(packed, 2)           /* SCRATCH_WEIGHT: packed matrices as act16 */
        + cuda_scratch_block(n->factors, 2)        /* SCRATCH_FACTOR: A and B as act16 */
        + cuda_scratch_block(n->rows * (wide ? n->odd : n->wide), 4) /* SCRATCH_SHARE: a linear's sums */
        + cuda_scratch_block(n->stacked, 4)        /* SCRATCH_GRADIENT: of A, before each gets its own */
        + cuda_scratch_block(n->rows * n->heads, 4); /* SCRATCH_DELTA: of attention's backward; SCRATCH_SUMS is 2 KiB */
}
#endif
