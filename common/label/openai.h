/* The chat completions of OpenAI's API, as far as many servers speak it: the body of a request, the answer in a reply, the
   message in a refusal. And answers as the cache keeps them:
       {"text":"…","finish":"stop","prompt_tokens":12,"completion_tokens":34}
   with null for token counts that the server does not tell. */
#ifndef COADOR_LABEL_OPENAI_H
#define COADOR_LABEL_OPENAI_H
#include "common/io/opt.h"
#include "common/label/task.h"
#include <stdbool.h>

enum response_format { FORMAT_JSON_SCHEMA, FORMAT_JSON_OBJECT, FORMAT_NONE };
extern const char *const response_formats[]; /* their names */

struct openai_params {
    double temperature;
    int64_t max_tokens;
    bool has_seed;
    uint64_t seed;               /* of sample 0, first attempt */
    enum response_format format;
    const struct label_task *task;
    const struct opt_list *sets; /* "NAME=JSON": members that replace ours; null leaves one out */
};
/* Checks each of sets. RC_USAGE. */
int openai_check_sets(const struct opt_list *sets, struct err *e);
/* Appends the body, one line of JSON. messages: JSON. */
void openai_body(struct buf *out, const char *model, const char *messages, size_t n, const struct openai_params *p, int sample, int attempt);
/* Appends the answer in a reply of status 200 as the cache keeps it. -1: the reply is no chat completion with an answer. */
int openai_answer(const char *body, size_t n, struct buf *out, struct err *e);
/* What a refusal says, on one line, cut to `size`; empty if it says nothing readable. code (size bytes) its error code. */
void openai_refusal(const char *body, size_t n, char *text, char *code, size_t size);

/* tokens < 0: not known. */
void answer_put_saved(struct buf *out, const char *text, size_t n, const char *finish, int64_t tokens_in, int64_t tokens_out);
#endif
