/* Llama forward and backward over a packed batch, on the kernel table (training and scoring).
   Decoding with a cache is decode.h. */
#ifndef COADOR_LLAMA_H
#define COADOR_LLAMA_H
#include "common/model/lora.h"

/* Sequences packed end to end, none of them empty. Host arrays; the pass uploads them. */
struct packed {
    int R, S, M;           /* tokens, sequences, trained (or scored) tokens */
    const int32_t *ids;    /* (R) */
    const int32_t *pos;    /* (R) position within its sequence, from 0 */
    const int32_t *seq;    /* (R) number of its sequence within the step, for dropout */
    const int32_t *cu;     /* (S+1) row where each sequence starts */
    const int32_t *sel;    /* (M) rows whose next token is trained, ascending */
    const int32_t *target; /* (M) that next token */
    const float *scale;    /* (M) d loss/d token loss: weight / trained tokens of the whole step (training only) */
    const struct soft_labels *soft; /* a teacher's, host arrays of M rows; NULL: none (training only) */
};

struct llama_pass; /* activations and scratch for batches up to a size */
/* What the forward keeps of every layer for the backward; what it does not is computed again there, so the gradients are the
   same bytes. */
enum kept {
    KEEP_NOTHING,   /* no backward */
    KEEP_ALL,       /* all that costs a product to compute again */
    KEEP_ATTENTION, /* all but the MLP's gate and up: two of three MLP products a second time, half the memory */
    KEEP_INPUTS     /* each layer's input: a second forward (gradient checkpointing, arXiv 1604.06174) */
};
/* The same by layers. */
struct pass_size {
    int R, S;         /* rows and sequences at most */
    int chunk;        /* rows of logits at a time; 0: as many as suit the device */
    bool trains;      /* room for a backward, which computes again */
    int layers_again; /* of so many layers, the lowest, all but their input, and */
    int mlp_again;    /* of so many, those included, gate and up */
    bool e4m3;        /* the layers' frozen products in fp8 (adapted.h): where a device is able and model and adapter fit */
};
struct pass_size pass_size(const struct model_config *c, int R, int S, enum kept kept, int chunk);
int pass_chunk(const struct pass_size *s, enum dtype act); /* rows of logits at a time where activations are `act` */

/* Memory for such passes.
   lora: the adapter's rank, sites and dropout; without a backward only r counts, the largest of the adapters that will be
   summed, and NULL means none. A training pass scores too, with its own adapter. give: llama_pass_free. */
struct llama_pass *llama_pass_sized(const struct model *m, const struct lora_config *lora, const struct pass_size *size, struct err *e);
struct llama_pass *llama_pass_new(const struct model *m, const struct lora_config *lora, int R, int S, enum kept kept, int chunk, struct err *e);
void llama_pass_free(struct llama_pass *p);
enum { LLAMA_GRAPHS = 12 }; /* shapes of a pass that are graphs at most: the one not used for longest gives way */
/* Where the device has graphs a training pass pads its batches to shapes that come again, and runs a shape that it has met as a graph,
   which is launched faster. Off: launch by launch, the same bytes. */
void llama_pass_graphs(struct llama_pass *p, bool on);
/* Bytes such a pass asks a device for whose activations are `act`, exactly: for --estimate and token budgets. On the CPU a
   batch that fills the pass only in part touches as much less. */
size_t llama_pass_bytes(const struct model_config *c, const struct lora_config *lora, const struct pass_size *size, enum dtype act);

int llama_e4m3_able(const struct dev *d, struct err *e); /* RC_DEVICE where it is not */
int llama_e4m3_fits(const struct model_config *c, const struct lora_config *a, struct err *e);

/* Room for soft labels of K tokens, once, before llama_train with them or llama_topk. RC_DEVICE where the device lacks the ops. */
int llama_pass_soft(struct llama_pass *p, int K, struct err *e);
int llama_soft_able(const struct dev *d, struct err *e); /* that question beforehand */

struct dropout_run { uint64_t seed; uint32_t step; }; /* masks of this pass; NULL: no dropout */
/* All: an id outside the vocabulary is RC_INPUT, what the device reports RC_IO or RC_DEVICE. M 0 does nothing.
   Forward and backward: loss(M) host f32 token losses (kernels/distill.h's with soft labels); grad (a->n) f32 device +=
   gradient of Σ scale·loss. */
int llama_train(struct llama_pass *p, const struct lora *a, const struct packed *b, const struct dropout_run *drop, float *grad, float *loss, struct err *e);
/* The same, queued: losses and errors come with a later event. loss: host memory that the device gave; *loss_sq (f64, device) += Σ loss². */
int llama_train_queued(struct llama_pass *p, const struct lora *a, const struct packed *b, const struct dropout_run *drop, float *grad, float *loss, double *loss_sq, struct err *e);
/* Forward only: token losses of the selected rows. adapters may be NULL/0; several are summed. */
int llama_score(struct llama_pass *p, const struct lora *const *a, int n_adapters, const struct packed *b, float *loss, struct err *e);
/* Forward only: logits (M,V) of the selected rows into host f32. */
int llama_logits(struct llama_pass *p, const struct lora *const *a, int n_adapters, const struct packed *b, float *logits, struct err *e);
/* Forward only: of softmax(logits/T) of the selected rows the K likeliest tokens and the tail, as kernels/topk.h has them:
   id(M,K), logp(M,K), tail(M), host. */
int llama_topk(struct llama_pass *p, const struct lora *const *a, int n_adapters, const struct packed *b, float T, int32_t *id, float *logp, float *tail, struct err *e);
#endif
