/* SwiGLU of V values, and its gradients. */
#ifndef COADOR_CUDA_SWIGLU_CUH
#define COADOR_CUDA_SWIGLU_CUH
#include <math.h>
static __device__ inline float sigmoid(float z) { return 1 / (1 + expf(-z)); }
/* g becomes the output. */
template <int V> static __device__ inline void swiglu_values(float g[V], const float u[V]) {
#pragma unroll
    for (int j = 0; j < V; j++) g[j] = g[j] * sigmoid(g[j]) * u[j];
}
/* g and u become their gradients, o the output. */
template <int V> static __device__ inline void swiglu_gradients(float g[V], float u[V], float o[V], const float d[V]) {
#pragma unroll
    for (int j = 0; j < V; j++) {
        float s = sigmoid(g[j]), silu = g[j] * s;
        float dg = d[j] * u[j] * (s + silu * (1 - s));
        o[j] = silu * u[j];
        u[j] = d[j] * silu;
        g[j] = dg;
    }
}
#endif
