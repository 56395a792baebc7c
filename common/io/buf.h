/* Growable byte string and the checked allocators.
   The x… allocators are the one exception to "common never exits": for small host objects a failed
   malloc prints "out of memory, asked for N bytes" and exits 4 (temporary outputs are removed by
   io.h's exit handler). Tensors do not come from here: kernels/device.h allocates them and fails softly. */
#ifndef COADOR_BUF_H
#define COADOR_BUF_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);            /* zeroed; checks n*size for overflow */
void *xrealloc(void *p, size_t n, size_t size);  /* n elements of size; checks overflow */
char *xstrdup(const char *s);
char *xmemdup0(const void *s, size_t n);         /* n bytes and a NUL; give */
/* Grows *p (elements of `size`) so that index n fits; *cap is the capacity in elements. */
#define GROW(p, n, cap)                                                              \
    do {                                                                             \
        if ((size_t)(n) >= (size_t)(cap)) {                                          \
            (cap) = (size_t)(n) < 8 ? 16 : (size_t)(n) * 2;                          \
            (p) = xrealloc((p), (size_t)(cap), sizeof *(p));                         \
        }                                                                            \
    } while (0)

struct buf {
    char *p;       /* always NUL-terminated once anything was added; NULL while empty */
    size_t n, cap; /* bytes */
};
#define BUF_INIT {0, 0, 0}

void buf_release(struct buf *b);
void buf_clear(struct buf *b); /* empties, keeps the memory */
void buf_reserve(struct buf *b, size_t more); /* room for that many bytes and a NUL behind the n there are */
static inline void buf_add(struct buf *b, const void *s, size_t n) {
    if (b->cap - b->n <= n) buf_reserve(b, n);
    if (n) memcpy(b->p + b->n, s, n);
    b->n += n;
    b->p[b->n] = 0;
}
static inline void buf_adds(struct buf *b, const char *s) { buf_add(b, s, strlen(s)); }
static inline void buf_addc(struct buf *b, char c) {
    if (b->cap - b->n <= 1) buf_reserve(b, 1);
    b->p[b->n++] = c;
    b->p[b->n] = 0;
}
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *buf_detach(struct buf *b); /* give: free(3) it; b is empty afterwards; never NULL */
#endif
