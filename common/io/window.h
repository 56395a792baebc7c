/* Records under way in a filter that answers them out of order and writes them in the order they came: read ahead by a
   thread (queue.h), each with a slot of the caller's until it is the oldest and goes out. */
#ifndef COADOR_WINDOW_H
#define COADOR_WINDOW_H
#include "common/io/queue.h"

struct window {
    uint64_t first, next; /* numbers first..next-1, from 0 in the order they came, are under way */
    bool ended;           /* the input has, and its last record was taken */
    int slots;
    /* private */
    struct record_queue *in;
    char *ring;           /* [slots] of `each` bytes */
    size_t each;
};
/* Opens `path` ("-": stdin), read `ahead` records ahead; at most `slots` records, of `each` bytes of the caller's own, are
   under way. give: window_close. */
int window_open(struct window *w, const char *path, int ahead, int slots, size_t each, struct err *e);
/* Borrows nothing from the slots: what they own is the caller's to release first, by window_slot. */
void window_close(struct window *w);
/* The next record (give: record_free), under way from now on as number next-1: 1. 0 when none can be had: the window is
   full, the input has ended, or no record has come yet and `wait` is false. -1 when the input is broken. */
int window_take(struct window *w, bool wait, struct record **r, struct err *e);
/* Where the caller keeps what it knows of record `number`. Zeroed at first; later as the record `slots` before left it, so
   that buffers can be used again. */
void *window_at(const struct window *w, uint64_t number);
void *window_slot(const struct window *w, int i); /* i-th of the ring, under way or not */
/* The slot of the oldest record under way, NULL where none is; the caller has done with it. */
void *window_oldest(const struct window *w);
void window_drop(struct window *w);
static inline bool window_full(const struct window *w) { return w->next - w->first == (uint64_t)w->slots; }
static inline bool window_empty(const struct window *w) { return w->next == w->first; }
#endif
