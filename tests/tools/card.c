/* A card that computes nothing: for tests of what is asked of a card's memory. Built as a library of its own, it is opened in the place of
   libcoador-cuda.so (COADOR_CUDA). It adds up what alloc gives in whole granules, and the scratch that kernels/cuda's ops would
   take of it for the work they are given; losses are zero, a gradient's norm is one, AdamW moves the first value.
   CARD_MIB: its memory (1024); CARD_HIDDEN: MiB of it that seem free and are not; CARD_OLD: one before Hopper; CARD_NO_PAGES: its
   driver cannot page; CARD_INFINITE: numbers of the norms, from 1, that are not finite, as ",2,3,". Built with COADOR_FP16 it stands for
   libcoador-cuda-fp16.so, and CARD_NO_BF16 makes it one that the other is not for. */
#include "kernels/cuda/open.h"
#include "kernels/cuda/scratch.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MIB ((size_t)1 << 20)
#define CONTEXT (300 * MIB)
#ifdef COADOR_FP16
#define ACT DT_F16
#else
#define ACT DT_BF16
#endif

enum { WEIGHT, FACTOR, SHARE, GRADIENT, DELTA, E4M3, E4M3_WEIGHT, N_SCRATCH };
struct block { void *p; size_t bytes, takes; };
struct kctx {
    size_t total, hidden, used, scratch[N_SCRATCH];
    struct block *blocks;
    int n, cap;
    int norms;
    bool worked, wide; /* wide: as Hopper's products */
    struct { const void *of; bool back; } kept[256]; /* frozen matrices in e4m3 */
    int n_kept;
    enum kerr status;
    char error[100];
};

static size_t mib(const char *name, size_t otherwise) { return (getenv(name) ? strtoul(getenv(name), NULL, 10) : otherwise) * MIB; }
static size_t takes(size_t bytes) { return bytes > MIB ? (bytes + 2 * MIB - 1) / (2 * MIB) * (2 * MIB) : bytes; }
static bool has_room(const struct kctx *k, size_t bytes) { return bytes <= k->total - k->hidden - k->used; }

/* ---- verbs ---- */
static enum kerr card_alloc(struct kctx *k, void **p, size_t bytes) {
    *p = NULL;
    if (!has_room(k, takes(bytes))) return K_NOMEM;
    if (k->n == k->cap) k->blocks = realloc(k->blocks, (size_t)(k->cap = 2 * k->cap + 64) * sizeof *k->blocks);
    *p = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (*p == MAP_FAILED) return K_NOMEM;
    k->used += takes(bytes);
    k->blocks[k->n++] = (struct block){*p, bytes ? bytes : 1, takes(bytes)};
    return K_OK;
}
static enum kerr card_alloc_paged(struct kctx *k, void **p, size_t bytes) {
    size_t used = k->used, hidden = k->hidden;
    k->used = k->hidden = 0; /* there is room for it whatever the card holds, of which it takes none */
    enum kerr rc = card_alloc(k, p, bytes);
    k->used = used;
    k->hidden = hidden;
    if (rc == K_OK) k->blocks[k->n - 1].takes = 0;
    return rc;
}
static void card_free(struct kctx *k, void *p) {
    for (int i = 0; i < k->n; i++) {
        if (k->blocks[i].p != p) continue;
        munmap(p, k->blocks[i].bytes);
        k->used -= k->blocks[i].takes;
        k->blocks[i] = k->blocks[--k->n];
        return;
    }
}
static enum kerr card_move(struct kctx *k, void *to, const void *from, size_t bytes) {
    if (bytes) memmove(to, from, bytes);
    return K_OK;
}
static enum kerr card_copy(struct kctx *k, void *to, const void *from, size_t bytes) { return K_OK; }
static enum kerr card_zero(struct kctx *k, void *to, size_t bytes) { return K_OK; }
static enum kerr host_alloc(struct kctx *k, void **p, size_t bytes) { return (*p = malloc(bytes ? bytes : 1)) ? K_OK : K_NOMEM; }
static void host_free(struct kctx *k, void *p) { free(p); }
static enum kerr map_host(struct kctx *k, const void **dev, const void *host, size_t bytes) {
    void *p;
    enum kerr rc = card_alloc(k, &p, bytes);
    *dev = p;
    return rc == K_OK ? card_move(k, p, host, bytes) : rc;
}
static void unmap_host(struct kctx *k, const void *p) { card_free(k, (void *)(uintptr_t)p); }
static enum kerr memory_info(struct kctx *k, size_t *left, size_t *total) {
    *left = k->total - k->used;
    *total = k->total;
    return K_OK;
}
static size_t own_bytes(struct kctx *k, const struct dev_work *w) { return CONTEXT + (w ? CUDA_CODE + cuda_scratch_bytes(w, k->wide) : 0); }
static enum kerr card_sync(struct kctx *k) {
    enum kerr rc = k->status;
    k->status = K_OK;
    return rc;
}
static struct kevent *event_record(struct kctx *k) { return NULL; }
static enum kerr event_wait(struct kctx *k, struct kevent *e) { return card_sync(k); }
static enum kerr graph_begin(struct kctx *k) { return K_UNSUPPORTED; }
static const char *error_text(struct kctx *k) { return k->error; }
static void card_close(struct dev *d) {
    while (d->ctx->n) card_free(d->ctx, d->ctx->blocks[0].p);
    free(d->ctx->blocks);
    free(d->ctx);
    free(d);
}

/* ---- ops: what scratch they take in kernels/cuda ---- */
static void scratch(struct kctx *k, int which, int64_t values, size_t each) {
    size_t bytes = takes((size_t)values * each);
    if (!k->worked) k->used += CUDA_CODE;
    k->worked = true;
    if (bytes <= k->scratch[which] || k->status) return;
    if (!has_room(k, bytes - k->scratch[which])) {
        k->status = K_NOMEM;
        snprintf(k->error, sizeof k->error, "scratch of %zu bytes", bytes);
        return;
    }
    k->used += bytes - k->scratch[which];
    k->scratch[which] = bytes;
}
static void decodes(struct kctx *k, const struct weight *w) {
    if (w->type != ACT) scratch(k, WEIGHT, w->rows * w->cols, 2);
}
static void linear(struct kctx *k, float beta, void *y, const void *x, const struct weight *w, int R) { decodes(k, w); }
static void linear_dx(struct kctx *k, float beta, void *dx, const void *dy, const struct weight *w, int R) { decodes(k, w); }
static void embed(struct kctx *k, void *y, const struct weight *w, const int32_t *ids, int R) {}
static void lora_down(struct kctx *k, void *h, const void *x, const float *A, int R, int r, int K) { scratch(k, FACTOR, (int64_t)r * K, 2); }
static void share(struct kctx *k, int64_t R, int64_t N, int64_t K, int r) {
    if (!k->wide || r % 8 || N % 8 || K % 8) scratch(k, SHARE, R * N, 4);
}
static void lora_up(struct kctx *k, void *y, const void *h, const float *B, float s, int R, int r, int N) {
    scratch(k, FACTOR, (int64_t)N * r, 2);
    share(k, R, N, N, r);
}
static void lora_up_bwd(struct kctx *k, void *dh, float *dB, const void *dy, const void *h, const float *B, float s, int R, int r, int N) { scratch(k, FACTOR, (int64_t)N * r, 2); }
static void lora_down_bwd(struct kctx *k, float beta, void *dx, float *dA, const void *dh, const void *x, const float *A, int R, int r, int K) {
    if (dx) scratch(k, FACTOR, (int64_t)r * K, 2);
}
static void factors(struct kctx *k, const struct adapted *a) {
    int64_t n = 0;
    int64_t packed = 0;
    for (int j = 0; j < a->n; j++) {
        n += a->r * (a->w[j].rows + a->w[j].cols);
        decodes(k, &a->w[j]);
        if (k->wide && a->w[j].type != ACT) packed += a->w[j].rows * a->w[j].cols;
    }
    if (packed) scratch(k, WEIGHT, packed, 2);
    scratch(k, FACTOR, n, 2);
}
/* Of many rows: x or all dy of one input, and its linears' weights. */
static bool e4m3(struct kctx *k, const struct adapted *a, bool back, int R) {
    int64_t out = 0, in = a->w[0].cols;
    bool plain = true;
    for (int j = 0; j < a->n; j++) out += a->w[j].rows, plain &= a->w[j].type == DT_BF16;
    if (!a->e4m3 || R < 128) return false;
    scratch(k, E4M3, (int64_t)cuda_e4m3_bytes(R, back ? out : in), 1);
    if (!plain) scratch(k, E4M3_WEIGHT, (int64_t)(back ? cuda_e4m3_bytes(in, out) : cuda_e4m3_bytes(out, in)), 1);
    int i = 0;
    while (i < k->n_kept && (k->kept[i].of != a->w[0].data || k->kept[i].back != back)) i++;
    if (!plain || i < k->n_kept || i == 256) return true;
    k->kept[k->n_kept].of = a->w[0].data;
    k->kept[k->n_kept++].back = back;
    k->used += takes(cuda_e4m3_values(out, in)) + cuda_e4m3_scales(back ? in : out);
    return true;
}
static void adapted(struct kctx *k, const void *onto, void *const *y, const void *x, const void *xd, void *h, const struct adapted *a, int R) {
    factors(k, a);
    if (e4m3(k, a, false, R)) return;
    for (int j = 0; j < a->n; j++) share(k, R, a->w[j].rows, a->w[j].cols, a->r);
}
static void adapted_bwd(struct kctx *k, void *dx, void *dxd, float *const *dA, float *const *dB, const void *const *dy, const void *xd, const void *h, void *dh, const struct adapted *a, int R) {
    factors(k, a);
    if (xd && a->n > 1) scratch(k, GRADIENT, (int64_t)a->n * a->r * a->w[0].cols, 4);
    if (dx) e4m3(k, a, true, R);
}
static void dropout(struct kctx *k, float beta, void *y, const void *x, const int32_t *seq, const int32_t *pos, const struct dropout_key *key, int R, int C) {}
static void rmsnorm(struct kctx *k, void *y, float *rstd, const void *x, const float *w, float eps, int R, int C) {}
static void rmsnorm_bwd(struct kctx *k, void *dx, const void *dy, const void *x, const float *w, const float *rstd, int R, int C) {}
static void rope(struct kctx *k, void *x, const int32_t *pos, const float *inv_freq, int sign, int R, int H, int D) {}
static void attention(struct kctx *k, void *o, float *lse, const void *q, const void *kk, const void *v, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, int D, float scale) {}
static void attention_bwd(struct kctx *k, void *dq, void *dk, void *dv, const void *dout, const void *q, const void *kk, const void *v, const void *o, const float *lse, const int32_t *cu, const int32_t *cu_dev, int S, int H, int G, int D, float scale) {
    scratch(k, DELTA, (int64_t)cu[S] * H, 4);
}
static void swiglu(struct kctx *k, void *y, const void *gate, const void *up, int64_t n) {}
static void swiglu_bwd(struct kctx *k, void *dgate, void *dup, const void *dy, const void *gate, const void *up, int64_t n) {}
static void swiglu_bwd_again(struct kctx *k, void *dgate, void *dup, void *y, const void *dy, const void *gate, const void *up, int64_t n) {}
static void rounds(struct kctx *k, int R, int64_t width) {
    if (R >= 128) scratch(k, E4M3, (int64_t)cuda_e4m3_bytes(R, width), 1);
}
static void rmsnorm_e4m3(struct kctx *k, void *y, float *rstd, const void *x, const float *w, float eps, int R, int C) { rounds(k, R, C); }
static void swiglu_e4m3(struct kctx *k, void *y, const void *gate, const void *up, int R, int F) { rounds(k, R, F); }
static void swiglu_bwd_e4m3(struct kctx *k, void *dgate, void *dup, void *y, const void *dy, const void *gate, const void *up, int R, int F) { rounds(k, R, 2 * (int64_t)F); }
static void gather_rows(struct kctx *k, void *y, const void *x, const int32_t *idx, int M, int C) {}
static void scatter_rows(struct kctx *k, void *dx, const void *dy, const int32_t *idx, int M, int R, int C) {}
static void cross_entropy(struct kctx *k, float *loss, void *logits, const int32_t *target, const float *scale, int M, int V) {}
static void sumsq(struct kctx *k, double *out, const float *x, int64_t n, int accumulate) {
    char number[32];
    const char *bad = getenv("CARD_INFINITE");
    snprintf(number, sizeof number, ",%d,", k->norms += !accumulate);
    if (!accumulate) *out = bad && strstr(bad, number) ? INFINITY : 1;
}
static void unscale(struct kctx *k, float *g, int64_t n, double scale) {}
static void admit(struct kctx *k, double *norm_sq, const double *grad_sq, const double *loss_sq) { *norm_sq = *grad_sq; }
static void adamw(struct kctx *k, float *p, float *m, float *v, const float *g, int64_t n, const struct adamw_step *s, const double *norm_sq) { p[0] += isfinite(*norm_sq) ? 1 : 0; }

enum kerr coador_cuda_open(struct dev **out, int index, const char **why) {
    if (getenv("CARD_NO_BF16") && ACT == DT_BF16) return *why = "a card computes no bf16", K_UNSUPPORTED;
    struct dev *d = calloc(1, sizeof *d);
    struct kctx *k = calloc(1, sizeof *k);
    *out = d;
    if (!d || !k) return *why = "out of memory", K_NOMEM;
    *k = (struct kctx){.total = mib("CARD_MIB", 1024), .hidden = mib("CARD_HIDDEN", 0), .used = CONTEXT, .wide = !getenv("CARD_OLD")};
    *d = (struct dev){.name = "cuda:0", .act = ACT, .e4m3 = k->wide && ACT == DT_BF16, .ctx = k, .alloc = card_alloc, .alloc_paged = getenv("CARD_NO_PAGES") ? NULL : card_alloc_paged, .free = card_free, .upload = card_move, .download = card_move,
        .copy = card_copy, .zero = card_zero, .host_alloc = host_alloc, .host_free = host_free, .fetch = card_move, .event_record = event_record,
        .event_wait = event_wait, .graph_begin = graph_begin, .map_host = map_host, .unmap_host = unmap_host, .memory_info = memory_info, .own_bytes = own_bytes,
        .granule = CUDA_GRANULE, .sync = card_sync, .error_text = error_text, .close = card_close, .linear = linear, .linear_dx = linear_dx,
        .embed = embed, .lora_down = lora_down, .lora_up = lora_up, .lora_up_bwd = lora_up_bwd, .lora_down_bwd = lora_down_bwd, .dropout = dropout,
        .rmsnorm = rmsnorm, .rmsnorm_bwd = rmsnorm_bwd, .rope = rope, .attention = attention, .attention_bwd = attention_bwd, .swiglu = swiglu,
        .swiglu_bwd = swiglu_bwd, .gather_rows = gather_rows, .scatter_rows = scatter_rows, .cross_entropy = cross_entropy, .sumsq = sumsq, .admit = admit, .adamw = adamw,
        .adapted = adapted, .adapted_bwd = adapted_bwd, .swiglu_bwd_again = swiglu_bwd_again, .rmsnorm_e4m3 = rmsnorm_e4m3, .swiglu_e4m3 = swiglu_e4m3, .swiglu_bwd_e4m3 = swiglu_bwd_e4m3, .unscale = unscale};
    if (getenv("CARD_NO_BF16")) *why = "not tested on such a card";
    return K_OK;
}
