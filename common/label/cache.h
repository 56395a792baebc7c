/* Answers that were paid for, in an append-only file: one line an answer,
       {"key":"<64 hex digits>","answer":{…}}
   A thread writes and syncs (fdatasync) what has been added since its last round, at once when the disk is idle, so that
   answers that come together share one sync and none waits longer than the sync before it. A line that was cut by a kill or
   a power failure can only be the last: opening removes it. One process at a time holds a file (flock). */
#ifndef COADOR_CACHE_H
#define COADOR_CACHE_H
#include "common/io/buf.h"
#include "common/io/err.h"
#include "common/io/sha256.h"
#include <stdint.h>

struct cache;
/* path NULL: a nameless file that goes with the program and is not synced. wake(arg) is called by the thread when answers
   have become durable (may be NULL). give: cache_close. */
struct cache *cache_open(const char *path, void (*wake)(void *), void *arg, struct err *e);
/* 1: appends the answer's JSON to out; 0: not there; -1: cannot be read. */
int cache_find(struct cache *c, const char key[SHA256_HEX], struct buf *out, struct err *e);
/* Adds raw (n bytes of JSON on one line; the first answer to a key stays); the number of the answer, from 1. */
uint64_t cache_add(struct cache *c, const char key[SHA256_HEX], const char *raw, size_t n);
/* Answers 1..*saved are on disk. -1: the disk failed. */
int cache_saved(struct cache *c, uint64_t *saved, struct err *e);
int64_t cache_count(const struct cache *c);
/* Saves all and frees; -1: the disk failed. */
int cache_close(struct cache *c, struct err *e);
#endif
