/* What libcoador-cuda.so exports. */
#ifndef COADOR_CUDA_OPEN_H
#define COADOR_CUDA_OPEN_H
#include "kernels/device.h"
#define CUDA_OPEN "coador_cuda_open"
/* Card `index` as a device; *why (static text) says why it cannot be had. give: d->close(d). */
typedef enum kerr cuda_open_fn(struct dev **d, int index, const char **why);
#endif
