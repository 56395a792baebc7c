/* Panels of B decoded with AVX2: 16 rows of a weight turned into 16 columns (linear), or 16 columns as they lie (linear_dx).
   Whatever has no fast path here (edges, other types) goes to gemm_pack_plain. Every value is the reference decoder's. */
#include "kernels/cpu/decode_avx2.h"
#if CPU_X86

/* 8 values of a plain type at value i of row p */
INLINE __m256 load8(enum dtype t, const void *p, int64_t i) {
    if (t == DT_F32) return _mm256_loadu_ps((const float *)p + i);
    __m128i h = _mm_loadu_si128((const __m128i *)((const uint16_t *)p + i));
    if (t == DT_F16) return _mm256_cvtph_ps(h);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

/* b[i][0..8) = r[0..8)[i] */
INLINE void transpose8(float *b, const __m256 r[8]) {
    __m256 u[8], v[8];
    for (int i = 0; i < 4; i++) {
        u[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
        u[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        v[4 * i] = _mm256_shuffle_ps(u[4 * i], u[4 * i + 2], 0x44);
        v[4 * i + 1] = _mm256_shuffle_ps(u[4 * i], u[4 * i + 2], 0xee);
        v[4 * i + 2] = _mm256_shuffle_ps(u[4 * i + 1], u[4 * i + 3], 0x44);
        v[4 * i + 3] = _mm256_shuffle_ps(u[4 * i + 1], u[4 * i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        _mm256_store_ps(b + i * GEMM_NR, _mm256_permute2f128_ps(v[i], v[i + 4], 0x20));
        _mm256_store_ps(b + (i + 4) * GEMM_NR, _mm256_permute2f128_ps(v[i], v[i + 4], 0x31));
    }
}

/* The next panel's lines into the second cache: with few rows of A they are all that is waited for, and 16 streams are too many
   for the hardware. A head of f32 then takes 175 ns where it took 240 for 512 values. */
INLINE void fetch_next(const char *at, size_t row) {
    for (size_t i = 16; i < 32; i++) _mm_prefetch(at + i * row, _MM_HINT_T1);
}

INLINE void rows_plain(float *b, enum dtype t, const char *rows, size_t row, int64_t k0, int kc) {
    size_t bytes = dtype_block_bytes(t);
    for (int k = 0; k < kc; k += 8) {
        if ((size_t)k * bytes % 64 == 0) fetch_next(rows + (size_t)(k0 + k) * bytes, row);
        for (int half = 0; half < 2; half++) {
            __m256 r[8];
#pragma GCC unroll 8
            for (int i = 0; i < 8; i++) r[i] = load8(t, rows + (size_t)(half * 8 + i) * row, k0 + k);
            transpose8(b + k * GEMM_NR + half * 8, r);
        }
    }
}

INLINE void rows_block(float *b, enum dtype t, const char *p, size_t row) {
    struct decoded o;
    decode_block(&o, t, p, row);
#pragma GCC unroll 32
    for (int j = 0; j < 32; j++) {
        _mm256_store_ps(b + j * GEMM_NR, decoded_column(&o, j, 0));
        _mm256_store_ps(b + j * GEMM_NR + 8, decoded_column(&o, j, 1));
    }
}

INLINE void rows_blocks(float *b, enum dtype t, const char *p, size_t row, int64_t k0, int kc) {
    size_t blk = dtype_block_bytes(t);
    for (int k = 0; k < kc; k += 32) {
        const char *at = p + (size_t)((k0 + k) / 32) * blk;
        for (size_t i = 16; i < 32; i++) _mm_prefetch(at + i * row, _MM_HINT_T0); /* the next panel: 16 streams are too many for the hardware */
        rows_block(b + k * GEMM_NR, t, at, row);
    }
}

AVX2 static void pack_rows(float *b, const struct weight *w, int64_t k0, int kc, int64_t n0) {
    size_t row = dtype_bytes(w->type, w->cols);
    const char *p = (const char *)w->data + (size_t)n0 * row;
    if (w->type == DT_F32) rows_plain(b, DT_F32, p, row, k0, kc);
    if (w->type == DT_F16) rows_plain(b, DT_F16, p, row, k0, kc);
    if (w->type == DT_BF16) rows_plain(b, DT_BF16, p, row, k0, kc);
    if (w->type == DT_Q8_0) rows_blocks(b, DT_Q8_0, p, row, k0, kc);
    if (w->type == DT_Q4_0) rows_blocks(b, DT_Q4_0, p, row, k0, kc);
    if (w->type == DT_Q4_1) rows_blocks(b, DT_Q4_1, p, row, k0, kc);
}

INLINE void cols_plain(float *b, enum dtype t, const char *p, size_t row, int kc) {
    for (int k = 0; k < kc; k++, p += row) {
        _mm256_store_ps(b + k * GEMM_NR, load8(t, p, 0));
        _mm256_store_ps(b + k * GEMM_NR + 8, load8(t, p, 8));
    }
}

/* 16 columns of one block a row: half 0 or 1 of it */
INLINE void cols_block(float *b, enum dtype t, const char *p, size_t row, int kc, int half) {
    for (int k = 0; k < kc; k++, p += row) {
        uint16_t h[2];
        memcpy(h, p, 4);
        __m256 d = _mm256_set1_ps(_cvtsh_ss(h[0])), m = _mm256_set1_ps(t == DT_Q4_1 ? _cvtsh_ss(h[1]) : -0.0f);
        __m128i q;
        if (t == DT_Q8_0) {
            q = _mm_loadu_si128((const __m128i *)(p + 2 + 16 * half));
        } else {
            q = _mm_loadu_si128((const __m128i *)(p + (t == DT_Q4_1 ? 4 : 2)));
            q = _mm_and_si128(half ? _mm_srli_epi16(q, 4) : q, _mm_set1_epi8(15));
            if (t == DT_Q4_0) q = _mm_sub_epi8(q, _mm_set1_epi8(8));
        }
        _mm256_store_ps(b + k * GEMM_NR, _mm256_fmadd_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q)), m));
        _mm256_store_ps(b + k * GEMM_NR + 8, _mm256_fmadd_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(q, q))), m));
    }
}

AVX2 static void pack_cols(float *b, const struct weight *w, int64_t k0, int kc, int64_t n0) {
    size_t row = dtype_bytes(w->type, w->cols);
    const char *p = (const char *)w->data + (size_t)k0 * row + (size_t)(n0 / dtype_block(w->type)) * dtype_block_bytes(w->type);
    int half = n0 % 32 != 0;
    switch (w->type) {
    case DT_F32: cols_plain(b, DT_F32, p, row, kc); break;
    case DT_F16: cols_plain(b, DT_F16, p, row, kc); break;
    case DT_BF16: cols_plain(b, DT_BF16, p, row, kc); break;
    case DT_Q8_0: cols_block(b, DT_Q8_0, p, row, kc, half); break;
    case DT_Q4_0: cols_block(b, DT_Q4_0, p, row, kc, half); break;
    default: cols_block(b, DT_Q4_1, p, row, kc, half); break;
    }
}

void gemm_pack_avx2(float *b, const struct weight *w, bool wt, int64_t k0, int kc, int64_t n0, int n) {
    enum dtype t = w->type;
    bool known = t == DT_F32 || t == DT_F16 || t == DT_BF16 || t == DT_Q8_0 || t == DT_Q4_0 || t == DT_Q4_1;
    int whole = wt ? kc & ~7 : kc; /* rows are turned 8 values at a time */
    if (n < GEMM_NR || (!known && !gemm_pack_quant(b, w, wt, k0, kc, n0, &whole))) {
        gemm_pack_plain(b, w, wt, k0, kc, n0, n);
        return;
    }
    if (!known)
        ; /* done */
    else if (wt)
        pack_rows(b, w, k0, whole, n0);
    else
        pack_cols(b, w, k0, kc, n0);
    if (whole < kc) gemm_pack_plain(b + whole * GEMM_NR, w, wt, k0 + whole, kc - whole, n0, n);
}
#endif
