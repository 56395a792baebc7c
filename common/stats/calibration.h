/* Whether a confidence means what it says: accuracy against confidence in ten bins, and the expected calibration error
   (Guo et al., On Calibration of Modern Neural Networks, ICML 2017). */
#ifndef COADOR_CALIBRATION_H
#define COADOR_CALIBRATION_H
#include "common/stats/systems.h"

#define CALIBRATION_BINS 10    /* (0, 0.1], (0.1, 0.2], …; the first holds 0 too */
struct calibration {
    int64_t n, without;        /* items with a confidence, and without */
    int64_t count[CALIBRATION_BINS], right[CALIBRATION_BINS];
    double sum[CALIBRATION_BINS]; /* of confidences */
};
void calibration_add(struct calibration *c, double confidence, bool right);
/* All items of all runs. */
void calibration_of(struct calibration *c, const struct system *s, const struct task *t, const struct reference *ref);
double calibration_ece(const struct calibration *c); /* sum over bins of count/n · |right/count - mean confidence|; NaN without items */
double calibration_confidence(const struct calibration *c); /* means over items; NaN without */
double calibration_accuracy(const struct calibration *c);
#endif
