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

/* ---- ask_reply.c ---- */
/* What a reply means for its ask: an answer in q->raw (1); another try after q->until (0); an end, q->error set (2);
   or -1: the run's end. */
int ask_judge(struct asker *a, struct ask *q, struct http_reply *r, struct err *e);
void ask_fail(struct ask *q, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#endif
