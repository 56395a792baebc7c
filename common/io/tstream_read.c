/* Reading tensor streams: see tstream.h. Frames come from a mapped file, whose table says where they are, or from a
   pipe, where each one's own bytes say where it ends and the table is compared when it comes. A batch of frames is
   decompressed at once; what goes wrong in it is told after the good frames before it were given, so that what a
   caller gets does not depend on the number of threads. */
#include "common/io/tstream_impl.h"
#include "kernels/cpu/pool.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_BYTES ((size_t)128 << 20) /* of data; a batch has one frame at least */

/* ---- bytes of frames ---- */
/* 1: n bytes; 0: the input ended before; -1: it cannot be read. */
static int pipe_bytes(struct tstream *s, void *p, size_t n, struct err *e) {
    errno = 0;
    size_t got = fread(p, 1, n, s->f);
    if (got == n) return 1;
    return ferror(s->f) ? err_sys(e, "cannot read") : 0;
}

static int cut_off(const struct tstream *s, struct err *e) {
    if (s->total == UNKNOWN) return err_set(e, RC_INPUT, "truncated inside the header");
    return err_set(e, RC_INPUT, "truncated: it ends after %" PRIu64 " of %" PRIu64 " bytes of data", s->produced, s->total);
}

static int pipe_frame(struct tstream *s, struct slot *x, struct ts_scan *scan, struct err *e) {
    size_t have = 0;
    int rc;
    while ((rc = ts_scan(scan, (unsigned char *)x->own.p, e)) == 0) {
        if (x->own.cap < scan->need) { /* a frame is not much larger than its data: ts_scan sees to it */
            x->own.cap = scan->need + scan->need / 2;
            x->own.p = xrealloc(x->own.p, x->own.cap, 1);
        }
        if ((rc = pipe_bytes(s, x->own.p + have, scan->need - have, e)) <= 0) return rc < 0 ? -1 : cut_off(s, e);
        have = scan->need;
    }
    x->p = (unsigned char *)x->own.p;
    x->n = have;
    return rc < 0 ? -1 : 0;
}

static int file_frame(struct tstream *s, struct slot *x, struct ts_scan *scan, struct err *e) {
    const struct ts_entry *t = &s->table[s->next];
    int rc;
    if (s->next >= s->n_table) return cut_off(s, e);
    x->p = s->map.p + s->at_packed[s->next];
    x->n = t->packed;
    while ((rc = ts_scan(scan, x->p, e)) == 0)
        if (scan->need > x->n) return err_set(e, RC_INPUT, "frame is longer than the seek table has it");
    if (rc < 0) return -1;
    if (scan->need != x->n || scan->content != t->bytes || ts_get32(x->p + x->n - 4) != t->check)
        return err_set(e, RC_INPUT, "frame differs from its entry in the seek table");
    return 0;
}

static int slot_room(struct slot *x, size_t bytes, struct err *e) {
    if (x->cap < bytes) {
        free(x->data);
        x->data = malloc(bytes);
        x->cap = x->data ? bytes : 0;
        if (!x->data) return err_set(e, RC_IO, "out of memory: a frame needs %zu bytes", bytes);
    }
    x->bytes = bytes;
    return 0;
}

/* The next frame's bytes into x, and room for its data. */
static int load_frame(struct tstream *s, struct slot *x, struct err *e) {
    struct ts_scan scan = {0};
    if ((s->mapped ? file_frame(s, x, &scan, e) : pipe_frame(s, x, &scan, e)) < 0) return -1;
    if (s->total != UNKNOWN && s->produced + scan.content > s->total)
        return err_set(e, RC_INPUT, "more data than the %" PRIu64 " bytes its header tells of", s->total);
    if (slot_room(x, scan.content, e) < 0) return -1;
    if (!s->mapped) {
        GROW(s->table, s->n_table, s->cap_table);
        s->table[s->n_table++] = (struct ts_entry){(uint32_t)x->n, (uint32_t)scan.content, ts_get32(x->p + x->n - 4)};
    }
    s->next++;
    s->produced += scan.content;
    return 0;
}

/* ---- the end of a pipe ---- */
static int pipe_table(struct tstream *s, struct err *e) {
    size_t n = (size_t)ts_table_bytes(s->n_table), count = 0;
    unsigned char *p = xmalloc(n);
    struct ts_entry *x = xcalloc(s->n_table, sizeof *x);
    int rc = pipe_bytes(s, p, 4, e);
    if (rc == 0) {
        rc = err_set(e, RC_INPUT, "truncated: the seek table at its end is missing");
    } else if (rc > 0 && ts_get32(p) != TS_TABLE_MAGIC) {
        rc = err_set(e, RC_INPUT, "a frame behind the last tensor, expected the seek table");
    } else if (rc > 0 && (rc = pipe_bytes(s, p + 4, n - 4, e)) == 0) {
        rc = err_set(e, RC_INPUT, "truncated inside the seek table, or it has other than %zu entries", s->n_table);
    }
    if (rc > 0) rc = ts_table_count(p + n - TS_FOOTER, &count, e);
    if (!rc && count != s->n_table) rc = err_set(e, RC_INPUT, "the seek table has %zu entries, expected %zu", count, s->n_table);
    if (!rc) rc = ts_read_table(p, n, x, count, e);
    if (!rc && memcmp(x, s->table, count * sizeof *x)) rc = err_set(e, RC_INPUT, "the seek table differs from the frames");
    if (!rc && getc(s->f) != EOF) rc = err_set(e, RC_INPUT, "bytes behind the seek table");
    free(p);
    free(x);
    return rc;
}

/* ---- a batch of frames ---- */
static void decompress_slot(struct slot *x) {
    if (!x->zstd) x->zstd = ZSTD_createDCtx();
    if (!x->zstd) err_bug(__FILE__, __LINE__, "no zstd context");
    x->result = ZSTD_decompressDCtx(x->zstd, x->data, x->bytes, x->p, x->n);
}

static void decompress_slots(void *slots, int64_t begin, int64_t end, int thread) {
    for (int64_t i = begin; i < end; i++) decompress_slot((struct slot *)slots + i);
}

static int check_slot(const struct slot *x, size_t frame, struct err *e) {
    if (ZSTD_isError(x->result)) return err_set(e, RC_INPUT, "frame %zu: %s", frame, ZSTD_getErrorName(x->result));
    if (x->result != x->bytes) return err_set(e, RC_INPUT, "frame %zu holds %zu bytes of data, expected %zu", frame, x->result, x->bytes);
    return 0;
}

/* Loads frames until `want` bytes or a batch is there; how many. An error stays in s->failed. */
static int load_batch(struct tstream *s, size_t want) {
    size_t bytes = 0, most = s->sought && want < BATCH_BYTES ? want : BATCH_BYTES;
    int n = 0, limit = s->total == UNKNOWN ? 1 : s->n_slots;
    while (n < limit && bytes < most && s->produced != s->total) {
        size_t frame = s->next;
        if (load_frame(s, &s->slots[n], &s->failed) < 0) {
            err_prefix(&s->failed, "frame %zu: ", frame);
            break;
        }
        bytes += s->slots[n++].bytes;
    }
    return n;
}

/* The last frame is given only when what follows it is right. */
int ts_end_of_pipe(struct tstream *s) { return !s->mapped && s->produced == s->total && !s->failed.code ? pipe_table(s, &s->failed) : 0; }

static int refill(struct tstream *s, size_t want, struct err *e) {
    s->ready = s->cur = 0;
    s->used = 0;
    if (!s->failed.code) {
        int n = load_batch(s, want), good = 0;
        size_t first = s->next - (size_t)n;
        if (n > 1 && !s->pool) s->pool = pool_new(s->n_slots);
        if (n > 1 && s->pool)
            pool_run(s->pool, n, 1, decompress_slots, s->slots);
        else
            decompress_slots(s->slots, 0, n, 0);
        struct err bad = ERR_INIT;
        while (good < n && check_slot(&s->slots[good], first + (size_t)good, &bad) == 0) good++;
        if (bad.code) s->failed = bad;
        s->ready = good;
        if (good == n && n && ts_end_of_pipe(s) < 0) s->ready--;
    }
    if (s->ready) return 0;
    if (!s->failed.code) BUG("no frame, no error");
    *e = s->failed;
    return -1;
}

int ts_take(struct tstream *s, void *dst, size_t n, struct err *e) {
    char *p = dst;
    while (n) {
        if (s->cur == s->ready && refill(s, n, e) < 0) return -1;
        struct slot *x = &s->slots[s->cur];
        size_t part = x->bytes - s->used < n ? x->bytes - s->used : n;
        if (p) {
            memcpy(p, x->data + s->used, part);
            p += part;
        }
        s->used += part;
        s->pos += part;
        n -= part;
        if (s->used == x->bytes) {
            s->cur++;
            s->used = 0;
        }
    }
    return 0;
}

/* ---- the verbs ---- */
static int fail(const struct tstream *s, struct err *e) { return err_prefix(e, "%s: ", s->name); }

int tstream_read(struct tstream *s, void *dst, size_t n, struct err *e) {
    if (n > s->total - s->pos) BUG("%s: reading %zu bytes with %" PRIu64 " left", s->name, n, s->total - s->pos);
    return ts_take(s, dst, n, e) < 0 ? fail(s, e) : 0;
}

/* Frame in which byte `at` lies. */
static size_t frame_of(const struct tstream *s, uint64_t at) {
    size_t lo = 1, hi = s->n_table; /* at_data[lo] <= at < at_data[hi] */
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->at_data[mid] <= at)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

int tstream_seek(struct tstream *s, uint64_t offset, struct err *e) {
    uint64_t to = s->head.n + offset;
    if (to > s->total) BUG("%s: byte %" PRIu64 " of %" PRIu64, s->name, to, s->total);
    if (to == s->pos) return 0;
    if (!s->mapped && to < s->pos) return err_set(e, RC_IO, "%s: cannot go back in a pipe", s->name);
    if (!s->mapped) return tstream_read(s, NULL, (size_t)(to - s->pos), e);
    s->sought = true;
    s->ready = s->cur = 0;
    s->used = 0;
    s->failed = (struct err)ERR_INIT;
    s->next = to == s->total ? s->n_table : frame_of(s, to);
    s->produced = s->pos = s->at_data[s->next];
    return to == s->pos ? 0 : tstream_read(s, NULL, (size_t)(to - s->pos), e);
}
