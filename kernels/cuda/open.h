/* What libcoador-cuda.so exports, and libcoador-cuda-fp16.so, which has the kernels for cards that compute no bf16. */
#ifndef COADOR_CUDA_OPEN_H
#define COADOR_CUDA_OPEN_H
#include "kernels/device.h"
#define CUDA_OPEN "coador_cuda_open"
#define CUDA_FILE "libcoador-cuda.so"
#define CUDA_FILE_FP16 "libcoador-cuda-fp16.so"
/* Card `index` as a device; *why (static text) says why it cannot be had, or holds a remark. K_UNSUPPORTED: the other library is for
   this card. give: d->close(d). */
typedef enum kerr cuda_open_fn(struct dev **d, int index, const char **why);
#endif
