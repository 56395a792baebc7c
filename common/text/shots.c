/* Few-shot examples: see shots.h. */
#include "common/text/shots.h"
#include "common/io/sha256.h"
#include "common/text/split.h"
#include <stdlib.h>
#include <string.h>

struct example {
    struct row_key key;
    char *text;
    size_t n;
};

struct shots {
    int64_t k;
    uint64_t seed;
    const char *separator;
    struct example *v;
    size_t n, cap;
    size_t *order, ordered; /* a permutation of 0..ordered, the identity between calls */
    size_t *swaps, swap_cap;
};

struct shots *shots_new(int64_t k, uint64_t seed, const char *separator) {
    struct shots *s = xcalloc(1, sizeof *s);
    s->k = k;
    s->seed = seed;
    s->separator = separator;
    return s;
}

void shots_free(struct shots *s) {
    if (!s) return;
    for (size_t i = 0; i < s->n; i++) free(s->v[i].text);
    free(s->v);
    free(s->order);
    free(s->swaps);
    free(s);
}

void shots_add(struct shots *s, struct row_key key, const char *text, size_t n) {
    GROW(s->v, s->n, s->cap);
    s->v[s->n++] = (struct example){key, xmemdup0(text, n), n};
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* Below n; the bias is under n / 2^64. */
static size_t below(uint64_t *state, size_t n) { return (size_t)((unsigned __int128)next(state) * n >> 64); }

static void set_order(struct shots *s) {
    if (s->ordered == s->n) return;
    s->order = xrealloc(s->order, s->n, sizeof *s->order);
    for (size_t i = 0; i < s->n; i++) s->order[i] = i;
    s->ordered = s->n;
}

static void swap(size_t *v, size_t i, size_t j) {
    size_t x = v[i];
    v[i] = v[j];
    v[j] = x;
}

int shots_put(struct shots *s, const char *id, struct row_key key, struct buf *out, struct err *e) {
    uint64_t state = split_hash(s->seed, sha256_u64(id, strlen(id)));
    int64_t taken = 0;
    size_t i = 0;
    set_order(s);
    /* Fisher-Yates, stopped as soon as enough examples are found, and undone afterwards. */
    for (; i < s->n && taken < s->k; i++) {
        GROW(s->swaps, i, s->swap_cap);
        s->swaps[i] = i + below(&state, s->n - i);
        swap(s->order, i, s->swaps[i]);
        const struct example *x = &s->v[s->order[i]];
        if (x->key.text == key.text || x->key.group == key.group) continue;
        buf_add(out, x->text, x->n);
        buf_adds(out, s->separator);
        taken++;
    }
    while (i-- > 0) swap(s->order, i, s->swaps[i]);
    if (taken == s->k) return 0;
    return err_set(e, RC_INPUT, "only %lld labelled training rows of other text and group, expected the %lld of --shots",
                   (long long)taken, (long long)s->k);
}
