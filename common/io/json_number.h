/* Inside of json*.c and schema*.c: JSON numbers as exact decimals. */
#ifndef COADOR_JSON_NUMBER_H
#define COADOR_JSON_NUMBER_H
#include "common/io/json.h"

/* End of the number at p by RFC 8259's grammar; on a break *what says it and the place is returned. */
const char *json_number_end(const char *p, const char *end, const char **what);
/* Nearest double of a number's text; -1 if that is infinite. scratch is reused memory. */
int json_number_read(const char *p, size_t n, struct buf *scratch, double *out);

/* ±0.d0 d1 d2 … × 10^top, d0 nonzero and the last digit nonzero; n = 0 is zero. Views the number's text. */
struct decimal {
    bool negative;
    const char *p; /* d0 */
    size_t n;      /* digits */
    size_t dot;    /* digits before the point in the text, the rest behind it; n if there is none between */
    int64_t top;
};
/* Exponents beyond ±10^15 are taken as that. */
struct decimal json_decimal(const struct json *number);
static inline int json_digit(const struct decimal *d, size_t i) { return (i < d->dot ? d->p[i] : d->p[i + 1]) - '0'; }
/* Whether a = k b for a whole k, exactly; b is not zero. */
bool json_multiple_of(const struct json *a, const struct json *b);
/* Whether the number has no fraction (1.0 and 1e2 count), of any size. */
bool json_is_whole(const struct json *number);
#endif
