/* Tensors from wherever they come: see tsource.h. */
#include "common/io/tsource.h"
#include "common/io/gguf.h"
#include "common/io/io.h"
#include "common/io/strmap.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct tsource {
    char *path;
    struct tstream *stream; /* one of these three */
    struct safetensors *st;
    struct gguf *gguf;
    struct tensor *view;
    enum tstream_kind *kind;
    int n;
    struct strmap names;
};

enum tsource_format tsource_sniff(const char *path) {
    struct stat st;
    unsigned char p[9];
    if (!strcmp(path, "-") || stat(path, &st) < 0 || !S_ISREG(st.st_mode)) return TSOURCE_STREAM;
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(p, 1, sizeof p, f) : 0;
    if (f) fclose(f);
    if (n >= 4 && !memcmp(p, "GGUF", 4)) return TSOURCE_GGUF;
    if (n >= 4 && (!memcmp(p, "\x5a\x2a\x4d\x18", 4) || !memcmp(p, "\x28\xb5\x2f\xfd", 4))) return TSOURCE_STREAM; /* leading frame; any zstd */
    return n == 9 && p[8] == '{' ? TSOURCE_SAFETENSORS : TSOURCE_UNKNOWN;
}

static const char *name_of(const struct tsource *s) { return s->stream ? tstream_name(s->stream) : s->path; }

static int open_any(struct tsource *s, struct err *e) {
    enum tsource_format format = tsource_sniff(s->path);
    if (format == TSOURCE_STREAM && !(s->stream = tstream_open(s->path, e))) return -1;
    if (format == TSOURCE_GGUF && !(s->gguf = gguf_open(s->path, e))) return -1;
    if ((format == TSOURCE_SAFETENSORS || format == TSOURCE_UNKNOWN) && !(s->st = safetensors_open(s->path, e))) return -1;
    const struct safetensors *h = tsource_header(s);
    s->n = h ? safetensors_count(h) : gguf_n_tensors(s->gguf);
    s->view = xcalloc((size_t)s->n + 1, sizeof *s->view);
    s->kind = xcalloc((size_t)s->n + 1, sizeof *s->kind);
    if (h && tstream_view(h, s->view, s->kind, e) < 0) return err_prefix(e, "%s: ", name_of(s));
    for (int i = 0; i < s->n; i++) {
        if (!h) s->view[i] = *gguf_tensor_at(s->gguf, i);
        strmap_put(&s->names, s->view[i].name, strlen(s->view[i].name), i);
    }
    return 0;
}

struct tsource *tsource_open(const char *path, struct err *e) {
    struct tsource *s = xcalloc(1, sizeof *s);
    s->path = xstrdup(path);
    if (open_any(s, e) == 0) return s;
    tsource_close(s);
    return NULL;
}

void tsource_close(struct tsource *s) {
    if (!s) return;
    strmap_release(&s->names);
    tstream_close(s->stream);
    safetensors_close(s->st);
    gguf_close(s->gguf);
    free(s->view);
    free(s->kind);
    free(s->path);
    free(s);
}

const char *tsource_format(const struct tsource *s) { return s->stream ? "tensor stream" : s->st ? "safetensors" : "GGUF"; }
int tsource_count(const struct tsource *s) { return s->n; }
const struct tensor *tsource_at(const struct tsource *s, int i) { return &s->view[i]; }
enum tstream_kind tsource_kind(const struct tsource *s, int i) { return s->kind[i]; }
int tsource_find(const struct tsource *s, const char *name) { return strmap_get(&s->names, name, strlen(name)); }
bool tsource_is_pipe(const struct tsource *s) { return s->stream && !tstream_seekable(s->stream); }
struct tstream *tsource_stream(const struct tsource *s) { return s->stream; }
const struct safetensors *tsource_header(const struct tsource *s) { return s->stream ? tstream_header(s->stream) : s->st; }

size_t tsource_length(const struct tsource *s, int i) {
    return s->kind[i] == TSTREAM_PACKED ? tstream_file_length(tsource_header(s), &s->view[i]) : s->view[i].bytes;
}

int tsource_read(struct tsource *s, int i, size_t at, void *dst, size_t n, struct err *e) {
    const struct tensor *t = &s->view[i];
    if (at > t->bytes || n > t->bytes - at) BUG("bytes %zu+%zu of tensor %s", at, n, t->name);
    if (!s->stream) {
        if (n) memcpy(dst, (const char *)t->data + at, n);
        return 0;
    }
    if (tstream_seek(s->stream, safetensors_begin(tsource_header(s), i) + at, e) < 0) return -1;
    return tstream_read(s->stream, dst, n, e);
}

void *tsource_read_whole(struct tsource *s, int i, struct err *e) {
    const struct tensor *t = &s->view[i];
    char *p = malloc(t->bytes + 1);
    if (!p) {
        err_set(e, RC_IO, "%s: out of memory: tensor %s needs %zu bytes", name_of(s), t->name, t->bytes);
        return NULL;
    }
    if (tsource_read(s, i, 0, p, t->bytes, e) == 0) {
        if (!tsource_header(s) || tstream_check(tsource_header(s), t, s->kind[i], p, e) == 0) return p;
        err_prefix(e, "%s: ", name_of(s));
    }
    free(p);
    return NULL;
}
