/* A layer of a few rows, each the next token of its own sequence: seven kernels in a chain. Products whose columns are shared out
   among blocks leave f32 sums, which the kernel that reads the result adds up: attention those of q, k and v; the norm behind o
   and down theirs, onto the residual stream. The last ones of a layer are owed until the next layer, or any other op, comes. */
#include "kernels/cuda/few_rows.cuh"

enum { JOIN_THREADS = 256, JOIN_EIGHTS = 4 };
struct join {
    act16 *x, *xn;      /* (R,C); xn NULL: x alone */
    const float *parts; /* (splits,R,C) */
    int splits, C;
    const float *norm;
    float eps;
};
/* x += Σ parts, rounded; xn = rmsnorm(x). A block a row. */
static __global__ void __launch_bounds__(JOIN_THREADS) join(const __grid_constant__ struct join j) {
    __shared__ float sums[32];
    const int64_t row = (int64_t)blockIdx.x * j.C, all = (int64_t)gridDim.x * j.C;
    float v[JOIN_EIGHTS][8], norm[JOIN_EIGHTS][8], sum = 0;
    let_next_start();
#pragma unroll
    for (int i = 0; i < JOIN_EIGHTS; i++) { /* the norm waits for no one */
        const int c = (i * JOIN_THREADS + (int)threadIdx.x) * 8;
        if (j.xn && c < j.C) *(float4 *)&norm[i][0] = *(const float4 *)(j.norm + c), *(float4 *)&norm[i][4] = *(const float4 *)(j.norm + c + 4);
    }
    wait_for_inputs();
#pragma unroll
    for (int i = 0; i < JOIN_EIGHTS; i++) {
        const int c = (i * JOIN_THREADS + (int)threadIdx.x) * 8;
        if (c >= j.C) continue;
        load<8>(v[i], j.x + row + c);
#pragma unroll 4
        for (int s = 0; s < j.splits; s++) {
            const float4 *p = (const float4 *)(j.parts + s * all + row + c);
            const float4 a = p[0], b = p[1];
            v[i][0] += a.x, v[i][1] += a.y, v[i][2] += a.z, v[i][3] += a.w;
            v[i][4] += b.x, v[i][5] += b.y, v[i][6] += b.z, v[i][7] += b.w;
        }
        if (j.splits) store<8>(j.x + row + c, v[i]);
#pragma unroll
        for (int n = 0; n < 8; n++) v[i][n] = to_f32(to_act(v[i][n])), sum += v[i][n] * v[i][n];
    }
    if (!j.xn) return;
    const float rs = 1 / sqrtf(block_sum(sum, sums) / (float)j.C + j.eps);
#pragma unroll
    for (int i = 0; i < JOIN_EIGHTS; i++) {
        const int c = (i * JOIN_THREADS + (int)threadIdx.x) * 8;
        if (c >= j.C) continue;
#pragma unroll
        for (int n = 0; n < 8; n++) v[i][n] *= rs * norm[i][n];
        store<8>(j.xn + row + c, v[i]);
    }
}
static void run_join(struct kctx *k, act16 *x, act16 *xn, const float *parts, int splits, int R, int C, const float *norm, float eps) {
    chain(k, join, dim3((unsigned)R), JOIN_THREADS, 0, {x, xn, parts, splits, C, norm, eps});
}

void cuda_pay_owed(struct kctx *k) {
    const struct owed w = k->owed;
    k->owed.splits = 0;
    if (w.splits) run_join(k, w.x, NULL, w.parts, w.splits, w.R, w.C, NULL, 0);
}
/* The norm of x, with what is owed to it. */
static void norm_rows(struct kctx *k, act16 *x, act16 *xn, int R, int C, const float *norm, float eps) {
    struct owed w = k->owed;
    if (w.splits && (w.x != x || w.R != R)) cuda_pay_owed(k), w.splits = 0;
    k->owed.splits = 0;
    run_join(k, x, xn, w.parts, w.splits, R, C, norm, eps);
}

/* Shares of the columns: of q k v, o and down; gate and up are taken whole. */
struct plan { int qkv, o, down; };
static bool plan(const struct kctx *k, const struct decode_layer *l, struct plan *p) {
    int one;
    return l->R <= FEW_MOST && cuda_attend_fits(l->H, l->G, l->D) && l->C <= JOIN_THREADS * 8 * JOIN_EIGHTS && cuda_few_rows_fit(k, FEW_PARTS, l->w, 3, l->R, &p->qkv) &&
           cuda_few_rows_fit(k, FEW_PARTS, l->w + 3, 1, l->R, &p->o) && cuda_few_rows_fit(k, FEW_GATED, l->w + 4, 2, l->R, &one) && cuda_few_rows_fit(k, FEW_PARTS, l->w + 6, 1, l->R, &p->down);
}
static size_t parts_bytes(const struct plan *p, int64_t R, int64_t C, int64_t wide) {
    int64_t most = p->qkv * wide;
    if (p->o * C > most) most = p->o * C;
    if (p->down * C > most) most = p->down * C;
    return (size_t)(most * R) * sizeof(float);
}

bool cuda_decode_rows(struct kctx *k, const struct decode_layer *l, const int32_t *seq, const int32_t *pos) {
    const struct weight *w = l->w;
    const int R = l->R, C = l->C, hd = l->H * l->D, gd = l->G * l->D, wide = hd + 2 * gd;
    struct plan p;
    if (!plan(k, l, &p)) return false;
    if (k->n_pending) cuda_flush(k);
    const size_t bytes = parts_bytes(&p, R, C, wide);
    if (bytes > k->scratch_bytes[SCRATCH_PARTS]) cuda_pay_owed(k);
    float *parts = (float *)cuda_scratch(k, SCRATCH_PARTS, bytes);
    if (!parts) return true; /* kept as a failure */
    act16 *x = (act16 *)l->x, *xn = (act16 *)l->xn, *o = (act16 *)l->o, *act = (act16 *)l->act;
    norm_rows(k, x, xn, R, C, l->attn_norm, l->eps);
    cuda_few_rows(k, FEW_PARTS, {{w[0], w[1], w[2]}, {parts}, {hd, hd + gd, wide}, R, C, p.qkv, xn});
    const struct attend_rows a = {o, NULL, NULL, NULL, parts, p.qkv, R, l->H, l->G, l->D, l->kv, seq, pos, l->inv_freq};
    cuda_attend_rows(k, &a);
    cuda_few_rows(k, FEW_PARTS, {{w[3]}, {parts}, {C, C, C}, R, hd, p.o, o});
    run_join(k, x, xn, parts, p.o, R, C, l->mlp_norm, l->eps);
    cuda_few_rows(k, FEW_GATED, {{w[4], w[5]}, {act}, {l->F, l->F, l->F}, R, C, 1, xn});
    cuda_few_rows(k, FEW_PARTS, {{w[6]}, {parts}, {C, C, C}, R, l->F, p.down, act});
    k->owed = {x, parts, p.down, R, C};
    return true;
}

bool cuda_decode_rows_head(struct kctx *k, const struct decode_head *h) {
    int one, V = (int)h->w->rows, C = (int)h->w->cols;
    if (C > JOIN_THREADS * 8 * JOIN_EIGHTS || !cuda_few_rows_fit(k, FEW_PLAIN, h->w, 1, h->R, &one)) return false;
    if (k->n_pending) cuda_flush(k);
    norm_rows(k, (act16 *)h->x, (act16 *)h->xn, h->R, C, h->norm, h->eps);
    cuda_few_rows(k, FEW_PLAIN, {{*h->w}, {h->logits}, {V, V, V}, h->R, C, 1, (const act16 *)h->xn});
    return true;
}
