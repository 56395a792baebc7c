/* Tensor streams (.st.zst): one safetensors file in zstd frames, between a leading frame that says what it is and zstd's
   seek table, which says that it is whole. The bytes stand in coador-tensors(5).

   A writer knows names, types and shapes first, then takes the tensors' bytes in that order; a reader gives them in that
   order from a pipe, in any order from a file. Both hold a few frames, whatever the tensors' size, and (de)compress as
   many at once as there are threads (omp_get_max_threads); the bytes written do not depend on how many.
   A reader gives only bytes whose frame has the right checksum, and the last frame only when the table and the end of
   the input were right: whoever got every tensor has a whole stream. */
#ifndef COADOR_TSTREAM_H
#define COADOR_TSTREAM_H
#include "common/io/safetensors.h"
#include <stdbool.h>
#include <stdio.h>

#define TSTREAM_VERSION 1
#define TSTREAM_MAX_FRAME ((size_t)64 << 20) /* bytes of data a frame may hold */
#define TSTREAM_FRAME ((size_t)8 << 20)      /* that a writer puts in one, unless told otherwise */
#define TSTREAM_STORE 0                      /* level: frames of raw blocks */
#define TSTREAM_LEVEL 1                      /* the default: coador-tensors(5) has the figures */
#define TSTREAM_FILE_PREFIX "__file__/"      /* before the name of a file that travels along */

/* ---- writing ---- */
/* A level as users write it: "none" or a number, or -1. */
int tstream_level(const char *word);

struct tstream_file { /* a file that travels along: config.json, tokenizer.json, … */
    const char *name; /* without a slash */
    const void *p;
    size_t n;
};

struct tstream_spec {
    const struct tensor *t; /* in the order in which the bytes will come; their data is not looked at. Block types
                               (q4_1 …) become U8 with a description in front */
    int n;
    const struct tstream_file *files;
    int n_files;
    const char *const *meta; /* key, value, key, value, …, NULL; or NULL. "format" is added */
    int level;               /* TSTREAM_STORE or 1..19 */
    size_t frame;            /* bytes of data a frame, at most TSTREAM_MAX_FRAME; 0: TSTREAM_FRAME */
};

struct tstream_writer;
/* Writes header and files to f, which stays the caller's (flush and close are his). Nothing of the spec is kept.
   give: tstream_finish or tstream_abort. */
struct tstream_writer *tstream_create(FILE *f, const struct tstream_spec *spec, struct err *e);
/* The next n bytes of the tensors' data, in pieces of any size. */
int tstream_push(struct tstream_writer *w, const void *p, size_t n, struct err *e);
/* After the last byte (fewer is a BUG): the last frames and the table. Takes w, whatever comes out. */
int tstream_finish(struct tstream_writer *w, struct err *e);
void tstream_abort(struct tstream_writer *w);

/* ---- reading ---- */
struct tstream;
/* "-" is stdin. A regular file is mapped and its table checked first; anything else is read as it comes.
   Reads as far as the header. give: tstream_close. Errors carry the name. */
struct tstream *tstream_open(const char *path, struct err *e);
/* Over memory that outlives the object, as a file. */
struct tstream *tstream_over(const void *p, size_t n, const char *name, struct err *e);
/* From an open FILE, which stays the caller's, as a pipe. */
struct tstream *tstream_from(FILE *f, const char *name, struct err *e);
void tstream_close(struct tstream *s);
const char *tstream_name(const struct tstream *s);                   /* for messages */
const struct safetensors *tstream_header(const struct tstream *s);   /* names, types, shapes as they lie; data NULL */
bool tstream_seekable(const struct tstream *s);
/* The next n bytes of the tensors' data, in data order: tensor by tensor as the header has them. dst NULL passes over them. */
int tstream_read(struct tstream *s, void *dst, size_t n, struct err *e);
/* Goes to byte `offset` of the data. Only forwards unless tstream_seekable. */
int tstream_seek(struct tstream *s, uint64_t offset, struct err *e);
/* The safetensors file's own first bytes (length and JSON), for copies. */
void tstream_head_bytes(const struct tstream *s, const void **p, size_t *n);
int64_t tstream_frames(const struct tstream *s); /* read so far; of a file: all, the leading one apart */

/* ---- what tensors are, by their names: in a stream, or in the safetensors file made of one ---- */
enum tstream_kind {
    TSTREAM_TENSOR, /* a tensor of the model */
    TSTREAM_PACKED, /* a file that travels along */
    TSTREAM_STATE   /* the description of the block type of its neighbour */
};
/* Fills view[i] and kind[i] for every tensor of s: as they lie, but U8 tensors beside "NAME.quant_state.coador__TYPE"
   get that type and their true shape (data and bytes stay). Checks lengths, names and order of files and descriptions. */
int tstream_view(const struct safetensors *s, struct tensor *view, enum tstream_kind *kind, struct err *e);
/* Whether tensors of this type are stored with a description: GGUF's blocks, which hold their scales. */
bool tstream_is_block(enum dtype t);
/* Name and true length of the packed file t. */
const char *tstream_file_name(const struct tensor *t);
size_t tstream_file_length(const struct safetensors *s, const struct tensor *t);
/* The content of t as its kind wants it: newlines behind a file, a description that equals what the header says. */
int tstream_check(const struct safetensors *s, const struct tensor *t, enum tstream_kind kind, const void *bytes, struct err *e);
#endif
