/* safetensors (huggingface/safetensors, README "Format"): 8-byte little-endian header length, JSON header, data.
   Refused: header length beyond the file or 100 MB, duplicate or unknown keys, unknown dtypes, shapes whose bytes
   differ from data_offsets, overlapping or holed buffers, overflow. */
#ifndef COADOR_SAFETENSORS_H
#define COADOR_SAFETENSORS_H
#include "common/io/err.h"
#include "common/io/tensor.h"

struct safetensors;
struct safetensors *safetensors_open(const char *path, struct err *e); /* mapped; give: safetensors_close */
/* Over memory that outlives the object; `name` for messages. */
struct safetensors *safetensors_over(const void *p, size_t n, const char *name, struct err *e);
void safetensors_close(struct safetensors *s);
int safetensors_count(const struct safetensors *s);
const struct tensor *safetensors_at(const struct safetensors *s, int i); /* in data order */
const struct tensor *safetensors_get(const struct safetensors *s, const char *name);
const char *safetensors_meta(const struct safetensors *s, const char *key); /* __metadata__ value or NULL */

/* Writes tensors (sorted by the caller as they shall lie) whole or not at all. meta: key, value, key, value, …, NULL. */
int safetensors_write(const char *path, const struct tensor *t, int n, const char *const *meta, struct err *e);
#endif
