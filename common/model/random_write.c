/* A model with random weights, written as a stream or a directory: see random_write.h. */
#include "common/model/random_write.h"
#include "common/io/io.h"
#include "common/io/json.h"
#include <stdlib.h>
#include <string.h>

#define PIECE ((int64_t)8 << 20) /* bytes made at a time; a multiple of every value's size */

/* ---- files beside the weights ---- */
static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? xmemdup0(path, (size_t)(slash - path) + 1) : xstrdup("./");
}

static int add_neighbour(struct hf_files *x, const char *path, const char *name, struct err *e) {
    char *dir = folder_of(path), *p = io_join(dir, name);
    int rc = io_exists(p) ? hf_files_add(x, name, p, e) : 0;
    free(p);
    free(dir);
    return rc;
}

int random_files(struct hf_files *x, const char *config, const char *tokenizer, struct err *e) {
    static const char *const more[] = {"tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"};
    *x = (struct hf_files)HF_FILES_INIT;
    if (hf_files_add(x, "config.json", config, e) < 0 || add_neighbour(x, config, "generation_config.json", e) < 0) return -1;
    int rc = tokenizer ? hf_files_add(x, "tokenizer.json", tokenizer, e) : add_neighbour(x, config, "tokenizer.json", e);
    for (int i = 0; !rc && i < 3; i++) rc = add_neighbour(x, tokenizer ? tokenizer : config, more[i], e);
    return rc;
}

int random_spread(const struct hf_files *x, const char *name, float *std, struct err *e) {
    struct json_doc *d = json_parse_named(x->f[0].p, x->f[0].n, name, e);
    if (!d) return -1;
    const struct json *v = json_get(json_root(d), "initializer_range");
    double s = v && v->type == JSON_NUMBER ? v->number : 0.02;
    json_doc_free(d);
    *std = (float)s;
    return s > 0 && s < 1e4 ? 0 : err_set(e, RC_INPUT, "%s: initializer_range is %g, expected a number above 0", name, s);
}

/* ---- weights ---- */
typedef int push_fn(void *arg, const void *p, size_t n, struct err *e);

static int fill(const struct random_model *r, push_fn *push, void *arg, struct err *e) {
    char *piece = xmalloc(PIECE);
    int rc = 0;
    for (int i = 0; !rc && i < r->n; i++) {
        int64_t count = tensor_values(&r->t[i]), size = (int64_t)dtype_block_bytes(r->t[i].type), most = PIECE / size;
        for (int64_t at = 0; !rc && at < count; at += most) {
            int64_t n = count - at < most ? count - at : most;
            random_model_fill(r, i, at, n, piece);
            rc = push(arg, piece, (size_t)(n * size), e);
        }
    }
    free(piece);
    return rc;
}

static int push_stream(void *w, const void *p, size_t n, struct err *e) { return tstream_push(w, p, n, e); }
static int push_file(void *h, const void *p, size_t n, struct err *e) { return hf_weights_push(h, p, n, e); }

int random_write_stream(const struct random_model *r, const struct hf_files *x, int level, FILE *f, struct err *e) {
    const struct tstream_spec spec = {.t = r->t, .n = r->n, .files = x->f, .n_files = x->n, .level = level};
    struct tstream_writer *w = tstream_create(f, &spec, e);
    if (!w) return -1;
    if (fill(r, push_stream, w, e) == 0) return tstream_finish(w, e);
    tstream_abort(w);
    return -1;
}

static int write_weights(const struct random_model *r, const char *dir, struct err *e) {
    struct hf_weights *h = hf_weights_create(dir, r->t, r->n, UINT64_MAX, e);
    if (!h) return -1;
    if (fill(r, push_file, h, e) == 0) return hf_weights_finish(h, e);
    hf_weights_abort(h);
    return -1;
}

int random_write_dir(const struct random_model *r, const struct hf_files *x, const char *path, struct err *e) {
    char *tmp = io_tmpdir(path, e);
    if (!tmp) return -1;
    if (hf_files_write(x, tmp, e) == 0 && write_weights(r, tmp, e) == 0) return io_commit_dir(tmp, path, e);
    io_abort_dir(tmp);
    return -1;
}
