/* The product of at most GEMV_ROWS rows with a quantised weight: each packed row is read once, decoded in registers and
   multiplied with every input row, without a panel in between. Decoding is bound by memory, and this is what feeds it.
   Sums run in the order of gemm.h, so the bytes are those of the tiled product. */
#include "kernels/cpu/decode_avx2.h"
#if CPU_X86

/* s[panel][row][half] += a[row]·(column j of the block), a at the block's first column */
INLINE void column(const int P, const int R, __m256 s[2][GEMV_ROWS][2], const struct decoded *o, const float *a, int64_t a_row, int j) {
    __m256 v[4];
#pragma GCC unroll 4
    for (int q = 0; q < P * 2; q++) v[q] = decoded_column(&o[q / 2], j, q % 2);
#pragma GCC unroll 4
    for (int r = 0; r < R; r++) {
        __m256 x = _mm256_broadcast_ss(a + r * a_row + j);
#pragma GCC unroll 4
        for (int q = 0; q < P * 2; q++) s[q / 2][r][q % 2] = _mm256_fmadd_ps(x, v[q], s[q / 2][r][q % 2]);
    }
}

/* P panels of 16 weight rows × R input rows, all constants: P·R·2 independent sums hide the latency of the additions.
   c: first output of the first row. */
INLINE void gemv(const int P, const int R, enum dtype t, const struct gemm *g, int64_t n0) {
    size_t row = dtype_bytes(t, g->K), blk = dtype_block_bytes(t), ahead = (size_t)(P * 16) * blk;
    const char *w = (const char *)g->w->data + (size_t)n0 * row;
    __m256 c[2][GEMV_ROWS][2], al = _mm256_set1_ps(g->alpha);
    for (int p = 0; p < P; p++)
        for (int r = 0; r < R; r++)
            for (int h = 0; h < 2; h++) c[p][r][h] = g->add ? _mm256_loadu_ps(g->c + r * g->ldc + n0 + p * 16 + h * 8) : _mm256_setzero_ps();
    for (int64_t k0 = 0; k0 < g->K; k0 += GEMM_KC) {
        __m256 s[2][GEMV_ROWS][2];
#pragma GCC unroll 16
        for (int i = 0; i < P * R * 2; i++) s[i / (R * 2)][i / 2 % R][i % 2] = _mm256_setzero_ps();
        for (int64_t k = k0; k < g->K && k < k0 + GEMM_KC; k += 32) {
            struct decoded o[2];
            const float *a = g->a + k;
            /* The rows lie end to end, but are read side by side: too many streams for the hardware to foresee */
            for (size_t b = 0; b < ahead; b += 64) _mm_prefetch(w + (size_t)(P * 16) * row + (size_t)(k / 32) * ahead + b, _MM_HINT_T0);
#pragma GCC unroll 2
            for (int p = 0; p < P; p++) decode_block(&o[p], t, w + (size_t)(k / 32) * blk + (size_t)(p * 16) * row, row);
            if (R == 1) { /* straight through, where the registers allow it */
#pragma GCC unroll 32
                for (int j = 0; j < 32; j++) column(P, R, s, o, a, g->a_row, j);
            } else {
#pragma GCC unroll 2
                for (int j = 0; j < 32; j++) column(P, R, s, o, a, g->a_row, j);
            }
        }
#pragma GCC unroll 16
        for (int i = 0; i < P * R * 2; i++) c[i / (R * 2)][i / 2 % R][i % 2] = _mm256_fmadd_ps(al, s[i / (R * 2)][i / 2 % R][i % 2], c[i / (R * 2)][i / 2 % R][i % 2]);
    }
    for (int p = 0; p < P; p++)
        for (int r = 0; r < R; r++)
            for (int h = 0; h < 2; h++) _mm256_storeu_ps(g->c + r * g->ldc + n0 + p * 16 + h * 8, c[p][r][h]);
}

/* One row takes panels in pairs: two sums alone would wait for each other. */
#define GEMV(name, type) \
    AVX2 static void name##_1x2(const struct gemm *g, int64_t n0) { gemv(2, 1, type, g, n0); } \
    AVX2 static void name##_1(const struct gemm *g, int64_t n0) { gemv(1, 1, type, g, n0); } \
    AVX2 static void name##_2(const struct gemm *g, int64_t n0) { gemv(1, 2, type, g, n0); } \
    AVX2 static void name##_3(const struct gemm *g, int64_t n0) { gemv(1, 3, type, g, n0); } \
    AVX2 static void name##_4(const struct gemm *g, int64_t n0) { gemv(1, 4, type, g, n0); }
GEMV(q8_0, DT_Q8_0)
GEMV(q4_0, DT_Q4_0)
GEMV(q4_1, DT_Q4_1)
typedef void gemv_fn(const struct gemm *, int64_t n0);
static gemv_fn *const fns[3][GEMV_ROWS + 1] = {{q8_0_1x2, q8_0_1, q8_0_2, q8_0_3, q8_0_4}, {q4_0_1x2, q4_0_1, q4_0_2, q4_0_3, q4_0_4}, {q4_1_1x2, q4_1_1, q4_1_2, q4_1_3, q4_1_4}};

bool gemv_fits(const struct gemm *g) {
    enum dtype t = g->w->type;
    return g->wt && g->M <= GEMV_ROWS && g->a_col == 1 && (t == DT_Q8_0 || t == DT_Q4_0 || t == DT_Q4_1);
}

void gemv_avx2(const struct gemm *g, int64_t panel, int64_t panels) {
    gemv_fn *const *f = fns[g->w->type == DT_Q8_0 ? 0 : g->w->type == DT_Q4_0 ? 1 : 2];
    int64_t p = panel;
    for (; g->M == 1 && p + 2 <= panel + panels; p += 2) f[0](g, p * GEMM_NR);
    for (; p < panel + panels; p++) f[g->M](g, p * GEMM_NR);
}
#endif
