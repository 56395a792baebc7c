/* Choosing rows: the head runs on trained tokens only. idx(M) i32 on the device, ascending and distinct, within 0..R-1. */
#ifndef COADOR_ROWS_H
#define COADOR_ROWS_H
#include <stdint.h>
struct kctx;
/* y(M,C) act: row i = row idx[i] of x(R,C) act */
typedef void gather_rows_fn(struct kctx *, void *y, const void *x, const int32_t *idx, int M, int C);
/* dx(R,C) act: row idx[i] = row i of dy(M,C); every other row = 0 */
typedef void scatter_rows_fn(struct kctx *, void *dx, const void *dy, const int32_t *idx, int M, int R, int C);
gather_rows_fn gather_rows_ref, gather_rows_cpu;
scatter_rows_fn scatter_rows_ref, scatter_rows_cpu;
#endif
