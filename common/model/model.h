/* A frozen Llama-type model on a device: weights where they lie (packed types stay packed), its tokenizer, its identity. */
#ifndef COADOR_MODEL_H
#define COADOR_MODEL_H
#include "common/model/config.h"
#include "common/text/tokenizer.h"
#include "kernels/device.h"

/* The seven linears of a layer; the order is part of adapters' and masks' numbering. */
enum site { SITE_Q, SITE_K, SITE_V, SITE_O, SITE_GATE, SITE_UP, SITE_DOWN, N_SITES };
extern const char *const site_names[N_SITES]; /* "q_proj", … "down_proj" */
extern const char *const site_paths[N_SITES]; /* "self_attn.q_proj", … "mlp.down_proj" */
void site_shape(const struct model_config *c, enum site s, int *rows, int *cols); /* (out N, in K) */

struct layer {
    struct weight w[N_SITES];      /* q and k rows in Hugging Face's order (un-permuted from GGUF) */
    const float *attn_norm, *mlp_norm; /* (C) f32, device */
};

enum base_dtype { BASE_KEEP, BASE_F32, BASE_BF16 }; /* of the frozen linears in memory: "keep|f32|bf16" */

struct model {
    struct dev *d;                 /* borrowed */
    struct model_config cfg;
    struct weight embed, head;     /* (V,C); head.data == embed.data when tied */
    const float *norm;             /* (C) f32, device: the last RMSNorm */
    const float *inv_freq;         /* (D/2) f32, device */
    struct layer *layers;          /* L */
    struct tokenizer *tok;         /* owned */
    char *path;                    /* as given */
    size_t weight_bytes;           /* in device memory, mapped parts included */
    struct model_store *store;     /* files and device memory held; private */
};
/* Opens a GGUF file, a Hugging Face directory (config.json + safetensors), or a tensor stream or the safetensors file in it
   ("-": a stream from stdin; its config.json and tokenizer.json travel along). Linears become `base`; embedding and
   head keep their type; norms are f32. Every tensor of the shape must be there with its shape, and nothing else may be
   (rope_freqs apart). give: model_close. */
struct model *model_open(const char *path, struct dev *d, enum base_dtype base, struct err *e);
void model_close(struct model *m);
/* Identity of the base, 64 hex digits: SHA-256 of a GGUF file; of a directory's or a stream's tensors by name, type,
   shape and bytes, however they are sharded. Computed when first asked for (0.6 s a GB with SHA instructions), then kept. */
const char *model_hash(const struct model *m);
/* Its files, open as long as the model is (hfdir.h). */
struct weights;
const struct weights *model_weights(const struct model *m);
/* What the weights will take on a device, from the header alone (for --estimate). */
struct model_size {
    struct model_config cfg;
    size_t bytes;   /* on the device, mapped parts included */
    size_t source;  /* of the file's linears that are converted: read pages of a mapped file */
    int64_t packed; /* values of the largest matrix of a product whose type is not the activations' */
    int plain, other; /* linears of the activations' type, and of others */
};
int model_estimate(const char *path, enum base_dtype base, const struct dev *d, struct model_size *x, struct err *e);
/* kerr of a device verb as an error: "out of device memory (cuda:0): WHAT needs N bytes, M are free", … ; 0 for K_OK. bytes 0:
   the device's own text says how many. K_NOMEM is RC_IO, the others RC_DEVICE. */
int dev_err(struct dev *d, enum kerr k, struct err *e, const char *what, size_t bytes);
#endif
