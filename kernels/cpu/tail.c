/* Maximum and exponentials over a row without some columns: see tail.h. */
#include "kernels/cpu/tail.h"
#include "kernels/cpu/vmath.h"
#include <math.h>

#define BLOCK 512 /* values summed in f32 before they are added in double */

static float max_plain(const float *z, int n, float max) {
    for (int v = 0; v < n; v++) max = z[v] > max ? z[v] : max;
    return max;
}

static double sum_plain(const float *z, int n, float max, float f) {
    double sum = 0;
    for (int v = 0; v < n; v++) sum += expf((z[v] - max) * f);
    return sum;
}

static void mix_plain(float *z, int n, float max, float f, float a, float b) {
    for (int v = 0; v < n; v++) {
        float x = z[v] - max;
        z[v] = a * expf(x * f) + (b != 0 ? b * expf(x) : 0);
    }
}

#if CPU_X86
AVX2 static float max_avx2(const float *z, int n, float max) {
    __m256 top = _mm256_set1_ps(max);
    int v = 0;
    for (; v + 8 <= n; v += 8) top = _mm256_max_ps(_mm256_loadu_ps(z + v), top);
    return max_plain(z + v, n - v, max8(top));
}

AVX2 static double sum_avx2(const float *z, int n, float max, float f) {
    double total = 0;
    __m256 top = _mm256_set1_ps(max), factor = _mm256_set1_ps(f);
    for (int b = 0; b < n; b += BLOCK) {
        __m256 sum = _mm256_setzero_ps();
        int end = n - b < BLOCK ? n : b + BLOCK;
        for (int v = b; v < end; v += 8) {
            __m256 e = exp8_neg(_mm256_mul_ps(_mm256_sub_ps(load_n(z + v, end - v), top), factor));
            sum = _mm256_add_ps(sum, _mm256_and_ps(e, _mm256_castsi256_ps(first_lanes(end - v))));
        }
        total += sum8(sum);
    }
    return total;
}

AVX2 static void mix_avx2(float *z, int n, float max, float f, float a, float b) {
    __m256 top = _mm256_set1_ps(max), factor = _mm256_set1_ps(f), A = _mm256_set1_ps(a), B = _mm256_set1_ps(b);
    for (int v = 0; v < n; v += 8) {
        __m256 x = _mm256_sub_ps(load_n(z + v, n - v), top);
        __m256 y = _mm256_mul_ps(A, exp8_neg(_mm256_mul_ps(x, factor)));
        if (b != 0) y = _mm256_fmadd_ps(B, exp8_neg(x), y);
        store_n(z + v, y, n - v);
    }
}
#define PICK(k, name) ((k)->avx2 ? name##_avx2 : name##_plain)
#else
#define PICK(k, name) name##_plain
#endif

float tail_max(const struct kctx *k, const float *z, const int32_t *id, int K, int V) {
    float max = -INFINITY;
    for (int j = 0; j <= K; j++) max = PICK(k, max)(z + run_from(id, j), run_end(id, j, K, V) - run_from(id, j), max);
    return max;
}

double tail_exp_sum(const struct kctx *k, const float *z, const int32_t *id, int K, int V, float max, float f) {
    double sum = 0;
    for (int j = 0; j <= K; j++) sum += PICK(k, sum)(z + run_from(id, j), run_end(id, j, K, V) - run_from(id, j), max, f);
    return sum;
}

void tail_mix(const struct kctx *k, float *z, const int32_t *id, int K, int V, float max, float f, float a, float b) {
    for (int j = 0; j <= K; j++) PICK(k, mix)(z + run_from(id, j), run_end(id, j, K, V) - run_from(id, j), max, f, a, b);
}
