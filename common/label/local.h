/* A teacher in this process: a model with at most one adapter, answering many questions at once (common/model/generate.h).
   What it answers depends on the question and its number, not on the company. */
#ifndef COADOR_LABEL_LOCAL_H
#define COADOR_LABEL_LOCAL_H
#include "common/io/buf.h"
#include "common/io/err.h"
#include "common/text/schema.h"
#include "common/text/tokenizer.h"
#include <stdbool.h>
#include <stdint.h>

struct local;
struct local_options {
    const char *device;  /* "cpu" */
    int threads;         /* 0: all */
    int batch;           /* questions at once */
    int64_t max_cached;  /* tokens of key/value cache, 0: by batch and context */
    int max_new;         /* tokens an answer may take */
    double temperature;
    uint64_t seed;
    bool chat;           /* questions go through the model's chat template */
    const struct schema *schema; /* answers are held to it while they are written, or NULL; borrowed while it is opened */
};
struct local *local_open(const char *model, const char *adapter, const struct local_options *o, struct err *e); /* give: local_free */
void local_free(struct local *l);
/* Hashes of model, adapter and template: what the cache knows it by. give: free(3). */
char *local_identity(const struct local *l, struct err *e);
/* Ids of a question, messages as [{"role","content"}…]; without chat it must be one user message, taken as plain text. -1
   also when it can never fit. */
int local_encode(const struct local *l, const char *messages, size_t n, struct ids *out, struct err *e);
bool local_ready(struct local *l, const struct ids *ids);
int local_submit(struct local *l, const struct ids *ids, uint64_t number, struct err *e);
int local_active(const struct local *l);
int local_step(struct local *l, struct err *e);
/* 1: one has ended: its number and its answer as the cache keeps it (openai.h), or why there is none (else NULL; not the caller's). */
int local_take(struct local *l, uint64_t *number, struct buf *answer, const char **why);
#endif
