/* The --map of csv2prompt: other names for columns, other names for labels, and which labels are allowed.
       columns: {f1: text1}                       # name in the templates: name in the CSV
       labels: {alegria: Felicidade}              # in every label column, or for one column:
       labels: {sentence1_sentiment: {joy: Felicidade}}
       allowed: [Felicidade, Neutro]              # after mapping; or per column, as for labels
   A column's own table comes before the common one. Unknown fields and columns are errors with their line. */
#ifndef COADOR_LABELMAP_H
#define COADOR_LABELMAP_H
#include "common/io/csv.h"
#include "common/io/err.h"
#include "common/io/template.h"
#include <stdbool.h>

struct labelmap;
/* path NULL: the empty map. Borrows names[0..n), the CSV's columns. give: labelmap_free. */
struct labelmap *labelmap_read(const char *path, const struct cell *names, size_t n, struct err *e);
void labelmap_free(struct labelmap *m);
/* The names that templates may use. */
const struct columns *labelmap_columns(const struct labelmap *m);
/* Refuses a table for a column with fixed[column]: one that the prompt shows as it is. */
int labelmap_check(const struct labelmap *m, const bool *fixed, struct err *e);
/* Replaces a label of `column` by its name in the map (owned by m); one that is then not allowed is an error. */
int labelmap_apply(const struct labelmap *m, size_t column, struct cell *label, struct err *e);
#endif
