/* Records under way, in a ring of slots: see window.h. */
#include "common/io/window.h"
#include <stdlib.h>

int window_open(struct window *w, const char *path, int ahead, int slots, size_t each, struct err *e) {
    *w = (struct window){.slots = slots, .each = each};
    if (!(w->in = record_queue_open(path, ahead, e))) return -1;
    w->ring = xcalloc((size_t)slots, each);
    return 0;
}

void window_close(struct window *w) {
    record_queue_close(w->in);
    free(w->ring);
    *w = (struct window){0};
}

void *window_slot(const struct window *w, int i) { return w->ring + (size_t)i * w->each; }

void *window_at(const struct window *w, uint64_t number) { return window_slot(w, (int)(number % (uint64_t)w->slots)); }

void *window_oldest(const struct window *w) { return window_empty(w) ? NULL : window_at(w, w->first); }

void window_drop(struct window *w) { w->first++; }

int window_take(struct window *w, bool wait, struct record **r, struct err *e) {
    if (w->ended || window_full(w)) return 0;
    int rc = record_queue_take(w->in, wait, r, e);
    if (rc == 0) w->ended = true;
    if (rc == 1) w->next++;
    return rc == 2 ? 0 : rc;
}
