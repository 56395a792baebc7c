/* Tensors' bytes, from a source to a hash or a file, a piece at a time: see tsource.h. */
#include "common/io/tsource.h"
#include <stdlib.h>

#define PIECE ((size_t)1 << 20) /* bytes */

typedef int take_fn(void *arg, const void *p, size_t n, struct err *e);

/* The first `bytes` of tensor i; a file or a description, small ones, is read whole and checked. */
static int each_piece(struct tsource *s, int i, size_t bytes, take_fn *take, void *arg, struct err *e) {
    if (tsource_kind(s, i) != TSTREAM_TENSOR) {
        char *p = tsource_read_whole(s, i, e);
        int rc = p ? take(arg, p, bytes, e) : -1;
        free(p);
        return rc;
    }
    char *piece = xmalloc(PIECE);
    int rc = 0;
    for (size_t at = 0; !rc && at < bytes; at += PIECE) {
        size_t n = bytes - at < PIECE ? bytes - at : PIECE;
        rc = tsource_read(s, i, at, piece, n, e);
        if (!rc) rc = take(arg, piece, n, e);
    }
    free(piece);
    return rc;
}

static int add(void *arg, const void *p, size_t n, struct err *e) {
    sha256_add(arg, p, n);
    return 0;
}

int tsource_hash(struct tsource *s, int i, char hex[SHA256_HEX], struct err *e) {
    struct sha256 *h = sha256_new();
    int rc = each_piece(s, i, tsource_length(s, i), add, h, e);
    sha256_end(h, hex);
    return rc;
}

static int write_piece(void *arg, const void *p, size_t n, struct err *e) { return out_put(arg, p, n, e); }

int tsource_copy(struct tsource *s, int i, size_t bytes, struct out *o, struct err *e) { return each_piece(s, i, bytes, write_piece, o, e); }

int tsource_drain(struct tsource *s, struct err *e) {
    const struct safetensors *h = tsource_header(s);
    return tsource_is_pipe(s) ? tstream_seek(tsource_stream(s), safetensors_begin(h, safetensors_count(h)), e) : 0;
}
