/* One table a device: memory and stream verbs, and the ops. common/ touches tensor memory only through it.
   Layers above hold a `struct dev *d` and call `d->rmsnorm(d->ctx, …)`.

   Errors: verbs return enum kerr. Ops return nothing: what goes wrong inside one is kept in the context
   and given by the next `sync` (CUDA's own errors are sticky in the same way), so callers check once a step.
   Kernels never allocate: scratch lives in the context, made by the device's open function.

   Shapes at each op are written (rows,columns), row-major. R is tokens (rows) of a packed batch, C hidden size,
   F feed-forward size, V vocabulary, H query heads, G key/value heads, D head size, N×K a linear's rows (out) ×
   columns (in), r LoRA's rank, S sequences. Types: `act` is the table's activation type (f32 on the CPU, bf16
   on CUDA, f16 on cards without bf16) and stands as void *; f32, i32, f64 as themselves. "=" sets, "+=" adds. */
#ifndef COADOR_DEVICE_H
#define COADOR_DEVICE_H
#include "kernels/weight.h"
#include <stdbool.h>

enum kerr { K_OK, K_NOMEM, K_DEVICE, K_UNSUPPORTED };

struct kctx;   /* a device's own state: threads, stream, handles, scratch */
struct kevent; /* a point in the stream */
struct kgraph; /* captured work */

#include "kernels/adamw.h"
#include "kernels/adapted.h"
#include "kernels/attention.h"
#include "kernels/cross_entropy.h"
#include "kernels/decode.h"
#include "kernels/distill.h"
#include "kernels/dropout.h"
#include "kernels/elementwise.h"
#include "kernels/linear.h"
#include "kernels/lora.h"
#include "kernels/rmsnorm.h"
#include "kernels/rope.h"
#include "kernels/rounded.h"
#include "kernels/rows.h"
#include "kernels/swiglu.h"

/* The largest things that ops of a training will be given: what scratch they need follows from it. */
struct dev_work {
    int64_t rows, heads; /* R, H */
    int64_t packed;      /* values of a frozen matrix whose type is not act's */
    int64_t together;    /* of all such matrices of one input, where each has an adapter */
    int64_t wide;        /* N of a linear with an adapter */
    int64_t odd;         /* of one whose rank, rows or columns 8 does not divide */
    int64_t factors;     /* values of A and B of the linears of one input */
    int64_t stacked;     /* values of A of one input's, where they are several */
    int64_t graph_layers; /* layers of a model's forward and backward that lie there as graphs */
    struct { /* adapted in e4m3, or layers 0: */
        int64_t layers, rows[4], cols[4]; /* of a layer's inputs, in their order: all linears together */
        bool keeps, decodes;              /* there are matrices of act's type, and others */
    } e4m3;
};

struct dev {
    const char *name;   /* "cpu", "ref", "cuda:0" */
    const char *library; /* file of a card's ops, as it was opened; NULL elsewhere */
    enum dtype act;     /* activation type */
    bool e4m3;          /* adapted can multiply so */
    int threads;        /* of the host, that ops run on: 1 where they run elsewhere */
    struct kctx *ctx;

    /* ---- memory: give with alloc, take back with free; bytes ---- */
    enum kerr (*alloc)(struct kctx *, void **p, size_t bytes);
    /* As alloc, of memory that stays the host's and that ops reach there, for what a step reads and writes once; it takes none of the
       device's own. NULL where there is no such thing. */
    enum kerr (*alloc_paged)(struct kctx *, void **p, size_t bytes);
    void (*free)(struct kctx *, void *p);
    enum kerr (*upload)(struct kctx *, void *dst_dev, const void *src_host, size_t bytes);
    enum kerr (*download)(struct kctx *, void *dst_host, const void *src_dev, size_t bytes);
    enum kerr (*copy)(struct kctx *, void *dst_dev, const void *src_dev, size_t bytes);
    enum kerr (*zero)(struct kctx *, void *dst_dev, size_t bytes);
    /* Host memory whose copies are queued as other work is: an upload reads it, and fetch writes it, when its turn comes, so it is left
       alone until an event behind that. Copies of other host memory are over when they return. */
    enum kerr (*host_alloc)(struct kctx *, void **p, size_t bytes);
    void (*host_free)(struct kctx *, void *p);
    enum kerr (*fetch)(struct kctx *, void *dst_host, const void *src_dev, size_t bytes);
    /* Device view of host memory that stays mapped and unchanged (a mapped model file): on the CPU the same
       pointer; a device with its own memory copies. `unmap_host` ends it. */
    enum kerr (*map_host)(struct kctx *, const void **dev, const void *host, size_t bytes);
    void (*unmap_host)(struct kctx *, const void *dev);
    enum kerr (*memory_info)(struct kctx *, size_t *free_bytes, size_t *total_bytes);
    /* Of a device with its own memory, else NULL: bytes that it takes beside what alloc gave, for a work as large as *n: context,
       libraries, code, and scratch of the ops. n NULL: those it took when it was opened. */
    size_t (*own_bytes)(struct kctx *, const struct dev_work *n);
    size_t granule; /* alloc gives blocks that are not small in whole ones of these; 0: no matter */

    /* ---- order: work is queued on one stream; sync and event_wait wait and give the first error that neither gave before ---- */
    enum kerr (*sync)(struct kctx *);
    const char *(*error_text)(struct kctx *);
    struct kevent *(*event_record)(struct kctx *);
    enum kerr (*event_wait)(struct kctx *, struct kevent *); /* host waits; frees the event */
    /* Captures what is queued between begin and end; K_UNSUPPORTED where the device runs at once (CPU). */
    enum kerr (*graph_begin)(struct kctx *);
    enum kerr (*graph_end)(struct kctx *, struct kgraph **g);
    enum kerr (*graph_launch)(struct kctx *, struct kgraph *g);
    /* Whether it may still be launched: scratch that ops took since may lie elsewhere than it was. */
    bool (*graph_holds)(struct kctx *, const struct kgraph *g);
    void (*graph_free)(struct kctx *, struct kgraph *g);
    void (*close)(struct dev *);

    /* ---- ops: contract in kernels/<op>.h ---- */
    linear_fn *linear;
    linear_int8_fn *linear_int8; /* NULL where the device has none */
    linear_dx_fn *linear_dx;
    embed_fn *embed;
    lora_down_fn *lora_down;
    lora_up_fn *lora_up;
    lora_up_bwd_fn *lora_up_bwd;
    lora_down_bwd_fn *lora_down_bwd;
    dropout_fn *dropout;
    rmsnorm_fn *rmsnorm;
    rmsnorm_bwd_fn *rmsnorm_bwd;
    rope_fn *rope;
    attention_fn *attention;
    attention_bwd_fn *attention_bwd;
    kv_store_fn *kv_store;
    attention_cached_fn *attention_cached;
    swiglu_fn *swiglu;
    swiglu_bwd_fn *swiglu_bwd;
    add_fn *add;
    gather_rows_fn *gather_rows;
    scatter_rows_fn *scatter_rows;
    cross_entropy_fn *cross_entropy;
    topk_fn *topk;
    distill_fn *distill;
    sumsq_fn *sumsq;
    admit_fn *admit;
    adamw_fn *adamw;

    /* ---- of cards only: NULL elsewhere ---- */
    adapted_fn *adapted;
    adapted_bwd_fn *adapted_bwd;
    swiglu_adapted_fn *swiglu_adapted;
    swiglu_adapted_bwd_fn *swiglu_adapted_bwd;
    swiglu_bwd_again_fn *swiglu_bwd_again;
    rmsnorm_e4m3_fn *rmsnorm_e4m3; /* these where e4m3 */
    swiglu_e4m3_fn *swiglu_e4m3;
    swiglu_bwd_e4m3_fn *swiglu_bwd_e4m3;
    decode_layer_fn *decode_layer;
    decode_head_fn *decode_head;
    choose_fn *choose;
    unscale_fn *unscale;
    attention_paged_fn *attention_paged;
};

/* What a block of so many bytes takes there. */
static inline size_t dev_block(const struct dev *d, size_t bytes) {
    return d->granule && bytes > d->granule / 2 ? (bytes + d->granule - 1) / d->granule * d->granule : bytes;
}

/* Opens a device by name: "cpu" (CPUID picks AVX2/FMA or plain C), "cuda" or "cuda:N" (libcoador-cuda.so, opened here: the
   file that the environment's COADOR_CUDA names, or the one beside the program; for cards that compute no bf16 the one beside
   it whose activations are f16), "auto" (what COADOR_DEVICE names, else the
   first card that can be used, else the CPU), "ref" (every op its _ref, double sums), "poison" (cpu, but host access to its
   memory faults: for tests). threads 0: all cores (OMP_NUM_THREADS obeyed).
   K_DEVICE with *why (static text) where it cannot be had; had, *why is "" or a remark for people. give: d->close(d). */
enum kerr dev_open(struct dev **d, const char *name, int threads, const char **why);
int dev_threads(const struct dev *d);
/* CPU features found and used, for `coador doctor`: "avx2 fma f16c"; static text. */
const char *dev_cpu_features(void);
#endif
