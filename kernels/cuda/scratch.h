/* The card's memory beside what alloc gave, for --estimate and --memory-limit: tests/bench/cuda.sh's part `memory` holds it to
   account. Host code, C and C++. Whoever gives an op other scratch (cuda_scratch), says so here. */
#ifndef COADOR_CUDA_SCRATCH_H
#define COADOR_CUDA_SCRATCH_H
#include "kernels/device.h"

#define CUDA_GRANULE ((size_t)2 << 20)  /* blocks that are not small come in whole ones of these */
#define CUDA_CODE ((size_t)8 << 20)     /* what is loaded when first used, after the card was opened: some 4 MiB on an H100 */
#define CUDA_GRAPH_LAYER ((size_t)208 << 10) /* of a layer's forward and backward as graphs: some 70 kernels */
#define CUDA_CONTEXT ((size_t)1 << 30)  /* more than that in use at opening is another program's */

static inline size_t cuda_scratch_block(int64_t values, size_t each) {
    const struct dev granule = {.granule = CUDA_GRANULE};
    return dev_block(&granule, (size_t)values * each);
}
/* A matrix in e4m3, and behind it two words a row: its scale, and what that is made of. */
static inline size_t cuda_e4m3_values(int64_t rows, int64_t cols) { return ((size_t)(rows * cols) + 255) / 256 * 256; }
static inline size_t cuda_e4m3_scales(int64_t rows) { return 8 * (size_t)rows; }
static inline size_t cuda_e4m3_bytes(int64_t rows, int64_t cols) { return cuda_e4m3_values(rows, cols) + cuda_e4m3_scales(rows); }

/* SCRATCH_E4M3 and SCRATCH_E4M3_WEIGHT, and what is kept of frozen matrices, each with its scales apart. */
static inline size_t cuda_e4m3_scratch(const struct dev_work *n) {
    const struct dev granule = {.granule = CUDA_GRANULE};
    size_t x = 0, w = 0, kept = 0;
    for (int i = 0; i < 4; i++) {
        int64_t out = n->e4m3.rows[i], in = n->e4m3.cols[i], back = n->e4m3.layers - (i == 0); /* the lowest input's gradient is not wanted */
        size_t turned = cuda_e4m3_bytes(in, out), rows = cuda_e4m3_bytes(n->rows, out > in ? out : in), mine = cuda_e4m3_bytes(out, in);
        if (rows > x) x = rows;
        if (turned > mine) mine = turned;
        if (mine > w) w = mine;
        kept += (size_t)n->e4m3.layers * (dev_block(&granule, cuda_e4m3_values(out, in)) + cuda_e4m3_scales(out)) +
                (size_t)back * (dev_block(&granule, cuda_e4m3_values(in, out)) + cuda_e4m3_scales(in));
    }
    return dev_block(&granule, x) + (n->e4m3.decodes ? dev_block(&granule, w) : 0) + (n->e4m3.keeps ? kept : 0);
}

/* wide: the card takes sums of products whose shapes 8 divides without sums in memory, all linears of an input at once (product.cu). */
static inline size_t cuda_scratch_bytes(const struct dev_work *n, bool wide) {
    int64_t packed = wide && n->together > n->packed ? n->together : n->packed;
    return cuda_scratch_block(packed, 2)           /* SCRATCH_WEIGHT: packed matrices as act16 */
        + cuda_scratch_block(n->factors, 2)        /* SCRATCH_FACTOR: A and B as act16 */
        + cuda_scratch_block(n->rows * (wide ? n->odd : n->wide), 4) /* SCRATCH_SHARE: a linear's sums */
        + cuda_scratch_block(n->stacked, 4)        /* SCRATCH_GRADIENT: of A, before each gets its own */
        + (n->e4m3.layers ? cuda_e4m3_scratch(n) : 0)
        + cuda_scratch_block(n->rows * n->heads, 4); /* SCRATCH_DELTA: of attention's backward; SCRATCH_SUMS is 2 KiB */
}
#endif
