/* Choosing the next token from logits, in transformers' order: repetition penalty, temperature, top-k, top-p.
   Random numbers are a function of (seed, record, step): the same for any batch size. */
#ifndef COADOR_SAMPLER_H
#define COADOR_SAMPLER_H
#include <stddef.h>
#include <stdint.h>

struct sampling {
    double temperature;        /* 0: greedy, the lowest id among equals */
    int top_k;                 /* 0: off */
    double top_p;              /* 1: off; keeps the smallest set whose probability reaches it */
    double repetition_penalty; /* 1: off; arXiv 1909.05858: positive logits divided, negative multiplied */
    uint64_t seed;
};
struct sampler;
struct sampler *sampler_new(const struct sampling *s, int V); /* give: sampler_free */
void sampler_free(struct sampler *s);
/* Next id from logits(V) f32 (changed in place). allowed: bit i % 32 of word i / 32 for id i, (V + 31) / 32 words; NULL for all.
   seen[0..n_seen): prompt and answer so far. Returns -1 when no logit that is allowed is finite. */
int32_t sampler_next(struct sampler *s, float *logits, const uint32_t *allowed, const int32_t *seen, size_t n_seen, uint64_t record, uint64_t step);
/* The number within 0..1 that chooses token `step` of a record, for a device that chooses by itself. */
double sampler_uniform(uint64_t seed, uint64_t record, uint64_t step);
#endif
