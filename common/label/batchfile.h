/* OpenAI's Batch files (JSONL): requests out, results in.
     {"custom_id":KEY,"method":"POST","url":"/v1/chat/completions","body":{…}}
     {"custom_id":KEY,"response":{"status_code":200,"body":{…}},"error":null}
   custom_id is the answer's key in the cache, so results may come in any order, in several files, or in part. */
#ifndef COADOR_LABEL_BATCHFILE_H
#define COADOR_LABEL_BATCHFILE_H
#include "common/label/cache.h"
#include "common/io/strmap.h"

void batchfile_put(struct buf *out, const char key[SHA256_HEX], const char *body, size_t n);

struct batchfile_results {
    int64_t results, errors, repeated; /* lines with an answer, with an error, beyond the first of a custom_id */
    struct batchfile_error {
        char key[SHA256_HEX];
        char *text;
    } *v; /* what failed, and why */
    size_t n, cap;
    struct strmap index;
};
/* Puts the answers of a file into the cache and collects its errors; an answer beats an error of the same custom_id, the
   first of two answers stands. Lines that are no results: "file:line: …". */
int batchfile_read(struct batchfile_results *b, const char *path, struct cache *c, struct err *e);
/* After the last file: errors by key. */
void batchfile_index(struct batchfile_results *b);
const char *batchfile_error(const struct batchfile_results *b, const char key[SHA256_HEX]); /* NULL: none */
void batchfile_release(struct batchfile_results *b);
#endif
