/* Sorted runs in files: see rowrun.h. */
#include "common/text/rowrun.h"
#include "common/io/buf.h"
#include "common/io/io.h"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define PAGE 512   /* entries read at a time to find one: 8 KiB */
#define PIECE 4096 /* entries read and written at a time to merge: 64 KiB */
#define MOST 8     /* runs merged at a time */

struct rowrun {
    int fd;
    size_t n; /* entries */
};

static int broken(const char *what, struct err *e) { return err_sys(e, "cannot %s the temporary file of the rows' hashes", what); }

static struct rowrun *new_run(struct err *e) {
    int fd = io_scratch(e);
    if (fd < 0) return NULL;
    struct rowrun *r = xcalloc(1, sizeof *r);
    r->fd = fd;
    return r;
}

void rowrun_free(struct rowrun *r) {
    if (!r) return;
    close(r->fd);
    free(r);
}

/* ---- entries to the end, entries from a place ---- */
static int append(struct rowrun *r, const struct rowrun_entry *x, size_t n, struct err *e) {
    const char *p = (const char *)x;
    for (size_t left = n * sizeof *x; left;) {
        ssize_t done = write(r->fd, p, left);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return broken("write", e);
        p += done;
        left -= (size_t)done;
    }
    r->n += n;
    return 0;
}

static int read_at(const struct rowrun *r, size_t at, struct rowrun_entry *x, size_t n, struct err *e) {
    char *p = (char *)x;
    off_t from = (off_t)(at * sizeof *x);
    for (size_t left = n * sizeof *x; left;) {
        ssize_t done = pread(r->fd, p, left, from);
        if (done < 0 && errno == EINTR) continue;
        if (!done) errno = EIO;
        if (done <= 0) return broken("read", e);
        p += done;
        from += done;
        left -= (size_t)done;
    }
    return 0;
}

struct rowrun *rowrun_write(const struct rowrun_entry *x, size_t n, struct err *e) {
    struct rowrun *r = new_run(e);
    if (!r || append(r, x, n, e) == 0) return r;
    rowrun_free(r);
    return NULL;
}

/* ---- finding: hashes are spread evenly, so a hash says about where it stands ---- */
int rowrun_find(const struct rowrun *r, uint64_t hash, uint64_t *times, struct err *e) {
    struct rowrun_entry x[PAGE];
    size_t from = 0, to = r->n; /* where it can stand, the hashes there being low … high */
    double low = 0, high = 0x1p64;
    *times = 0;
    while (from < to) {
        double share = high > low ? ((double)hash - low) / (high - low) : 0;
        size_t guess = from + (size_t)((share > 0 ? share < 1 ? share : 1 : 0) * (double)(to - from));
        size_t at = guess > from + PAGE / 2 ? guess - PAGE / 2 : from;
        if (to - at < PAGE) at = to - from > PAGE ? to - PAGE : from;
        size_t n = to - at < PAGE ? to - at : PAGE, a = 0, b = n;
        if (read_at(r, at, x, n, e) < 0) return -1;
        if (hash < x[0].hash) {
            to = at;
            high = (double)x[0].hash;
        } else if (hash > x[n - 1].hash) {
            from = at + n;
            low = (double)x[n - 1].hash;
        } else {
            while (b - a > 1) *(x[(a + b) / 2].hash <= hash ? &a : &b) = (a + b) / 2;
            if (x[a].hash == hash) *times = x[a].times;
            return 0;
        }
    }
    return 0;
}

/* ---- merging ---- */
struct source {
    const struct rowrun *run;
    struct rowrun_entry *x; /* a piece of it, at..n still to come */
    size_t at, n, read;     /* read: entries of the run so far */
};

static int refill(struct source *s, struct err *e) {
    size_t left = s->run->n - s->read;
    s->at = 0;
    s->n = left < PIECE ? left : PIECE;
    s->read += s->n;
    return read_at(s->run, s->read - s->n, s->x, s->n, e);
}

/* The next entry in order of all sources: 1, 0 at the end, -1. */
static int next(struct source *s, int n, struct rowrun_entry *x, struct err *e) {
    int rc = 0;
    for (int i = 0; i < n; i++) {
        if (s[i].at == s[i].n && s[i].read < s[i].run->n && refill(&s[i], e) < 0) return -1;
        if (s[i].at < s[i].n && (!rc || s[i].x[s[i].at].hash < x->hash)) *x = s[i].x[s[i].at], rc = 1;
    }
    for (int i = 0; rc && i < n; i++) {
        if (s[i].at == s[i].n || s[i].x[s[i].at].hash != x->hash) continue;
        if (s[i].x[s[i].at].times > x->times) x->times = s[i].x[s[i].at].times;
        s[i].at++;
    }
    return rc;
}

static int merge(struct rowrun *to, struct source *s, int n, struct rowrun_entry *out, struct err *e) {
    size_t k = 0;
    int rc;
    while ((rc = next(s, n, &out[k], e)) > 0) {
        if (++k < PIECE) continue;
        if (append(to, out, k, e) < 0) return -1;
        k = 0;
    }
    return rc < 0 ? -1 : append(to, out, k, e);
}

struct rowrun *rowrun_merge(struct rowrun *const *runs, int n, struct err *e) {
    if (n > MOST) BUG("%d runs, at most %d", n, MOST);
    struct source s[MOST] = {{0}};
    struct rowrun *to = new_run(e);
    if (!to) return NULL;
    struct rowrun_entry *pieces = xcalloc((size_t)(n + 1) * PIECE, sizeof *pieces);
    for (int i = 0; i < n; i++) s[i] = (struct source){.run = runs[i], .x = pieces + (size_t)i * PIECE};
    int rc = merge(to, s, n, pieces + (size_t)n * PIECE, e);
    free(pieces);
    if (rc == 0) return to;
    rowrun_free(to);
    return NULL;
}
