/* Next-token choice: see sampler.h. */
#include "common/model/sampler.h"
#include "common/io/buf.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct candidate {
    float logit;
    int32_t id;
};

struct sampler {
    struct sampling cfg;
    int V;
    unsigned char *marked; /* (V) ids already penalised; all zero between calls */
    struct candidate *c;   /* (V) */
    double *p;             /* (V) probabilities of the candidates */
};

struct sampler *sampler_new(const struct sampling *s, int V) {
    struct sampler *m = xcalloc(1, sizeof *m);
    *m = (struct sampler){.cfg = *s, .V = V};
    m->marked = xcalloc((size_t)V, 1);
    m->c = xcalloc((size_t)V, sizeof *m->c);
    m->p = xcalloc((size_t)V, sizeof *m->p);
    return m;
}

void sampler_free(struct sampler *s) {
    if (!s) return;
    free(s->marked);
    free(s->c);
    free(s->p);
    free(s);
}

/* splitmix64 (Steele, Lea, Flood 2014): a bijective mix of 64 bits */
static uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

double sampler_uniform(uint64_t seed, uint64_t record, uint64_t step) {
    return (double)(mix(mix(mix(seed) ^ record) ^ step) >> 11) * 0x1p-53;
}

static void penalise(struct sampler *s, float *logits, const int32_t *seen, size_t n) {
    float f = (float)s->cfg.repetition_penalty;
    if (f == 1) return;
    for (size_t i = 0; i < n; i++) {
        if (s->marked[seen[i]]) continue;
        s->marked[seen[i]] = 1;
        logits[seen[i]] = logits[seen[i]] > 0 ? logits[seen[i]] / f : logits[seen[i]] * f;
    }
    for (size_t i = 0; i < n; i++) s->marked[seen[i]] = 0;
}

static void forbid(const struct sampler *s, float *logits, const uint32_t *allowed) {
    for (int i = 0; i < s->V; i++)
        if (!(allowed[i >> 5] >> (i & 31) & 1)) logits[i] = -INFINITY;
}

/* The lowest id of the greatest finite logit, -1 where none is finite: the value first, in many lanes, then its place. */
static int32_t argmax(const float *logits, int V) {
    float top = -INFINITY;
#pragma omp simd reduction(max : top)
    for (int i = 0; i < V; i++) {
        float x = logits[i] < INFINITY ? logits[i] : -INFINITY; /* a NaN is not less */
        top = x > top ? x : top;
    }
    for (int i = 0; i < V && top > -INFINITY; i++)
        if (logits[i] == top) return i;
    return -1;
}

static int by_logit(const void *a, const void *b) {
    const struct candidate *x = a, *y = b;
    if (x->logit != y->logit) return x->logit < y->logit ? 1 : -1;
    return x->id < y->id ? -1 : 1;
}

/* Candidates (in falling order where some are cut off); returns how many are left after top-k and top-p. */
static int shortlist(struct sampler *s, const float *logits) {
    int n = 0;
    for (int i = 0; i < s->V; i++)
        if (isfinite(logits[i])) s->c[n++] = (struct candidate){logits[i], i};
    if (!n) return 0;
    bool cut = s->cfg.top_k > 0 || s->cfg.top_p < 1;
    if (cut) qsort(s->c, (size_t)n, sizeof *s->c, by_logit);
    if (s->cfg.top_k > 0 && n > s->cfg.top_k) n = s->cfg.top_k;
    double sum = 0, t = s->cfg.temperature, below = 0, top = logits[argmax(logits, s->V)];
    for (int i = 0; i < n; i++) sum += s->p[i] = exp((s->c[i].logit - top) / t);
    for (int i = 0; cut && i < n; i++) {
        if (i && below >= s->cfg.top_p * sum) return i;
        below += s->p[i];
    }
    return n;
}

int32_t sampler_next(struct sampler *s, float *logits, const uint32_t *allowed, const int32_t *seen, size_t n_seen, uint64_t record, uint64_t step) {
    penalise(s, logits, seen, n_seen);
    if (allowed) forbid(s, logits, allowed);
    if (s->cfg.temperature == 0) return argmax(logits, s->V);
    int n = shortlist(s, logits);
    if (!n) return -1;
    double sum = 0;
    for (int i = 0; i < n; i++) sum += s->p[i];
    double u = sampler_uniform(s->cfg.seed, record, step) * sum;
    for (int i = 0; i < n - 1; i++)
        if ((u -= s->p[i]) < 0) return s->c[i].id;
    return s->c[n - 1].id;
}
