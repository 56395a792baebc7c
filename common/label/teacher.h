/* Teachers as the command line names them:
     openai:NAME[,base-url=URL][,key-env=VAR][,key-file=FILE][,price-in=X][,price-out=X][,id=TEXT]
     local:MODEL[,adapter=DIR]
   A key is read from its variable or file and goes nowhere but into the request's header. */
#ifndef COADOR_TEACHER_H
#define COADOR_TEACHER_H
#include "common/io/buf.h"
#include "common/io/err.h"
#include "common/label/local.h"
#include "common/label/pace.h"
#include <stdbool.h>

struct teacher {
    char *spec;                  /* as given, for messages */
    char *name;                  /* the model: a served one's name, a local one's path */
    bool is_local;
    /* served */
    char *url;                   /* of chat/completions */
    char *key;                   /* NULL: none */
    char *authorization;         /* the header with the key, or NULL */
    double price_in, price_out;  /* a million tokens */
    struct pace pace;
    double mean_tokens, mean_cost; /* of an answer so far */
    int64_t answers;             /* that these means are of */
    bool replied;                /* with status 200, in this run */
    int failed;                  /* questions that failed before that: no connection, or the server's own error */
    /* local */
    char *adapter;
    struct local *local;         /* once opened */
    char *identity;              /* what the cache knows it by */
};
struct teacher_defaults { /* for what a spec leaves out */
    const char *base_url;    /* --base-url, else OPENAI_BASE_URL, else OpenAI's; the path /v1 is put behind a bare host */
    const char *key_env, *key_file; /* neither: OPENAI_API_KEY if it is set */
    double price_in, price_out, requests, tokens; /* a million tokens; a minute */
};
/* Does not open a local model. RC_USAGE, RC_IO. give: teacher_release, also after an error. */
int teacher_parse(struct teacher *t, const char *spec, const struct teacher_defaults *d, struct err *e);
void teacher_release(struct teacher *t);
/* Overwrites every occurrence of the key in text (n bytes) by '*': a server may say it back. */
void teacher_hide_key(const struct teacher *t, char *text, size_t n);
#endif
