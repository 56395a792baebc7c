/* Inside the CUDA backend: the context and what its files share. Not for layers above. */
#ifndef COADOR_CUDA_CUH
#define COADOR_CUDA_CUH
#include <cublasLt.h>
#include <cuda_runtime.h>
extern "C" {
#include "kernels/device.h"
}
#include "kernels/cuda/act.cuh"

/* Pieces of memory that ops need beside their arguments; each grows to the largest use, never within a captured graph. */
enum scratch { SCRATCH_WEIGHT, SCRATCH_FACTOR, SCRATCH_SUMS, SCRATCH_DELTA, SCRATCH_SHARE, SCRATCH_GRADIENT, SCRATCH_E4M3, SCRATCH_E4M3_WEIGHT, N_SCRATCH };
struct gemm_plans; /* gemm.cu */
struct kept_e4m3;  /* e4m3.cu */

/* A linear that waits for LoRA's share of its result (linear.cu). */
struct pending {
    float beta;
    act16 *y;
    const act16 *x;
    struct weight w;
    int R;
};
enum { MAX_PENDING = 4 };

struct kctx {
    int index; /* of the card */
    char name[16];
    int multiprocessors;
    bool overlaps; /* a kernel may begin before the one before it ends (compute capability 9 on) */
    bool wgmma;    /* the card has it, and this library code for it */
    size_t opened; /* bytes of the card in use when it was opened, as far as they are ours: context, libraries, workspace */
    cudaStream_t stream;
    cublasLtHandle_t lt;
    void *workspace; /* cuBLASLt's */
    struct gemm_plans *plans;
    void *scratch[N_SCRATCH];
    size_t scratch_bytes[N_SCRATCH];
    void **blocks; /* given and not taken back */
    int n_blocks, cap_blocks;
    struct pending pending[MAX_PENDING];
    int n_pending;
    struct kept_e4m3 *kept; /* frozen matrices in e4m3 */
    int n_kept, cap_kept;
    bool capturing;
    int scratch_moves; /* graphs hold addresses of scratch */
    enum kerr status; /* first failure since the last sync */
    char error[400];
};
#define WORKSPACE_BYTES ((size_t)64 << 20)

/* Keeps the first failure for sync. */
void cuda_fail(struct kctx *k, enum kerr status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
bool cuda_ok(struct kctx *k, cudaError_t e, const char *what); /* else kept as a failure */
/* At least `bytes` of scratch, NULL where it cannot be had (kept as a failure). What it held is lost when it grows. */
void *cuda_scratch(struct kctx *k, enum scratch which, size_t bytes);

/* C(m,n) = alpha·op(A)·op(B) + beta·C, column-major as BLAS; A, B act16, C act16 or f32; beta 0: C is not read. */
void cuda_gemm(struct kctx *k, bool ta, bool tb, int m, int n, int kk, float alpha, const act16 *A, int64_t lda, const act16 *B, int64_t ldb, float beta, void *C, int64_t ldc, bool c_f32);
struct gemm_plans *gemm_plans_new(void);
void gemm_plans_free(struct gemm_plans *p);

/* Runs the linears that wait: every op and verb that might read or write what they do begins with it. */
void cuda_flush(struct kctx *k);
/* Whether one that waits reads or writes p. */
bool cuda_waits(const struct kctx *k, const void *p, bool reading);
/* Takes the linear that waits to write y, if one does. */
bool cuda_take_pending(struct kctx *k, const void *y, struct pending *p);
enum { GEMV_ROWS = 8 }; /* products of as many rows decode as they read, and add to their result in f32 */
void cuda_linear_now(struct kctx *k, float beta, act16 *y, const act16 *x, const struct weight *w, int R);
const act16 *cuda_as_act(struct kctx *k, const struct weight *w); /* itself, or decoded into scratch; NULL where there is no room */
size_t cuda_decoded_bytes(const struct weight *w);                                  /* 0: it is of that type */
const act16 *cuda_decoded(struct kctx *k, act16 *dst, const struct weight *w); /* itself, or decoded into dst */
/* All of them; false where there is no room (adapted.cu). */
bool cuda_weights(struct kctx *k, const act16 *W[ADAPTED_MOST], const struct adapted *a);
/* y(R,N) = onto (NULL: none; may be y) + x(R,K)·Wᵀ + h·bᵀ, rounded once; h(R,r) with pitch ldh, b(N,r). */
void cuda_linear_with_share(struct kctx *k, const act16 *onto, act16 *y, const act16 *x, const struct weight *w, const act16 *h, int ldh, const act16 *b, int r, int R);
void cuda_linear_dx_now(struct kctx *k, float beta, act16 *dx, const act16 *dy, const struct weight *w, int R);
void cuda_add_now(struct kctx *k, act16 *y, const act16 *a, const act16 *b, int64_t n); /* y = a + b */

/* Attention of heads of 64 values where k->wgmma (attention_wide.cu); delta = dout·o, (rows,H). Not in the library for fp16. */
void cuda_attention_wide(struct kctx *c, act16 *o, float *lse, const act16 *q, const act16 *k, const act16 *v, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, float scale);
void cuda_attention_bwd_wide(struct kctx *c, act16 *dq, act16 *dk, act16 *dv, const act16 *dout, const act16 *q, const act16 *k, const act16 *v, const float *lse, const float *delta, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, float scale);
#ifdef COADOR_FP16
static inline bool cuda_has_wgmma(void) { return false; }
#else
bool cuda_has_wgmma(void);
#endif

/* cross_entropy where a cluster of Hopper's blocks can hold a row (entropy.cu); false: nothing was done. */
#ifdef COADOR_FP16
static inline bool cuda_entropy_held(struct kctx *, float *, act16 *, const int32_t *, const float *, int, int) { return false; }
#else
bool cuda_entropy_held(struct kctx *k, float *loss, act16 *logits, const int32_t *target, const float *scale, int M, int V);
#endif

/* dst(n) = s · src(n) f32 */
void cuda_to_act(struct kctx *k, act16 *dst, const float *src, float s, int64_t n);

static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
/* Every launch is followed by this: a wrong launch is known at once, a fault of the kernel at sync. */
static inline void launched(struct kctx *k, const char *what) { cuda_ok(k, cudaGetLastError(), what); }

/* ---- device helpers ---- */
template <class E> struct alignas(16) eight_of { E v[8]; };
typedef eight_of<act16> vec8;
template <int V, class E> __device__ inline void load(float v[V], const E *p) {
    if constexpr (V == 8) {
        eight_of<E> x = *(const eight_of<E> *)p;
#pragma unroll
        for (int i = 0; i < 8; i++) v[i] = to_f32(x.v[i]);
    } else {
        for (int i = 0; i < V; i++) v[i] = to_f32(p[i]);
    }
}
template <int V> __device__ inline void store(act16 *p, const float v[V]) {
    if constexpr (V == 8) {
        vec8 x;
#pragma unroll
        for (int i = 0; i < 8; i++) x.v[i] = to_act(v[i]);
        *(vec8 *)p = x;
    } else {
        for (int i = 0; i < V; i++) p[i] = to_act(v[i]);
    }
}
__device__ inline float warp_sum(float x) {
#pragma unroll
    for (int i = 16; i; i /= 2) x += __shfl_xor_sync(~0u, x, i);
    return x;
}
__device__ inline float warp_max(float x) {
#pragma unroll
    for (int i = 16; i; i /= 2) x = fmaxf(x, __shfl_xor_sync(~0u, x, i));
    return x;
}
/* The block's sum, for every thread; s holds 32 values and may be used again after it. */
__device__ inline float block_sum(float x, float *s) {
    x = warp_sum(x);
    __syncthreads();
    if (threadIdx.x % 32 == 0) s[threadIdx.x / 32] = x;
    __syncthreads();
    x = 0;
    for (int i = 0; i < (int)blockDim.x / 32; i++) x += s[i];
    return x;
}

extern "C" {
linear_fn cuda_linear;
linear_dx_fn cuda_linear_dx;
embed_fn cuda_embed;
lora_down_fn cuda_lora_down;
lora_up_fn cuda_lora_up;
lora_up_bwd_fn cuda_lora_up_bwd;
lora_down_bwd_fn cuda_lora_down_bwd;
dropout_fn cuda_dropout;
rmsnorm_fn cuda_rmsnorm;
rmsnorm_bwd_fn cuda_rmsnorm_bwd;
rope_fn cuda_rope;
attention_fn cuda_attention, cuda_attention_any;
attention_bwd_fn cuda_attention_bwd, cuda_attention_bwd_any;
kv_store_fn cuda_kv_store;
attention_cached_fn cuda_attention_cached;
swiglu_fn cuda_swiglu;
swiglu_bwd_fn cuda_swiglu_bwd;
add_fn cuda_add;
gather_rows_fn cuda_gather_rows;
scatter_rows_fn cuda_scatter_rows;
cross_entropy_fn cuda_cross_entropy;
topk_fn cuda_topk;
distill_fn cuda_distill;
sumsq_fn cuda_sumsq;
admit_fn cuda_admit;
adamw_fn cuda_adamw;
adapted_fn cuda_adapted;
adapted_bwd_fn cuda_adapted_bwd;
swiglu_adapted_fn cuda_swiglu_adapted; /* not in the library for fp16 */
swiglu_adapted_bwd_fn cuda_swiglu_adapted_bwd;
swiglu_bwd_again_fn cuda_swiglu_bwd_again;
rmsnorm_e4m3_fn cuda_rmsnorm_e4m3;
swiglu_e4m3_fn cuda_swiglu_e4m3;
swiglu_bwd_e4m3_fn cuda_swiglu_bwd_e4m3;
decode_layer_fn cuda_decode_layer;
decode_head_fn cuda_decode_head;
choose_fn cuda_choose;
unscale_fn cuda_unscale;
attention_paged_fn cuda_attention_paged;
}
#endif
