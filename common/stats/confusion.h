/* Scores of a classifier from its confusion counts, defined as scikit-learn's classification_report and
   cohen_kappa_score define them (zero_division = 0).
   Counts are K × (K+1): row = true class, column = predicted class, the last column = no usable answer ("unparsed"),
   which is never true. A class takes part in macro averages when it occurs in truth or prediction; "unparsed" never
   does, but its rows lower the recall of the classes they belong to, and the accuracy. */
#ifndef COADOR_CONFUSION_H
#define COADOR_CONFUSION_H
#include <stdint.h>

#define MAX_CLASSES 64
struct class_score {
    double precision, recall, f1;
    int64_t support, predicted;
};
struct scores {
    int K;
    int64_t n;
    double accuracy, macro_precision, macro_recall, macro_f1, weighted_precision, weighted_recall, weighted_f1;
    double kappa;       /* Cohen's, truth against prediction, "unparsed" a category of its own; 0 when undefined */
    struct class_score of[MAX_CLASSES];
};
/* counts: K·(K+1), see above. */
void scores_from(struct scores *s, const int64_t *counts, int K);
/* Of n runs on the same items: scores are means, counts (n, support, predicted) are sums. */
void scores_mean(struct scores *m, const struct scores *runs, int n);
double macro_f1_from(const int64_t *counts, int K); /* just that, for resampling */
#endif
