/* What a run of distill-label came to: counts, tokens, cost, faults and agreement; in lines for people and as JSON. */
#ifndef COADOR_LABEL_SUMMARY_H
#define COADOR_LABEL_SUMMARY_H
#include "common/label/result.h"

struct label_summary { /* all borrowed */
    uint64_t records;
    int64_t passed; /* records that came with an error */
    const struct results *results;
    const struct asker_counts *counts;
    const struct batchfile_results *batches; /* NULL: none were read */
    const struct teacher *teachers;          /* [results->rules.teachers] */
};
void label_summary_text(const struct label_summary *s, struct buf *b); /* lines, without the last one's end */
void label_summary_json(const struct label_summary *s, struct buf *b); /* one line with its end */
/* "connection 3<between>timeout 1": the faults that there were; nothing for none. */
void label_put_faults(struct buf *b, const struct asker_counts *c, const char *before, const char *between);
#endif
