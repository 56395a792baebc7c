/* What a system cost: rows and tokens it was trained on, seconds that took, bytes of its model, price of its labels. From the
   command line and from files that other programs wrote; what nobody said stays unknown. */
#ifndef COADOR_FACTS_H
#define COADOR_FACTS_H
#include "common/stats/systems.h"

enum fact { FACT_ROWS, FACT_TOKENS, FACT_SECONDS, FACT_BYTES, FACT_PRICE, N_FACTS };
extern const char *const fact_keys[N_FACTS];

struct facts {
    double v[N_FACTS];         /* means over runs; NaN: unknown for a run or for all */
    const char *note;          /* borrowed; NULL: none */
};
struct facts_reader;
struct facts_reader *facts_new(const struct systems *s); /* borrows s; give: facts_free */
void facts_free(struct facts_reader *f);
/* "NAME[@SEED]:KEY=VALUE" (coador-eval(1), --about). Borrows the text. */
int facts_add(struct facts_reader *f, const char *about, struct err *e);
void facts_of(const struct facts_reader *f, int system, struct facts *out);
#endif
