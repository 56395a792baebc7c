/* Products with a frozen weight: few rows by a product that decodes as it reads, many by cuBLASLt on the type of activations, to which other
   weights are decoded once a call. */
#include "kernels/cuda/weight.cuh"

template <int T> static __global__ void decode(act16 *dst, const struct weight w) {
    int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * 8;
    if (i >= w.rows * w.cols) return;
    float v[8];
    weight_eight<T>(v, w, i / w.cols, i % w.cols);
    store<8>(dst + i, v);
}
static __global__ void decode_odd(act16 *dst, const struct weight w) {
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < w.rows * w.cols) dst[i] = to_act(weight_at(w, i / w.cols, i % w.cols));
}

size_t cuda_decoded_bytes(const struct weight *w) { return w->type == ACT_DTYPE ? 0 : ((size_t)(w->rows * w->cols) * sizeof(act16) + 255) / 256 * 256; }

const act16 *cuda_decoded(struct kctx *k, act16 *dst, const struct weight *w) {
    if (w->type == ACT_DTYPE) return (const act16 *)w->data;
    int64_t n = w->rows * w->cols;
    if (w->cols % 8) {
        decode_odd<<<(unsigned)ceil_div(n, 256), 256, 0, k->stream>>>(dst, *w);
    } else {
#define DECODE(T) decode<T><<<(unsigned)ceil_div(n / 8, 256), 256, 0, k->stream>>>(dst, *w)
        BY_TYPE(w->type, DECODE)
    }
    launched(k, "decoding a weight");
    return dst;
}

const act16 *cuda_as_act(struct kctx *k, const struct weight *w) {
    size_t bytes = cuda_decoded_bytes(w);
    act16 *dst = bytes ? (act16 *)cuda_scratch(k, SCRATCH_WEIGHT, bytes) : NULL;
    return bytes && !dst ? NULL : cuda_decoded(k, dst, w);
}

/* y(r,n) for N rows of x: one warp an output column, eight values of the weight a lane at a time. */
enum { GEMV_WARPS = 4 };
template <int T, int N> static __global__ void __launch_bounds__(32 * GEMV_WARPS) gemv(float beta, act16 *y, const act16 *x, const struct weight w) {
    int64_t n = (int64_t)blockIdx.x * GEMV_WARPS + threadIdx.x / 32, K = w.cols;
    if (n >= w.rows) return;
    float sum[N] = {0};
#pragma unroll 4
    for (int64_t c = threadIdx.x % 32 * 8; c < K; c += 256) {
        float a[8], b[8];
        weight_eight<T>(a, w, n, c);
#pragma unroll
        for (int r = 0; r < N; r++) {
            load<8>(b, x + r * K + c);
#pragma unroll
            for (int j = 0; j < 8; j++) sum[r] += a[j] * b[j];
        }
    }
#pragma unroll
    for (int r = 0; r < N; r++) {
        float s = warp_sum(sum[r]);
        act16 *p = y + r * w.rows + n;
        if (threadIdx.x % 32 == 0) *p = to_act(s + (beta != 0 ? beta * to_f32(*p) : 0));
    }
}

template <int N> static void gemv_rows(struct kctx *k, float beta, act16 *y, const act16 *x, const struct weight *w) {
    unsigned blocks = (unsigned)ceil_div(w->rows, GEMV_WARPS);
#define GEMV(T) gemv<T, N><<<blocks, 32 * GEMV_WARPS, 0, k->stream>>>(beta, y, x, *w)
    BY_TYPE(w->type, GEMV)
    launched(k, "linear");
}

static void few_rows(struct kctx *k, float beta, act16 *y, const act16 *x, const struct weight *w, int R) {
    while (R > 0) {
        int n = R >= 4 ? 4 : R >= 2 ? 2 : 1;
        if (n == 4) gemv_rows<4>(k, beta, y, x, w);
        else if (n == 2) gemv_rows<2>(k, beta, y, x, w);
        else gemv_rows<1>(k, beta, y, x, w);
        y += n * w->rows;
        x += n * w->cols;
        R -= n;
    }
}

void cuda_linear_now(struct kctx *k, float beta, act16 *y, const act16 *x, const struct weight *w, int R) {
    int N = (int)w->rows, K = (int)w->cols;
    if (R <= GEMV_ROWS && K % 8 == 0 && (uintptr_t)x % 16 == 0) {
        few_rows(k, beta, y, x, w, R);
        return;
    }
    const act16 *W = cuda_as_act(k, w);
    if (W) cuda_gemm(k, true, false, N, R, K, 1, W, K, x, K, beta, y, N, false);
}

/* ---- waiting for LoRA ----
   A linear's result rounded to 16 bits swallows a share of LoRA's that is below half a unit of its last place, as all are when a
   training begins. So a linear waits until another op could see its result; if that op is lora_up on the same result,
   both are summed in f32 first (lora.cu, adapted.cu). */
bool cuda_waits(const struct kctx *k, const void *p, bool reading) {
    for (int i = 0; i < k->n_pending; i++)
        if (k->pending[i].y == p || (reading && k->pending[i].x == p)) return true;
    return false;
}

void cuda_flush(struct kctx *k) {
    for (int i = 0; i < k->n_pending; i++) {
        const struct pending *p = &k->pending[i];
        cuda_linear_now(k, p->beta, p->y, p->x, &p->w, p->R);
    }
    k->n_pending = 0;
}

bool cuda_take_pending(struct kctx *k, const void *y, struct pending *p) {
    for (int i = 0; i < k->n_pending; i++) {
        if (k->pending[i].y != y) continue;
        *p = k->pending[i];
        for (k->n_pending--; i < k->n_pending; i++) k->pending[i] = k->pending[i + 1];
        return true;
    }
    return false;
}

void cuda_linear(struct kctx *k, float beta, void *y, const void *x, const struct weight *w, int R) {
    if (k->n_pending == MAX_PENDING || cuda_waits(k, x, false) || cuda_waits(k, y, true)) cuda_flush(k);
    k->pending[k->n_pending++] = {beta, (act16 *)y, (const act16 *)x, *w, R};
}

void cuda_linear_dx_now(struct kctx *k, float beta, act16 *dx, const act16 *dy, const struct weight *w, int R) {
    int N = (int)w->rows, K = (int)w->cols;
    const act16 *W = cuda_as_act(k, w);
    if (W) cuda_gemm(k, false, false, K, R, N, 1, W, K, dy, N, beta, dx, K, false);
}
void cuda_linear_dx(struct kctx *k, float beta, void *dx, const void *dy, const struct weight *w, int R) {
    cuda_flush(k);
    cuda_linear_dx_now(k, beta, (act16 *)dx, (const act16 *)dy, w, R);
}

static __global__ void embed(act16 *y, const struct weight w, const int32_t *ids) {
    int64_t r = blockIdx.x, C = w.cols;
    for (int64_t c = threadIdx.x; c < C; c += blockDim.x) y[r * C + c] = to_act(weight_at(w, ids[r], c));
}
void cuda_embed(struct kctx *k, void *y, const struct weight *w, const int32_t *ids, int R) {
    cuda_flush(k);
    if (R > 0) embed<<<(unsigned)R, 256, 0, k->stream>>>((act16 *)y, *w, ids);
    launched(k, "embed");
}
