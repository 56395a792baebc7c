/* The linears of one input with LoRA on each: its thin products read that input, and write its gradient, once for all of them. A share
   and the frozen product are summed in f32 before the result is rounded: cuBLASLt rounds a product to 16 bits before it adds it to a
   16-bit result, and then a share below half a unit of the last place, as all are when a training begins, is mostly lost. */
#include "kernels/cuda/e4m3.cuh"
#include "kernels/cuda/product.cuh"
#include "kernels/cuda/thin.cuh"

struct pieces { const float *from[2 * ADAPTED_MOST]; int64_t end[2 * ADAPTED_MOST]; int n; float s; };
template <int V> static __global__ void stack(act16 *dst, struct pieces p) {
    int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * V;
    if (i >= p.end[p.n - 1]) return;
    int j = 0;
    while (i >= p.end[j]) j++;
    float v[V], s = 2 * j < p.n ? 1 : p.s;
    const float *from = p.from[j] + i - (j ? p.end[j - 1] : 0);
#pragma unroll
    for (int c = 0; c < V; c++) v[c] = s * from[c];
    store<V>(dst + i, v);
}

/* A of all, one below the other, then s·B of each, as act16. */
static const act16 *stacked(struct kctx *k, const struct adapted *a, const act16 *b[ADAPTED_MOST]) {
    struct pieces p = {};
    p.s = a->s;
    int64_t at = 0;
    for (int i = 0; i < 2 * a->n; i++) {
        p.from[i] = i < a->n ? a->A[i] : a->B[i - a->n];
        p.end[i] = at += a->r * (i < a->n ? a->w[i].cols : a->w[i - a->n].rows);
    }
    p.n = 2 * a->n;
    act16 *dst = (act16 *)cuda_scratch(k, SCRATCH_FACTOR, (size_t)at * sizeof(act16));
    if (!dst) return NULL;
    for (int j = 0; j < a->n; j++) b[j] = dst + p.end[a->n + j - 1];
    if (a->r % 8 == 0) stack<8><<<(unsigned)ceil_div(at / 8, 128), 128, 0, k->stream>>>(dst, p);
    else stack<1><<<(unsigned)ceil_div(at, 256), 256, 0, k->stream>>>(dst, p);
    launched(k, "rounding to 16 bits");
    return dst;
}

static __global__ void take_sum(act16 *y, const act16 *onto, const float *sum, int64_t n) {
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = to_act(sum[i] + (onto ? to_f32(onto[i]) : 0));
}
void cuda_linear_with_share(struct kctx *k, const act16 *onto, act16 *y, const act16 *x, const struct weight *w, const act16 *h, int ldh, const act16 *b, int r, int R) {
    int N = (int)w->rows, K = (int)w->cols;
    const act16 *W = cuda_as_act(k, w);
    struct wide_sum s = {y, onto, N, 2, {{x, K, W, K, K}, {h, ldh, b, r, r}}};
    if (!W || cuda_wide(k, false, &s, 1, R)) return;
    float *sum = (float *)cuda_scratch(k, SCRATCH_SHARE, (size_t)R * (size_t)N * sizeof(float));
    if (!sum) return;
    cuda_gemm(k, true, false, N, R, r, 1, b, r, h, ldh, 0, sum, N, true);
    cuda_gemm(k, true, false, N, R, K, 1, W, K, x, K, 1, sum, N, true);
    take_sum<<<(unsigned)ceil_div((int64_t)R * N, 256), 256, 0, k->stream>>>(y, onto, sum, (int64_t)R * N);
    launched(k, "linear with LoRA");
}

bool cuda_weights(struct kctx *k, const act16 *W[ADAPTED_MOST], const struct adapted *a) {
    size_t bytes = 0;
    for (int j = 0; j < a->n; j++) bytes += cuda_decoded_bytes(&a->w[j]);
    char *dst = (char *)cuda_scratch(k, SCRATCH_WEIGHT, bytes);
    if (bytes && !dst) return false;
    for (int j = 0; j < a->n; j++, dst += bytes) {
        bytes = cuda_decoded_bytes(&a->w[j]);
        W[j] = cuda_decoded(k, (act16 *)dst, &a->w[j]);
    }
    return true;
}

static bool forward_wide(struct kctx *k, const act16 *onto, void *const *y, const act16 *x, const act16 *h, const act16 *const *b, const struct adapted *a, int R) {
    struct wide_sum s[ADAPTED_MOST];
    const act16 *W[ADAPTED_MOST];
    if (!cuda_is_wide(k, R) || !cuda_weights(k, W, a)) return false;
    int K = (int)a->w[0].cols, all = a->n * a->r;
    for (int j = 0; j < a->n; j++)
        s[j] = {(act16 *)y[j], j ? NULL : onto, (int)a->w[j].rows, 2, {{x, K, W[j], K, K}, {h + j * a->r, all, b[j], a->r, a->r}}};
    return cuda_wide(k, false, s, a->n, R);
}

void cuda_adapted(struct kctx *k, const void *onto, void *const *y, const void *x, const void *xd, void *h, const struct adapted *a, int R) {
    const act16 *b[ADAPTED_MOST];
    cuda_flush(k);
    const act16 *A = stacked(k, a, b);
    int r = a->r, all = a->n * r, K = (int)a->w[0].cols;
    if (!A) return;
    if (xd) cuda_gemm(k, true, false, all, R, K, 1, A, K, (const act16 *)xd, K, 0, h, all, false);
    if (a->e4m3 && cuda_e4m3_fits(k, a, R)) {
        cuda_e4m3_forward(k, onto, y, x, h, b, a, R);
        return;
    }
    if (forward_wide(k, (const act16 *)onto, y, (const act16 *)x, (const act16 *)h, b, a, R)) return;
    for (int j = 0; j < a->n; j++)
        cuda_linear_with_share(k, (const act16 *)onto, (act16 *)y[j], (const act16 *)x, &a->w[j], (const act16 *)h + j * r, all, b[j], r, R);
}

struct targets { float *to[ADAPTED_MOST]; };
static __global__ void add_pieces(struct targets t, const float *from, int64_t each) {
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < each) t.to[blockIdx.y][i] += from[blockIdx.y * each + i];
}

/* dA of all in one product, then to each its own. */
static void gradients_a(struct kctx *k, float *const *dA, const act16 *dh, const act16 *xd, const struct adapted *a, int R) {
    int all = a->n * a->r, K = (int)a->w[0].cols;
    if (a->n == 1) {
        cuda_gemm(k, false, true, K, all, R, 1, xd, K, dh, all, 1, dA[0], K, true);
        return;
    }
    float *sum = (float *)cuda_scratch(k, SCRATCH_GRADIENT, (size_t)all * (size_t)K * sizeof(float));
    if (!sum) return;
    cuda_gemm(k, false, true, K, all, R, 1, xd, K, dh, all, 0, sum, K, true);
    struct targets t = {};
    int64_t each = (int64_t)a->r * K;
    for (int j = 0; j < a->n; j++) t.to[j] = dA[j];
    add_pieces<<<dim3((unsigned)ceil_div(each, 256), (unsigned)a->n), 256, 0, k->stream>>>(t, sum, each);
    launched(k, "adding gradients");
}

/* dx = Σ dy·W, + dh·A unless that goes alone into dxd */
static bool backward_wide(struct kctx *k, act16 *dx, bool with_share, const void *const *dy, const act16 *dh, const act16 *A, const struct adapted *a, int R) {
    const act16 *W[ADAPTED_MOST];
    if (!cuda_is_wide(k, R) || !cuda_weights(k, W, a)) return false;
    int K = (int)a->w[0].cols, all = a->n * a->r;
    struct wide_sum s = {dx, NULL, K, a->n + with_share};
    for (int j = 0; j < a->n; j++) s.t[j] = {(const act16 *)dy[j], a->w[j].rows, W[j], K, (int)a->w[j].rows};
    if (with_share) s.t[a->n] = {dh, all, A, K, all};
    return cuda_wide(k, true, &s, 1, R);
}

void cuda_adapted_bwd(struct kctx *k, void *dx, void *dxd, float *const *dA, float *const *dB, const void *const *dy, const void *xd, const void *h, void *dh, const struct adapted *a, int R) {
    const act16 *b[ADAPTED_MOST];
    cuda_flush(k);
    const act16 *A = stacked(k, a, b), *hb = (const act16 *)h;
    act16 *dhb = (act16 *)dh;
    int r = a->r, all = a->n * r, K = (int)a->w[0].cols;
    if (!A) return;
    bool thin = !dB || cuda_thin_bwd(k, dhb, dB, dy, hb, b, a, R);
    for (int j = 0; j < a->n && !thin; j++) {
        int N = (int)a->w[j].rows;
        cuda_gemm(k, false, false, r, R, N, 1, b[j], r, (const act16 *)dy[j], N, 0, dhb + j * r, all, false);
        cuda_gemm(k, false, true, r, N, R, a->s, hb + j * r, all, (const act16 *)dy[j], N, 1, dB[j], r, true);
    }
    if (xd) gradients_a(k, dA, dhb, (const act16 *)xd, a, R);
    if (!dx) return;
    if (dxd) cuda_gemm(k, false, false, K, R, all, 1, A, K, dhb, all, 0, dxd, K, false);
    if (a->e4m3 && cuda_e4m3_fits(k, a, R)) {
        cuda_e4m3_backward(k, dx, dy, dxd ? NULL : dhb, A, a, R);
        return;
    }
    if (backward_wide(k, (act16 *)dx, !dxd, dy, dhb, A, a, R)) return;
    if (!dxd) cuda_gemm(k, false, false, K, R, all, 1, A, K, dhb, all, 0, dx, K, false);
    for (int j = 0; j < a->n; j++) cuda_linear_dx_now(k, dxd && j == 0 ? 0 : 1, (act16 *)dx, (const act16 *)dy[j], &a->w[j], R);
}

bool cuda_swiglu_adapted_bwd(struct kctx *k, void *dgate, void *dup, const void *dy, const void *gate, const void *up, float *dA, void *dh, float *const *dB, const void *h, const struct dropped *drop, const struct adapted *a, int R) {
    const act16 *b[ADAPTED_MOST];
    cuda_flush(k);
    if (!stacked(k, a, b)) return false;
    struct swiglu_thin t = {(act16 *)dgate, (act16 *)dup, (act16 *)dh, (const act16 *)dy, (const act16 *)gate, (const act16 *)up, (const act16 *)h, {b[0], b[1]},
        dA, {dB[0], dB[1]}, a->s, (int)a->w[0].rows, a->r, R, {}, NULL, NULL};
    if (drop) t.drop = drop_of(&drop->key, 0), t.seq = drop->seq, t.pos = drop->pos;
    return cuda_swiglu_thin(k, &t);
}
