/* Tensors from wherever they come: a tensor stream (file or pipe), a safetensors file or a GGUF file, told apart by their
   first bytes. For programs that look at tensors one after the other with little memory. */
#ifndef COADOR_TSOURCE_H
#define COADOR_TSOURCE_H
#include "common/io/io.h"
#include "common/io/sha256.h"
#include "common/io/tstream.h"

enum tsource_format { TSOURCE_STREAM, TSOURCE_SAFETENSORS, TSOURCE_GGUF, TSOURCE_UNKNOWN };
/* By the first bytes. "-" and what is not a regular file (a pipe, nothing at all) is taken for a stream. */
enum tsource_format tsource_sniff(const char *path);

struct tsource;
/* "-" and what is not a regular file must be a tensor stream. give: tsource_close. Errors carry the name. */
struct tsource *tsource_open(const char *path, struct err *e);
void tsource_close(struct tsource *s);
const char *tsource_format(const struct tsource *s); /* "tensor stream", "safetensors" or "GGUF" */
int tsource_count(const struct tsource *s);
/* As tstream_view has it; of streams and safetensors files in data order. */
const struct tensor *tsource_at(const struct tsource *s, int i);
enum tstream_kind tsource_kind(const struct tsource *s, int i);
int tsource_find(const struct tsource *s, const char *name); /* or -1 */
bool tsource_is_pipe(const struct tsource *s);
struct tstream *tsource_stream(const struct tsource *s);            /* NULL if it is none */
const struct safetensors *tsource_header(const struct tsource *s);  /* NULL of GGUF */
/* Bytes of tensor i that mean something: all, of a packed file without its padding. */
size_t tsource_length(const struct tsource *s, int i);
/* n bytes of tensor i from byte `at` on. A pipe gives them in data order only. */
int tsource_read(struct tsource *s, int i, size_t at, void *dst, size_t n, struct err *e);
/* Files and descriptions of block types, whole: reads and checks them. give: free(3). */
void *tsource_read_whole(struct tsource *s, int i, struct err *e);
/* SHA-256 of tensor i's tsource_length bytes; and its first `bytes` to o. Files and descriptions are checked. */
int tsource_hash(struct tsource *s, int i, char hex[SHA256_HEX], struct err *e);
int tsource_copy(struct tsource *s, int i, size_t bytes, struct out *o, struct err *e);
/* Reads a pipe to its end, of anything else nothing: only then is it known to be whole, and its writer done. */
int tsource_drain(struct tsource *s, struct err *e);
#endif
