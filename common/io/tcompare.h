/* Two sources of tensors compared by value: largest difference and cosine of each tensor and of all, whatever their types. */
#ifndef COADOR_TCOMPARE_H
#define COADOR_TCOMPARE_H
#include "common/io/tsource.h"

struct tensor_diff { /* of two vectors a and b; sums in double */
    double max_abs, dot, aa, bb;
    bool nan;        /* in a difference */
};
double tensor_diff_max(const struct tensor_diff *d);    /* NaN where a difference is */
double tensor_diff_cosine(const struct tensor_diff *d); /* two zero vectors are the same: 1 */

/* Told of each tensor, in the order of the source that is a pipe, else of a: its difference, or what is wrong (d NULL). */
typedef void tcompare_fn(void *arg, const char *name, const struct tensor_diff *d, const char *problem);
/* Reads both through. *all: of all that have a counterpart of their shape; *problems: how many have none. */
int tcompare(struct tsource *a, struct tsource *b, tcompare_fn *told, void *arg, struct tensor_diff *all, int *problems, struct err *e);
#endif
