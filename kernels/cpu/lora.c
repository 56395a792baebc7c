/* LoRA's thin products. */
#include "kernels/cpu/cpu.h"

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

void lora_down_cpu(struct kctx *k, void *h, const void *x, const float *A, int R, int r, int K) { lora_down_ref(k, h, x, A, R, r, K); }
void lora_up_cpu(struct kctx *k, void *y, const void *h, const float *B, float s, int R, int r, int N) { lora_up_ref(k, y, h, B, s, R, r, N); }
void lora_up_bwd_cpu(struct kctx *k, void *dh, float *dB, const void *dy, const void *h, const float *B, float s, int R, int r, int N) { lora_up_bwd_ref(k, dh, dB, dy, h, B, s, R, r, N); }
void lora_down_bwd_cpu(struct kctx *k, float beta, void *dx, float *dA, const void *dh, const void *x, const float *A, int R, int r, int K) { lora_down_bwd_ref(k, beta, dx, dA, dh, x, A, R, r, K); }
