/* Records on their way through a model: read ahead, turned into ids, answered or scored many at once, and written in the order
   they came. What tools/generate.c does, once its options are read. */
#ifndef COADOR_FLIGHT_H
#define COADOR_FLIGHT_H
#include "common/io/progress.h"
#include "common/io/window.h"
#include "common/model/generate.h"
#include "common/model/score.h"
#include "common/text/asked.h"
#include "common/text/chat.h"

struct pending { /* a record that came in and has not gone out */
    struct record *r;
    struct ids ids;    /* the prompt's; and behind them the completion's, where it is scored */
    size_t n_prompt;
    bool done;         /* answered, scored or failed */
};

struct flight {
    /* filled by the caller, all borrowed */
    const struct model *m;
    const struct chat *chat;      /* NULL: prompts are plain text, and messages an error */
    struct generator *generator;  /* one of the two: records are answered, */
    struct scorer *scorer;        /* or their completions scored */
    const struct asked *asked;    /* what answers are, NULL where nothing is asked of them */
    struct out *out;
    struct progress *progress;
    /* the rest is flight_open's */
    struct window window; /* of struct pending */
    uint64_t failed;      /* records with an error, those that came with it included */
    struct err first;     /* of the first record that failed here: "line N: why"; code 0: none has */
};
/* Opens `path` ("-": stdin), with `slots` records under way at most. May come before model, scorer and generator are there.
   give: flight_close. */
int flight_open(struct flight *f, const char *path, int slots, struct err *e);
void flight_close(struct flight *f);
/* The next record, encoded or failed, into *p: 1; 0 and -1 as window_take. */
int flight_take(struct flight *f, bool wait, struct pending **p, struct err *e);
/* Marks p's record failed, which then goes out with the reason. */
void flight_fail(struct flight *f, struct pending *p, const char *why);
/* Writes the records at the head that are done. */
int flight_emit(struct flight *f, struct err *e);

/* From the first record to the last: `output`, `finish_reason` and `usage` are set, or `error`. */
int flight_answer(struct flight *f, struct err *e);
/* `logprob` and `token_logprobs` are set, or `error`. */
int flight_score(struct flight *f, struct err *e);
#endif
