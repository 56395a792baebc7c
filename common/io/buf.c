/* Growable byte string and the checked allocators: see buf.h. */
#include "common/io/buf.h"
#include "common/io/err.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *p, size_t n) {
    if (!p) {
        fprintf(stderr, "coador: out of memory, asked for %zu bytes\n", n);
        exit(RC_IO);
    }
    return p;
}

void *xmalloc(size_t n) { return checked(malloc(n ? n : 1), n); }

void *xcalloc(size_t n, size_t size) { return checked(calloc(n ? n : 1, size ? size : 1), n * size); }

void *xrealloc(void *p, size_t n, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes)) checked(NULL, SIZE_MAX);
    return checked(realloc(p, bytes ? bytes : 1), bytes);
}

char *xstrdup(const char *s) { return xmemdup0(s, strlen(s)); }

char *xmemdup0(const void *s, size_t n) {
    char *p = xmalloc(n + 1);
    if (n) memcpy(p, s, n);
    p[n] = 0;
    return p;
}

void buf_release(struct buf *b) {
    free(b->p);
    *b = (struct buf)BUF_INIT;
}

void buf_clear(struct buf *b) {
    b->n = 0;
    if (b->p) b->p[0] = 0;
}

void buf_reserve(struct buf *b, size_t more) {
    size_t need = b->n + more + 1;
    if (need < b->n) checked(NULL, SIZE_MAX);
    if (need <= b->cap) return;
    b->cap = need < 64 ? 64 : need + need / 2;
    b->p = xrealloc(b->p, b->cap, 1);
}

void buf_addf(struct buf *b, const char *fmt, ...) {
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) BUG("bad format %s", fmt);
    buf_reserve(b, (size_t)n);
    vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
    va_end(again);
    b->n += (size_t)n;
}

char *buf_detach(struct buf *b) {
    char *p = b->p ? b->p : xstrdup("");
    *b = (struct buf)BUF_INIT;
    return p;
}
