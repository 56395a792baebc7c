/* Soft labels of records: see soft.h. */
#include "common/infer/soft.h"
#include "common/train/soft.h"
#include <math.h>
#include <stdlib.h>

#define AT_ONCE 64 /* records a call of the scorer */

struct soft_records {
    struct score_item *items; /* records with tokens to score */
    size_t n, cap;
    int64_t *offset;          /* [records+1] */
    size_t records, cap_offset;
    struct ids tokens;        /* those scored, of all records */
    struct sha256 *record_ids;
    struct soft_writer *writer;
    int64_t written;
};

struct soft_records *soft_records_new(void) {
    struct soft_records *s = xcalloc(1, sizeof *s);
    s->record_ids = sha256_new();
    s->offset = xcalloc(1, sizeof *s->offset);
    s->cap_offset = 1;
    return s;
}

void soft_records_free(struct soft_records *s) {
    if (!s) return;
    char unused[SHA256_HEX];
    if (s->record_ids) sha256_end(s->record_ids, unused);
    for (size_t i = 0; i < s->n; i++) ids_release(&s->items[i].ids);
    free(s->items);
    free(s->offset);
    ids_release(&s->tokens);
    free(s);
}

void soft_records_add(struct soft_records *s, struct pending *p) {
    soft_add_id(s->record_ids, p->r);
    if (!p->done) {
        GROW(s->items, s->n, s->cap);
        s->items[s->n++] = (struct score_item){.ids = p->ids, .n_prompt = p->n_prompt};
        for (size_t i = p->n_prompt; i < p->ids.n; i++) ids_add(&s->tokens, p->ids.v[i]);
        p->ids = (struct ids)IDS_INIT;
    }
    record_free(p->r);
    GROW(s->offset, s->records + 1, s->cap_offset);
    s->offset[++s->records] = (int64_t)s->tokens.n;
}

static int put(void *arg, int64_t n, const int32_t *id, const float *logp, const float *tail, struct err *e) {
    struct soft_records *s = arg;
    for (int64_t t = 0; t < n; t++) {
        if (isfinite(tail[t])) continue;
        size_t r = 0;
        while (s->offset[r + 1] <= s->written + t) r++;
        return err_set(e, RC_INPUT, "record %zu: the model gave a logit that is not finite", r + 1);
    }
    s->written += n;
    return soft_put(s->writer, n, id, logp, tail, e);
}

static int begin(struct soft_records *s, const struct flight *f, int K, double T, struct err *e) {
    char ids[SHA256_HEX];
    sha256_end(s->record_ids, ids);
    s->record_ids = NULL;
    if (!s->tokens.n) return err_set(e, RC_INPUT, "no record has a completion to score");
    const struct soft_spec spec = {.records = (int64_t)s->records, .offset = s->offset, .token = s->tokens.v, .K = K, .T = T,
                                   .tokenizer = tokenizer_hash(f->m->tok), .record_ids = ids};
    s->writer = soft_create(f->out->f, &spec, e);
    return s->writer ? 0 : -1;
}

int soft_records_write(struct soft_records *s, struct flight *f, int K, double T, struct err *e) {
    if (begin(s, f, K, T, e) < 0) return -1;
    f->progress->total = (int64_t)s->n;
    for (size_t i = 0; i < s->n; i += AT_ONCE) {
        int n = (int)(s->n - i < AT_ONCE ? s->n - i : AT_ONCE);
        if (scorer_soft(f->scorer, s->items + i, n, (float)T, put, s, e) < 0) {
            soft_abort(s->writer);
            return -1;
        }
        progress_at(f->progress, (int64_t)i + n, NULL);
    }
    return soft_finish(s->writer, e);
}
