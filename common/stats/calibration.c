/* Calibration of confidences: see calibration.h. */
#include "common/stats/calibration.h"
#include <math.h>

void calibration_add(struct calibration *c, double confidence, bool right) {
    int b = 0;
    while (b + 1 < CALIBRATION_BINS && confidence > (b + 1) / (double)CALIBRATION_BINS) b++;
    c->n++;
    c->count[b]++;
    c->right[b] += right;
    c->sum[b] += confidence;
}

static void add_run(struct calibration *c, const struct answers *a, const struct task *t, const struct reference *ref) {
    for (int64_t i = 0; i < ref->rows * t->n_fields; i++) {
        if (!a->confidence || isnan(a->confidence[i]))
            c->without++;
        else
            calibration_add(c, a->confidence[i], a->pred[i] == ref->truth[i]);
    }
}

void calibration_of(struct calibration *c, const struct system *s, const struct task *t, const struct reference *ref) {
    *c = (struct calibration){0};
    for (int k = 0; k < s->n_runs; k++) add_run(c, &s->runs[k].answers, t, ref);
}

double calibration_ece(const struct calibration *c) {
    double gap = 0;
    for (int b = 0; b < CALIBRATION_BINS; b++) gap += fabs((double)c->right[b] - c->sum[b]); /* count/n · |right/count - sum/count| */
    return c->n ? gap / (double)c->n : NAN;
}

double calibration_confidence(const struct calibration *c) {
    double sum = 0;
    for (int b = 0; b < CALIBRATION_BINS; b++) sum += c->sum[b];
    return c->n ? sum / (double)c->n : NAN;
}

double calibration_accuracy(const struct calibration *c) {
    int64_t right = 0;
    for (int b = 0; b < CALIBRATION_BINS; b++) right += c->right[b];
    return c->n ? (double)right / (double)c->n : NAN;
}
