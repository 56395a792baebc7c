/* LoRA's thin products: the references, and the fast ones by gemm.h. */
#include "kernels/cpu/gemm.h"

void lora_down_ref(struct kctx *k, void *h, const void *x, const float *A, int R, int r, int K) {
    for (int64_t i = 0; i < R; i++)
        for (int j = 0; j < r; j++) {
            double sum = 0;
            for (int c = 0; c < K; c++) sum += (double)((const float *)x)[i * K + c] * A[(int64_t)j * K + c];
            ((float *)h)[i * r + j] = (float)sum;
        }
}

void lora_up_ref(struct kctx *k, void *y, const void *h, const float *B, float s, int R, int r, int N) {
    for (int64_t i = 0; i < R; i++)
        for (int n = 0; n < N; n++) {
            double sum = 0;
            for (int j = 0; j < r; j++) sum += (double)((const float *)h)[i * r + j] * B[(int64_t)n * r + j];
            float *p = (float *)y + i * N + n;
            *p = (float)(*p + s * sum);
        }
}

void lora_up_bwd_ref(struct kctx *k, void *dh, float *dB, const void *dy, const void *h, const float *B, float s, int R, int r, int N) {
    const float *g = dy, *hh = h;
    for (int64_t i = 0; i < R; i++)
        for (int j = 0; j < r; j++) {
            double sum = 0;
            for (int n = 0; n < N; n++) sum += (double)g[i * N + n] * B[(int64_t)n * r + j];
            ((float *)dh)[i * r + j] = (float)(s * sum);
        }
    for (int n = 0; n < N; n++)
        for (int j = 0; j < r; j++) {
            double sum = 0;
            for (int64_t i = 0; i < R; i++) sum += (double)g[i * N + n] * hh[i * r + j];
            float *p = dB + (int64_t)n * r + j;
            *p = (float)(*p + s * sum);
        }
}

void lora_down_bwd_ref(struct kctx *k, float beta, void *dx, float *dA, const void *dh, const void *x, const float *A, int R, int r, int K) {
    const float *g = dh, *xx = x;
    for (int j = 0; j < r; j++)
        for (int c = 0; c < K; c++) {
            double sum = 0;
            for (int64_t i = 0; i < R; i++) sum += (double)g[i * r + j] * xx[i * K + c];
            float *p = dA + (int64_t)j * K + c;
            *p = (float)(*p + sum);
        }
    for (int64_t i = 0; dx && i < R; i++)
        for (int c = 0; c < K; c++) {
            double sum = 0;
            for (int j = 0; j < r; j++) sum += (double)g[i * r + j] * A[(int64_t)j * K + c];
            float *p = (float *)dx + i * K + c;
            *p = (float)(sum + (beta != 0 ? (double)beta * *p : 0));
        }
}

void lora_down_cpu(struct kctx *k, void *h, const void *x, const float *A, int R, int r, int K) {
    struct weight a = weight_plain(DT_F32, r, K, A);
    gemm(k, &(struct gemm){.M = R, .N = r, .K = K, .a = x, .a_row = K, .a_col = 1, .w = &a, .wt = true, .alpha = 1, .c = h, .ldc = r});
}

void lora_up_cpu(struct kctx *k, void *y, const void *h, const float *B, float s, int R, int r, int N) {
    struct weight b = weight_plain(DT_F32, N, r, B);
    gemm(k, &(struct gemm){.M = R, .N = N, .K = r, .a = h, .a_row = r, .a_col = 1, .w = &b, .wt = true, .alpha = s, .add = true, .c = y, .ldc = N});
}

void lora_up_bwd_cpu(struct kctx *k, void *dh, float *dB, const void *dy, const void *h, const float *B, float s, int R, int r, int N) {
    struct weight b = weight_plain(DT_F32, N, r, B), hw = weight_plain(DT_F32, R, r, h);
    gemm(k, &(struct gemm){.M = R, .N = r, .K = N, .a = dy, .a_row = N, .a_col = 1, .w = &b, .alpha = s, .c = dh, .ldc = r});
    gemm(k, &(struct gemm){.M = N, .N = r, .K = R, .a = dy, .a_row = 1, .a_col = N, .w = &hw, .alpha = s, .add = true, .c = dB, .ldc = r});
}

void lora_down_bwd_cpu(struct kctx *k, float beta, void *dx, float *dA, const void *dh, const void *x, const float *A, int R, int r, int K) {
    struct weight a = weight_plain(DT_F32, r, K, A), xw = weight_plain(DT_F32, R, K, x);
    gemm(k, &(struct gemm){.M = r, .N = K, .K = R, .a = dh, .a_row = 1, .a_col = r, .w = &xw, .alpha = 1, .add = true, .c = dA, .ldc = K});
    if (dx) gemm(k, &(struct gemm){.M = R, .N = K, .K = r, .a = dh, .a_row = r, .a_col = 1, .w = &a, .alpha = 1, .add = beta != 0, .c = dx, .ldc = K});
}
