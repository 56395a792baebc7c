/* GGUF version 2 and 3 (ggml-org/ggml docs/gguf.md), mapped read-only. Every count, length, offset, type and
   alignment is checked against the file before use; errors name the file, the byte offset and what was expected. */
#ifndef COADOR_GGUF_H
#define COADOR_GGUF_H
#include "common/io/err.h"
#include "common/io/tensor.h"
#include <stdbool.h>

struct gguf;
struct gguf *gguf_open(const char *path, struct err *e); /* give: gguf_close */
/* Over memory that outlives the object (starting at a multiple of 8); `name` for messages. */
struct gguf *gguf_over(const void *p, size_t n, const char *name, struct err *e);
void gguf_close(struct gguf *g);
void gguf_bytes(const struct gguf *g, const void **p, size_t *n);       /* the whole file */
int gguf_n_tensors(const struct gguf *g);
const struct tensor *gguf_tensor_at(const struct gguf *g, int i);
const struct tensor *gguf_tensor(const struct gguf *g, const char *name); /* NULL if absent */
/* Metadata. Absent or of another kind: false. Strings are not NUL-terminated: pointer and length. */
bool gguf_has(const struct gguf *g, const char *key);
bool gguf_get_int(const struct gguf *g, const char *key, int64_t *out);   /* any integer type that fits */
bool gguf_get_real(const struct gguf *g, const char *key, double *out);   /* f32, f64 */
bool gguf_get_bool(const struct gguf *g, const char *key, bool *out);
bool gguf_get_str(const struct gguf *g, const char *key, const char **s, size_t *n);
/* Arrays: the count (-1 if absent or not an array of that kind), then elements by index. */
int64_t gguf_arr_strs(const struct gguf *g, const char *key);
void gguf_arr_str(const struct gguf *g, const char *key, int64_t i, const char **s, size_t *n);
int64_t gguf_arr_ints(const struct gguf *g, const char *key, const void **data); /* i32/u32 arrays: 4 bytes each, unaligned */
int64_t gguf_arr_f32(const struct gguf *g, const char *key, const void **data);  /* the same of f32 arrays */
#endif
