/* The card's verbs: memory, copies, one stream, events and graphs; and the table. */
#include "kernels/cuda/e4m3.cuh"
extern "C" {
#include "kernels/cuda/open.h"
#include "kernels/cuda/scratch.h"
}
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cuda_fail(struct kctx *k, enum kerr status, const char *fmt, ...) {
    if (k->status != K_OK) return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(k->error, sizeof k->error, fmt, ap);
    va_end(ap);
    k->status = status;
}

static enum kerr kind_of(cudaError_t e) { return e == cudaErrorMemoryAllocation ? K_NOMEM : K_DEVICE; }

bool cuda_ok(struct kctx *k, cudaError_t e, const char *what) {
    if (e == cudaSuccess) return true;
    cuda_fail(k, kind_of(e), "%s: %s", what, cudaGetErrorString(e));
    return false;
}

/* For verbs, which answer themselves; the text is kept for error_text. */
static enum kerr answer(struct kctx *k, cudaError_t e, const char *what) {
    if (e == cudaSuccess) return K_OK;
    snprintf(k->error, sizeof k->error, "%s: %s", what, cudaGetErrorString(e));
    cudaGetLastError(); /* one that is not sticky is told once */
    return kind_of(e);
}

/* ---- memory ---- */
static bool room_for_block(struct kctx *k) {
    if (k->n_blocks < k->cap_blocks) return true;
    int cap = k->cap_blocks ? 2 * k->cap_blocks : 64;
    void **b = (void **)realloc(k->blocks, (size_t)cap * sizeof *b);
    if (!b) return false;
    k->blocks = b;
    k->cap_blocks = cap;
    return true;
}
static enum kerr dev_alloc(struct kctx *k, void **p, size_t bytes) {
    *p = NULL;
    if (!room_for_block(k)) return K_NOMEM;
    enum kerr rc = answer(k, cudaMalloc(p, bytes ? bytes : 1), "cudaMalloc");
    if (rc == K_OK) k->blocks[k->n_blocks++] = *p;
    return rc;
}

/* Managed memory that lives on the host: the card's accesses go there, and do not bring its pages over. */
static cudaError_t keep_on_host(struct kctx *k, void *p, size_t bytes) {
#if CUDART_VERSION >= 13000
    const cudaMemLocation host = {cudaMemLocationTypeHost, 0}, card = {cudaMemLocationTypeDevice, k->index};
    cudaError_t e = cudaMemAdvise(p, bytes, cudaMemAdviseSetPreferredLocation, host);
    if (e == cudaSuccess) e = cudaMemAdvise(p, bytes, cudaMemAdviseSetAccessedBy, card);
    return e == cudaSuccess ? cudaMemPrefetchAsync(p, bytes, host, 0, k->stream) : e;
#else
    cudaError_t e = cudaMemAdvise(p, bytes, cudaMemAdviseSetPreferredLocation, cudaCpuDeviceId);
    if (e == cudaSuccess) e = cudaMemAdvise(p, bytes, cudaMemAdviseSetAccessedBy, k->index);
    return e == cudaSuccess ? cudaMemPrefetchAsync(p, bytes, cudaCpuDeviceId, k->stream) : e;
#endif
}
static enum kerr alloc_paged(struct kctx *k, void **p, size_t bytes) {
    *p = NULL;
    bytes = bytes ? bytes : 1;
    if (!room_for_block(k)) return K_NOMEM;
    enum kerr rc = answer(k, cudaMallocManaged(p, bytes, cudaMemAttachGlobal), "cudaMallocManaged");
    if (rc != K_OK) return rc;
    k->blocks[k->n_blocks++] = *p;
    return answer(k, keep_on_host(k, *p, bytes), "memory on the host");
}
/* Where the driver can change whose pages they are while both sides use them. */
static bool can_page(int index) {
    int can = 0;
    return cudaDeviceGetAttribute(&can, cudaDevAttrConcurrentManagedAccess, index) == cudaSuccess && can;
}

/* Work queued before may still use the memory: cudaFree waits for it. */
static void dev_free(struct kctx *k, void *p) {
    cuda_flush(k);
    if (p) cuda_e4m3_forget(k, p);
    for (int i = k->n_blocks - 1; i >= 0; i--) {
        if (k->blocks[i] != p) continue;
        cudaFree(p);
        k->blocks[i] = k->blocks[--k->n_blocks];
        return;
    }
}

void *cuda_scratch(struct kctx *k, enum scratch which, size_t bytes) {
    if (bytes <= k->scratch_bytes[which]) return k->scratch[which];
    if (k->capturing) {
        cuda_fail(k, K_UNSUPPORTED, "scratch of %zu bytes within a graph: run the work once before it is captured", bytes);
        return NULL;
    }
    if (k->scratch[which]) k->scratch_moves++;
    cudaFree(k->scratch[which]); /* waits for what uses it */
    k->scratch[which] = NULL;
    k->scratch_bytes[which] = 0;
    if (cudaError_t e = cudaMalloc(&k->scratch[which], bytes)) {
        cuda_fail(k, kind_of(e), "scratch of %zu bytes: %s", bytes, cudaGetErrorString(e));
        cudaGetLastError();
        return NULL;
    }
    k->scratch_bytes[which] = bytes;
    return k->scratch[which];
}

/* From pageable memory the call returns when the bytes have been taken, so the caller may reuse them. */
static enum kerr dev_upload(struct kctx *k, void *dst, const void *src, size_t bytes) {
    cuda_flush(k);
    return bytes ? answer(k, cudaMemcpyAsync(dst, src, bytes, cudaMemcpyHostToDevice, k->stream), "copy to the card") : K_OK;
}
static enum kerr dev_download(struct kctx *k, void *dst, const void *src, size_t bytes) {
    cuda_flush(k);
    if (!bytes) return K_OK;
    enum kerr rc = answer(k, cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToHost, k->stream), "copy from the card");
    return rc == K_OK ? answer(k, cudaStreamSynchronize(k->stream), "copy from the card") : rc;
}
static enum kerr dev_copy(struct kctx *k, void *dst, const void *src, size_t bytes) {
    cuda_flush(k);
    return bytes ? answer(k, cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToDevice, k->stream), "copy") : K_OK;
}
static enum kerr dev_zero(struct kctx *k, void *dst, size_t bytes) {
    cuda_flush(k);
    return bytes ? answer(k, cudaMemsetAsync(dst, 0, bytes, k->stream), "zero") : K_OK;
}
static enum kerr host_alloc(struct kctx *k, void **p, size_t bytes) { return answer(k, cudaMallocHost(p, bytes ? bytes : 1), "cudaMallocHost"); }
static void host_free(struct kctx *k, void *p) {
    if (p) cudaFreeHost(p);
}
static enum kerr fetch(struct kctx *k, void *dst, const void *src, size_t bytes) {
    cuda_flush(k);
    return bytes ? answer(k, cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDeviceToHost, k->stream), "copy from the card") : K_OK;
}
static enum kerr map_host(struct kctx *k, const void **dev, const void *host, size_t bytes) {
    void *p;
    enum kerr rc = dev_alloc(k, &p, bytes);
    if (rc == K_OK && (rc = dev_upload(k, p, host, bytes)) != K_OK) dev_free(k, p);
    *dev = rc == K_OK ? p : NULL;
    return rc;
}
static void unmap_host(struct kctx *k, const void *dev) { dev_free(k, (void *)(uintptr_t)dev); }
static size_t own_bytes(struct kctx *k, const struct dev_work *n) { return k->opened + (n ? CUDA_CODE + cuda_scratch_bytes(n, k->wgmma) + (size_t)n->graph_layers * CUDA_GRAPH_LAYER : 0); }
static enum kerr memory_info(struct kctx *k, size_t *free_bytes, size_t *total_bytes) { return answer(k, cudaMemGetInfo(free_bytes, total_bytes), "cudaMemGetInfo"); }

/* ---- order ---- */
static enum kerr take_status(struct kctx *k) {
    enum kerr rc = k->status;
    k->status = K_OK;
    return rc;
}
static enum kerr dev_sync(struct kctx *k) {
    cuda_flush(k);
    cuda_ok(k, cudaStreamSynchronize(k->stream), "the card");
    return take_status(k);
}
static const char *error_text(struct kctx *k) { return k->error[0] ? k->error : "no error"; }

static struct kevent *event_record(struct kctx *k) {
    cuda_flush(k);
    cudaEvent_t e = NULL;
    if (cuda_ok(k, cudaEventCreateWithFlags(&e, cudaEventDisableTiming), "event")) cuda_ok(k, cudaEventRecord(e, k->stream), "event");
    return (struct kevent *)e;
}
static enum kerr event_wait(struct kctx *k, struct kevent *e) {
    if (e) { /* NULL: it could not be made, which is a failure that was kept */
        cuda_ok(k, cudaEventSynchronize((cudaEvent_t)e), "the card");
        cudaEventDestroy((cudaEvent_t)e);
    }
    return take_status(k);
}
struct graph { cudaGraphExec_t x; int scratch_moves; };
static enum kerr graph_begin(struct kctx *k) {
    cuda_flush(k);
    enum kerr rc = answer(k, cudaStreamBeginCapture(k->stream, cudaStreamCaptureModeThreadLocal), "capture");
    k->capturing = rc == K_OK;
    return rc;
}
static enum kerr graph_end(struct kctx *k, struct kgraph **out) {
    cuda_flush(k);
    cudaGraph_t g = NULL;
    struct graph *made = (struct graph *)calloc(1, sizeof *made);
    *out = NULL;
    k->capturing = false;
    enum kerr rc = answer(k, cudaStreamEndCapture(k->stream, &g), "capture");
    if (rc == K_OK && !made) rc = K_NOMEM;
    if (rc == K_OK) rc = answer(k, cudaGraphInstantiate(&made->x, g, 0), "graph");
    if (g) cudaGraphDestroy(g);
    if (rc != K_OK) {
        free(made);
        return rc;
    }
    made->scratch_moves = k->scratch_moves;
    *out = (struct kgraph *)made;
    return K_OK;
}
static bool graph_holds(struct kctx *k, const struct kgraph *g) { return ((const struct graph *)g)->scratch_moves == k->scratch_moves; }
static enum kerr graph_launch(struct kctx *k, struct kgraph *g) {
    cuda_flush(k);
    return answer(k, cudaGraphLaunch(((struct graph *)g)->x, k->stream), "graph");
}
static void graph_free(struct kctx *k, struct kgraph *g) {
    if (!g) return;
    cudaGraphExecDestroy(((struct graph *)g)->x);
    free(g);
}

/* ---- opening ---- */
static void dev_close(struct dev *d) {
    struct kctx *k = d->ctx;
    cudaStreamSynchronize(k->stream);
    for (int i = 0; i < k->n_blocks; i++) cudaFree(k->blocks[i]);
    for (int i = 0; i < N_SCRATCH; i++) cudaFree(k->scratch[i]);
    cuda_e4m3_forget(k, NULL);
    cudaFree(k->workspace);
    if (k->lt) cublasLtDestroy(k->lt);
    if (k->stream) cudaStreamDestroy(k->stream);
    gemm_plans_free(k->plans);
    free(k->blocks);
    free(k);
    free(d);
}

static void set_verbs(struct dev *d) {
    d->alloc = dev_alloc;
    d->alloc_paged = can_page(d->ctx->index) ? alloc_paged : NULL;
    d->free = dev_free;
    d->upload = dev_upload;
    d->download = dev_download;
    d->copy = dev_copy;
    d->zero = dev_zero;
    d->host_alloc = host_alloc;
    d->host_free = host_free;
    d->fetch = fetch;
    d->map_host = map_host;
    d->unmap_host = unmap_host;
    d->memory_info = memory_info;
    d->own_bytes = own_bytes;
    d->granule = CUDA_GRANULE;
    d->sync = dev_sync;
    d->error_text = error_text;
    d->event_record = event_record;
    d->event_wait = event_wait;
    d->graph_begin = graph_begin;
    d->graph_end = graph_end;
    d->graph_launch = graph_launch;
    d->graph_holds = graph_holds;
    d->graph_free = graph_free;
    d->close = dev_close;
}

#define EACH_OP(X) \
    X(linear) X(linear_dx) X(embed) X(lora_down) X(lora_up) X(lora_up_bwd) X(lora_down_bwd) X(dropout) X(rmsnorm) X(rmsnorm_bwd) \
    X(rope) X(attention) X(attention_bwd) X(kv_store) X(attention_cached) X(swiglu) X(swiglu_bwd) X(add) X(gather_rows) \
    X(scatter_rows) X(cross_entropy) X(topk) X(distill) X(sumsq) X(admit) X(adamw)
#define SET_OP(op) d->op = cuda_##op;
static void set_ops(struct dev *d) {
    EACH_OP(SET_OP)
    d->adapted = cuda_adapted;
    d->adapted_bwd = cuda_adapted_bwd;
    d->swiglu_adapted_bwd = cuda_swiglu_adapted_bwd;
#ifndef COADOR_FP16
    d->swiglu_adapted = cuda_swiglu_adapted;
#endif
    d->swiglu_bwd_again = cuda_swiglu_bwd_again;
#ifndef COADOR_FP16
    d->rmsnorm_e4m3 = cuda_rmsnorm_e4m3;
    d->swiglu_e4m3 = cuda_swiglu_e4m3;
    d->swiglu_bwd_e4m3 = cuda_swiglu_bwd_e4m3;
#endif
    d->decode_layer = cuda_decode_layer;
    d->decode_head = cuda_decode_head;
    d->choose = cuda_choose;
    d->unscale = cuda_unscale;
    d->attention_paged = cuda_attention_paged;
}

static char reason[300]; /* why the last open failed, or what is to be said of the card */
static enum kerr refuse(enum kerr rc, const char **why, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(reason, sizeof reason, fmt, ap);
    va_end(ap);
    *why = reason;
    return rc;
}

/* Whether the card is there and its kernels are in this library. */
static enum kerr check_card(int index, const char **why) {
    int n = 0, driver = 0;
    cudaError_t e = cudaGetDeviceCount(&n);
    if (e != cudaSuccess) {
        cudaDriverGetVersion(&driver);
        if (!driver) return refuse(K_DEVICE, why, "no NVIDIA driver is loaded on this machine");
        return refuse(K_DEVICE, why, "%s (driver for CUDA %d.%d, built for %d.%d)", cudaGetErrorString(e), driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    }
    if (index >= n) return refuse(K_DEVICE, why, "card %d is asked for, this machine has %d", index, n);
    cudaDeviceProp p;
    if ((e = cudaGetDeviceProperties(&p, index)) != cudaSuccess) return refuse(K_DEVICE, why, "%s", cudaGetErrorString(e));
    if (10 * p.major + p.minor < 75) return refuse(K_DEVICE, why, "%s has compute capability %d.%d, 7.5 or more is needed", p.name, p.major, p.minor);
    if (ACT_DTYPE == DT_BF16 && p.major < 8) return refuse(K_UNSUPPORTED, why, "%s computes no bf16: compute capability %d.%d", p.name, p.major, p.minor);
    cudaFuncAttributes a;
    if ((e = cudaSetDevice(index)) != cudaSuccess) return refuse(K_DEVICE, why, "%s: %s", p.name, cudaGetErrorString(e));
    extern const void *cuda_a_kernel(void);
    if ((e = cudaFuncGetAttributes(&a, cuda_a_kernel())) != cudaSuccess) return refuse(K_DEVICE, why, "this build has no kernels for %s (compute capability %d.%d): %s", p.name, p.major, p.minor, cudaGetErrorString(e));
    return K_OK;
}

extern "C" __attribute__((visibility("default"))) enum kerr coador_cuda_open(struct dev **out, int index, const char **why) {
    *out = NULL;
    enum kerr rc = check_card(index, why);
    if (rc != K_OK) return rc;
    struct dev *d = (struct dev *)calloc(1, sizeof *d);
    struct kctx *k = (struct kctx *)calloc(1, sizeof *k);
    if (!d || !k || !(k->plans = gemm_plans_new())) {
        free(d);
        free(k);
        return refuse(K_NOMEM, why, "out of memory");
    }
    cudaDeviceProp card;
    cudaError_t e = cudaGetDeviceProperties(&card, index);
    k->multiprocessors = card.multiProcessorCount;
    k->overlaps = card.major >= 9 && ACT_DTYPE == DT_BF16; /* code for 7.5 does not wait for what it overlaps */
    k->wgmma = card.major == 9 && cuda_has_wgmma();
    k->index = index;
    snprintf(k->name, sizeof k->name, "cuda:%d", index);
    d->name = k->name;
    d->act = ACT_DTYPE;
    d->e4m3 = k->wgmma;
    d->ctx = k;
    set_verbs(d);
    set_ops(d);
    cublasStatus_t lt = CUBLAS_STATUS_SUCCESS;
    if (e == cudaSuccess) e = cudaStreamCreateWithFlags(&k->stream, cudaStreamNonBlocking);
    if (e == cudaSuccess) e = cudaMalloc(&k->workspace, WORKSPACE_BYTES);
    if (e == cudaSuccess) lt = cublasLtCreate(&k->lt);
    size_t left, total;
    if (e == cudaSuccess && (e = cudaMemGetInfo(&left, &total)) == cudaSuccess) k->opened = total - left < CUDA_CONTEXT ? total - left : CUDA_CONTEXT;
    if (e != cudaSuccess || lt != CUBLAS_STATUS_SUCCESS) {
        dev_close(d);
        return refuse(kind_of(e), why, "%s", e != cudaSuccess ? cudaGetErrorString(e) : "cuBLASLt cannot be started");
    }
    if (card.major < 8) refuse(K_OK, why, "%s (compute capability %d.%d) computes in fp16, with loss scaling where it trains: not tested on such a card", card.name, card.major, card.minor);
    *out = d;
    return K_OK;
}
