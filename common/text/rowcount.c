/* Counts of hashes in bounded memory: see rowcount.h. Runs hold counts from the beginning on, so that of several for one
   hash the newest has the largest and the right one. FAN runs of one level are merged into one of the next. */
#include "common/text/rowcount.h"
#include "common/io/buf.h"
#include "common/io/io.h"
#include "common/text/rowrun.h"
#include <stdlib.h>
#include <string.h>

#define FAN 8
#define LEVELS 16 /* FAN to that power of runs: more than there are hashes */
#define FILTER_BLOCKS ((size_t)1 << 16)

struct block { /* of the filter: a cache line */
    uint64_t bits[8];
};

struct rowcount {
    uint64_t *v;     /* open addressing by the hash's first bits, so that they stand nearly sorted; 0: a free place */
    uint32_t *again; /* how often each came after its first time: memory is touched for repeated rows only */
    size_t n, cap, most;
    int shift; /* 64 less the bits of cap */
    uint32_t zero; /* times that hash 0 came */
    struct rowrun *runs[LEVELS][FAN];
    int n_runs[LEVELS];
    struct block *filter; /* of the hashes in runs; NULL while there are none */
};

struct rowcount *rowcount_new(size_t places) {
    struct rowcount *c = xcalloc(1, sizeof *c);
    c->most = places;
    return c;
}

static void drop_runs(struct rowcount *c, int level) {
    while (c->n_runs[level]) rowrun_free(c->runs[level][--c->n_runs[level]]);
}

void rowcount_free(struct rowcount *c) {
    if (!c) return;
    for (int level = 0; level < LEVELS; level++) drop_runs(c, level);
    free(c->filter);
    free(c->v);
    free(c->again);
    free(c);
}

/* ---- the table ---- */
static size_t home(const struct rowcount *c, uint64_t hash) { return (size_t)(hash >> c->shift); }

static size_t place(const struct rowcount *c, uint64_t hash) {
    size_t i = home(c, hash);
    while (c->v[i] && c->v[i] != hash) i = (i + 1) & (c->cap - 1);
    return i;
}

static void grow(struct rowcount *c) {
    struct rowcount old = *c;
    c->cap = old.cap ? 2 * old.cap : c->most < 1024 ? c->most : 1024;
    c->shift = 64 - __builtin_ctzll(c->cap);
    c->v = xcalloc(c->cap, sizeof *c->v);
    c->again = xcalloc(c->cap, sizeof *c->again);
    for (size_t i = 0; i < old.cap; i++) {
        if (!old.v[i]) continue;
        size_t at = place(c, old.v[i]);
        c->v[at] = old.v[i];
        if (old.again[i]) c->again[at] = old.again[i];
    }
    free(old.v);
    free(old.again);
}

/* ---- the filter: four bits in the hash's block ---- */
static struct block *block_of(const struct rowcount *c, uint64_t hash) { return &c->filter[hash % FILTER_BLOCKS]; }
static unsigned bit_of(uint64_t hash, int i) { return (unsigned)(hash >> (16 + 9 * i)) & 511; }

static void filter_add(struct rowcount *c, uint64_t hash) {
    for (int i = 0; i < 4; i++) block_of(c, hash)->bits[bit_of(hash, i) / 64] |= (uint64_t)1 << bit_of(hash, i) % 64;
}

static bool filter_has(const struct rowcount *c, uint64_t hash) {
    for (int i = 0; i < 4; i++)
        if (!(block_of(c, hash)->bits[bit_of(hash, i) / 64] >> bit_of(hash, i) % 64 & 1)) return false;
    return true;
}

/* ---- from the table to runs ---- */
/* The table's hashes in order. It nearly is: each is in its place's cluster, but for a few that went round the end. */
static struct rowrun_entry *sorted(const struct rowcount *c) {
    struct rowrun_entry *x = xcalloc(c->n, sizeof *x);
    size_t n = 0;
    for (size_t i = 0; i < c->cap; i++) {
        size_t at = n;
        if (!c->v[i]) continue;
        for (; at && x[at - 1].hash > c->v[i]; at--) x[at] = x[at - 1];
        x[at] = (struct rowrun_entry){c->v[i], c->again[i] + (uint64_t)1};
        n++;
    }
    return x;
}

/* Adds a run of level 0 (taken), and merges as long as a level is full. */
static int add_run(struct rowcount *c, struct rowrun *run, struct err *e) {
    for (int level = 0; level < LEVELS; level++) {
        c->runs[level][c->n_runs[level]++] = run;
        if (c->n_runs[level] < FAN) return 0;
        if (!(run = rowrun_merge(c->runs[level], FAN, e))) return -1;
        drop_runs(c, level);
    }
    BUG("more than %d levels of runs", LEVELS);
}

static int spill(struct rowcount *c, struct err *e) {
    struct rowrun_entry *x = sorted(c);
    struct rowrun *run = rowrun_write(x, c->n, e);
    if (!c->filter) c->filter = xcalloc(FILTER_BLOCKS, sizeof *c->filter);
    for (size_t i = 0; i < c->n; i++) filter_add(c, x[i].hash);
    free(x);
    c->n = 0;
    memset(c->v, 0, c->cap * sizeof *c->v);
    memset(c->again, 0, c->cap * sizeof *c->again);
    return run ? add_run(c, run, e) : -1;
}

/* ---- counting ---- */
/* The times before, as the newest run has it that knows of some. */
static int find_in_runs(const struct rowcount *c, uint64_t hash, uint32_t *times, struct err *e) {
    uint64_t found = 0;
    if (c->filter && filter_has(c, hash))
        for (int level = 0; level < LEVELS && !found; level++)
            for (int i = c->n_runs[level] - 1; i >= 0 && !found; i--)
                if (rowrun_find(c->runs[level][i], hash, &found, e) < 0) return -1;
    *times = (uint32_t)found;
    return 0;
}

void rowcount_ahead(const struct rowcount *c, uint64_t hash) {
    if (c->cap) __builtin_prefetch(&c->v[home(c, hash)]);
    if (c->filter) __builtin_prefetch(block_of(c, hash));
}

int rowcount_add(struct rowcount *c, uint64_t hash, uint32_t *times, struct err *e) {
    if (!hash) {
        *times = ++c->zero;
        return 0;
    }
    if (4 * c->n >= 3 * c->cap) {
        if (c->cap < c->most)
            grow(c);
        else if (spill(c, e) < 0)
            return -1;
    }
    size_t i = place(c, hash);
    if (c->v[i]) {
        *times = ++c->again[i] + 1;
        return 0;
    }
    uint32_t before;
    if (find_in_runs(c, hash, &before, e) < 0) return -1;
    c->v[i] = hash;
    if (before) c->again[i] = before;
    c->n++;
    *times = before + 1;
    return 0;
}
