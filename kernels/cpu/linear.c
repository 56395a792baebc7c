/* Products with a frozen weight: the references, and the fast ones by gemm.h. */
#include "kernels/cpu/gemm.h"

#define REF_ROWS 64

/* y[r][n] for rows r of one group and one weight row; `row` is decoded block by block on the stack. */
static void linear_ref_row(float beta, float *y, const float *x, const struct weight *w, int64_t n, int R) {
    double sum[REF_ROWS] = {0};
    float v[32];
    int64_t K = w->cols;
    for (int64_t k = 0; k < K; k += 32) {
        int len = K - k < 32 ? (int)(K - k) : 32;
        weight_to_f32(v, w, n, k, len);
        for (int r = 0; r < R; r++)
            for (int i = 0; i < len; i++) sum[r] += (double)v[i] * x[r * K + k + i];
    }
    for (int r = 0; r < R; r++) y[r * w->rows + n] = (float)(sum[r] + (beta != 0 ? (double)beta * y[r * w->rows + n] : 0));
}

void linear_ref(struct kctx *k, float beta, void *y, const void *x, const struct weight *w, int R) {
    for (int r = 0; r < R; r += REF_ROWS)
        for (int64_t n = 0; n < w->rows; n++)
            linear_ref_row(beta, (float *)y + r * w->rows, (const float *)x + r * w->cols, w, n, R - r < REF_ROWS ? R - r : REF_ROWS);
}

/* 32 columns of dx at c, for a group of rows */
static void linear_dx_ref_cols(float beta, float *dx, const float *dy, const struct weight *w, int64_t c, int R) {
    double sum[REF_ROWS][32] = {{0}};
    float v[32];
    int len = w->cols - c < 32 ? (int)(w->cols - c) : 32;
    for (int64_t n = 0; n < w->rows; n++) {
        weight_to_f32(v, w, n, c, len);
        for (int r = 0; r < R; r++)
            for (int i = 0; i < len; i++) sum[r][i] += (double)v[i] * dy[r * w->rows + n];
    }
    for (int r = 0; r < R; r++)
        for (int i = 0; i < len; i++) {
            float *p = dx + r * w->cols + c + i;
            *p = (float)(sum[r][i] + (beta != 0 ? (double)beta * *p : 0));
        }
}

void linear_dx_ref(struct kctx *k, float beta, void *dx, const void *dy, const struct weight *w, int R) {
    for (int r = 0; r < R; r += REF_ROWS)
        for (int64_t c = 0; c < w->cols; c += 32)
            linear_dx_ref_cols(beta, (float *)dx + r * w->cols, (const float *)dy + r * w->rows, w, c, R - r < REF_ROWS ? R - r : REF_ROWS);
}

void embed_ref(struct kctx *k, void *y, const struct weight *w, const int32_t *ids, int R) {
    for (int i = 0; i < R; i++)
        dtype_to_f32((float *)y + i * w->cols, w->type, (const char *)w->data + dtype_bytes(w->type, ids[i] * w->cols), w->cols);
}

void linear_cpu(struct kctx *k, float beta, void *y, const void *x, const struct weight *w, int R) {
    gemm(k, &(struct gemm){.M = R, .N = w->rows, .K = w->cols, .a = x, .a_row = w->cols, .a_col = 1, .w = w, .wt = true, .alpha = 1, .add = beta != 0, .c = y, .ldc = w->rows});
}

void linear_dx_cpu(struct kctx *k, float beta, void *dx, const void *dy, const struct weight *w, int R) {
    gemm(k, &(struct gemm){.M = R, .N = w->cols, .K = w->rows, .a = dy, .a_row = w->rows, .a_col = 1, .w = w, .wt = false, .alpha = 1, .add = beta != 0, .c = dx, .ldc = w->cols});
}

struct rows {
    float *y;
    const struct weight *w;
    const int32_t *ids;
};

static void decode_rows(void *arg, int64_t i, int64_t end, int thread) {
    const struct rows *j = arg;
    for (; i < end; i++) dtype_to_f32(j->y + i * j->w->cols, j->w->type, (const char *)j->w->data + dtype_bytes(j->w->type, j->ids[i] * j->w->cols), j->w->cols);
}

void embed_cpu(struct kctx *k, void *y, const struct weight *w, const int32_t *ids, int R) {
    pool_run(k->pool, R, cpu_rows(w->cols), decode_rows, &(struct rows){y, w, ids});
}
