/* Small pictures as self-contained SVG: a confusion matrix, curves over a common axis. */
#ifndef COADOR_SVG_H
#define COADOR_SVG_H
#include "common/io/buf.h"
#include <stdint.h>

/* counts K × (K+1) as in confusion.h; labels[K]; shades by share of the true class. */
void svg_confusion(struct buf *b, const char *title, const char *const *labels, int K, const int64_t *counts);

struct curve {
    const char *name;
    const double *x, *y;
    int n;
};
/* Points that are not finite are left out. */
void svg_curves(struct buf *b, const char *title, const char *x_label, const char *y_label, const struct curve *c, int n);
#endif
