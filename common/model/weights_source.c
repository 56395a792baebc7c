/* Where a model's tensors lie: a GGUF file, a directory with one model.safetensors or shards named by an index, or a
   stream (weights_flow.c). */
#include "common/io/io.h"
#include "common/io/json.h"
#include "common/io/sha256.h"
#include "common/io/tsource.h"
#include "common/model/weights.h"
#include <stdlib.h>
#include <string.h>

static int open_gguf(struct weights *w, struct err *e) {
    w->gguf = gguf_open(w->path, e);
    if (!w->gguf || config_from_gguf(&w->cfg, w->gguf, w->path, e) < 0) return -1;
    w->permuted = true;
    w->n = gguf_n_tensors(w->gguf);
    w->all = xcalloc((size_t)w->n + 1, sizeof *w->all);
    for (int i = 0; i < w->n; i++) w->all[i] = gguf_tensor_at(w->gguf, i);
    return 0;
}

/* ---- a directory ---- */
static int add_shard(struct weights *w, const char *file, struct err *e) {
    char *path = io_join(w->path, file);
    struct safetensors *s = safetensors_open(path, e);
    free(path);
    if (!s) return -1;
    int count = safetensors_count(s);
    w->shards = xrealloc(w->shards, (size_t)w->n_shards + 1, sizeof *w->shards);
    w->shards[w->n_shards++] = s;
    w->all = xrealloc(w->all, (size_t)w->n + (size_t)count + 1, sizeof *w->all);
    for (int i = 0; i < count; i++) w->all[w->n++] = safetensors_at(s, i);
    return 0;
}

/* A shard is a file in the directory itself, nowhere else. */
static int check_shard_name(const struct json *v, const char *index, struct err *e) {
    if (v->type == JSON_STRING && v->len && strlen(v->str) == v->len && !strchr(v->str, '/') && strcmp(v->str, "..")) return 0;
    return err_set(e, RC_INPUT, "%s: tensor %s lies in %.*s, expected the name of a file beside the index", index, v->key,
                   (int)(v->raw_len < 80 ? v->raw_len : 80), v->raw);
}

/* Each tensor of the index must be in the shard it names, and the shards must hold no other. */
static int check_index(const struct weights *w, const struct json *map, char **files, const char *index, struct err *e) {
    for (const struct json *v = map->first; v; v = v->next) {
        int s = 0;
        while (strcmp(files[s], v->str)) s++;
        if (!safetensors_get(w->shards[s], v->key)) return err_set(e, RC_INPUT, "%s: tensor %s is not in %s", index, v->key, v->str);
    }
    if ((size_t)w->n != map->count)
        return err_set(e, RC_INPUT, "%s: the shards hold %d tensors, the index names %zu", index, w->n, map->count);
    return 0;
}

static int open_shards(struct weights *w, const struct json *root, const char *index, struct err *e) {
    const struct json *map = json_get(root, "weight_map");
    char **files = NULL;
    int n = 0, rc = 0;
    if (!map || map->type != JSON_OBJECT || !map->count) return err_set(e, RC_INPUT, "%s: weight_map is missing or empty", index);
    for (const struct json *v = map->first; !rc && v; v = v->next) {
        int s = 0;
        if ((rc = check_shard_name(v, index, e)) < 0) break;
        while (s < n && strcmp(files[s], v->str)) s++;
        if (s < n) continue;
        files = xrealloc(files, (size_t)n + 1, sizeof *files);
        files[n++] = xstrdup(v->str);
        rc = add_shard(w, v->str, e);
    }
    if (!rc) rc = check_index(w, map, files, index, e);
    for (int i = 0; i < n; i++) free(files[i]);
    free(files);
    return rc;
}

static int open_tensors(struct weights *w, struct err *e) {
    char *single = io_join(w->path, "model.safetensors"), *index = io_join(w->path, "model.safetensors.index.json");
    int rc;
    if (io_exists(single)) {
        rc = add_shard(w, "model.safetensors", e);
    } else if (io_exists(index)) {
        struct json_doc *doc = json_read_file(index, e);
        rc = doc ? open_shards(w, json_root(doc), index, e) : -1;
        json_doc_free(doc);
    } else {
        rc = err_set(e, RC_INPUT, "%s: neither model.safetensors nor model.safetensors.index.json is there", w->path);
    }
    free(single);
    free(index);
    return rc;
}

static int open_dir(struct weights *w, struct err *e) {
    char *config = io_join(w->path, "config.json");
    int rc = config_from_json(&w->cfg, config, e);
    free(config);
    return rc < 0 ? -1 : open_tensors(w, e);
}

int weights_source(struct weights *w, struct err *e) {
    if (io_is_dir(w->path)) return open_dir(w, e);
    enum tsource_format format = tsource_sniff(w->path);
    return format == TSOURCE_STREAM || format == TSOURCE_SAFETENSORS ? flow_open(w, e) : open_gguf(w, e);
}

/* ---- identity ---- */
static int by_line(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Name, type, sizes joined by x, SHA-256 of the bytes; parted by single spaces. give. */
static char *identity_line(const struct weights *w, int i) {
    const struct tensor *t = w->all[i];
    struct buf b = BUF_INIT;
    char hex[65];
    buf_addf(&b, "%s %s ", t->name, dtype_name(t->type));
    for (int k = 0; k < t->dims; k++) buf_addf(&b, "%s%lld", k ? "x" : "", (long long)t->shape[k]);
    if (!w->flow) sha256_hex(t->data, t->bytes, hex);
    buf_addf(&b, " %s\n", w->flow ? flow_digest(w->flow, i) : hex);
    return buf_detach(&b);
}

/* A GGUF file: its SHA-256. Tensors in a directory, however it is sharded, or in a stream: the SHA-256 of their sorted
   identity lines. */
void weights_hash(const struct weights *w, char hex[65]) {
    if (w->gguf) {
        const void *p;
        size_t n;
        gguf_bytes(w->gguf, &p, &n);
        sha256_hex(p, n, hex);
        return;
    }
    struct buf b = BUF_INIT;
    char **line = xcalloc((size_t)w->n + 1, sizeof *line);
    for (int i = 0; i < w->n; i++) line[i] = identity_line(w, i);
    qsort(line, (size_t)w->n, sizeof *line, by_line);
    for (int i = 0; i < w->n; i++) {
        buf_adds(&b, line[i]);
        free(line[i]);
    }
    sha256_hex(b.p, b.n, hex);
    buf_release(&b);
    free(line);
}
