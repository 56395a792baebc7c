/* In which order an epoch visits the rows: a pure function of seed and epoch, so that nothing has to be saved to resume. */
#ifndef COADOR_ORDER_H
#define COADOR_ORDER_H
#include <stdint.h>

enum sampling { SAMPLING_RANDOM, SAMPLING_SEQUENTIAL, SAMPLING_GROUP_BY_LENGTH };
/* order(n) = a permutation of 0..n-1. SAMPLING_GROUP_BY_LENGTH follows transformers' get_length_grouped_indices: the
   shuffled rows are cut into runs of min(n / (4·step), 50) steps (at least one), each sorted by falling length, and the
   longest row of all comes first, so that memory runs out at once or never. lengths(n) in tokens; step: rows a step. */
void order_epoch(int64_t *order, int64_t n, enum sampling how, uint64_t seed, int64_t epoch, const int32_t *lengths, int64_t step);
#endif
