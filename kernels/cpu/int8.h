/* The integer product inside the CPU backend (contract: linear_int8 in kernels/linear.h).

   x's rows are quantised once a product, block by block of 32 values, and laid out by blocks: block b of row r at index
   b·R + r, so that a panel of weights meets the rows in the order of memory. A panel is 16 rows of the weight; it is turned
   as it is read (8 rows × 4 codes a register), so that lanes are outputs, nothing is summed across lanes, and the codes of a
   panel are unpacked once for all rows of x. The weight stays where it lies: there is no second copy.

   Order of summation, on every path and for every R and thread count: a block's products are summed as integers, exactly;
   blocks are added in f32 from 0, in order, and the sum is added to y. */
#ifndef COADOR_CPU_INT8_H
#define COADOR_CPU_INT8_H
#include "kernels/cpu/cpu.h"

#define INT8_BLOCK 32 /* values of x that share a scale */
#define INT8_NR 16    /* rows of a panel */
#define INT8_ROWS 64  /* rows of x that meet a panel at a time: their sums stay in the first-level cache */

/* One block of a row of x: x ≈ d·q. NaN where x was not finite: it reaches every output of the row. */
struct int8_meta {
    float d, ds;      /* d·sum: what a weight's minimum is multiplied by */
    int32_t sum, low; /* of the 32 codes, and of the first 16 */
};

struct int8_rows {
    int8_t *q;              /* (K/32, R, 32); PAIRS: of each 8 codes the even ones stand in the first half of the block */
    struct int8_meta *meta; /* (K/32, R) */
    int R;
};

struct int8_job {
    const struct weight *w;
    struct int8_rows x;
    float *y;               /* rows w->rows apart */
    bool add;
};

/* Types and shapes that the integers take; all others go to linear. */
bool int8_covers(const struct weight *w);
/* The codes of nf4 and fp4 in bytes: table[c] ≈ code / unit, unit chosen for the least mean square (tests/kernels/test_int8.c
   bounds what is lost). */
extern const int8_t int8_nf4[16], int8_fp4[16];
#define INT8_NF4_UNIT (1 / 112.03f)
#define INT8_FP4_UNIT (1 / 120.0f)

/* Outputs n0..n0+16·panels of rows r0..r0+rows, rows <= INT8_ROWS. Panels that a path cannot take, it leaves to int8_plain. */
typedef void int8_panels_fn(const struct int8_job *j, int64_t n0, int64_t panels, int r0, int rows);
int8_panels_fn int8_panels_avx2, int8_panels_vnni;
/* Outputs n0..n1, one by one, for every type and machine */
void int8_plain(const struct int8_job *j, int64_t n0, int64_t n1, int r0, int rows);
/* Blocks b of row r of x(R,K) into `to`; pairs: the order of nf4 and fp4 */
typedef void int8_quantise_fn(const struct int8_rows *to, const float *x, int64_t K, int r, bool pairs);
int8_quantise_fn int8_quantise_plain, int8_quantise_avx2;
#endif
