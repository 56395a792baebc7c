/* Records answered by continuous batching: as many are started as there is room for, in order. See flight.h. */
#include "common/infer/flight.h"
#include <string.h>

/* The last word on an answer under a schema: strict JSON and the validator, which also sees a member twice. */
static int check_answer(const struct asked *q, const struct gen_answer *a, struct err *e) {
    if (!q || !q->schema) return 0;
    size_t skip = q->prefix ? strlen(q->prefix) : a->text.n && *a->text.p == ' ';
    struct json_doc *d = json_parse(a->text.p + skip, a->text.n - skip, e);
    int rc = d ? schema_validate(q->schema, json_root(d), e) : -1;
    json_doc_free(d);
    return rc < 0 ? err_prefix(e, "the answer does not fit the schema: ") : 0;
}

static void set_usage(struct record *r, const struct gen_answer *a, bool constrained) {
    struct buf b = BUF_INIT;
    buf_addf(&b, "{\"prompt_tokens\":%zu,\"completion_tokens\":%zu", a->n_prompt, a->ids.n);
    if (a->n_shared) buf_addf(&b, ",\"prompt_tokens_details\":{\"cached_tokens\":%zu}", a->n_shared);
    if (constrained) buf_addf(&b, ",\"model_calls\":%d", a->calls);
    buf_addc(&b, '}');
    record_set_raw(r, "usage", b.p, b.n);
    buf_release(&b);
}

static void finish_answer(struct flight *f, struct gen_answer *a) {
    static const char *const reasons[] = {"stop", "length", "schema"};
    struct err e = ERR_INIT;
    struct pending *p = window_at(&f->window, a->number);
    if (f->asked && f->asked->left_out.n) record_set_raw(p->r, "not_enforced", f->asked->left_out.p, f->asked->left_out.n);
    if (a->finish == FINISH_FAILED) {
        flight_fail(f, p, a->why);
    } else if (check_answer(f->asked, a, &e) < 0) {
        flight_fail(f, p, e.msg);
    } else {
        record_set_str(p->r, "output", a->text.p ? a->text.p : "", a->text.n);
        record_set_str(p->r, "finish_reason", reasons[a->finish], strlen(reasons[a->finish]));
        set_usage(p->r, a, f->asked != NULL);
        p->done = true;
    }
    gen_answer_free(a);
}

static void take_answers(struct flight *f) {
    struct gen_answer *a;
    while ((a = generator_take(f->generator))) finish_answer(f, a);
}

/* Starts what waits, from *started on, as far as there is room; reads more input when all under way has started. */
static int start_waiting(struct flight *f, uint64_t *started, struct err *e) {
    for (;; ++*started) {
        struct pending *p;
        if (*started == f->window.next) {
            int rc = flight_take(f, !generator_active(f->generator), &p, e);
            if (rc != 1) return rc;
        }
        p = window_at(&f->window, *started);
        if (!p->done) {
            if (!generator_ready(f->generator, p->ids.v, p->ids.n)) return 0;
            if (generator_submit(f->generator, p->ids.v, p->ids.n, *started, e) < 0) return -1;
            take_answers(f); /* one that leaves no choice has ended already */
        }
        if (flight_emit(f, e) < 0) return -1;
    }
}

int flight_answer(struct flight *f, struct err *e) {
    uint64_t started = 0;
    for (;;) {
        if (start_waiting(f, &started, e) < 0) return -1;
        if (!generator_active(f->generator) && f->window.ended && started == f->window.next) return 0;
        if (generator_step(f->generator, e) < 0) return -1;
        take_answers(f);
        if (flight_emit(f, e) < 0) return -1;
    }
}
