/* Inside of tstream_open.c and tstream_read.c. */
#ifndef COADOR_TSTREAM_IMPL_H
#define COADOR_TSTREAM_IMPL_H
#include "common/io/io.h"
#include "common/io/tstream_frame.h"
#include <stdio.h>
#include <zstd.h>

#define MAX_SLOTS 16
#define UNKNOWN UINT64_MAX

struct slot { /* one frame */
    struct buf own;         /* its bytes when they came through a pipe */
    const unsigned char *p; /* its bytes */
    size_t n;
    unsigned char *data;
    size_t bytes, cap;
    ZSTD_DCtx *zstd;
    size_t result; /* what zstd said */
};

struct tstream {
    char *name;
    FILE *f;               /* a pipe … */
    bool close_f;
    char *buffer;          /* of f, where it is ours */
    struct map map;        /* … or a file; p set for memory, too */
    bool mapped;
    struct ts_entry *table; /* of a file: all; of a pipe: what was read */
    size_t n_table, cap_table;
    uint64_t *at_packed, *at_data; /* of a file: where each frame begins, and at n_table the end */
    struct buf head;       /* length and JSON of the safetensors file */
    struct safetensors *st;
    uint64_t total;        /* bytes of the safetensors file; UNKNOWN until the header was read */
    size_t next;           /* entry of the next frame to read */
    uint64_t produced;     /* bytes of data up to there */
    uint64_t pos;          /* bytes given */
    bool sought;           /* reads now go here and there: a batch is no longer than what is asked for */
    struct slot slots[MAX_SLOTS];
    struct pool *pool;     /* from the first batch of several frames on */
    int n_slots, ready, cur;
    size_t used;           /* bytes of slots[cur] given */
    struct err failed;     /* told when the ready frames are used up */
};

/* ---- tstream_read.c ---- */
/* n bytes of the safetensors file, into dst if that is not NULL. */
int ts_take(struct tstream *s, void *dst, size_t n, struct err *e);
/* When the last frame has come through a pipe: what follows it is right, or s->failed. */
int ts_end_of_pipe(struct tstream *s);
#endif
