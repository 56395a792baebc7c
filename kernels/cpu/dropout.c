/* Dropout by Philox4x32-10: dropout.h says what is drawn for which element. */
#include "kernels/cpu/philox.h"
#include "kernels/cpu/vmath.h"

void dropout_ref(struct kctx *k, float beta, void *y, const void *x, const int32_t *seq, const int32_t *pos, const struct dropout_key *key, int R, int C) {
    const uint32_t seed[2] = {(uint32_t)key->seed, (uint32_t)(key->seed >> 32) ^ (key->layer << 8 | key->site)};
    const uint32_t limit = (uint32_t)((double)key->p * 0x1p32);
    const double scale = 1 / (1 - (double)key->p);
    for (int64_t i = 0; i < R; i++)
        for (int c = 0; c < C; c++) {
            uint32_t u[4] = {(uint32_t)c / 4, (uint32_t)pos[i], (uint32_t)seq[i], key->step};
            philox4x32_10(u, seed);
            double v = u[c % 4] >= limit ? (double)((const float *)x)[i * C + c] * scale : 0;
            float *p = (float *)y + i * C + c;
            *p = (float)(v + (beta != 0 ? (double)beta * *p : 0));
        }
}


struct row { /* what one row draws with */
    uint32_t key[2], pos, seq, step, limit;
    float beta, scale;
};

static void row_plain(float *y, const float *x, const struct row *r, int C) {
    for (int c = 0; c < C; c += 4) {
        uint32_t u[4] = {(uint32_t)c / 4, r->pos, r->seq, r->step};
        philox4x32_10(u, r->key);
        for (int l = 0; l < 4 && c + l < C; l++) {
            float v = u[l] >= r->limit ? x[c + l] * r->scale : 0;
            y[c + l] = r->beta != 0 ? r->beta * y[c + l] + v : v;
        }
    }
}

#if CPU_X86
/* High and low halves of the eight products m·c */
VINLINE void mul_hi_lo(__m256i c, __m256i m, __m256i *hi, __m256i *lo) {
    __m256i even = _mm256_mul_epu32(c, m), odd = _mm256_mul_epu32(_mm256_srli_epi64(c, 32), m);
    *hi = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
    *lo = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
}

/* Eight counters at once: u[l] has word l of counters c, c + 1, … c + 7 */
VINLINE void philox8(__m256i u[4], uint32_t c, const struct row *r) {
    __m256i m0 = _mm256_set1_epi32((int)PHILOX_M0), m1 = _mm256_set1_epi32((int)PHILOX_M1), h0, l0, h1, l1;
    uint32_t k0 = r->key[0], k1 = r->key[1];
    u[0] = _mm256_add_epi32(_mm256_set1_epi32((int)c), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    u[1] = _mm256_set1_epi32((int)r->pos);
    u[2] = _mm256_set1_epi32((int)r->seq);
    u[3] = _mm256_set1_epi32((int)r->step);
    for (int i = 0; i < 10; i++, k0 += PHILOX_W0, k1 += PHILOX_W1) {
        mul_hi_lo(u[0], m0, &h0, &l0);
        mul_hi_lo(u[2], m1, &h1, &l1);
        u[0] = _mm256_xor_si256(_mm256_xor_si256(h1, u[1]), _mm256_set1_epi32((int)k0));
        u[2] = _mm256_xor_si256(_mm256_xor_si256(h0, u[3]), _mm256_set1_epi32((int)k1));
        u[1] = l1;
        u[3] = l0;
    }
}

/* From words of eight counters to 32 columns in order */
VINLINE void to_columns(__m256i u[4]) {
    __m256i a = _mm256_unpacklo_epi32(u[0], u[1]), b = _mm256_unpackhi_epi32(u[0], u[1]), c = _mm256_unpacklo_epi32(u[2], u[3]), d = _mm256_unpackhi_epi32(u[2], u[3]);
    __m256i e = _mm256_unpacklo_epi64(a, c), f = _mm256_unpackhi_epi64(a, c), g = _mm256_unpacklo_epi64(b, d), h = _mm256_unpackhi_epi64(b, d);
    u[0] = _mm256_permute2x128_si256(e, f, 0x20);
    u[1] = _mm256_permute2x128_si256(g, h, 0x20);
    u[2] = _mm256_permute2x128_si256(e, f, 0x31);
    u[3] = _mm256_permute2x128_si256(g, h, 0x31);
}

AVX2 static void row_avx2(float *y, const float *x, const struct row *r, int C) {
    __m256 scale = _mm256_set1_ps(r->scale), beta = _mm256_set1_ps(r->beta);
    __m256i limit = _mm256_set1_epi32((int)r->limit), u[4];
    for (int c = 0; c < C; c += 32) {
        philox8(u, (uint32_t)c / 4, r);
        to_columns(u);
        for (int l = 0; l < 4 && c + 8 * l < C; l++) {
            float *p = y + c + 8 * l;
            __m256i keep = _mm256_cmpeq_epi32(_mm256_max_epu32(u[l], limit), u[l]); /* u >= limit */
            __m256 v = _mm256_and_ps(_mm256_mul_ps(load_n(x + c + 8 * l, C - c - 8 * l), scale), _mm256_castsi256_ps(keep));
            if (r->beta != 0) v = _mm256_fmadd_ps(beta, load_n(p, C - c - 8 * l), v);
            store_n(p, v, C - c - 8 * l);
        }
    }
}
#endif

void dropout_cpu(struct kctx *k, float beta, void *y, const void *x, const int32_t *seq, const int32_t *pos, const struct dropout_key *key, int R, int C) {
    void (*f)(float *, const float *, const struct row *, int) = row_plain;
#if CPU_X86
    if (k->avx2) f = row_avx2;
#endif
#pragma omp parallel for num_threads(k->threads) if ((int64_t)R * C > CPU_SPAN / 4)
    for (int64_t i = 0; i < R; i++) {
        struct row r = {{(uint32_t)key->seed, (uint32_t)(key->seed >> 32) ^ (key->layer << 8 | key->site)}, (uint32_t)pos[i], (uint32_t)seq[i], key->step, (uint32_t)((double)key->p * 0x1p32), beta, (float)(1 / (1 - (double)key->p))};
        f((float *)y + i * C, (const float *)x + i * C, &r, C);
    }
}
