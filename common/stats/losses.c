/* Loss curves: see losses.h. */
#include "common/stats/losses.h"
#include "common/io/jsonl.h"
#include "common/stats/systems.h"
#include <stdlib.h>
#include <string.h>

struct points {
    double *x, *y;
    size_t n, cap_x, cap_y;
};

static void add_point(struct points *p, const struct json *x, const struct json *y) {
    if (!x || !y || x->type != JSON_NUMBER || y->type != JSON_NUMBER) return;
    GROW(p->x, p->n, p->cap_x);
    GROW(p->y, p->n, p->cap_y);
    p->x[p->n] = x->number;
    p->y[p->n++] = y->number;
}

/* Takes p; a curve without points is dropped. */
static void add_curve(struct losses *l, const char *name, const char *suffix, struct points *p) {
    struct buf b = BUF_INIT;
    if (!p->n) return;
    buf_addf(&b, "%s%s", name, suffix);
    l->v = xrealloc(l->v, (size_t)l->n + 1, sizeof *l->v);
    l->v[l->n++] = (struct curve){buf_detach(&b), p->x, p->y, (int)p->n};
}

int losses_read(struct losses *l, const char *operand, struct err *e) {
    const char *file = operand;
    int64_t n = name_before(operand, '=', &file);
    char *name = n < 0 ? name_of_file(operand) : xmemdup0(operand, (size_t)n);
    struct jsonl *in = jsonl_open(file, e);
    struct record *r;
    struct points loss = {0}, held_out = {0};
    int rc = in ? 0 : -1;
    while (in && (rc = jsonl_next(in, &r, e)) > 0) {
        add_point(&loss, record_get(r, "step"), record_get(r, "loss"));
        add_point(&held_out, record_get(r, "step"), record_get(r, "eval_loss"));
        record_free(r);
    }
    jsonl_close(in);
    if (!rc && !loss.n) rc = err_set(e, RC_INPUT, "%s: no record with step and loss", file);
    add_curve(l, name, "", &loss);
    add_curve(l, name, ", held out", &held_out);
    free(name);
    return rc;
}

void losses_release(struct losses *l) {
    for (int i = 0; i < l->n; i++) {
        free((void *)l->v[i].name);
        free((void *)l->v[i].x);
        free((void *)l->v[i].y);
    }
    free(l->v);
}
