/* The report's charts as SVG that fits a phone: text for a width of 360 pixels, colours by class, so that a page can be light,
   dark or paper. A file on its own brings the classes along (chart_alone). */
#ifndef COADOR_CHART_H
#define COADOR_CHART_H
#include "common/stats/calibration.h"
#include <stdbool.h>

#define CHART_COLOURS 8
extern const char chart_css[]; /* of all charts: needs --ink --soft --line --paper, has .c0 … .c7 */

struct chart_point {
    double x, y, low, high; /* low..high: interval of y */
    int number, colour;     /* number: shown in the point */
};
struct chart_line {
    const double *x, *y;
    int n, colour;
};
struct chart {
    const char *title, *x_label, *y_label;
    const struct chart_point *points;
    int n_points;
    const struct chart_line *lines;
    int n_lines;
};
/* Points and lines over common axes; points at one x are set side by side; what is not finite is left out. */
void chart_xy(struct buf *b, const struct chart *c);

struct chart_row {
    const char *name;
    double value, low, high;
    const double *runs;     /* n_runs values, small marks */
    int n_runs, number, colour;
};
/* Values with intervals, one a row. */
void chart_rows(struct buf *b, const char *title, const struct chart_row *rows, int n);

/* Accuracy against mean confidence by bin, beside the diagonal; area by items. */
void chart_reliability(struct buf *b, const char *title, const struct calibration *c, int colour);

/* Makes a chart that stands in b a file of its own. */
void chart_alone(struct buf *b);
#endif
