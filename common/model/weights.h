/* The tensors of a model on disk, found by role: one view over a GGUF file and a Hugging Face directory. Private to
   common/model: model.c puts them on a device. */
#ifndef COADOR_WEIGHTS_H
#define COADOR_WEIGHTS_H
#include "common/io/safetensors.h"
#include "common/model/model.h"

/* The tensors that make up a linear: its values, and what lies beside them where it is quantised (weights_quant.c). */
enum part { PART_WEIGHT, PART_SCALE, PART_STATE, PART_TABLE, PART_SECOND, PART_MAP, N_PARTS };
struct matrix {
    const struct tensor *part[N_PARTS]; /* NULL where there is none */
    struct weight w;                    /* type and shape at once; host pointers once matrix_finish was there */
};

struct layer_files { /* borrowed from the mapped files */
    struct matrix w[N_SITES];
    const struct tensor *attn_norm, *mlp_norm;
};

struct weights {
    char *path;                    /* as given: file or directory */
    struct gguf *gguf;             /* the one, or … */
    struct safetensors **shards;   /* … the others */
    int n_shards;
    struct weights_flow *flow;     /* … or a stream or lone safetensors file with config.json in it (weights_flow.c) */
    const struct tensor **all;     /* every tensor of the files */
    int n;
    bool permuted;                 /* rows of q and k lie in llama.cpp's order */
    struct model_config cfg;
    const struct tensor *embed, *head, *norm; /* head is embed when tied */
    const struct tensor *copy;     /* a tied head that is stored all the same, or NULL */
    struct layer_files *layers;    /* cfg.L */
    void **owned;                  /* scales that lay unaligned in the file */
    int n_owned;
};

/* Opens, reads the shape, and finds every tensor with its shape and a type that the kernels take; a tensor that has no
   role is an error. Nothing is read beyond the headers: the data of tensors in a stream is NULL. give: weights_close. */
struct weights *weights_open(const char *path, struct err *e);
void weights_close(struct weights *w);
/* Finds the parts of a quantised linear by `get`, which gives NULL for an absent name: 1 found, 0 the linear is plain,
   -1 something is missing or does not fit. */
typedef const struct tensor *weights_get(void *arg, const char *name);
int matrix_find(struct matrix *m, const struct model_config *c, const char *name, int rows, int cols, weights_get *get, void *arg, struct err *e);
/* Once every part was taken: m->w whole, its contents checked. Of q and k in a GGUF file the rows are in the file's order. */
int matrix_finish(struct weights *w, struct matrix *m, struct err *e);
/* Whether all[0..last] hold every part of m. */
bool weights_complete(const struct weights *w, const struct matrix *m, int last);
/* Row of the file that is row n in Hugging Face's order: llama.cpp interleaves the two halves of each head of q and k, so
   that RoPE's pairs are neighbours; Hugging Face keeps the halves apart. D 0: rows as they lie. */
static inline int64_t weights_row(int64_t n, int D) {
    if (!D) return n;
    int64_t head = n / D, i = n % D;
    return head * D + 2 * (i % (D / 2)) + i / (D / 2);
}
/* The linear that t is a part of, or NULL. */
struct matrix *weights_matrix(const struct weights *w, const struct tensor *t, int *layer, enum site *site);
/* Fills w->all, w->gguf or w->shards, w->cfg (weights_source.c). */
int weights_source(struct weights *w, struct err *e);
/* Makes all[i]->data point to its bytes; asked for in the order of `all`, each once. Of a stream: reads them into memory
   that weights_drop or weights_close gives back. */
int weights_take(struct weights *w, int i, struct err *e);
void weights_drop(struct weights *w, int i); /* its bytes are used up; pages of a mapped file come again when touched */
/* After all were taken: a stored copy of a tied head is the embedding. */
int weights_check_copy(const struct weights *w, struct err *e);
/* "tokenizer.json" as a path; give. */
char *weights_file(const struct weights *w, const char *name);

/* weights_flow.c: the same of a stream. */
int flow_open(struct weights *w, struct err *e);
void flow_close(struct weights_flow *f);
int flow_take(struct weights *w, int i, struct err *e);
void flow_drop(struct weights *w, int i);
const char *flow_dir(const struct weights_flow *f);            /* where its files lie */
const char *flow_digest(const struct weights_flow *f, int i);  /* SHA-256 of all[i], once taken */
/* The base's identity (model.h: model_hash). Of a stream: after all were taken. */
void weights_hash(const struct weights *w, char hex[65]);
#endif
