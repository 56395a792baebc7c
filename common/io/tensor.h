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
#endif
