/* safetensors (huggingface/safetensors, README "Format"): 8-byte little-endian header length, JSON header, data.
   Refused: header length beyond the file or 100 MB, duplicate or unknown keys, unknown dtypes, shapes whose bytes
   differ from data_offsets, overlapping or holed buffers, overflow. */
#ifndef COADOR_SAFETENSORS_H
#define COADOR_SAFETENSORS_H
#include "common/io/buf.h"
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

/* ---- header and data apart, for data that comes or goes in pieces (tstream.h) ---- */
/* The first 8 bytes: length of the JSON behind them. */
int safetensors_length(const unsigned char p[8], size_t *len, struct err *e);
/* From the JSON alone: every tensor's data is NULL, what is said of the data's end is believed. Messages carry no name. */
struct safetensors *safetensors_of_header(const void *json, size_t len, struct err *e);
/* Where tensor i starts in the data, bytes; of count: where the last one ends. */
uint64_t safetensors_begin(const struct safetensors *s, int i);
/* Appends length and JSON of tensors that lie one after the other (their data is not looked at). */
int safetensors_put_header(struct buf *b, const struct tensor *t, int n, const char *const *meta, struct err *e);
#endif
