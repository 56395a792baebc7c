/* From the answers to one record to what it carries on: `parsed`, `confidence`, `reasoning`, `completion`, `usage`, or its
   error; and what all records together say about the teachers. */
#ifndef COADOR_LABEL_RESULT_H
#define COADOR_LABEL_RESULT_H
#include "common/io/jsonl.h"
#include "common/label/agree.h"
#include "common/label/ask.h"
#include "common/label/vote.h"
#include "common/text/repair.h"

struct result_rules {
    const struct label_task *task;
    int teachers, samples;  /* answers come teacher by teacher, samples together */
    bool labels_only;       /* completion without reasoning */
    bool most;              /* the kept reasoning may disagree with the vote in some fields */
    bool strict;            /* answers are JSON as they stand */
    double min_confidence;  /* 0: any */
    const char *lead;       /* before each completion */
};
struct results {
    struct result_rules rules;
    struct repair *repair;
    struct vote vote, one;  /* of all answers; of one teacher's */
    struct agree *agree;    /* [fields], between teachers; NULL for one */
    struct json_doc **docs; /* of the answers at hand */
    const struct json **answers;
    struct buf labels, text;
    int64_t answered, failed, partly; /* partly: the kept reasoning disagrees with the vote somewhere */
    double confidence;      /* sum over answered rows of their least share */
};
void results_init(struct results *s, const struct result_rules *rules);
void results_release(struct results *s);
/* An answer_fits for asks; arg is struct results. */
int results_fit(void *arg, const char *text, size_t n, bool cut, struct buf *value, struct err *e);
/* asks[0..teachers·samples) have ended. Whether the record is good. */
bool results_put(struct results *s, struct record *r, const struct ask *asks);
/* As JSON, and as lines for people (one a field; nothing for a single teacher). */
void results_agreement_json(const struct results *s, struct buf *b);
void results_agreement_text(const struct results *s, struct buf *b);
#endif
