/* Row order of an epoch: see order.h. */
#include "common/train/order.h"
#include "common/io/buf.h"
#include <stdlib.h>

/* splitmix64 (Steele, Lea, Flood, OOPSLA 2014) as a hash of its counter. */
static uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static void shuffle(int64_t *order, int64_t n, uint64_t seed, int64_t epoch) {
    uint64_t key = mix(mix(seed) ^ (uint64_t)epoch);
    for (int64_t i = n - 1; i > 0; i--) {
        uint64_t u = mix(key ^ mix((uint64_t)i));
        int64_t j = (int64_t)(((unsigned __int128)u * (uint64_t)(i + 1)) >> 64); /* 0..i; bias below n/2^64 */
        int64_t t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
}

struct keyed {
    int64_t row, place; /* place: position before sorting, so that equal lengths keep their order */
    int32_t length;
};

static int longer_first(const void *a, const void *b) {
    const struct keyed *x = a, *y = b;
    if (x->length != y->length) return x->length > y->length ? -1 : 1;
    return x->place < y->place ? -1 : 1;
}

static void group(int64_t *order, int64_t n, const int32_t *lengths, int64_t step) {
    int64_t steps = n / (step * 4), longest = 0;
    steps = steps < 1 ? 1 : steps > 50 ? 50 : steps;
    struct keyed *k = xcalloc((size_t)n + 1, sizeof *k);
    for (int64_t i = 0; i < n; i++) k[i] = (struct keyed){order[i], i, lengths[order[i]]};
    for (int64_t at = 0; at < n; at += steps * step) {
        int64_t m = n - at < steps * step ? n - at : steps * step;
        qsort(k + at, (size_t)m, sizeof *k, longer_first);
        if (k[at].length > k[longest].length) longest = at;
    }
    for (int64_t i = 0; i < n; i++) order[i] = k[i].row;
    if (n) {
        int64_t t = order[0];
        order[0] = order[longest];
        order[longest] = t;
    }
    free(k);
}

void order_epoch(int64_t *order, int64_t n, enum sampling how, uint64_t seed, int64_t epoch, const int32_t *lengths, int64_t step) {
    for (int64_t i = 0; i < n; i++) order[i] = i;
    if (how == SAMPLING_SEQUENTIAL) return;
    shuffle(order, n, seed, epoch);
    if (how == SAMPLING_GROUP_BY_LENGTH) group(order, n, lengths, step);
}
