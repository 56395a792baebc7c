/* Opening tensor streams, their heads and tables: see tstream.h. */
#include "common/io/tstream_impl.h"
#include "kernels/cpu/pool.h"
#include <errno.h>
#include <inttypes.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int take_head(struct tstream *s, size_t n, struct err *e) {
    char piece[1 << 16]; /* a length that lies costs no memory */
    while (n) {
        size_t part = n < sizeof piece ? n : sizeof piece;
        if (ts_take(s, piece, part, e) < 0) return -1;
        buf_add(&s->head, piece, part);
        n -= part;
    }
    return 0;
}

static int check_format(const struct tstream *s, struct err *e) {
    const char *format = safetensors_meta(s->st, "format");
    if (format && !strcmp(format, "pt")) return 0;
    return err_set(e, RC_INPUT, "__metadata__.format is %s, expected pt", format ? format : "missing");
}

static int read_head(struct tstream *s, struct err *e) {
    size_t len = 0;
    if (take_head(s, 8, e) < 0 || safetensors_length((unsigned char *)s->head.p, &len, e) < 0 || take_head(s, len, e) < 0) return -1;
    s->st = safetensors_of_header(s->head.p + 8, len, e);
    if (!s->st || check_format(s, e) < 0) return -1;
    s->total = 8 + len + safetensors_begin(s->st, safetensors_count(s->st));
    if (s->produced > s->total) return err_set(e, RC_INPUT, "more data than the %" PRIu64 " bytes its header tells of", s->total);
    if (s->mapped && s->at_data[s->n_table] != s->total)
        return err_set(e, RC_INPUT, "the seek table tells of %" PRIu64 " bytes of data, the header of %" PRIu64, s->at_data[s->n_table], s->total);
    if (ts_end_of_pipe(s) == 0) return 0;
    *e = s->failed;
    return -1;
}

/* The table of a file: entries that make up the file exactly. */
static int file_table(struct tstream *s, struct err *e) {
    size_t n = 0;
    if (ts_check_lead(s->map.p, s->map.n, e) < 0) return -1;
    if (s->map.n < TS_LEAD + ts_table_bytes(1)) return err_set(e, RC_INPUT, "truncated: %zu bytes", s->map.n);
    if (ts_table_count(s->map.p + s->map.n - TS_FOOTER, &n, e) < 0) return -1;
    if (!n || ts_table_bytes(n) > s->map.n) return err_set(e, RC_INPUT, "a seek table of %zu entries does not fit the file", n);
    s->table = xcalloc(n, sizeof *s->table);
    s->n_table = n;
    size_t size = (size_t)ts_table_bytes(n);
    if (ts_read_table(s->map.p + s->map.n - size, size, s->table, n, e) < 0) return -1;
    if (memcmp(&s->table[0], &ts_lead_entry, sizeof ts_lead_entry)) return err_set(e, RC_INPUT, "the seek table's first entry is not the leading frame");
    s->at_packed = xcalloc(n + 1, sizeof *s->at_packed);
    s->at_data = xcalloc(n + 1, sizeof *s->at_data);
    for (size_t i = 0; i < n; i++) {
        s->at_packed[i + 1] = s->at_packed[i] + s->table[i].packed;
        s->at_data[i + 1] = s->at_data[i] + s->table[i].bytes;
        if (i && (!s->table[i].bytes || s->table[i].bytes > TSTREAM_MAX_FRAME))
            return err_set(e, RC_INPUT, "seek table: frame %zu has %" PRIu32 " bytes of data, expected 1 to %zu", i, s->table[i].bytes, TSTREAM_MAX_FRAME);
    }
    if (s->at_packed[n] != s->map.n - size)
        return err_set(e, RC_INPUT, "the seek table tells of %" PRIu64 " bytes of frames, the file has %zu", s->at_packed[n], s->map.n - size);
    return 0;
}

static int pipe_lead(struct tstream *s, struct err *e) {
    unsigned char lead[TS_LEAD];
    errno = 0;
    size_t n = fread(lead, 1, TS_LEAD, s->f);
    if (ferror(s->f)) return err_sys(e, "cannot read");
    GROW(s->table, s->n_table, s->cap_table);
    s->table[s->n_table++] = ts_lead_entry;
    return ts_check_lead(lead, n, e);
}

static struct tstream *begin(struct tstream *s, struct err *e) {
    int threads = omp_get_max_threads();
    s->n_slots = threads < MAX_SLOTS ? threads : MAX_SLOTS;
    s->total = UNKNOWN;
    s->next = 1;
    if ((s->mapped ? file_table(s, e) : pipe_lead(s, e)) == 0 && read_head(s, e) == 0) return s;
    err_prefix(e, "%s: ", s->name);
    tstream_close(s);
    return NULL;
}

static struct tstream *named(const char *name) {
    struct tstream *s = xcalloc(1, sizeof *s);
    s->name = xstrdup(name);
    return s;
}

struct tstream *tstream_over(const void *p, size_t n, const char *name, struct err *e) {
    struct tstream *s = named(name);
    s->map = (struct map){p, n};
    s->mapped = true;
    return begin(s, e);
}

struct tstream *tstream_from(FILE *f, const char *name, struct err *e) {
    struct tstream *s = named(name);
    s->f = f;
    return begin(s, e);
}

struct tstream *tstream_open(const char *path, struct err *e) {
    struct stat st;
    struct in in;
    if (strcmp(path, "-") && stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
        struct map m;
        if (map_open(&m, path, e) < 0) return NULL;
        struct tstream *s = named(path);
        s->map = m;
        s->mapped = s->close_f = true;
        return begin(s, e);
    }
    if (in_open(&in, path, e) < 0) return NULL;
    struct tstream *s = named(in.name);
    s->f = in.f;
    s->buffer = in.buffer;
    s->close_f = in.f != stdin;
    return begin(s, e);
}

void tstream_close(struct tstream *s) {
    if (!s) return;
    if (s->close_f && s->f) fclose(s->f);
    free(s->buffer);
    if (s->close_f && s->mapped) map_close(&s->map);
    for (int i = 0; i < MAX_SLOTS; i++) {
        buf_release(&s->slots[i].own);
        free(s->slots[i].data);
        ZSTD_freeDCtx(s->slots[i].zstd);
    }
    pool_free(s->pool);
    safetensors_close(s->st);
    buf_release(&s->head);
    free(s->table);
    free(s->at_packed);
    free(s->at_data);
    free(s->name);
    free(s);
}

/* ---- the rest ---- */
const char *tstream_name(const struct tstream *s) { return s->name; }
const struct safetensors *tstream_header(const struct tstream *s) { return s->st; }
bool tstream_seekable(const struct tstream *s) { return s->mapped; }
int64_t tstream_frames(const struct tstream *s) { return (int64_t)s->n_table - 1; }

void tstream_head_bytes(const struct tstream *s, const void **p, size_t *n) {
    *p = s->head.p;
    *n = s->head.n;
}
