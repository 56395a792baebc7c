/* The "poison" device: the CPU's ops, but its memory is open only while an op or verb runs, so that code above that
   reads or writes device memory by hand dies at once (SIGSEGV). For tests. */
#include "kernels/cpu/cpu.h"
#include <sys/mman.h>

enum kerr poison_block(struct kctx *k, void **p, size_t bytes) {
    *p = mmap(NULL, bytes ? bytes : 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return *p == MAP_FAILED ? K_NOMEM : K_OK;
}

void poison_gate(struct kctx *k, bool open) {
    for (int i = 0; i < k->n_blocks; i++)
        if (mprotect(k->blocks[i].p, k->blocks[i].bytes ? k->blocks[i].bytes : 1, open ? PROT_READ | PROT_WRITE : PROT_NONE))
            cpu_fail(k, K_DEVICE, "mprotect failed");
}

#define OP(name, args, ...) \
    static void name args { \
        poison_gate(k, true); \
        name##_cpu(k, __VA_ARGS__); \
        poison_gate(k, false); \
    }
OP(linear, (struct kctx *k, float b, void *y, const void *x, const struct weight *w, int R), b, y, x, w, R)
OP(linear_int8, (struct kctx *k, float b, void *const *y, const void *x, const struct weight *w, int n, int R), b, y, x, w, n, R)
OP(linear_dx, (struct kctx *k, float b, void *dx, const void *dy, const struct weight *w, int R), b, dx, dy, w, R)
OP(embed, (struct kctx *k, void *y, const struct weight *w, const int32_t *ids, int R), y, w, ids, R)
OP(lora_down, (struct kctx *k, void *h, const void *x, const float *A, int R, int r, int K), h, x, A, R, r, K)
OP(lora_up, (struct kctx *k, void *y, const void *h, const float *B, float s, int R, int r, int N), y, h, B, s, R, r, N)
OP(lora_up_bwd, (struct kctx *k, void *dh, float *dB, const void *dy, const void *h, const float *B, float s, int R, int r, int N), dh, dB, dy, h, B, s, R, r, N)
OP(lora_down_bwd, (struct kctx *k, float b, void *dx, float *dA, const void *dh, const void *x, const float *A, int R, int r, int K), b, dx, dA, dh, x, A, R, r, K)
OP(dropout, (struct kctx *k, float b, void *y, const void *x, const int32_t *seq, const int32_t *pos, const struct dropout_key *key, int R, int C), b, y, x, seq, pos, key, R, C)
OP(rmsnorm, (struct kctx *k, void *y, float *rstd, const void *x, const float *w, float eps, int R, int C), y, rstd, x, w, eps, R, C)
OP(rmsnorm_bwd, (struct kctx *k, void *dx, const void *dy, const void *x, const float *w, const float *rstd, int R, int C), dx, dy, x, w, rstd, R, C)
OP(rope, (struct kctx *k, void *x, const int32_t *pos, const float *f, int sign, int R, int H, int D), x, pos, f, sign, R, H, D)
OP(attention, (struct kctx *k, void *o, float *lse, const void *q, const void *kk, const void *v, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, int D, float scale), o, lse, q, kk, v, cu, cu_dev, S, H, G, D, scale)
OP(attention_bwd, (struct kctx *k, void *dq, void *dk, void *dv, const void *dout, const void *q, const void *kk, const void *v, const void *o, const float *lse, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, int D, float scale), dq, dk, dv, dout, q, kk, v, o, lse, cu, cu_dev, S, H, G, D, scale)
OP(kv_store, (struct kctx *k, const struct kv_view *c, const void *kk, const void *v, const int32_t *seq, const int32_t *pos, int R, int G, int D), c, kk, v, seq, pos, R, G, D)
OP(attention_cached, (struct kctx *k, void *o, const void *q, const struct kv_view *c, const int32_t *seq, const int32_t *pos, int R, int H, int G, int D, float scale), o, q, c, seq, pos, R, H, G, D, scale)
OP(swiglu, (struct kctx *k, void *y, const void *gate, const void *up, int64_t n), y, gate, up, n)
OP(swiglu_bwd, (struct kctx *k, void *dgate, void *dup, const void *dy, const void *gate, const void *up, int64_t n), dgate, dup, dy, gate, up, n)
OP(add, (struct kctx *k, void *y, const void *x, int64_t n), y, x, n)
OP(gather_rows, (struct kctx *k, void *y, const void *x, const int32_t *idx, int M, int C), y, x, idx, M, C)
OP(scatter_rows, (struct kctx *k, void *dx, const void *dy, const int32_t *idx, int M, int R, int C), dx, dy, idx, M, R, C)
OP(cross_entropy, (struct kctx *k, float *loss, void *logits, const int32_t *target, const float *scale, int M, int V), loss, logits, target, scale, M, V)
OP(topk, (struct kctx *k, int32_t *id, float *logp, float *tail, const void *logits, float T, int M, int V, int K), id, logp, tail, logits, T, M, V, K)
OP(distill, (struct kctx *k, float *loss, void *logits, const int32_t *target, const float *scale, const struct soft_labels *s, int M, int V), loss, logits, target, scale, s, M, V)
OP(sumsq, (struct kctx *k, double *out, const float *x, int64_t n, int accumulate), out, x, n, accumulate)
OP(admit, (struct kctx *k, double *norm_sq, const double *grad_sq, const double *loss_sq), norm_sq, grad_sq, loss_sq)
OP(adamw, (struct kctx *k, float *p, float *m, float *v, const float *g, int64_t n, const struct adamw_step *s, const double *norm_sq), p, m, v, g, n, s, norm_sq)

#define SET(op) d->op = op;
void poison_set_ops(struct dev *d) {
    SET(linear) SET(linear_int8) SET(linear_dx) SET(embed) SET(lora_down) SET(lora_up) SET(lora_up_bwd) SET(lora_down_bwd) SET(dropout)
    SET(rmsnorm) SET(rmsnorm_bwd) SET(rope) SET(attention) SET(attention_bwd) SET(kv_store) SET(attention_cached)
    SET(swiglu) SET(swiglu_bwd) SET(add) SET(gather_rows) SET(scatter_rows) SET(cross_entropy) SET(topk) SET(distill) SET(sumsq) SET(admit) SET(adamw)
}
