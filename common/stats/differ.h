/* The rows where a teacher and its student differ most, with what both said. */
#ifndef COADOR_DIFFER_H
#define COADOR_DIFFER_H
#include "common/stats/systems.h"

struct said {           /* by one run of a system about one row */
    int run;
    uint8_t *pred;      /* (fields) class, K of the field's group = unparsed; borrowed from the answers */
    double confidence;  /* mean over fields; NaN: none */
    char *reasoning;    /* NULL: none in the record */
    char *error;        /* the record's; NULL: none */
};
struct differing_row {
    int64_t row;
    double distance;    /* share of fields that differ, over all pairs of a run of each */
    char **text;        /* (fields) the row's cell that the field is about; NULL: none */
    char *prompt;       /* NULL: none */
    struct said teacher, student; /* the pair of runs that differ most on this row */
};
struct differing {
    int teacher, student;   /* systems */
    int64_t total;          /* rows in which any pair of runs differs */
    int n;
    struct differing_row *rows; /* by distance, then the teacher's confidence, descending, then in the rows' order */
};
/* At most `most` rows. Reads the two systems' files again for texts: standard input is an error. reasoning_key: where in
   `parsed` the reasoning stands if the record has no field `reasoning` (NULL: nowhere). */
int differing_find(struct differing *d, const struct task *t, const struct reference *ref, const struct systems *s, int teacher, int student, int most, const char *reasoning_key, struct err *e);
void differing_release(struct differing *d, const struct task *t);
#endif
