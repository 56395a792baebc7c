/* Products by cuBLASLt. The choice of its algorithm costs some 50 µs, so choices are kept; the number of rows of a packed
   batch changes from pass to pass, so sizes above 256 share a choice by steps of 256. */
#include "kernels/cuda/cuda.cuh"
#include <stdlib.h>
#include <string.h>

struct gemm_key {
    int m, n, k, lda, ldb, ldc;
    unsigned char ta, tb, f32, beta, align[3], pad;
};
struct gemm_plan {
    struct gemm_key key;
    bool used;
    cublasLtMatmulAlgo_t algo;
};
enum { N_PLANS = 1024 };
struct gemm_plans { struct gemm_plan v[N_PLANS]; };
struct gemm_plans *gemm_plans_new(void) { return (struct gemm_plans *)calloc(1, sizeof(struct gemm_plans)); }
void gemm_plans_free(struct gemm_plans *p) { free(p); }

static int step(int64_t x) { return (int)(x <= 256 ? x : (x + 255) / 256 * 256); }
/* Power of two that divides address and row pitch, 16 at most */
static unsigned align_of(const void *p, int64_t pitch_bytes) {
    uint64_t x = (uint64_t)(uintptr_t)p | (uint64_t)pitch_bytes | 16;
    return (unsigned)(x & (~x + 1));
}

static struct gemm_plan *find(struct gemm_plans *p, const struct gemm_key *key) {
    uint32_t h = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < sizeof *key; i++) h = (h ^ ((const unsigned char *)key)[i]) * 16777619u;
    for (int i = 0; i < 8; i++) {
        struct gemm_plan *x = &p->v[(h + (uint32_t)i) % N_PLANS];
        if (!x->used || !memcmp(&x->key, key, sizeof *key)) return x;
    }
    struct gemm_plan *x = &p->v[h % N_PLANS]; /* crowded: the first gives way */
    x->used = false;
    return x;
}

/* For shapes that cuBLASLt does not take (odd pitches): one thread a value. */
template <class T> static __global__ void plain(bool ta, bool tb, int m, int n, int kk, float alpha, const act16 *A, int64_t lda, const act16 *B, int64_t ldb, float beta, T *C, int64_t ldc) {
    int64_t at = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= (int64_t)m * n) return;
    int i = (int)(at % m), j = (int)(at / m);
    float sum = 0;
    for (int l = 0; l < kk; l++) sum += to_f32(A[ta ? i * lda + l : l * lda + i]) * to_f32(B[tb ? l * ldb + j : j * ldb + l]);
    T *c = C + j * ldc + i;
    *c = (T)(alpha * sum + (beta != 0 ? beta * (float)*c : 0));
}

struct shapes {
    cublasLtMatmulDescOpaque_t op;
    cublasLtMatrixLayoutOpaque_t a, b, c;
};

static bool describe(struct shapes *s, const struct gemm_key *k, int m, int n, int kk, int64_t lda, int64_t ldb, int64_t ldc) {
    cublasOperation_t ta = k->ta ? CUBLAS_OP_T : CUBLAS_OP_N, tb = k->tb ? CUBLAS_OP_T : CUBLAS_OP_N;
    return cublasLtMatmulDescInit(&s->op, CUBLAS_COMPUTE_32F, CUDA_R_32F) == CUBLAS_STATUS_SUCCESS &&
           cublasLtMatmulDescSetAttribute(&s->op, CUBLASLT_MATMUL_DESC_TRANSA, &ta, sizeof ta) == CUBLAS_STATUS_SUCCESS &&
           cublasLtMatmulDescSetAttribute(&s->op, CUBLASLT_MATMUL_DESC_TRANSB, &tb, sizeof tb) == CUBLAS_STATUS_SUCCESS &&
           cublasLtMatrixLayoutInit(&s->a, ACT_CUDA, k->ta ? kk : m, k->ta ? m : kk, lda) == CUBLAS_STATUS_SUCCESS &&
           cublasLtMatrixLayoutInit(&s->b, ACT_CUDA, k->tb ? n : kk, k->tb ? kk : n, ldb) == CUBLAS_STATUS_SUCCESS &&
           cublasLtMatrixLayoutInit(&s->c, k->f32 ? CUDA_R_32F : ACT_CUDA, m, n, ldc) == CUBLAS_STATUS_SUCCESS;
}

static bool choose(struct kctx *k, struct shapes *s, const struct gemm_key *key, cublasLtMatmulAlgo_t *algo) {
    cublasLtMatmulPreferenceOpaque_t pref;
    cublasLtMatmulHeuristicResult_t best;
    size_t room = WORKSPACE_BYTES;
    uint32_t align[3] = {key->align[0], key->align[1], key->align[2]};
    int found = 0;
    if (cublasLtMatmulPreferenceInit(&pref) != CUBLAS_STATUS_SUCCESS) return false;
    cublasLtMatmulPreferenceSetAttribute(&pref, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &room, sizeof room);
    cublasLtMatmulPreferenceSetAttribute(&pref, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &align[0], 4);
    cublasLtMatmulPreferenceSetAttribute(&pref, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &align[1], 4);
    cublasLtMatmulPreferenceSetAttribute(&pref, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &align[2], 4);
    cublasLtMatmulPreferenceSetAttribute(&pref, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &align[2], 4);
    if (cublasLtMatmulAlgoGetHeuristic(k->lt, &s->op, &s->a, &s->b, &s->c, &s->c, &pref, 1, &best, &found) != CUBLAS_STATUS_SUCCESS || !found) return false;
    *algo = best.algo;
    return true;
}

void cuda_gemm(struct kctx *k, bool ta, bool tb, int m, int n, int kk, float alpha, const act16 *A, int64_t lda, const act16 *B, int64_t ldb, float beta, void *C, int64_t ldc, bool c_f32) {
    if (m <= 0 || n <= 0) return;
    struct gemm_key key;
    memset(&key, 0, sizeof key);
    key = (struct gemm_key){step(m), step(n), step(kk), (int)lda, (int)ldb, (int)ldc, ta, tb, c_f32, beta != 0,
        {(unsigned char)align_of(A, 2 * lda), (unsigned char)align_of(B, 2 * ldb), (unsigned char)align_of(C, (c_f32 ? 4 : 2) * ldc)}, 0};
    /* A pitch that is a number of rows (never here) would make one plan a size. */
    struct shapes s;
    struct gemm_plan *p = find(k->plans, &key);
    bool known = p->used;
    if (describe(&s, &key, m, n, kk, lda, ldb, ldc))
        for (int again = 0; again < 2; again++) {
            if (!p->used) {
                p->key = key;
                if (!(p->used = choose(k, &s, &key, &p->algo))) break;
            }
            if (cublasLtMatmul(k->lt, &s.op, &alpha, A, &s.a, B, &s.b, &beta, C, &s.c, C, &s.c, &p->algo, k->workspace, WORKSPACE_BYTES, k->stream) == CUBLAS_STATUS_SUCCESS) return;
            p->used = false;
            if (!known) break; /* a fresh choice failed: no use in asking again */
            known = false;
        }
    unsigned blocks = (unsigned)ceil_div((int64_t)m * n, 256);
    if (c_f32)
        plain<<<blocks, 256, 0, k->stream>>>(ta, tb, m, n, kk, alpha, A, lda, B, ldb, beta, (float *)C, ldc);
    else
        plain<<<blocks, 256, 0, k->stream>>>(ta, tb, m, n, kk, alpha, A, lda, B, ldb, beta, (act16 *)C, ldc);
    launched(k, "product");
}

/* Any kernel of the library, to see whether it holds code for the card */
const void *cuda_a_kernel(void) { return (const void *)plain<float>; }
