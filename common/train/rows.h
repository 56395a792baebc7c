/* Training rows: records turned into token ids and labels, all in memory.
   Taken, by the fields a record has: input_ids (with labels), messages (with a chat template), prompt and completion, text;
   two of these kinds in one record are an error. ids = [BOS, if the tokenizer has one] ++ encode(prompt) ++ encode(completion) ++ [end];
   prompt and completion are never encoded jointly. Labels are -100 where nothing is trained. */
#ifndef COADOR_ROWS_TRAIN_H
#define COADOR_ROWS_TRAIN_H
#include "common/io/buf.h"
#include "common/io/err.h"
#include "common/io/sha256.h"
#include "common/text/chat.h"
#include "common/text/tokenizer.h"
#include "common/train/soft.h"

#define LABEL_NONE (-100) /* PyTorch's ignore_index */

enum overlong { OVERLONG_ERROR, OVERLONG_SKIP, OVERLONG_TRUNCATE };
struct row_rules {
    const struct tokenizer *tok; /* borrowed */
    const struct chat *chat;     /* NULL: prompts are plain text, messages an error; borrowed */
    int32_t bos;                 /* put before every text, -1: none (a template brings its own) */
    int32_t end;                 /* trained end of every completion; -1: the model names none */
    int32_t vocab;               /* ids must be below */
    int max_length;              /* tokens */
    enum overlong overlong;      /* TRUNCATE takes a prompt's first tokens away (a text's or ready ids' last ones) */
    bool all;                    /* train every token instead of the completion's */
    bool skip_incomplete;        /* leave out records with `error` or without completion; else they are errors */
};

struct rows {
    int64_t n;           /* rows */
    int64_t *start;      /* [n+1] where each row's tokens begin */
    int32_t *ids;        /* [start[n]] */
    int32_t *labels;     /* [start[n]] id to be learnt at this place, or LABEL_NONE; a row's first is never trained */
    int32_t *length;     /* [n] tokens */
    int32_t *trained;    /* [n] labels that are not LABEL_NONE: at least 1 */
    float *weight;       /* [n] >= 0 */
    int64_t *line;       /* [n] in the input */
    int64_t *record;     /* [n] number among the input's records, from 0 */
    int64_t records;     /* in the input, those left out too */
    char ids_hash[SHA256_HEX];    /* of all records' ids (soft.h: soft_add_id) */
    const struct soft_file *soft; /* a teacher's view of the trained tokens, set by the caller; NULL: none. Borrowed */
    int longest;         /* tokens */
    int64_t all_trained; /* sum of trained */
    /* what the caller should say */
    int64_t skipped_overlong, truncated, skipped_incomplete, spaced; /* spaced: prompts that end in a space */
    int64_t first_spaced;                                             /* its line */
    size_t ids_cap, rows_cap;                                         /* private */
};
/* Reads a whole JSONL file ("-": stdin). give: rows_release. Errors carry "name:line:". */
int rows_read(struct rows *r, const char *path, const struct row_rules *rules, struct err *e);
void rows_release(struct rows *r);
/* SHA-256 over tokens, labels and weights: two inputs that train the same hash the same. */
void rows_hash(const struct rows *r, char hex[SHA256_HEX]);
/* Row i for people: a line about it, then a line a token: place, id, `*` where trained, its text as a JSON string. */
void rows_show(const struct rows *r, int64_t i, const char *name, const struct tokenizer *tok, struct buf *out);
/* Tokens of row i that a pass must see: up to the one before its last trained label. */
int rows_fed(const struct rows *r, int64_t i);
#endif
