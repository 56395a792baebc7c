/* The tensors of a model on disk, found by role: one view over a GGUF file and a Hugging Face directory. Private to
   common/model: model.c puts them on a device. */
#ifndef COADOR_WEIGHTS_H
#define COADOR_WEIGHTS_H
#include "common/io/safetensors.h"
#include "common/model/model.h"

struct layer_files { /* borrowed from the mapped files */
    const struct tensor *w[N_SITES], *attn_norm, *mlp_norm;
};

struct weights {
    char *path;                    /* as given: file or directory */
    struct gguf *gguf;             /* the one, or … */
    struct safetensors **shards;   /* … the others */
    int n_shards;
    const struct tensor **all;     /* every tensor of the files */
    int n;
    bool permuted;                 /* rows of q and k lie in llama.cpp's order */
    struct model_config cfg;
    const struct tensor *embed, *head, *norm; /* head is embed when tied */
    struct layer_files *layers;    /* cfg.L */
};

/* Opens, reads the shape, and finds every tensor with its shape and a type that the kernels take; a tensor that has no
   role is an error. Nothing is read beyond the headers. give: weights_close. */
struct weights *weights_open(const char *path, struct err *e);
void weights_close(struct weights *w);
/* Fills w->all, w->gguf or w->shards, w->cfg (weights_source.c). */
int weights_source(struct weights *w, struct err *e);
/* The base's identity (model.h: model_hash). */
void weights_hash(const struct weights *w, char hex[65]);
#endif
