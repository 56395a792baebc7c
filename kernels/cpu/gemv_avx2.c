/* The product of at most GEMV_ROWS rows with a quantised weight: each packed row is read once, decoded in registers and
   multiplied with every input row, without a panel in between. Decoding is bound by memory, and this is what feeds it.
   Sums run in the order of gemm.h, so the bytes are those of the tiled product. */
#include "kernels/cpu/decode_beside.h"
#if CPU_X86

INLINE bool blocks(enum dtype t) { return t == DT_Q8_0 || t == DT_Q4_0 || t == DT_Q4_1; } /* of GGUF, scales inside */

INLINE __m256 value(enum dtype t, const struct decoded *o, int j, int h) {
    return has_codes(t) ? looked_up_column(o, t == DT_NF4 ? dtype_nf4 : dtype_fp4, j, h) : decoded_column(o, j, h);
}

/* s[panel][row][half] += a[row]·(column j of the block), a at the block's first column */
INLINE void column(const int P, const int R, enum dtype t, __m256 s[2][GEMV_ROWS][2], const struct decoded *o, const float *a, int64_t a_row, int j) {
    __m256 v[4];
#pragma GCC unroll 4
    for (int q = 0; q < P * 2; q++) v[q] = value(t, &o[q / 2], j, q % 2);
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
    size_t row = blocks(t) ? dtype_bytes(t, g->K) : (size_t)(has_codes(t) ? g->K / 2 : g->K), blk = row / (size_t)(g->K / 32), ahead = (size_t)(P * 16) * blk;
    struct beside beside[2];
    if (!blocks(t))
        for (int p = 0; p < P; p++) beside[p] = beside_rows(g->w, t, n0 + p * 16);
    const char *w = blocks(t) ? (const char *)g->w->data + (size_t)n0 * row : beside[0].p;
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
            for (int p = 0; p < P; p++) {
                if (blocks(t)) decode_block(&o[p], t, w + (size_t)(k / 32) * blk + (size_t)(p * 16) * row, row);
                if (!blocks(t)) decode_beside(&o[p], t, &beside[p], k);
            }
            if (R == 1) { /* straight through, where the registers allow it */
#pragma GCC unroll 32
                for (int j = 0; j < 32; j++) column(P, R, t, s, o, a, g->a_row, j);
            } else {
#pragma GCC unroll 2
                for (int j = 0; j < 32; j++) column(P, R, t, s, o, a, g->a_row, j);
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
GEMV(i8, DT_I8)
GEMV(ternary, DT_TERNARY)
GEMV(nf4, DT_NF4)
GEMV(fp4, DT_FP4)
typedef void gemv_fn(const struct gemm *, int64_t n0);
#define FNS(name) {name##_1x2, name##_1, name##_2, name##_3, name##_4}
static gemv_fn *const fns[DT_COUNT][GEMV_ROWS + 1] = {[DT_Q8_0] = FNS(q8_0), [DT_Q4_0] = FNS(q4_0), [DT_Q4_1] = FNS(q4_1), [DT_I8] = FNS(i8),
    [DT_TERNARY] = FNS(ternary), [DT_NF4] = FNS(nf4), [DT_FP4] = FNS(fp4)};

AVX2 bool gemv_fits(const struct gemm *g) {
    return g->wt && g->M <= GEMV_ROWS && g->a_col == 1 && (blocks(g->w->type) || beside_fits(g->w));
}

void gemv_avx2(const struct gemm *g, int64_t panel, int64_t panels) {
    gemv_fn *const *f = fns[g->w->type];
    int64_t p = panel;
    for (; g->M == 1 && p + 2 <= panel + panels; p += 2) f[0](g, p * GEMM_NR);
    for (; p < panel + panels; p++) f[g->M](g, p * GEMM_NR);
}
#endif
