/* Token losses, and the gradient in the logits' place. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/vmath.h"
#include <math.h>

void cross_entropy_ref(struct kctx *k, float *loss, void *logits, const int32_t *target, const float *scale, int M, int V) {
    for (int64_t i = 0; i < M; i++) {
        float *z = (float *)logits + i * V;
        double max = z[0], sum = 0;
        for (int v = 1; v < V; v++) max = z[v] > max ? z[v] : max;
        for (int v = 0; v < V; v++) sum += exp(z[v] - max);
        loss[i] = (float)(max + log(sum) - z[target[i]]);
        for (int v = 0; scale && v < V; v++) z[v] = (float)(scale[i] * (exp(z[v] - max) / sum - (v == target[i])));
    }
}


/* One row: z becomes scale·(softmax − onehot) if grad; returns the loss. The exponentials are taken once: they wait in
   z's place for their sum. */
static float row_plain(float *z, int target, float scale, bool grad, int V) {
    float max = z[0], at = z[target];
    double sum = 0;
    for (int v = 1; v < V; v++) max = z[v] > max ? z[v] : max;
    for (int v = 0; v < V; v++) {
        float e = expf(z[v] - max);
        sum += e;
        if (grad) z[v] = e;
    }
    float f = (float)(scale / sum);
    for (int v = 0; grad && v < V; v++) z[v] *= f;
    if (grad) z[target] -= scale;
    return (float)(max - (double)at + log(sum));
}

#if CPU_X86
#define CE_BLOCK 512 /* values summed in f32 before they are added in double */

AVX2 static double exp_sum_avx2(float *z, float max, bool grad, int V) {
    double total = 0;
    __m256 top = _mm256_set1_ps(max);
    for (int b = 0; b < V; b += CE_BLOCK) {
        __m256 sum = _mm256_setzero_ps();
        int end = V - b < CE_BLOCK ? V : b + CE_BLOCK;
        for (int v = b; v < end; v += 8) {
            int left = end - v;
            __m256 e = _mm256_and_ps(exp8_neg(_mm256_sub_ps(load_n(z + v, left), top)), _mm256_castsi256_ps(first_lanes(left)));
            sum = _mm256_add_ps(sum, e);
            if (grad) store_n(z + v, e, left);
        }
        total += sum8(sum);
    }
    return total;
}

AVX2 static float row_avx2(float *z, int target, float scale, bool grad, int V) {
    float at = z[target], max;
    __m256 top = _mm256_set1_ps(-INFINITY);
    int v = 0;
    for (; v + 8 <= V; v += 8) top = _mm256_max_ps(_mm256_loadu_ps(z + v), top);
    for (max = max8(top); v < V; v++) max = z[v] > max ? z[v] : max;
    double sum = exp_sum_avx2(z, max, grad, V);
    __m256 f = _mm256_set1_ps((float)(scale / sum));
    for (v = 0; grad && v < V; v += 8) store_n(z + v, _mm256_mul_ps(load_n(z + v, V - v), f), V - v);
    if (grad) z[target] -= scale;
    return (float)(max - (double)at + log(sum));
}
#endif

struct job {
    float *loss, *z;
    const int32_t *target;
    const float *scale;
    int V;
    bool avx2;
};

static void rows(void *arg, int64_t i, int64_t end, int thread) {
    const struct job *j = arg;
    float (*f)(float *, int, float, bool, int) = row_plain;
#if CPU_X86
    if (j->avx2) f = row_avx2;
#endif
    for (; i < end; i++) j->loss[i] = f(j->z + i * j->V, j->target[i], j->scale ? j->scale[i] : 0, j->scale, j->V);
}

void cross_entropy_cpu(struct kctx *k, float *loss, void *logits, const int32_t *target, const float *scale, int M, int V) {
    pool_run(k->pool, M, cpu_rows(V), rows, &(struct job){loss, logits, target, scale, V, k->avx2});
}
