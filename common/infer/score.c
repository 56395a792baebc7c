/* Records' completions scored, all that are under way at a time. See flight.h. */
#include "common/infer/flight.h"
#include <stdlib.h>

static void set_score(struct pending *p, const struct score_item *it) {
    size_t n = it->ids.n - it->n_prompt;
    double sum = 0;
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < n; i++) {
        sum += it->logprob[i];
        buf_addc(&b, i ? ',' : '[');
        json_put_number(&b, it->logprob[i]);
    }
    buf_addc(&b, ']');
    record_set_number(p->r, "logprob", sum);
    record_set_raw(p->r, "token_logprobs", b.p, b.n);
    buf_release(&b);
    p->done = true;
}

static int score_window(struct flight *f, struct err *e) {
    const struct window *w = &f->window;
    struct score_item *items = xcalloc((size_t)w->slots, sizeof *items);
    struct pending **of = xcalloc((size_t)w->slots, sizeof *of);
    int n = 0;
    for (uint64_t k = w->first; k < w->next; k++) {
        struct pending *p = window_at(w, k);
        if (p->done) continue;
        items[n] = (struct score_item){p->ids, p->n_prompt, xcalloc(p->ids.n - p->n_prompt, sizeof(float))};
        of[n++] = p;
    }
    int rc = scorer_run(f->scorer, items, n, e);
    for (int i = 0; i < n; i++) {
        if (!rc) set_score(of[i], &items[i]);
        free(items[i].logprob);
    }
    free(items);
    free(of);
    return rc;
}

int flight_score(struct flight *f, struct err *e) {
    struct pending *p;
    int rc = 0;
    while (!f->window.ended) {
        while ((rc = flight_take(f, window_empty(&f->window), &p, e)) == 1) {}
        if (rc < 0 || score_window(f, e) < 0 || flight_emit(f, e) < 0) return -1;
    }
    return 0;
}
