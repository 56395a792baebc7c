/* Inside of io.c (input, folders) and io_out.c (output). */
#ifndef COADOR_IO_IMPL_H
#define COADOR_IO_IMPL_H
#include "common/io/io.h"
#include <string.h>

#define STREAM_BUFFER ((size_t)1 << 16) /* bytes, of streams: stdio's own is a page. Reading a pipe still returns with what is there */
/* Gives f such a buffer, which must stay until f is closed; give: free(3). */
static inline char *io_widen(FILE *f) {
    char *p = xmalloc(STREAM_BUFFER);
    setvbuf(f, p, _IOFBF, STREAM_BUFFER);
    return p;
}
static inline bool io_is_std(const char *path) { return !path || !strcmp(path, "-"); }
#endif
