/* The vote of several answers to one question, field by field. The fields are the schema's leaves that are enums of strings.
   Rules. An answer votes in each field for its label, or for "no such member". The label with the most votes wins; among
   equals the one that the first answer to have one of them gave (answers come by teacher in the order of the command line,
   then by sample). A label's share is its votes over all answers asked for, failed ones too. The kept answer is the first of
   those that agree with the vote in the most fields: its reasoning, and what else it holds besides the fields, stands. */
#ifndef COADOR_VOTE_H
#define COADOR_VOTE_H
#include "common/text/schema.h"

struct vote {
    int n_fields;
    int *label;    /* [n_fields] index into the field's values; their number: no such member */
    int *votes;    /* [n_fields] of that label */
    int asked, valid;
    int kept;      /* index of the kept answer, -1: none was valid */
    int agreeing;  /* fields in which it agrees with the vote */
};
void vote_init(struct vote *v, const struct schema *s);
void vote_release(struct vote *v);
/* answers[0..n): values that fit the schema, NULL for failed ones. Sets all but n_fields. */
void vote_count(struct vote *v, const struct schema *s, const struct json *const *answers, int n);
/* The label that an answer gives to a field: index, or the number of values if it has no such member. */
int vote_label(const struct schema *s, int field, const struct json *answer);
/* Appends the kept answer as JSON with the labels of the vote in place of its own. -1 when a member that the vote wants is
   missing in it. */
int vote_put(const struct vote *v, const struct schema *s, const struct json *kept, struct buf *out, struct err *e);
#endif
