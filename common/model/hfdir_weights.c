/* Weights into safetensors files of a directory, as their bytes come: see hfdir.h. Where each tensor lies is settled first;
   a file's bytes then come in another order than they lie, so each tensor is sought out once. */
#include "common/io/io.h"
#include "common/io/json.h"
#include "common/model/hfdir.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct place { /* of a tensor, in the order of coming */
    char *name;
    int file;
    uint64_t at; /* in its file, bytes */
    size_t bytes;
};

struct hf_weights {
    char *dir;
    struct place *v;
    int n, next;     /* the tensor whose bytes come */
    size_t done;     /* of them */
    int files, open; /* the file that is open, or -1 */
    FILE *f;
    char *path;      /* of f */
};

/* ---- where they lie ---- */
static void file_name(char *s, size_t room, int file, int files) {
    if (files == 1)
        snprintf(s, room, "model.safetensors");
    else
        snprintf(s, room, "model-%05d-of-%05d.safetensors", file + 1, files);
}

/* Tensors to files, in the order of coming. */
static void share_out(struct hf_weights *h, const struct tensor *t, uint64_t most) {
    uint64_t bytes = 0;
    int first = 0;
    h->files = 1;
    for (int i = 0; i < h->n; i++) {
        if (i > first && (t[i].bytes > most || bytes > most - t[i].bytes)) {
            h->files++;
            bytes = 0;
            first = i;
        }
        bytes += t[i].bytes;
        h->v[i] = (struct place){xstrdup(t[i].name), h->files - 1, 0, t[i].bytes};
    }
}

/* Tensors first..end of one file: header written, places settled. */
static int lay_out(struct hf_weights *h, const struct tensor *t, int first, int end, FILE *f, const char *path, struct err *e) {
    static const char *const meta[] = {"format", "pt", NULL};
    struct tensor *list = xcalloc((size_t)(end - first) + 1, sizeof *list);
    int *from = xcalloc((size_t)(end - first) + 1, sizeof *from), n = 0;
    struct buf head = BUF_INIT;
    for (size_t width = 8; width; width /= 2)
        for (int i = first; i < end; i++)
            if ((dtype_block(t[i].type) == 1 ? dtype_block_bytes(t[i].type) : 1) == width) { /* the header's writer refuses block types */
                from[n] = i;
                list[n++] = t[i];
            }
    int rc = safetensors_put_header(&head, list, n, meta, e);
    uint64_t at = head.n;
    for (int i = 0; i < n; i++) {
        h->v[from[i]].at = at;
        at += t[from[i]].bytes;
    }
    if (!rc && fwrite(head.p, 1, head.n, f) != head.n) rc = err_sys(e, "cannot write %s", path);
    buf_release(&head);
    free(list);
    free(from);
    return rc;
}

static int close_file(struct hf_weights *h, struct err *e) {
    int rc = h->f && fclose(h->f) ? err_sys(e, "cannot write %s", h->path) : 0;
    h->f = NULL;
    free(h->path);
    h->path = NULL;
    return rc;
}

static int open_file(struct hf_weights *h, int file, const char *mode, struct err *e) {
    char name[60];
    if (close_file(h, e) < 0) return -1;
    file_name(name, sizeof name, file, h->files);
    h->path = io_join(h->dir, name);
    h->open = file;
    h->f = fopen(h->path, mode);
    return h->f ? 0 : err_sys(e, "cannot write %s", h->path);
}

static int write_headers(struct hf_weights *h, const struct tensor *t, struct err *e) {
    for (int file = 0, i = 0; file < h->files; file++) {
        int end = i;
        while (end < h->n && h->v[end].file == file) end++;
        if (open_file(h, file, "wb", e) < 0 || lay_out(h, t, i, end, h->f, h->path, e) < 0) return -1;
        i = end;
    }
    h->open = -1;
    return close_file(h, e);
}

static int write_index(const struct hf_weights *h, struct err *e) {
    struct buf b = BUF_INIT;
    uint64_t total = 0;
    char name[60];
    for (int i = 0; i < h->n; i++) total += h->v[i].bytes;
    buf_addf(&b, "{\n  \"metadata\": {\"total_size\": %" PRIu64 "},\n  \"weight_map\": {", total);
    for (int i = 0; i < h->n; i++) {
        file_name(name, sizeof name, h->v[i].file, h->files);
        buf_adds(&b, i ? ",\n    " : "\n    ");
        json_put_string(&b, h->v[i].name, strlen(h->v[i].name));
        buf_addf(&b, ": \"%s\"", name);
    }
    buf_adds(&b, "\n  }\n}\n");
    char *path = io_join(h->dir, "model.safetensors.index.json");
    int rc = io_write_file(path, b.p, b.n, e);
    free(path);
    buf_release(&b);
    return rc;
}

/* ---- the bytes ---- */
struct hf_weights *hf_weights_create(const char *dir, const struct tensor *t, int n, uint64_t shard, struct err *e) {
    struct hf_weights *h = xcalloc(1, sizeof *h);
    h->dir = xstrdup(dir);
    h->n = n;
    h->open = -1;
    h->v = xcalloc((size_t)n + 1, sizeof *h->v);
    share_out(h, t, shard);
    if (write_headers(h, t, e) == 0 && (h->files == 1 || write_index(h, e) == 0)) return h;
    hf_weights_abort(h);
    return NULL;
}

/* To the beginning of tensor `next`. */
static int seek(struct hf_weights *h, struct err *e) {
    const struct place *p = &h->v[h->next];
    if (h->open != p->file && open_file(h, p->file, "rb+", e) < 0) return -1;
    return fseeko(h->f, (off_t)p->at, SEEK_SET) ? err_sys(e, "cannot write %s", h->path) : 0;
}

int hf_weights_push(struct hf_weights *h, const void *p, size_t n, struct err *e) {
    for (const char *s = p; n;) {
        while (h->next < h->n && h->done == h->v[h->next].bytes) h->next++, h->done = 0;
        if (h->next == h->n) BUG("more bytes than announced");
        if (!h->done && seek(h, e) < 0) return -1;
        size_t room = h->v[h->next].bytes - h->done, k = n < room ? n : room;
        if (fwrite(s, 1, k, h->f) != k) return err_sys(e, "cannot write %s", h->path);
        h->done += k;
        s += k;
        n -= k;
    }
    return 0;
}

int hf_weights_files(const struct hf_weights *h) { return h->files; }

int hf_weights_finish(struct hf_weights *h, struct err *e) {
    while (h->next < h->n && h->done == h->v[h->next].bytes) h->next++, h->done = 0;
    if (h->next < h->n) BUG("tensor %s did not come", h->v[h->next].name);
    int rc = close_file(h, e);
    hf_weights_abort(h);
    return rc;
}

void hf_weights_abort(struct hf_weights *h) {
    struct err ignored;
    if (!h) return;
    close_file(h, &ignored);
    for (int i = 0; i < h->n; i++) free(h->v[i].name);
    free(h->v);
    free(h->dir);
    free(h);
}
