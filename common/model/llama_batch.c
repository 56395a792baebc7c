/* A batch on its way to the device: checked, padded to a shape that comes again where passes are graphs, sent in one copy. */
#include "common/model/llama_pass.h"

enum { FINE = 128, COARSE = 256, FINE_UP_TO = 2048, LEAST_LONGEST = 128, ALIGN = 16 /* i32 */ };

/* Ids come from records, so they are checked here once more; the rest is the packer's promise. */
static int check_batch(const struct llama_pass *p, const struct packed *b, struct err *e) {
    int32_t V = p->m->cfg.V;
    if (b->R < 1 || b->R > p->size.R || b->S < 1 || b->S > p->size.S || b->M < 0 || b->M > b->R)
        BUG("batch of %d rows, %d sequences, %d selected in a pass for %d and %d", b->R, b->S, b->M, p->size.R, p->size.S);
    if (b->cu[0] != 0 || b->cu[b->S] != b->R) BUG("batch of %d rows whose sequences cover %d..%d", b->R, b->cu[0], b->cu[b->S]);
    for (int s = 0; s < b->S; s++)
        if (b->cu[s] >= b->cu[s + 1]) BUG("sequence %d of the batch is empty", s);
    for (int i = 0; i < b->R; i++)
        if (b->ids[i] < 0 || b->ids[i] >= V) return err_set(e, RC_INPUT, "token id %d, the model has 0..%d", (int)b->ids[i], (int)V - 1);
    for (int i = 0; i < b->M; i++) {
        if (b->sel[i] < (i ? b->sel[i - 1] + 1 : 0) || b->sel[i] >= b->R) BUG("selected row %d of %d is %d", i, b->M, (int)b->sel[i]);
        if (b->target && (b->target[i] < 0 || b->target[i] >= V))
            return err_set(e, RC_INPUT, "target id %d, the model has 0..%d", (int)b->target[i], (int)V - 1);
    }
    return 0;
}

/* ---- shapes ---- */
static int up(int n, int step) { return (n + step - 1) / step * step; }
static int power_up(int n) {
    int p = 1;
    while (p < n) p *= 2;
    return p;
}

/* 1, 1.5, 2, 3, 4, 6, … times the least */
static int longest_up(int n) {
    int p = LEAST_LONGEST;
    while (p < n) p = p % 3 ? p / 2 * 3 : p / 3 * 4;
    return p;
}

int pass_sequences(const struct pass_size *s) { return s->trains ? power_up(s->S + COARSE / LEAST_LONGEST) : s->S; }

static int longest_of(const struct packed *b) {
    int n = 0;
    for (int s = 0; s < b->S; s++) n = b->cu[s + 1] - b->cu[s] > n ? b->cu[s + 1] - b->cu[s] : n;
    return n;
}

/* The products of many rows work on 256 of them at a time: so coarse a step costs them nothing. A small pass waits for its launches, not
   for its rows. */
static void pad_shape(struct llama_pass *p, const struct packed *b) {
    struct shape *s = &p->shape;
    s->R = up(b->R, b->R <= FINE_UP_TO ? FINE : COARSE);
    if (s->R > p->size.R) s->R = p->size.R;
    s->longest = longest_up(longest_of(b));
    s->S = power_up(b->S + (s->R - b->R + s->longest - 1) / s->longest);
    for (int i = 0; i <= s->S; i++) s->cu[i] = (int64_t)i * s->longest < s->R ? i * s->longest : s->R;
}

static void take_shape(struct llama_pass *p, const struct packed *b) {
    struct shape *s = &p->shape;
    if (p->pads) {
        pad_shape(p, b);
        return;
    }
    s->R = b->R;
    s->S = b->S;
    s->longest = 0;
    memcpy(s->cu, b->cu, ((size_t)b->S + 1) * sizeof *s->cu);
}

/* ---- the copy: i32 of ids, pos, seq, cu, step, then sel, target, scale ---- */
size_t pass_batch_bytes(const struct pass_size *s) { return (size_t)(6 * up(s->R, ALIGN) + up(pass_sequences(s) + 1, ALIGN) + ALIGN) * sizeof(int32_t); }

/* Rows behind the batch's: sequences of their own that hold its first tokens again, none of them selected. They add exact zeros to
   every gradient. */
static void fill_rows(struct llama_pass *p, const struct packed *b, int32_t *ids, int32_t *pos, int32_t *seq, int32_t *cu) {
    const struct shape *s = &p->shape;
    size_t bytes = (size_t)b->R * sizeof(int32_t);
    memcpy(ids, b->ids, bytes);
    memcpy(pos, b->pos, bytes);
    memcpy(seq, b->seq, bytes);
    memcpy(cu, b->cu, ((size_t)b->S + 1) * sizeof *cu);
    for (int i = b->R, at = 0; i < s->R; i++, at++) {
        ids[i] = b->ids[at % b->R];
        pos[i] = at % s->longest;
        seq[i] = 0;
    }
    for (int i = b->S + 1; i <= s->S; i++) cu[i] = s->R - cu[i - 1] < s->longest ? s->R : cu[i - 1] + s->longest;
}

static int32_t *place(struct llama_pass *p, int32_t **dev, int32_t *host, int *at, int n) {
    int32_t *to = host + *at;
    *dev = p->batch + *at;
    *at += up(n, ALIGN);
    return to;
}

static void fill_selected(int32_t *to, const void *from, int n) {
    if (from && n) memcpy(to, from, (size_t)n * sizeof *to);
}

int pass_batch(struct llama_pass *p, const struct packed *b, uint32_t step, struct err *e) {
    struct dev *d = p->m->d;
    int at = 0;
    if (check_batch(p, b, e) < 0) return -1;
    if (b->M == 0) return 0;
    take_shape(p, b);
    int32_t *host = stage_begin(p, e), *dev;
    if (!host) return -1;
    int32_t *ids = place(p, &p->ids, host, &at, p->shape.R), *pos = place(p, &p->pos, host, &at, p->shape.R), *seq = place(p, &p->seq, host, &at, p->shape.R);
    int32_t *cu = place(p, &p->cu, host, &at, p->shape.S + 1);
    fill_rows(p, b, ids, pos, seq, cu);
    memcpy(place(p, &dev, host, &at, 1), &step, sizeof step);
    p->step = (const uint32_t *)dev;
    fill_selected(place(p, &p->sel, host, &at, b->M), b->sel, b->M);
    fill_selected(place(p, &p->target, host, &at, b->M), b->target, b->M);
    fill_selected(place(p, &dev, host, &at, b->M), b->scale, b->M);
    p->scale = (float *)dev;
    size_t bytes = (size_t)at * sizeof *host;
    return dev_err(d, d->upload(d->ctx, p->batch, host, bytes), e, "the batch", bytes) < 0 ? -1 : 1;
}

/* ---- host memory that copies are queued from ---- */
/* Its last copies must be over: with several of them the host seldom waits. */
void *stage_begin(struct llama_pass *p, struct err *e) {
    struct dev *d = p->m->d;
    p->stage_at = (p->stage_at + 1) % p->n_stages;
    struct stage *s = &p->stages[p->stage_at];
    bool busy = s->busy;
    s->busy = false;
    if (busy && dev_err(d, d->event_wait(d->ctx, s->used), e, "the pass", 0) < 0) return NULL;
    s->at = pass_batch_bytes(&p->size);
    return s->p;
}

const void *stage_put(struct llama_pass *p, const void *from, size_t bytes) {
    struct stage *s = &p->stages[p->stage_at];
    if (s->at + bytes > s->bytes) return from; /* a device that copies at once has no room for it */
    s->at += bytes;
    return memcpy(s->p + s->at - bytes, from, bytes);
}

void stage_end(struct llama_pass *p) {
    struct stage *s = &p->stages[p->stage_at];
    s->used = p->m->d->event_record(p->m->d->ctx);
    s->busy = true;
}

int stage_room(struct llama_pass *p, size_t more, struct err *e) {
    struct dev *d = p->m->d;
    for (int i = 0; i < p->n_stages; i++) {
        struct stage *s = &p->stages[i];
        size_t bytes = pass_batch_bytes(&p->size) + more;
        d->host_free(d->ctx, s->p);
        *s = (struct stage){.bytes = bytes};
        if (dev_err(d, d->host_alloc(d->ctx, (void **)&s->p, bytes), e, "host memory for batches", bytes) < 0) return -1;
    }
    return 0;
}

void stage_free(struct llama_pass *p) {
    struct dev *d = p->m->d;
    for (int i = 0; i < p->n_stages; i++) {
        if (p->stages[i].busy) d->event_wait(d->ctx, p->stages[i].used);
        d->host_free(d->ctx, p->stages[i].p);
    }
}
