/* A model that comes as one flow of tensors: a tensor stream, perhaps through a pipe, or the safetensors file made of one.
   The files that travel along are put into a folder for the readers of config.json and tokenizer.json; weights are read
   when the model asks for them, in data order. See weights.h. */
#include "common/io/io.h"
#include "common/io/sha256.h"
#include "common/io/tsource.h"
#include "common/model/weights.h"
#include <stdlib.h>
#include <string.h>

struct weights_flow {
    struct tsource *src;
    struct tensor *t;      /* those of the model, in data order; data NULL until taken */
    int *at;               /* their indices in src */
    int next;              /* index in src of what was not read yet */
    void **own;            /* memory of their bytes, NULL where mapped */
    char (*digest)[SHA256_HEX];
    char *dir;
};

/* Files without fsync: they live for a moment. */
static int put_file(const char *dir, const char *name, const void *p, size_t n, struct err *e) {
    char *path = io_join(dir, name);
    FILE *f = fopen(path, "wb");
    int rc = !f || (n && fwrite(p, 1, n, f) != n) ? err_sys(e, "cannot write %s", path) : 0;
    if (f && fclose(f) && !rc) rc = err_sys(e, "cannot write %s", path);
    free(path);
    return rc;
}

static int unpack_files(struct weights_flow *f, struct err *e) {
    const char *tmp = getenv("TMPDIR");
    struct buf b = BUF_INIT;
    int rc = 0;
    buf_addf(&b, "%s/coador-files-XXXXXX", tmp && tmp[0] ? tmp : "/tmp");
    if (!mkdtemp(b.p)) rc = err_sys(e, "cannot create directory %s", b.p);
    if (!rc) f->dir = xstrdup(b.p);
    buf_release(&b);
    for (; !rc && f->next < tsource_count(f->src) && tsource_kind(f->src, f->next) == TSTREAM_PACKED; f->next++) {
        char *p = tsource_read_whole(f->src, f->next, e);
        rc = p ? put_file(f->dir, tstream_file_name(tsource_at(f->src, f->next)), p, tsource_length(f->src, f->next), e) : -1;
        free(p);
    }
    return rc;
}

static int read_shape(struct weights *w, struct err *e) {
    if (tsource_find(w->flow->src, TSTREAM_FILE_PREFIX "config.json") < 0)
        return err_set(e, RC_INPUT, "%s: no config.json travels along, so these tensors are no model", w->path);
    char *config = io_join(w->flow->dir, "config.json");
    int rc = config_from_json(&w->cfg, config, e);
    free(config);
    return rc;
}

int flow_open(struct weights *w, struct err *e) {
    struct weights_flow *f = w->flow = xcalloc(1, sizeof *f);
    if (!(f->src = tsource_open(w->path, e)) || unpack_files(f, e) < 0 || read_shape(w, e) < 0) return -1;
    size_t n = (size_t)tsource_count(f->src) + 1;
    f->t = xcalloc(n, sizeof *f->t);
    f->at = xcalloc(n, sizeof *f->at);
    f->own = xcalloc(n, sizeof *f->own);
    f->digest = xcalloc(n, sizeof *f->digest);
    w->all = xcalloc(n, sizeof *w->all);
    for (int i = 0; i < tsource_count(f->src); i++) {
        if (tsource_kind(f->src, i) != TSTREAM_TENSOR) continue;
        f->t[w->n] = *tsource_at(f->src, i);
        f->at[w->n] = i;
        w->all[w->n] = &f->t[w->n];
        w->n++;
    }
    return 0;
}

/* Descriptions of block types on the way to tensor i. */
static int pass_states(struct weights_flow *f, int i, struct err *e) {
    for (; f->next < f->at[i]; f->next++) {
        char *p = tsource_read_whole(f->src, f->next, e);
        if (!p) return -1;
        free(p);
    }
    f->next = f->at[i] + 1;
    return 0;
}

int flow_take(struct weights *w, int i, struct err *e) {
    struct weights_flow *f = w->flow;
    struct tensor *t = &f->t[i];
    if (pass_states(f, i, e) < 0) return -1;
    if (!t->data) {
        f->own[i] = malloc(t->bytes + 1);
        if (!f->own[i]) return err_set(e, RC_IO, "out of memory: tensor %s needs %zu bytes", t->name, t->bytes);
        if (tsource_read(f->src, f->at[i], 0, f->own[i], t->bytes, e) < 0) return -1;
        t->data = f->own[i];
    }
    sha256_hex(t->data, t->bytes, f->digest[i]);
    return 0;
}

void flow_drop(struct weights *w, int i) {
    struct weights_flow *f = w->flow;
    if (!f->own[i]) return;
    free(f->own[i]);
    f->own[i] = NULL;
    f->t[i].data = NULL;
}

const char *flow_dir(const struct weights_flow *f) { return f->dir; }

const char *flow_digest(const struct weights_flow *f, int i) {
    if (!f->digest[i][0]) BUG("%s was not taken", f->t[i].name);
    return f->digest[i];
}

void flow_close(struct weights_flow *f) {
    struct err ignored;
    if (!f) return;
    if (f->dir) io_remove_tree(f->dir, &ignored);
    for (int i = 0; f->own && i < tsource_count(f->src); i++) free(f->own[i]);
    tsource_close(f->src);
    free(f->t);
    free(f->at);
    free(f->own);
    free(f->digest);
    free(f->dir);
    free(f);
}
