/* Dropout by Philox4x32-10: dropout.h says what is drawn for which element. */
#include "kernels/cpu/philox.h"
#include "kernels/cpu/vmath.h"

void dropout_ref(struct kctx *k, float beta, void *y, const void *x, const int32_t *seq, const int32_t *pos, const struct dropout_key *key, int R, int C) {
    const uint32_t seed[2] = {(uint32_t)key->seed, (uint32_t)(key->seed >> 32) ^ (key->layer << 8 | key->site)};
    const uint32_t limit = (uint32_t)((double)key->p * 0x1p32);
    const double scale = 1 / (1 - (double)key->p);
    for (int64_t i = 0; i < R; i++)
        for (int c = 0; c < C; c++) {
            uint32_t u[4] = {(uint32_t)c / 4, (uint32_t)pos[i], (uint32_t)seq[i], *key->step};
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
/* Four counters in the low halves of 64-bit lanes (what the high halves hold does not matter: multiplication reads the low
   ones only), so that a round is two products, two shifts and four exclusive-ors. */
struct four { __m256i c[4]; };

VINLINE void start(struct four *f, uint32_t c, const struct row *r) {
    f->c[0] = _mm256_add_epi64(_mm256_set1_epi64x(c), _mm256_setr_epi64x(0, 2, 1, 3)); /* the order in which finish takes them apart */
    f->c[1] = _mm256_set1_epi64x(r->pos);
    f->c[2] = _mm256_set1_epi64x(r->seq);
    f->c[3] = _mm256_set1_epi64x(r->step);
}

VINLINE void turn(struct four *f, __m256i k0, __m256i k1) {
    __m256i a = _mm256_mul_epu32(f->c[0], _mm256_set1_epi64x(PHILOX_M0)), b = _mm256_mul_epu32(f->c[2], _mm256_set1_epi64x(PHILOX_M1));
    f->c[0] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(b, 32), f->c[1]), k0);
    f->c[2] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(a, 32), f->c[3]), k1);
    f->c[1] = b;
    f->c[3] = a;
}

/* u: the words for columns 0..7 and 8..15 */
VINLINE void finish(const struct four *f, __m256i u[2]) {
    __m256i x = _mm256_blend_epi32(f->c[0], _mm256_slli_epi64(f->c[1], 32), 0xaa), y = _mm256_blend_epi32(f->c[2], _mm256_slli_epi64(f->c[3], 32), 0xaa);
    u[0] = _mm256_unpacklo_epi64(x, y);
    u[1] = _mm256_unpackhi_epi64(x, y);
}

AVX2 static void row_avx2(float *y, const float *x, const struct row *r, int C) {
    __m256 scale = _mm256_set1_ps(r->scale), beta = _mm256_set1_ps(r->beta);
    __m256i limit = _mm256_set1_epi32((int)r->limit), u[4], k0[10], k1[10];
    for (uint32_t i = 0; i < 10; i++) {
        k0[i] = _mm256_set1_epi64x(r->key[0] + i * PHILOX_W0);
        k1[i] = _mm256_set1_epi64x(r->key[1] + i * PHILOX_W1);
    }
    for (int c = 0; c < C; c += 32) {
        struct four a, b;
        start(&a, (uint32_t)c / 4, r);
        start(&b, (uint32_t)c / 4 + 4, r);
#pragma GCC unroll 10
        for (int i = 0; i < 10; i++) {
            turn(&a, k0[i], k1[i]);
            turn(&b, k0[i], k1[i]);
        }
        finish(&a, u);
        finish(&b, u + 2);
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

struct job {
    float *y;
    const float *x;
    const int32_t *seq, *pos;
    struct row r; /* all but pos and seq */
    int C;
    bool avx2;
};

static void rows(void *arg, int64_t i, int64_t end, int thread) {
    const struct job *j = arg;
    void (*f)(float *, const float *, const struct row *, int) = row_plain;
#if CPU_X86
    if (j->avx2) f = row_avx2;
#endif
    struct row r = j->r;
    for (; i < end; i++) {
        r.pos = (uint32_t)j->pos[i];
        r.seq = (uint32_t)j->seq[i];
        f(j->y + i * j->C, j->x + i * j->C, &r, j->C);
    }
}

void dropout_cpu(struct kctx *k, float beta, void *y, const void *x, const int32_t *seq, const int32_t *pos, const struct dropout_key *key, int R, int C) {
    struct row r = {.key = {(uint32_t)key->seed, (uint32_t)(key->seed >> 32) ^ (key->layer << 8 | key->site)}, .step = *key->step, .limit = (uint32_t)((double)key->p * 0x1p32), .beta = beta, .scale = (float)(1 / (1 - (double)key->p))};
    pool_run(k->pool, R, cpu_rows(C), rows, &(struct job){y, x, seq, pos, r, C, k->avx2});
}
