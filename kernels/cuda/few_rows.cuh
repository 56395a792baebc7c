/* Products of 1 to 32 rows with weights of bf16 or four bits, each weight read once (few_rows.cu). */
#ifndef COADOR_CUDA_FEW_ROWS_CUH
#define COADOR_CUDA_FEW_ROWS_CUH
#include "kernels/cuda/chain.cuh"

enum { FEW_MOST = 32 }; /* rows */
/* What becomes of y = x·Wᵀ: f32 sums over a share of the columns, parts(splits,R,N), which the reader adds up; y; y += (one row);
   silu(w[0]·x)·(w[1]·x) */
enum few_mode { FEW_PARTS, FEW_PLAIN, FEW_ADDED, FEW_GATED };
struct few_rows {
    struct weight w[3]; /* one below the other, FEW_GATED: side by side */
    void *y[3];         /* act16; FEW_PARTS: y[0], f32 */
    int end[3];         /* rows up to and with each */
    int R, K, splits;
    const act16 *x;     /* (R,K) */
    const float *norm;  /* one row: of x on the way, NULL: x as it is */
    float eps;
    int log_sharers;    /* set by the launch, one row: 2^ warps share a tile's columns */
};
#ifdef COADOR_FP16 /* Turing has neither their copies nor the shared memory */
static inline bool cuda_few_rows_fit(const struct kctx *, enum few_mode, const struct weight *, int, int, int *) { return false; }
static inline void cuda_few_rows(struct kctx *, enum few_mode, struct few_rows) {}
static inline bool cuda_decode_rows(struct kctx *, const struct decode_layer *, const int32_t *, const int32_t *) { return false; }
static inline bool cuda_decode_rows_head(struct kctx *, const struct decode_head *) { return false; }
#else
/* Whether n matrices of one x can be taken so; *splits (FEW_PARTS alone, else 1): into how many shares of the columns. */
bool cuda_few_rows_fit(const struct kctx *k, enum few_mode mode, const struct weight *w, int n, int R, int *splits);
void cuda_few_rows(struct kctx *k, enum few_mode mode, struct few_rows f);

/* A layer of 2 to FEW_MOST rows; the head of up to as many (decode_rows.cu). */
bool cuda_decode_rows(struct kctx *k, const struct decode_layer *l, const int32_t *seq, const int32_t *pos);
bool cuda_decode_rows_head(struct kctx *k, const struct decode_head *h);
#endif
#endif
