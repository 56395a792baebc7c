/* Writing tensor streams: see tstream.h. The spec becomes a list of segments, in data order: packed files and
   descriptions of block types, whose bytes are here, and tensors, whose bytes the caller pushes. What comes fills one
   slot (frame) after the other; when all are full they are compressed at once and written in order. */
#include "common/io/tstream_frame.h"
#include "kernels/cpu/pool.h"
#include <errno.h>
#include <inttypes.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define MAX_SLOTS 16

struct segment {
    struct tensor t; /* as it lies in the stream */
    char *own;       /* its bytes if they are made here, else NULL */
};

struct slot { /* one frame */
    unsigned char *data;
    size_t n;
    struct buf packed;
    ZSTD_CCtx *zstd;
    size_t failed; /* zstd's error, or 0 */
};

struct tstream_writer {
    FILE *f;
    int level;
    size_t frame; /* bytes */
    struct segment *seg;
    int n_seg, at;
    size_t left;  /* bytes of seg[at] still to come */
    char **strings; /* made here */
    int n_strings, cap_strings;
    struct slot slots[MAX_SLOTS];
    int n_slots, full;
    struct pool *pool; /* from the first time that several are compressed at once */
    struct ts_entry *table;
    size_t n_table, cap_table;
};

/* ---- the spec as segments ---- */
static char *keep(struct tstream_writer *w, char *s) {
    GROW(w->strings, w->n_strings, w->cap_strings);
    return w->strings[w->n_strings++] = s;
}

static char *keep_text(struct tstream_writer *w, const char *a, const char *b, const char *c) {
    struct buf s = BUF_INIT;
    buf_addf(&s, "%s%s%s", a, b, c);
    return keep(w, buf_detach(&s));
}

/* Bytes made here, with newlines up to a multiple of 64. */
static void add_own(struct tstream_writer *w, char *name, const void *p, size_t n) {
    size_t padded = (n + 63) / 64 * 64;
    struct segment *s = &w->seg[w->n_seg++];
    s->own = keep(w, xmalloc(padded + 1));
    if (n) memcpy(s->own, p, n);
    memset(s->own + n, '\n', padded - n);
    s->t = (struct tensor){.name = name, .type = DT_U8, .dims = 1, .shape = {(int64_t)padded}, .bytes = padded};
}

/* q4_1 of (rows,cols) becomes its description and U8 of (rows, bytes a row). */
static int add_blocks(struct tstream_writer *w, const struct tensor *t, struct err *e) {
    const char *type = dtype_name(t->type);
    struct tensor u8 = *t;
    struct buf b = BUF_INIT;
    if (!t->dims || t->shape[t->dims - 1] % dtype_block(t->type))
        return err_set(e, RC_INPUT, "tensor %s of type %s has rows that are not whole blocks of %d", t->name, type, dtype_block(t->type));
    buf_addf(&b, "{\"type\":\"%s\",\"shape\":[", type);
    for (int i = 0; i < t->dims; i++) buf_addf(&b, "%s%" PRId64, i ? "," : "", t->shape[i]);
    buf_adds(&b, "]}");
    add_own(w, keep_text(w, t->name, ".quant_state.coador__", type), b.p, b.n);
    buf_release(&b);
    u8.type = DT_U8;
    u8.shape[t->dims - 1] = (int64_t)dtype_bytes(t->type, t->shape[t->dims - 1]);
    w->seg[w->n_seg++].t = u8;
    return 0;
}

static int add_file(struct tstream_writer *w, const struct tstream_file *f, struct err *e) {
    if (!f->name[0] || strchr(f->name, '/') || !strcmp(f->name, ".") || !strcmp(f->name, ".."))
        return err_set(e, RC_INPUT, "a file named \"%s\" cannot travel along: the name must be one of a file in a folder", f->name);
    add_own(w, keep_text(w, TSTREAM_FILE_PREFIX, f->name, ""), f->p, f->n);
    return 0;
}

static int make_segments(struct tstream_writer *w, const struct tstream_spec *s, struct err *e) {
    w->seg = xcalloc((size_t)s->n_files + 2 * (size_t)s->n + 1, sizeof *w->seg);
    for (int i = 0; i < s->n_files; i++)
        if (add_file(w, &s->files[i], e) < 0) return -1;
    for (int i = 0; i < s->n; i++) {
        if (!strncmp(s->t[i].name, TSTREAM_FILE_PREFIX, strlen(TSTREAM_FILE_PREFIX)))
            return err_set(e, RC_INPUT, "tensor %s has a name that is kept for files", s->t[i].name);
        if (!tstream_is_block(s->t[i].type)) /* bare bits, such as nf4, are refused by the header's writer: U8 is what they are */
            w->seg[w->n_seg++].t = s->t[i];
        else if (add_blocks(w, &s->t[i], e) < 0)
            return -1;
    }
    for (int i = 0; i < w->n_seg; i++) { /* the caller's strings may go before us */
        w->seg[i].t.name = keep(w, xstrdup(w->seg[i].t.name));
        w->seg[i].t.data = NULL;
    }
    return 0;
}

static const char **make_meta(struct tstream_writer *w, const struct tstream_spec *s) {
    int n = 0, at = 0;
    char length[24];
    while (s->meta && s->meta[n]) n++;
    const char **meta = xcalloc((size_t)n + 2 * (size_t)s->n_files + 3, sizeof *meta);
    meta[at++] = "format";
    meta[at++] = "pt";
    for (int i = 0; i < n; i++) meta[at++] = s->meta[i];
    for (int i = 0; i < s->n_files; i++) {
        snprintf(length, sizeof length, "%zu", s->files[i].n);
        meta[at++] = w->seg[i].t.name;
        meta[at++] = keep(w, xstrdup(length));
    }
    return meta;
}

static int make_header(struct tstream_writer *w, const struct tstream_spec *s, struct buf *b, struct err *e) {
    struct tensor *t = xcalloc((size_t)w->n_seg + 1, sizeof *t);
    const char **meta = make_meta(w, s);
    for (int i = 0; i < w->n_seg; i++) t[i] = w->seg[i].t;
    int rc = safetensors_put_header(b, t, w->n_seg, meta, e);
    free(t);
    free(meta);
    return rc;
}

/* ---- frames ---- */
static void compress_slot(const struct tstream_writer *w, struct slot *s) {
    buf_clear(&s->packed);
    s->failed = 0;
    if (w->level == TSTREAM_STORE) {
        ts_put_stored(&s->packed, s->data, s->n);
        return;
    }
    if (!s->zstd) s->zstd = ZSTD_createCCtx();
    if (!s->zstd) err_bug(__FILE__, __LINE__, "no zstd context");
    size_t most = ZSTD_compressBound(s->n);
    if (s->packed.cap < most) {
        buf_release(&s->packed);
        s->packed = (struct buf){xmalloc(most), 0, most};
    }
    ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_compressionLevel, w->level);
    ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_checksumFlag, 1);
    size_t n = ZSTD_compress2(s->zstd, s->packed.p, s->packed.cap, s->data, s->n);
    if (ZSTD_isError(n))
        s->failed = n;
    else
        s->packed.n = n;
}

static void compress_slots(void *writer, int64_t begin, int64_t end, int thread) {
    struct tstream_writer *w = writer;
    for (int64_t i = begin; i < end; i++) compress_slot(w, &w->slots[i]);
}

static int put_bytes(struct tstream_writer *w, const void *p, size_t n, struct err *e) {
    errno = 0;
    return fwrite(p, 1, n, w->f) == n ? 0 : err_sys(e, "cannot write the stream");
}

static void add_entry(struct tstream_writer *w, struct ts_entry x) {
    GROW(w->table, w->n_table, w->cap_table);
    w->table[w->n_table++] = x;
}

/* Compresses and writes every slot that holds something. */
static int flush_slots(struct tstream_writer *w, struct err *e) {
    int n = w->full + (w->full < w->n_slots && w->slots[w->full].n > 0);
    if (n > 1 && !w->pool) w->pool = pool_new(w->n_slots);
    if (n > 1 && w->pool)
        pool_run(w->pool, n, 1, compress_slots, w);
    else
        compress_slots(w, 0, n, 0);
    for (int i = 0; i < n; i++) {
        struct slot *s = &w->slots[i];
        if (s->failed) return err_set(e, RC_IO, "zstd cannot compress a frame: %s", ZSTD_getErrorName(s->failed));
        if (put_bytes(w, s->packed.p, s->packed.n, e) < 0) return -1;
        add_entry(w, (struct ts_entry){(uint32_t)s->packed.n, (uint32_t)s->n, ts_get32((unsigned char *)s->packed.p + s->packed.n - 4)});
        s->n = 0;
    }
    w->full = 0;
    return 0;
}

static int put_data(struct tstream_writer *w, const char *p, size_t n, struct err *e) {
    while (n) {
        struct slot *s = &w->slots[w->full];
        size_t part = w->frame - s->n < n ? w->frame - s->n : n;
        if (!s->data) s->data = malloc(w->frame);
        if (!s->data) return err_set(e, RC_IO, "out of memory: a frame needs %zu bytes", w->frame);
        memcpy(s->data + s->n, p, part);
        s->n += part;
        p += part;
        n -= part;
        if (s->n == w->frame && ++w->full == w->n_slots && flush_slots(w, e) < 0) return -1;
    }
    return 0;
}

/* Goes to the next segment that the caller must fill, writing those made here. */
static int next_segment(struct tstream_writer *w, struct err *e) {
    while (!w->left && ++w->at < w->n_seg) {
        const struct segment *s = &w->seg[w->at];
        if (!s->own)
            w->left = s->t.bytes;
        else if (put_data(w, s->own, s->t.bytes, e) < 0)
            return -1;
    }
    return 0;
}

/* ---- the verbs ---- */
static int begin(struct tstream_writer *w, const struct tstream_spec *s, struct err *e) {
    unsigned char lead[TS_LEAD];
    struct buf head = BUF_INIT;
    int rc = make_segments(w, s, e);
    if (!rc) rc = make_header(w, s, &head, e);
    ts_put_lead(lead);
    if (!rc) rc = put_bytes(w, lead, TS_LEAD, e);
    add_entry(w, ts_lead_entry);
    if (!rc) rc = put_data(w, head.p, head.n, e);
    while (!rc && w->at + 1 < s->n_files) { /* header and files end a frame: they are there before the weights */
        const struct segment *x = &w->seg[++w->at];
        rc = put_data(w, x->own, x->t.bytes, e);
    }
    if (!rc) rc = flush_slots(w, e);
    buf_release(&head);
    return rc ? -1 : next_segment(w, e);
}

struct tstream_writer *tstream_create(FILE *f, const struct tstream_spec *s, struct err *e) {
    struct tstream_writer *w = xcalloc(1, sizeof *w);
    int threads = omp_get_max_threads();
    w->f = f;
    w->level = s->level;
    w->frame = s->frame ? s->frame : TSTREAM_FRAME;
    w->n_slots = threads < MAX_SLOTS ? threads : MAX_SLOTS;
    w->at = -1;
    if (w->frame > TSTREAM_MAX_FRAME) BUG("frames of %zu bytes", w->frame);
    if (begin(w, s, e) == 0) return w;
    tstream_abort(w);
    return NULL;
}

int tstream_push(struct tstream_writer *w, const void *p, size_t n, struct err *e) {
    const char *s = p;
    while (n) {
        size_t part = w->left < n ? w->left : n;
        if (w->at >= w->n_seg) BUG("%zu bytes more than the tensors have", n);
        if (put_data(w, s, part, e) < 0) return -1;
        s += part;
        n -= part;
        w->left -= part;
        if (!w->left && next_segment(w, e) < 0) return -1;
    }
    return 0;
}

int tstream_finish(struct tstream_writer *w, struct err *e) {
    struct buf b = BUF_INIT;
    if (w->at < w->n_seg) BUG("tensor %s lacks %zu bytes", w->seg[w->at].t.name, w->left);
    int rc = flush_slots(w, e);
    if (!rc) {
        ts_put_table(&b, w->table, w->n_table);
        rc = put_bytes(w, b.p, b.n, e);
    }
    buf_release(&b);
    tstream_abort(w);
    return rc;
}

void tstream_abort(struct tstream_writer *w) {
    if (!w) return;
    for (int i = 0; i < MAX_SLOTS; i++) {
        free(w->slots[i].data);
        buf_release(&w->slots[i].packed);
        ZSTD_freeCCtx(w->slots[i].zstd);
    }
    for (int i = 0; i < w->n_strings; i++) free(w->strings[i]);
    pool_free(w->pool);
    free(w->strings);
    free(w->seg);
    free(w->table);
    free(w);
}

int tstream_level(const char *word) {
    char *end;
    long n = strtol(word, &end, 10);
    if (!strcmp(word, "none")) return TSTREAM_STORE;
    return end == word || *end || n < 1 || n > 19 ? -1 : (int)n;
}
