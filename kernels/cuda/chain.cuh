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
template <class A> static void chain(struct kctx *k, void (*kernel)(A), unsigned blocks, int threads, int shared, const A &args) {
    cudaLaunchAttribute at = {};
    at.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    at.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t c = {};
    c.gridDim = dim3(blocks);
    c.blockDim = dim3((unsigned)threads);
    c.dynamicSmemBytes = (size_t)shared;
    c.stream = k->stream;
    c.attrs = &at;
    c.numAttrs = k->overlaps ? 1 : 0;
    cuda_ok(k, cudaLaunchKernelEx(&c, kernel, args), "a kernel of a chain");
}

/* The new token of seq[0] at pos[0]: q and k turned, k and v stored, o = attention over the cache (decode_attend.cu; D 64 or 128). */
void cuda_attend_one(struct kctx *k, act16 *o, const act16 *q, const act16 *kk, const act16 *v, const struct decode_layer *l, const int32_t *seq, const int32_t *pos);
#endif
