/* Token losses, and the gradient in the logits' place. */
#include "kernels/cpu/cpu.h"
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

void cross_entropy_cpu(struct kctx *k, float *loss, void *logits, const int32_t *target, const float *scale, int M, int V) { cross_entropy_ref(k, loss, logits, target, scale, M, V); }
