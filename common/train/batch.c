/* Packing rows into passes: see batch.h. */
#include "common/train/batch.h"
#include <stdlib.h>
#include <string.h>

void batch_init(struct batch *b, int R, int S) {
    size_t n = (size_t)R;
    *b = (struct batch){.max_rows = R, .max_seqs = S};
    b->ids = xcalloc(n, sizeof *b->ids);
    b->pos = xcalloc(n, sizeof *b->pos);
    b->seq = xcalloc(n, sizeof *b->seq);
    b->sel = xcalloc(n, sizeof *b->sel);
    b->target = xcalloc(n, sizeof *b->target);
    b->scale = xcalloc(n, sizeof *b->scale);
    b->cu = xcalloc((size_t)S + 1, sizeof *b->cu);
    b->packed = (struct packed){.ids = b->ids, .pos = b->pos, .seq = b->seq, .cu = b->cu, .sel = b->sel, .target = b->target, .scale = b->scale};
}

void batch_soft(struct batch *b, const struct soft_file *f, double alpha) {
    size_t n = (size_t)b->max_rows, K = (size_t)f->K;
    b->soft_id = xcalloc(n * K, sizeof *b->soft_id);
    b->soft_logp = xcalloc(n * K, sizeof *b->soft_logp);
    b->soft_tail = xcalloc(n, sizeof *b->soft_tail);
    b->soft = (struct soft_labels){f->K, f->T, (float)alpha, b->soft_id, b->soft_logp, b->soft_tail};
}

void batch_release(struct batch *b) {
    free(b->soft_id);
    free(b->soft_logp);
    free(b->soft_tail);
    free(b->ids);
    free(b->pos);
    free(b->seq);
    free(b->sel);
    free(b->target);
    free(b->scale);
    free(b->cu);
    *b = (struct batch){0};
}

/* What the teacher says of a row's trained tokens, for the M that follow. */
static void append_soft(struct batch *b, const struct soft_file *f, int64_t record) {
    int64_t from = f->offset[record];
    size_t n = (size_t)(f->offset[record + 1] - from), K = (size_t)f->K, to = (size_t)b->packed.M;
    memcpy(b->soft_id + to * K, f->id + from * f->K, n * K * sizeof *b->soft_id);
    memcpy(b->soft_logp + to * K, f->logp + from * f->K, n * K * sizeof *b->soft_logp);
    memcpy(b->soft_tail + to, f->tail + from, n * sizeof *b->soft_tail);
}

static void append(struct batch *b, const struct rows *r, int64_t row, int number, int fed, double norm) {
    struct packed *p = &b->packed;
    const int32_t *ids = r->ids + r->start[row], *labels = r->labels + r->start[row];
    if (r->soft) append_soft(b, r->soft, r->record[row]);
    for (int t = 0; t < fed; t++) {
        int at = p->R + t;
        b->ids[at] = ids[t];
        b->pos[at] = t;
        b->seq[at] = number;
        if (labels[t + 1] == LABEL_NONE) continue;
        b->sel[p->M] = at;
        b->target[p->M] = labels[t + 1];
        b->scale[p->M++] = (float)(r->weight[row] * norm);
    }
    p->R += fed;
    b->cu[++p->S] = p->R;
    b->tokens += r->length[row];
}

int batch_fill(struct batch *b, const struct rows *r, const int64_t *order, int from, int n, double norm) {
    struct packed *p = &b->packed;
    p->R = p->S = p->M = 0;
    b->tokens = 0;
    b->cu[0] = 0;
    p->soft = r->soft ? &b->soft : NULL;
    for (int i = from; i < n && p->S < b->max_seqs; i++) {
        int fed = rows_fed(r, order[i]);
        if (fed > b->max_rows) BUG("a row of %d tokens in passes of %d", fed, b->max_rows);
        if (p->R + fed > b->max_rows) break;
        append(b, r, order[i], i, fed, norm);
    }
    return p->S;
}

int64_t batch_trained(const struct rows *r, const int64_t *order, int n) {
    int64_t sum = 0;
    for (int i = 0; i < n; i++) sum += r->trained[order[i]];
    return sum;
}
