/* Soft labels of a file of records as a tensor stream (coador-tensors(5), "Soft labels"): what a teacher thinks of each token
   that a student will be trained on. Written by generate --score --top-k, read by lora-train --teacher-logits. */
#ifndef COADOR_SOFT_H
#define COADOR_SOFT_H
#include "common/io/jsonl.h"
#include "common/io/sha256.h"
#include "common/text/tokenizer.h"
#include "kernels/distill.h"
#include <stdio.h>

/* Every record's id goes into one hash, in order: both sides must have seen the same. */
void soft_add_id(struct sha256 *h, const struct record *r);

/* ---- writing ---- */
struct soft_spec { /* all borrowed until soft_create returns */
    int64_t records;
    const int64_t *offset;  /* (records+1) where each record's tokens begin; 0 first, their number last */
    const int32_t *token;   /* (offset[records]) the tokens scored */
    int K;
    double T;
    const char *tokenizer;  /* tokenizer_hash */
    const char *record_ids; /* hex digest of soft_add_id's hash */
};
struct soft_writer;
/* Begins the stream on f, which stays the caller's. give: soft_finish or soft_abort. */
struct soft_writer *soft_create(FILE *f, const struct soft_spec *s, struct err *e);
/* The next n tokens' id(n,K), logp(n,K), tail(n), as topk gives them. */
int soft_put(struct soft_writer *w, int64_t n, const int32_t *id, const float *logp, const float *tail, struct err *e);
/* After the last token. Takes w, whatever comes out. */
int soft_finish(struct soft_writer *w, struct err *e);
void soft_abort(struct soft_writer *w);

/* ---- reading ---- */
struct rows;
struct soft_file {
    int64_t records, tokens;
    int K;
    float T;
    char hash[SHA256_HEX];  /* of its numbers and T */
    const int64_t *offset;  /* (records+1) */
    const int32_t *token;   /* (tokens) */
    const int32_t *id;      /* (tokens,K) */
    const float *logp;      /* (tokens,K) */
    const float *tail;      /* (tokens) */
    void *map;              /* private: a nameless file that holds them all */
    size_t bytes;
};
/* Reads a stream (file, or "-": stdin) made of the records that `rows` were read from, and checks that it was: tokenizer, ids,
   number of records, trained tokens. `name` is theirs in messages, V the student's vocabulary. give: soft_release. */
int soft_read(struct soft_file *s, const char *path, const struct rows *rows, const char *name, const struct tokenizer *tok, int V, struct err *e);
void soft_release(struct soft_file *s);
#endif
