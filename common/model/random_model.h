/* A Llama-type model with random weights, tensor by tensor in Hugging Face's names: for tests and benchmarks of shapes for
   which there is no model at hand. */
#ifndef COADOR_RANDOM_MODEL_H
#define COADOR_RANDOM_MODEL_H
#include "common/io/tensor.h"
#include "common/model/config.h"

struct random_model {
    struct tensor *t; /* names, shapes and `type`, in the order of the model; no data */
    int n;
    uint64_t seed;
    float std;        /* of linears and embeddings; norms are ones */
    struct pool *pool;
};
void random_model_init(struct random_model *r, const struct model_config *c, enum dtype type, uint64_t seed, float std);
void random_model_release(struct random_model *r);
/* Values first..first+n of tensor i, converted to its type (f32, f16 or bf16), into dst. A value depends only on seed,
   tensor and place (Philox, then Box and Muller's transform). On all threads. */
void random_model_fill(const struct random_model *r, int i, int64_t first, int64_t n, void *dst);
#endif
