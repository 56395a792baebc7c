/* Files: inputs named by path or "-", outputs that appear whole or not at all. */
#ifndef COADOR_IO_H
#define COADOR_IO_H
#include "common/io/buf.h"
#include "common/io/err.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* ---- input ---- */
struct in {
    FILE *f;
    const char *name; /* for messages: the path, or "stdin"; borrowed */
    int64_t line;     /* number of the line last read, from 1 */
    char *text;       /* the line last read, without its \n; owned here */
    size_t cap;
    char *buffer;     /* of f, NULL for stdin */
};
/* Opens path; "-" (or NULL) is stdin, which one command may name only once: a second is RC_USAGE. */
int in_open(struct in *i, const char *path, struct err *e);
/* Next line into i->text: its length >= 0 (a \r before the \n stays), -1 at the end, -2 on a read error. */
int64_t in_line(struct in *i, struct err *e);
void in_close(struct in *i);
/* A whole file ("-": stdin) into b, at most `limit` bytes (0: no limit). */
int io_read_all(const char *path, size_t limit, struct buf *b, struct err *e);

/* ---- a file mapped read-only ---- */
struct map {
    const unsigned char *p; /* NULL for an empty file */
    size_t n;
};
int map_open(struct map *m, const char *path, struct err *e);
void map_close(struct map *m);
/* Memory goes back of the pages that lie whole in p..p+n of a mapped file; it comes again when touched. */
void map_drop(const void *p, size_t n);

/* ---- output: a temporary beside `path`, fsync, rename; NULL or "-" is stdout ---- */
struct out {
    FILE *f;
    char *buffer;     /* of f, NULL for stdout */
    char *path, *tmp; /* NULL for stdout; a device or pipe has no tmp and is written in place */
};
/* Temporaries that are still open at exit(3) or at SIGINT, SIGTERM or SIGHUP are removed by themselves. */
int out_open(struct out *o, const char *path, struct err *e);
/* n bytes more; -1 (and o as after out_commit) when this or an earlier write failed: a full disk need not be filled further. */
int out_put(struct out *o, const void *p, size_t n, struct err *e);
/* Hands on what was written so far, for a reader downstream who need not wait for the end. */
int out_flush(struct out *o, struct err *e);
/* Flushes, syncs and puts the file in place; for stdout only flushes. After an error the temporary is gone. */
int out_commit(struct out *o, struct err *e);
/* Whole-file convenience over out_*. */
int io_write_file(const char *path, const void *p, size_t n, struct err *e);
/* mkdir -p. */
int io_mkdirs(const char *path, struct err *e);
/* rm -r; a missing path is fine. */
int io_remove_tree(const char *path, struct err *e);
/* Creates an empty temporary directory beside `path` (same file system), removed at exit unless committed; give. */
char *io_tmpdir(const char *path, struct err *e);
/* fsyncs every file in tmpdir, replaces `path` by it (an old directory is moved away, then deleted), frees tmpdir. */
int io_commit_dir(char *tmpdir, const char *path, struct err *e);
void io_abort_dir(char *tmpdir); /* removes and frees it */
/* Lines of a file; 0 for "-" and where it cannot be mapped: a number for progress bars. */
int64_t io_count_lines(const char *path);
/* A nameless file in the folder that TMPDIR names (or /tmp), gone when it is closed: its descriptor, or -1. */
int io_scratch(struct err *e);
bool io_exists(const char *path);
bool io_is_dir(const char *path);
/* "dir/name"; give. */
char *io_join(const char *dir, const char *name);

/* Tools call this last: flushes stdout, and dies (exit 4) if any of it could not be written. */
void io_close_stdout(void);
#endif
