/* Inside of ask*.c. */
#ifndef COADOR_LABEL_ASK_IMPL_H
#define COADOR_LABEL_ASK_IMPL_H
#include "common/io/intern.h"
#include "common/label/ask.h"

struct asker {
    struct teacher *teachers;
    int n;
    struct asker_options o;
    struct cache *cache;
    struct http *http;
    struct ask *queue, **queue_end; /* in order */
    struct ask **live;              /* n_live that fly, back off or are being saved */
    int n_live, cap_live, n_served; /* n_served: of them, those that hold a slot */
    bool *blocked;                  /* teacher by teacher, within one round */
    uint64_t serial;
    struct asker_counts counts;
    struct buf scratch;
    struct intern exported;         /* keys that are in the batch file */
    const char *headers[4];
};

/* ---- ask.c ---- */
/* An answer as the cache keeps it: it fits and ends the ask, or is asked for again, or fails. */
int ask_deliver(struct asker *a, struct ask *q, const char *raw, size_t n, bool cached, struct err *e);
/* ---- ask_start.c ---- */
/* Starts what the limits let start, in order. */
int ask_start_queued(struct asker *a, struct err *e);
int ask_fly(struct asker *a, struct ask *q, struct err *e); /* sends it */
void ask_again(struct asker *a, struct ask *q); /* with another attempt: before all others that wait */
/* ---- ask_reply.c ---- */
/* What a reply means for its ask: an answer in q->raw (1); another try after q->until (0); an end, q->error set (2);
   or -1: the run's end. */
int ask_judge(struct asker *a, struct ask *q, struct http_reply *r, struct err *e);
void ask_fail(struct ask *q, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#endif
