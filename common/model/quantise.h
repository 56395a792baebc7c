/* A model rewritten tensor by tensor, in Hugging Face's names: its linears quantised (or everything turned to a plain type).
   The tensors' names and shapes are known first, then their bytes come in that order, with the memory of one linear. */
#ifndef COADOR_QUANTISE_H
#define COADOR_QUANTISE_H
#include "common/model/hfdir.h"

enum quant_to { TO_F32, TO_F16, TO_BF16, TO_INT8, TO_NF4, TO_FP4, TO_TERNARY };
struct quantise_options {
    enum quant_to to;
    bool nested;  /* nf4, fp4: double quantisation */
    bool requant; /* a quantised source may be quantised again */
    bool plain;   /* embedding and head in GGUF's blocks become f32: safetensors has no such type */
};

struct quant_error { /* sums over values x and what they became, y */
    double xx, yy, xy, dd; /* Σx², Σy², Σxy, Σ(x−y)² */
    int64_t values;
    uint64_t bytes;        /* of everything that makes up the linear */
};
double quant_rmse(const struct quant_error *q);
double quant_cosine(const struct quant_error *q);
double quant_snr(const struct quant_error *q); /* dB; infinite without any error */

/* Told after each linear: its name, what it was, what it is. */
typedef void quantise_told(void *arg, const char *name, enum dtype from, int64_t rows, int64_t cols, const struct quant_error *q);
/* Takes the tensors' bytes: n of them, in order. */
typedef int quantise_push(void *arg, const void *p, size_t n, struct err *e);

struct quantise;
/* Opens a model (model.h). RC_USAGE for a quantised source without `requant`. give: quantise_free. */
struct quantise *quantise_open(const char *path, const struct quantise_options *o, struct err *e);
void quantise_free(struct quantise *q);
/* What will be written; data NULL. */
int quantise_tensors(const struct quantise *q, const struct tensor **t);
int quantise_linears(const struct quantise *q);
int quantise_run(struct quantise *q, quantise_push *push, void *push_arg, quantise_told *told, void *told_arg, struct err *e);

/* The files that travel along (hfdir.h): config.json for what is written, the others as the source has them, or made from
   GGUF. Owned by q; NULL on an error. */
const struct hf_files *quantise_files(struct quantise *q, struct err *e);
#endif
