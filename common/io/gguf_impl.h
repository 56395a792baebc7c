/* Inside of gguf*.c: the file (gguf.c), its tensors (gguf_tensor.c), what its metadata say (gguf_get.c). */
#ifndef COADOR_GGUF_IMPL_H
#define COADOR_GGUF_IMPL_H
#include "common/io/gguf.h"
#include "common/io/io.h"
#include "common/io/strmap.h"

/* Kinds of metadata values, as numbered in the format. */
enum kind { U8, I8, U16, I16, U32, I32, F32, BOOL, STR, ARR, U64, I64, F64, N_KINDS };

struct entry { /* one key and its value */
    const char *key;
    size_t key_len;
    enum kind kind;              /* ARR: of the array itself */
    enum kind of;                /* ARR: of its elements */
    const unsigned char *p;      /* scalar: its bytes; STR: its text; ARR of fixed size: its elements */
    uint64_t n;                  /* STR: bytes; ARR: elements */
    const unsigned char **strs;  /* ARR of STR: where each element's length stands */
};

struct gguf {
    struct map map; /* empty for gguf_over */
    const unsigned char *bytes;
    size_t n_bytes;
    char *path;
    struct entry *kv;
    int n_kv, n_tensors;
    struct tensor *tensors; /* names owned */
    struct strmap keys, names;
    uint64_t alignment;
};

struct cursor {
    const unsigned char *start, *p, *end;
    const char *path;
    struct err *e;
};

static inline size_t left(const struct cursor *c) { return (size_t)(c->end - c->p); }

/* Little-endian. */
static inline uint64_t gguf_load(const unsigned char *p, int bytes) {
    uint64_t v = 0;
    for (int i = bytes; i-- > 0;) v = v << 8 | p[i];
    return v;
}

/* ---- gguf.c ---- */
/* "path: byte N: …" (RC_INPUT). */
int gguf_bad(const struct cursor *c, const unsigned char *at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The next n bytes, or NULL with the error set. */
const unsigned char *gguf_take(struct cursor *c, uint64_t n, const char *what);
int gguf_take_uint(struct cursor *c, int bytes, uint64_t *v, const char *what);
/* Keys and tensor names go into messages and look-ups: 1 to 65535 printable ASCII characters. */
int gguf_take_name(struct cursor *c, const char **s, size_t *n, const char *what);
/* ---- gguf_tensor.c ---- */
/* Reads one tensor's entry; its data offset (relative to the data part) goes to *offset. */
int gguf_take_tensor(struct cursor *c, struct tensor *t, uint64_t alignment, uint64_t *offset);
/* Turns offsets into pointers, once the data part is known to start behind the entries. */
int gguf_place_tensors(struct cursor *c, struct gguf *g, const uint64_t *offsets);
#endif
