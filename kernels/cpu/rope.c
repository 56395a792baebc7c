/* Rotary positions. */
#include "kernels/cpu/vmath.h"
#include <math.h>

void rope_ref(struct kctx *k, void *x, const int32_t *pos, const float *inv_freq, int sign, int R, int H, int D) {
    for (int64_t i = 0; i < R; i++)
        for (int d = 0; d < D / 2; d++) {
            float angle = (float)pos[i] * inv_freq[d];
            double c = (float)cos(angle), s = sign * (double)(float)sin(angle);
            for (int h = 0; h < H; h++) {
                float *p = (float *)x + (i * H + h) * D + d, a = p[0], b = p[D / 2];
                p[0] = (float)(a * c - b * s);
                p[D / 2] = (float)(b * c + a * s);
            }
        }
}


/* cos and sin of n angles, sign in the sine. In double: with x = q·π/2 + r, |r| <= π/4, Taylor to r^13 leaves 2^-40; the
   rounded result is the nearest f32 but for one in some ten thousand. Angles up to 2^20 lose 2^-33 to the reduction. */
#define ANGLES 64
static inline __attribute__((always_inline)) void angles(float *c, float *s, float pos, const float *f, double sign, int n) {
#pragma omp simd
    for (int i = 0; i < n; i++) {
        double x = pos * f[i], q = (x * 0x1.45f306dc9c883p-1 + 0x1.8p52) - 0x1.8p52; /* nearest integer to x·2/π */
        double r = (x - q * 0x1.921fb544p+0) - q * 0x1.0b4611a626331p-34, z = r * r;
        double sn = r + r * z * (-1.0 / 6 + z * (1.0 / 120 + z * (-1.0 / 5040 + z * (1.0 / 362880 + z * (-1.0 / 39916800 + z * (1.0 / 6227020800))))));
        double cs = 1 + z * (-0.5 + z * (1.0 / 24 + z * (-1.0 / 720 + z * (1.0 / 40320 + z * (-1.0 / 3628800 + z * (1.0 / 479001600))))));
        double quad = q - 4 * ((q * 0.25 - 0.375 + 0x1.8p52) - 0x1.8p52); /* q mod 4: 0, 1, 2, 3 */
        double odd = quad == 1 || quad == 3 ? 1 : 0, sc = quad == 1 || quad == 2 ? -1 : 1, ss = quad >= 2 ? -1 : 1;
        c[i] = (float)(sc * (odd * sn + (1 - odd) * cs));
        s[i] = (float)(sign * ss * (odd * cs + (1 - odd) * sn));
    }
}

static inline __attribute__((always_inline)) void turn(float *p, const float *c, const float *s, int n, int half) {
#pragma omp simd
    for (int i = 0; i < n; i++) {
        float a = p[i], b = p[half + i];
        p[i] = a * c[i] - b * s[i];
        p[half + i] = b * c[i] + a * s[i];
    }
}

static inline __attribute__((always_inline)) void row(float *x, float pos, const float *f, int sign, int H, int D) {
    float c[ANGLES], s[ANGLES];
    for (int d = 0; d < D / 2; d += ANGLES) {
        int n = D / 2 - d < ANGLES ? D / 2 - d : ANGLES;
        angles(c, s, pos, f + d, sign, n);
        for (int h = 0; h < H; h++) turn(x + h * D + d, c, s, n, D / 2);
    }
}

static void row_plain(float *x, float pos, const float *f, int sign, int H, int D) { row(x, pos, f, sign, H, D); }
#if CPU_X86
AVX2 static void row_avx2(float *x, float pos, const float *f, int sign, int H, int D) { row(x, pos, f, sign, H, D); }
#endif

struct job {
    float *x;
    const int32_t *pos;
    const float *f;
    int sign, H, D;
    bool avx2;
};

static void rows(void *arg, int64_t i, int64_t end, int thread) {
    const struct job *j = arg;
    void (*f)(float *, float, const float *, int, int, int) = row_plain;
#if CPU_X86
    if (j->avx2) f = row_avx2;
#endif
    for (; i < end; i++) f(j->x + i * j->H * j->D, (float)j->pos[i], j->f, j->sign, j->H, j->D);
}

void rope_cpu(struct kctx *k, void *x, const int32_t *pos, const float *inv_freq, int sign, int R, int H, int D) {
    pool_run(k->pool, R, cpu_rows((int64_t)H * D), rows, &(struct job){x, pos, inv_freq, sign, H, D, k->avx2});
}
