/* Adapters worked into the weights of their base: W + Σ scale·(alpha/r)·B·A (arXiv 2106.09685, §4.1), written as a Hugging
   Face directory, and the difference that this makes to logits. Sums are in double and rounded once to the type written. */
#ifndef COADOR_MERGE_H
#define COADOR_MERGE_H
#include "common/model/hfdir.h"
#include "common/model/llama.h"

/* The first weight matrix that is packed (neither f32, f16 nor bf16): its type, and its name in a static buffer; false
   where there is none. */
bool merge_packed(const struct model *m, const char **name, enum dtype *type);
/* The type of all weight matrices, f32 where they differ or are packed. */
enum dtype merge_type(const struct model *m);

struct merge_report {
    int tensors, files;
    uint64_t bytes; /* of the tensors */
};
/* Writes m with the adapters (each times its own scale) added, every tensor as `to` (f32, f16, bf16), into the existing
   directory `dir`, a temporary one: config.json, the tokenizer's files, and safetensors files of at most `shard` bytes (hfdir.h).
   A value that is not finite in that type is RC_INPUT. Takes the memory of one packed linear, or a few MiB. `told` may be
   NULL: after each tensor. */
typedef void merge_told(void *arg, int done, int of);
int merge_write(const struct model *m, const struct lora *const *a, int n, enum dtype to, uint64_t shard, const char *dir, int threads, merge_told *told,
                void *arg, struct merge_report *r, struct err *e);

/* Logits of two models on the same ids. */
struct merge_diff {
    double max_abs;   /* largest |x − y|; NaN where one of them is not a number */
    double max_logit; /* largest |x| of the first */
    int64_t rows, same; /* places compared; those with the same likeliest token */
};
/* Adds what m with its adapters and `merged` say after the last MERGE_ROWS tokens of each probe (none of them empty). */
#define MERGE_ROWS 64
int merge_compare(const struct model *m, const struct lora *const *a, int n, const struct model *merged, const struct ids *probe, int n_probes,
                  struct merge_diff *d, struct err *e);
/* max_abs / max_logit: 0 where both are 0, NaN stays NaN. */
double merge_relative(const struct merge_diff *d);
#endif
