/* A tensor inside a file: where it lies and what it is. */
#ifndef COADOR_TENSOR_H
#define COADOR_TENSOR_H
#include "kernels/dtype.h"

#define TENSOR_MAX_DIMS 8
struct tensor {
    const char *name; /* borrowed from the file object */
    enum dtype type;
    int dims;
    int64_t shape[TENSOR_MAX_DIMS]; /* outermost first, as in PyTorch (GGUF's order is reversed on read) */
    const void *data;               /* in the mapped file, or memory of its owner */
    size_t bytes;
};
/* How many values it holds: of shapes that were checked, so that none is beyond int64_t. */
static inline int64_t tensor_values(const struct tensor *t) {
    int64_t n = 1;
    for (int i = 0; i < t->dims; i++) n *= t->shape[i];
    return n;
}
#endif
