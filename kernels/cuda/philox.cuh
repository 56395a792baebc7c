/* Dropout's bits (kernels/dropout.h), for whatever kernel drops. */
#ifndef COADOR_CUDA_PHILOX_CUH
#define COADOR_CUDA_PHILOX_CUH
#include "kernels/cuda/cuda.cuh"

static __device__ inline void philox(uint32_t c[4], uint32_t k0, uint32_t k1) { /* kernels/cpu/philox.h */
#pragma unroll
    for (int i = 0; i < 10; i++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        uint32_t ah = __umulhi(0xD2511F53u, c[0]), al = 0xD2511F53u * c[0], bh = __umulhi(0xCD9E8D57u, c[2]), bl = 0xCD9E8D57u * c[2];
        c[0] = bh ^ c[1] ^ k0;
        c[1] = bl;
        c[2] = ah ^ c[3] ^ k1;
        c[3] = al;
    }
}

struct drop { uint32_t k0, k1, limit; float beta, scale; const uint32_t *step; };
static inline struct drop drop_of(const struct dropout_key *key, float beta) {
    return {(uint32_t)key->seed, (uint32_t)(key->seed >> 32) ^ (key->layer << 8 | key->site), (uint32_t)((double)key->p * 4294967296.0), beta, (float)(1 / (1 - (double)key->p)), key->step};
}
/* Eight values from column c on, which 8 divides, of a row at `pos` of sequence `seq`; beta is not heeded. */
static __device__ inline void drop_eight(uint4 &x, const struct drop &d, uint32_t step, int c, int pos, int seq) {
    uint32_t u[8] = {(uint32_t)c / 4, (uint32_t)pos, (uint32_t)seq, step, (uint32_t)c / 4 + 1, (uint32_t)pos, (uint32_t)seq, step};
    philox(u, d.k0, d.k1);
    philox(u + 4, d.k0, d.k1);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        uint32_t w = (&x.x)[i];
        (&x.x)[i] = pack(u[2 * i] >= d.limit ? act_low(w) * d.scale : 0, u[2 * i + 1] >= d.limit ? act_high(w) * d.scale : 0);
    }
}
#endif
