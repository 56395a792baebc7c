/* Beginnings that prompts share: see prefixes.h. */
#include "common/model/prefixes.h"
#include "kernels/attention.h"
#include <string.h>

static size_t whole_pages(size_t n) { return n / KV_BLOCK * KV_BLOCK; }

void prefixes_init(struct prefixes *p, struct decoder *d, int first_row) {
    *p = (struct prefixes){.d = d};
    for (int i = 0; i < PREFIXES; i++) p->v[i].row = first_row + i;
}

void prefixes_release(struct prefixes *p) {
    for (int i = 0; i < PREFIXES; i++) ids_release(&p->v[i].ids);
}

static size_t common_beginning(const struct ids *a, const int32_t *b, size_t n) {
    size_t i = 0;
    while (i < a->n && i < n && a->v[i] == b[i]) i++;
    return i;
}

int prefixes_find(const struct prefixes *p, const int32_t *prompt, size_t n, int *which) {
    size_t most = 0;
    *which = -1;
    for (int i = 0; i < p->n; i++) {
        size_t same = n ? whole_pages(common_beginning(&p->v[i].ids, prompt, n - 1)) : 0;
        if (same > most) most = same, *which = i;
    }
    return (int)most;
}

static void cut(struct prefixes *p, int i, int n) {
    struct prefix *x = &p->v[i];
    x->ids.n = (size_t)n;
    if (x->at == x->row) decoder_truncate(p->d, x->row, n);
}

/* Out of the list; its row goes to the end, for another. */
static void drop(struct prefixes *p, int i) {
    cut(p, i, 0);
    struct prefix gone = p->v[i];
    memmove(&p->v[i], &p->v[i + 1], (size_t)(PREFIXES - 1 - i) * sizeof gone);
    p->v[PREFIXES - 1] = gone;
    p->n--;
}

void prefixes_make_room(struct prefixes *p, int which, int shared, int64_t need, int64_t limit) {
    int64_t sum = need - shared;
    for (int i = 0; i < p->n; i++) sum += (int64_t)p->v[i].ids.n;
    if (sum > limit && shared) {
        sum -= (int64_t)p->v[which].ids.n - shared;
        cut(p, which, shared);
    }
    for (int i = p->n; i-- > 0 && sum > limit;) {
        if (shared && i == which) continue;
        sum -= (int64_t)p->v[i].ids.n;
        drop(p, i);
        if (i < which) which--;
    }
}

void prefixes_add(struct prefixes *p, int slot, const int32_t *prompt, size_t n) {
    if (!whole_pages(n)) return;
    if (p->n == PREFIXES) drop(p, PREFIXES - 1);
    struct prefix x = p->v[p->n]; /* one that is free */
    memmove(&p->v[1], &p->v[0], (size_t)p->n++ * sizeof x);
    x.at = slot;
    x.ids.n = 0;
    for (size_t i = 0; i < whole_pages(n); i++) ids_add(&x.ids, prompt[i]);
    p->v[0] = x;
}

void prefixes_keep(struct prefixes *p, int slot) {
    for (int i = 0; i < p->n; i++) {
        struct prefix *x = &p->v[i];
        if (x->at != slot) continue;
        decoder_share(p->d, x->row, slot, (int)x->ids.n);
        x->at = x->row;
    }
}
