/* Private to llama*.c and decode.c: the buffers of a pass, and the parts of a layer that training, scoring and
   decoding share. Letters as in config.h. */
#ifndef COADOR_LLAMA_PASS_H
#define COADOR_LLAMA_PASS_H
#include "common/model/llama.h"

/* The linears of a layer by the input they share; the number is also dropout's site (kernels/dropout.h). */
enum input { IN_ATTN, IN_O, IN_MLP, IN_DOWN, N_INPUTS };
struct input_sites {
    enum site first;
    int n;
};
extern const struct input_sites input_sites[N_INPUTS];

/* What the backward needs of one layer, all in device memory. What is not kept is one buffer that those layers
   share. Without training x_mid and the next layer's x are x itself: the residual stream is added to in place. */
struct acts {
    void *x;             /* (R,C) residual stream that enters */
    void *q, *k, *v;     /* (R,H·D) (R,G·D) (R,G·D), q and k rotated */
    void *o;             /* (R,H·D) attention's output */
    void *x_mid;         /* (R,C) residual stream between attention and MLP */
    void *gate, *up;     /* (R,F) */
    void *h[N_SITES];    /* (R,r) LoRA's inner activations; in training those of one input follow each other */
    float *lse;          /* (R,H) */
    float *rstd[2];      /* (R) of the norms before attention and MLP */
};

/* One run over R rows. */
struct run {
    const struct model *m;
    const struct lora *const *a; /* n_a adapters, summed */
    int n_a;
    int R;
    const int32_t *seq, *pos;       /* (R) device */
    const uint32_t *step;           /* (1) device, for dropout */
    bool keeps_h;                   /* LoRA's inner activations of one input lie one behind the other: a training pass's */
    const struct dropout_run *drop; /* NULL: none */
    void *xn;                       /* (R, widest input) a linear's input: normed x, or SwiGLU's output */
    void *xd;                       /* the same after dropout; NULL without */
    bool e4m3;                      /* those of linears with adapters in fp8 (training passes only) */
    bool int8;                      /* products with frozen weights over integers (decoding only) */
};

/* A bump allocator that first counts (base NULL), then places: sizes and pointers cannot disagree. */
struct layout {
    unsigned char *base;
    size_t at;
};
void *layout_take(struct layout *l, size_t bytes);

int widest_input(const struct model_config *c);          /* max(C, H·D, F) */
bool run_adapts(const struct run *r, int layer, enum input in); /* some adapter has a site there */
/* Dropout of the shared mask, or of one module's; drops x(R,K) into r->xd and gives it, or x without dropout. */
const void *run_drop(const struct run *r, int layer, enum input in, int module, const void *x, int K);
/* What input in is dropped by: drop, filled; or NULL */
const struct dropped *run_dropped(const struct run *r, int layer, enum input in, struct dropped *drop);
/* The linears of an input as one op takes them; false where the device or the adapters do not allow it. */
bool run_adapted(const struct run *r, int layer, enum input in, struct adapted *a);
struct dropout_key run_drop_key(const struct run *r, int layer, enum input in, int module);

/* y[j] = beta·y[j] + x·w[j]ᵀ for n frozen weights of one input of R rows. */
void linears(struct dev *d, bool int8, float beta, void *const *y, const void *x, const struct weight *w, int n, int R);
/* Norm, q, k, v with adapters, rotation. */
void layer_qkv(const struct run *r, int layer, struct acts *t);
/* Attention over packed sequences: o and lse. cu on the host, cu_dev on the device. */
void layer_attention(const struct run *r, struct acts *t, const int32_t *cu, const int32_t *cu_dev, int S);
/* Output projection onto the residual stream: x_mid. */
void layer_mid(const struct run *r, int layer, struct acts *t);
/* Norm, gate and up. */
void layer_gate_up(const struct run *r, int layer, struct acts *t);
/* The last two, SwiGLU and the projection down; writes the next layer's x. */
void layer_rest(const struct run *r, int layer, struct acts *t, void *x_next);

/* What the launches of a pass depend on. Its batch has as many rows, sequences (some perhaps empty) and none longer than `longest`
   (0: it is the batch's own). */
struct shape {
    int R, S, longest;
    int32_t *cu; /* (S+1) host */
};
struct stage { /* a batch that is being copied */
    unsigned char *p;
    size_t at, bytes;
    struct kevent *used;
    bool busy;
};
enum { MOST_STAGES = 3 };
struct pass_graphs;

struct llama_pass {
    const struct model *m;
    struct lora_config lora; /* r 0: none */
    struct pass_size size;   /* its chunk chosen */
    void *arena;             /* all device memory of the pass */
    struct acts *acts;       /* L */
    void *x_out;             /* (R,C) residual stream that leaves the last layer */
    void *xn, *xd;           /* (R, widest) */
    void *xg;                /* (R,C) the selected rows of x_out */
    float *rstd_g;           /* (R) of the last norm */
    void *logits;            /* (chunk,V) */
    float *loss;             /* (R) */
    /* backward only */
    void *dx;                /* (R,C) gradient of the residual stream */
    void *dn;                /* (R, widest) gradient of a linear's input */
    void *dxg;               /* (R,C) gradient of the selected rows */
    void *dxd;               /* (R, widest) gradient of the dropped input; NULL without dropout */
    void *dq, *dk, *dv;      /* shapes of q, k, v */
    void *dh;                /* (R,r) of the most linears that share an input */
    /* the batch that runs; where the device has graphs it is padded */
    bool pads;
    struct shape shape;
    struct pass_graphs *graphs; /* NULL: none */
    int32_t *batch;             /* all of it, in one piece */
    int32_t *ids, *pos, *seq, *cu, *sel, *target;
    const uint32_t *step;
    float *scale;
    struct stage stages[MOST_STAGES];
    int n_stages, stage_at;
    /* of a chunk, where llama_pass_soft made room: (chunk,K) (chunk,K) (chunk) */
    int K;
    int32_t *soft_id;
    float *soft_logp, *soft_tail;
};
/* Checks b, gives the pass its shape and queues its copy: 1, 0 when none is selected (nothing was done), -1 on an error. */
int pass_batch(struct llama_pass *p, const struct packed *b, uint32_t step, struct err *e);
int pass_sequences(const struct pass_size *s);      /* of a padded batch, at most */
size_t pass_batch_bytes(const struct pass_size *s); /* of llama_pass.batch */
/* Host memory of the batch's copies: the i32 of pass_batch, then what stage_put copies, or leaves where it is where a device copies at
   once. stage_end: all copies are queued. stage_room: how much more than the batch there is. */
void *stage_begin(struct llama_pass *p, struct err *e);
const void *stage_put(struct llama_pass *p, const void *from, size_t bytes);
void stage_end(struct llama_pass *p);
int stage_room(struct llama_pass *p, size_t more, struct err *e);
void stage_free(struct llama_pass *p);

/* The parts of a pass that are graphs. */
enum part { PART_FORWARD, PART_BACKWARD, N_PARTS };
struct pass_graph;
typedef void pass_part_fn(struct llama_pass *p, const struct run *r, float *grad);
/* That of p's shape; NULL: it is launched by hand. */
struct pass_graph *graphs_find(struct llama_pass *p, const struct run *r, const float *grad);
/* Queues f, or its graph; the parts of a pass in their order. */
int graphs_run(struct llama_pass *p, struct pass_graph *g, enum part part, pass_part_fn *f, const struct run *r, float *grad, struct err *e);
bool graphs_able(struct dev *d);

/* Uploads, forward pass, last norm of the selected rows: 1, 0 when none is selected (nothing ran), -1 on an error. */
int pass_selected(struct llama_pass *p, const struct lora *const *a, int n_adapters, const struct packed *b, struct err *e);
/* Logits of selected rows at..at+n-1, n <= chunk. */
void pass_head(struct llama_pass *p, int at, int n);
/* Losses of selected rows at..at+n-1, whose logits stand there, against b->soft; with `grad` the gradient in the logits' place. */
int pass_distill(struct llama_pass *p, const struct packed *b, int at, int n, bool grad, struct err *e);
/* n activations from the device as host f32. */
int download_acts(struct dev *d, float *to, const void *from, int64_t n, struct err *e);
/* Through all layers from the last: p->dx holds the gradient of x_out. */
pass_part_fn llama_backward;
#endif
