/* Kernels in a chain, each of which may begin before the one before it ends (programmatic dependent launch, from compute capability
   9 on): what it does before wait_for_inputs must not touch what any kernel of the chain writes. */
#ifndef COADOR_CUDA_CHAIN_CUH
#define COADOR_CUDA_CHAIN_CUH
#include "kernels/cuda/cuda.cuh"

static __device__ inline void wait_for_inputs() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
static __device__ inline void let_next_start() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
template <class A> static void chain(struct kctx *k, void (*kernel)(A), dim3 blocks, int threads, int shared, const A &args) {
    cudaLaunchAttribute at = {};
    at.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    at.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t c = {};
    c.gridDim = blocks;
    c.blockDim = dim3((unsigned)threads);
    c.dynamicSmemBytes = (size_t)shared;
    c.stream = k->stream;
    c.attrs = &at;
    c.numAttrs = k->overlaps ? 1 : 0;
    cuda_ok(k, cudaLaunchKernelEx(&c, kernel, args), "a kernel of a chain");
}

/* The new tokens at pos(R) of sequences seq(R), no two of one: q and k turned, k and v stored, o(R,H·D) = attention over the cache
   (decode_attend.cu). One row: q, k, v; more: shares parts(splits,R,(H+2·G)·D) of q, k, v side by side, to be added up. */
struct attend_rows {
    act16 *o;
    const act16 *q, *k, *v;
    const float *parts;
    int splits, R, H, G, D;
    struct kv_view kv;
    const int32_t *seq, *pos;
    const float *inv_freq;
};
bool cuda_attend_fits(int H, int G, int D);
void cuda_attend_rows(struct kctx *k, const struct attend_rows *r);
#endif
