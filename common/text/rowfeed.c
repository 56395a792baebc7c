/* Rows read ahead: see rowfeed.h. A ring of batches; the reader fills one while another is taken from. */
#include "common/text/rowfeed.h"
#include "common/io/buf.h"
#include "common/text/rowids.h"
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define RING 3
#define BATCH_BYTES ((size_t)1 << 17)
#define BATCH_ROWS 1024

struct batch {
    struct buf text;    /* the cells of all rows, each with its NUL */
    struct cell *cells; /* columns of them a row */
    size_t rows, cap;   /* cap: of cells, in rows */
    uint64_t hashes[BATCH_ROWS];
    int64_t lines[BATCH_ROWS];
    char ids[BATCH_ROWS][ROWID_SIZE];
    int end; /* what follows the last row: 1 more rows, 0 the end, -1 error */
    struct err error;
};

struct rowfeed {
    struct csv *csv;
    struct rowids *ids; /* NULL if none are wanted; the taker's */
    struct buf scratch; /* the filler's */
    size_t columns;
    struct batch *ring[RING]; /* without a thread the first alone */
    struct batch *now;        /* being read, NULL before the first */
    size_t at;                /* its next row */
    bool failed;              /* to count it: its error says why */
    size_t filled, read;      /* batches so far; filled - read are waiting, `now` among them */
    bool threaded;
    pthread_t thread;
    pthread_mutex_t lock; /* of filled, read and leave */
    pthread_cond_t more, room;
    bool leave;              /* the thread is to end */
    pthread_mutex_t hashing; /* held while rows are hashed; of stopped */
    bool stopped;
};

/* ---- filling ---- */
static void add_row(struct rowfeed *f, struct batch *b) {
    const struct cell *cells = csv_cells(f->csv), *last = &cells[f->columns - 1];
    if (b->rows == b->cap) {
        b->cap = b->cap ? 2 * b->cap : 64;
        b->cells = xrealloc(b->cells, b->cap, f->columns * sizeof *b->cells);
    }
    buf_add(&b->text, cells->p, (size_t)(last->p + last->n + 1 - cells->p));
    memcpy(b->cells + b->rows * f->columns, cells, f->columns * sizeof *cells);
    b->lines[b->rows++] = csv_line(f->csv);
}

/* Cells get their pointers when the text no longer moves. */
static void place(const struct rowfeed *f, struct batch *b) {
    const char *p = b->text.p;
    for (struct cell *c = b->cells, *end = c + b->rows * f->columns; c < end; c++) {
        c->p = p;
        p += c->n + 1;
    }
}

/* Under the lock that rowfeed_close takes: no thread may be inside libcrypto when the program ends and that is cleaned up. */
static void hash_rows(struct rowfeed *f, struct batch *b) {
    pthread_mutex_lock(&f->hashing);
    for (size_t i = 0; !f->stopped && i < b->rows; i++)
        b->hashes[i] = cells_hash(b->cells + i * f->columns, f->columns, NULL, &f->scratch);
    pthread_mutex_unlock(&f->hashing);
}

static void fill(struct rowfeed *f, struct batch *b) {
    b->rows = 0;
    b->end = 1;
    buf_clear(&b->text);
    while (b->rows < BATCH_ROWS && b->text.n < BATCH_BYTES && (b->end = csv_next(f->csv, &b->error)) > 0) add_row(f, b);
    place(f, b);
    if (f->ids) hash_rows(f, b);
}

static void *fill_all(void *arg) {
    struct rowfeed *f = arg;
    int end = 1;
    pthread_mutex_lock(&f->lock);
    for (;;) {
        while (end > 0 && f->filled - f->read == RING && !f->leave) pthread_cond_wait(&f->room, &f->lock);
        if (end <= 0 || f->leave) break;
        struct batch *b = f->ring[f->filled % RING];
        pthread_mutex_unlock(&f->lock);
        fill(f, b);
        end = b->end;
        pthread_mutex_lock(&f->lock);
        f->filled++;
        pthread_cond_signal(&f->more);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* ---- taking ---- */
#define AHEAD 16 /* rows whose counts are on their way from memory */

/* The batch's ids; where that fails its rows end, and the feed. */
static void count_rows(struct rowfeed *f, struct batch *b) {
    for (size_t i = 0; i < b->rows; i++) {
        if (i + AHEAD < b->rows) rowids_ahead(f->ids, b->hashes[i + AHEAD]);
        if (rowids_put(f->ids, b->hashes[i], b->ids[i], &b->error) == 0) continue;
        b->rows = i;
        f->failed = true;
    }
}

static void wait_for_next(struct rowfeed *f) {
    pthread_mutex_lock(&f->lock);
    if (f->now) {
        f->read++;
        pthread_cond_signal(&f->room);
    }
    while (f->filled == f->read) pthread_cond_wait(&f->more, &f->lock);
    f->now = f->ring[f->read % RING];
    pthread_mutex_unlock(&f->lock);
}

int rowfeed_next(struct rowfeed *f, struct row *row, struct err *e) {
    while (!f->now || f->at == f->now->rows) {
        int end = !f->now ? 1 : f->failed ? -1 : f->now->end;
        if (end < 0 && e) *e = f->now->error;
        if (end <= 0) return end;
        if (f->threaded)
            wait_for_next(f);
        else
            fill(f, f->now = f->ring[0]);
        f->at = 0;
        if (f->ids) count_rows(f, f->now);
    }
    const struct batch *b = f->now;
    *row = (struct row){b->cells + f->at * f->columns, f->ids ? b->ids[f->at] : NULL, b->lines[f->at]};
    f->at++;
    return 1;
}

/* ---- opening ---- */
struct rowfeed *rowfeed_open(struct csv *csv, bool want_ids, int threads, struct err *e) {
    struct rowfeed *f = xcalloc(1, sizeof *f);
    f->csv = csv;
    f->columns = csv_columns(csv);
    f->ids = want_ids ? rowids_new() : NULL;
    f->threaded = threads > 1;
    for (int i = 0; i < (f->threaded ? RING : 1); i++) f->ring[i] = xcalloc(1, sizeof **f->ring);
    pthread_mutex_init(&f->hashing, NULL);
    if (!f->threaded) return f;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->more, NULL);
    pthread_cond_init(&f->room, NULL);
    if (!pthread_create(&f->thread, NULL, fill_all, f)) return f;
    err_set(e, RC_IO, "cannot start a thread to read %s", csv_name(csv));
    f->threaded = false;
    rowfeed_close(f);
    return NULL;
}

/* Ends the thread; false where it still waits for input, and will only wait. */
static bool stop_thread(struct rowfeed *f) {
    struct timespec soon;
    pthread_mutex_lock(&f->lock);
    f->leave = true;
    pthread_cond_signal(&f->room);
    pthread_mutex_unlock(&f->lock);
    pthread_mutex_lock(&f->hashing);
    f->stopped = true;
    pthread_mutex_unlock(&f->hashing);
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_sec++;
    if (pthread_timedjoin_np(f->thread, NULL, &soon)) {
        pthread_detach(f->thread);
        return false;
    }
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->more);
    pthread_cond_destroy(&f->room);
    return true;
}

void rowfeed_close(struct rowfeed *f) {
    if (!f || (f->threaded && !stop_thread(f))) return;
    pthread_mutex_destroy(&f->hashing);
    for (int i = 0; i < RING && f->ring[i]; i++) {
        buf_release(&f->ring[i]->text);
        free(f->ring[i]->cells);
        free(f->ring[i]);
    }
    rowids_free(f->ids);
    buf_release(&f->scratch);
    free(f);
}
