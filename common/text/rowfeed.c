/* Rows read ahead: see rowfeed.h. A ring of batches; the reader fills one while another is taken from. */
#include "common/text/rowfeed.h"
#include "common/io/buf.h"
#include "common/text/rowids.h"
#include <pthread.h>
#include <stdlib.h>

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
    struct rowids *ids; /* NULL if none are wanted */
    size_t columns;
    struct batch *ring[RING]; /* without a thread the first alone */
    struct batch *now;        /* being read, NULL before the first */
    size_t at;                /* its next row */
    size_t filled, read;      /* batches so far; filled - read are waiting, `now` among them */
    bool threaded;
    pthread_t thread;
    pthread_mutex_t lock; /* of filled and read */
    pthread_cond_t more, room;
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
    b->lines[b->rows] = csv_line(f->csv);
    if (f->ids) b->hashes[b->rows] = rowids_hash(f->ids, cells, f->columns);
    b->rows++;
}

/* Cells get their pointers when the text no longer moves, and hashes are looked up when they had time to come from memory.
   Where that fails the batch ends. */
static void finish(struct rowfeed *f, struct batch *b) {
    const char *p = b->text.p;
    for (struct cell *c = b->cells, *end = c + b->rows * f->columns; c < end; c++) {
        c->p = p;
        p += c->n + 1;
    }
    for (size_t i = 0; f->ids && i < b->rows; i++)
        if (rowids_put(f->ids, b->hashes[i], b->ids[i], &b->error) < 0) {
            b->rows = i;
            b->end = -1;
        }
}

static void fill(struct rowfeed *f, struct batch *b) {
    b->rows = 0;
    b->end = 1;
    buf_clear(&b->text);
    while (b->rows < BATCH_ROWS && b->text.n < BATCH_BYTES && (b->end = csv_next(f->csv, &b->error)) > 0) add_row(f, b);
    finish(f, b);
}

static void *fill_all(void *arg) {
    struct rowfeed *f = arg;
    struct batch *b;
    do {
        pthread_mutex_lock(&f->lock);
        while (f->filled - f->read == RING) pthread_cond_wait(&f->room, &f->lock);
        b = f->ring[f->filled % RING];
        pthread_mutex_unlock(&f->lock);
        fill(f, b);
        pthread_mutex_lock(&f->lock);
        f->filled++;
        pthread_cond_signal(&f->more);
        pthread_mutex_unlock(&f->lock);
    } while (b->end > 0);
    return NULL;
}

/* ---- taking ---- */
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
        if (f->now && f->now->end < 0 && e) *e = f->now->error;
        if (f->now && f->now->end <= 0) return f->now->end;
        if (f->threaded)
            wait_for_next(f);
        else
            fill(f, f->now = f->ring[0]);
        f->at = 0;
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

void rowfeed_close(struct rowfeed *f) {
    if (!f || (f->threaded && !(f->now && f->now->end <= 0))) return;
    if (f->threaded) {
        pthread_join(f->thread, NULL);
        pthread_mutex_destroy(&f->lock);
        pthread_cond_destroy(&f->more);
        pthread_cond_destroy(&f->room);
    }
    for (int i = 0; i < RING && f->ring[i]; i++) {
        buf_release(&f->ring[i]->text);
        free(f->ring[i]->cells);
        free(f->ring[i]);
    }
    rowids_free(f->ids);
    free(f);
}
