/* JSON numbers, exactly: grammar, nearest double, comparison, divisibility. See json_number.h and json.h. */
#include "common/io/json_number.h"
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_EXPONENT 1000000000000000 /* beyond any number's length, and far from overflow in sums */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static const char *digits(const char *p, const char *end) {
    while (p < end && is_digit(*p)) p++;
    return p;
}

const char *json_number_end(const char *p, const char *end, const char **what) {
    const char *start = p += p < end && *p == '-';
    p = digits(p, end);
    if (p == start) return *what = "bad number, expected a digit", p;
    if (p - start > 1 && *start == '0') return *what = "bad number, a leading zero", start;
    if (p < end && *p == '.') {
        start = ++p;
        p = digits(p, end);
        if (p == start) return *what = "bad number, expected a digit after the point", p;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        p += p < end && (*p == '+' || *p == '-');
        start = p;
        p = digits(p, end);
        if (p == start) return *what = "bad number, expected a digit in the exponent", p;
    }
    return p;
}

/* Mantissa below 2^53 and a power of ten up to 22 are both exact doubles, so one operation rounds once
   (Clinger 1990, "How to read floating point numbers accurately"). */
static bool read_short(const char *p, size_t n, double *out) {
    static const double ten[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    uint64_t m = 0;
    bool negative = *p == '-', fraction = false;
    int places = 0;
    if (n > 18) return false;
    for (size_t i = negative; i < n; i++) {
        if (p[i] == '.') {
            fraction = true;
            continue;
        }
        if (!is_digit(p[i])) return false;
        m = m * 10 + (uint64_t)(p[i] - '0');
        places += fraction;
    }
    if (m > (uint64_t)1 << 53) return false;
    double x = places ? (double)m / ten[places] : (double)m;
    *out = negative ? -x : x;
    return true;
}

int json_number_read(const char *p, size_t n, struct buf *scratch, double *out) {
    if (FLT_EVAL_METHOD == 0 && read_short(p, n, out)) return 0;
    buf_clear(scratch);
    buf_add(scratch, p, n);
    *out = strtod(scratch->p, NULL);
    return isfinite(*out) ? 0 : -1;
}

static int64_t read_exponent(const char *p, const char *end) {
    int64_t x = 0;
    bool negative = p < end && *p == '-';
    for (p += p < end && (*p == '-' || *p == '+'); p < end; p++)
        if (x < MAX_EXPONENT) x = x * 10 + (*p - '0');
    if (x > MAX_EXPONENT) x = MAX_EXPONENT;
    return negative ? -x : x;
}

struct decimal json_decimal(const struct json *v) {
    const char *p = v->raw, *end = p + v->raw_len;
    struct decimal d = {.negative = *p == '-'};
    p += d.negative;
    const char *whole_end = digits(p, end), *stop = whole_end;
    bool point = stop < end && *stop == '.';
    if (point) stop = digits(stop + 1, end);
    if (stop < end) d.top = read_exponent(stop + 1, end);
    d.top += whole_end - p;
    while (p < stop && (*p == '0' || *p == '.')) d.top -= *p++ == '0';
    while (stop > p && (stop[-1] == '0' || stop[-1] == '.')) stop--;
    if (p == stop) return (struct decimal){0};
    bool inside = point && p < whole_end && stop > whole_end;
    d.p = p;
    d.n = (size_t)(stop - p) - inside;
    d.dot = inside ? (size_t)(whole_end - p) : d.n;
    return d;
}

static int compare_size(const struct decimal *a, const struct decimal *b) {
    if (a->top != b->top) return a->top < b->top ? -1 : 1;
    for (size_t i = 0; i < a->n && i < b->n; i++) {
        int diff = json_digit(a, i) - json_digit(b, i);
        if (diff) return diff;
    }
    return (a->n > b->n) - (a->n < b->n);
}

int json_number_cmp(const struct json *a, const struct json *b) {
    if (a->number < b->number) return -1; /* rounding keeps the order */
    if (a->number > b->number) return 1;
    struct decimal x = json_decimal(a), y = json_decimal(b);
    if (!x.n || !y.n) return x.n ? (x.negative ? -1 : 1) : y.n ? (y.negative ? 1 : -1) : 0;
    if (x.negative != y.negative) return x.negative ? -1 : 1;
    int c = compare_size(&x, &y);
    return x.negative ? -c : c;
}

bool json_is_whole(const struct json *v) {
    struct decimal d = json_decimal(v);
    return d.top >= (int64_t)d.n;
}

bool json_int(const struct json *v, int64_t *out) {
    if (!v || v->type != JSON_NUMBER) return false;
    struct decimal d = json_decimal(v);
    int64_t x = 0;
    if (d.top < (int64_t)d.n || d.top > 19) return false;
    for (int64_t i = 0; i < d.top; i++) { /* downwards, since -2^63 has no positive twin */
        int digit = i < (int64_t)d.n ? json_digit(&d, (size_t)i) : 0;
        if (__builtin_mul_overflow(x, 10, &x) || __builtin_sub_overflow(x, digit, &x)) return false;
    }
    if (!d.negative && __builtin_sub_overflow(0, x, &x)) return false;
    *out = x;
    return true;
}

/* ---- divisibility: is a0 a1 … followed by `zeros` zeros a multiple of b0 b1 …, both as whole numbers ---- */
static bool divides_small(const struct decimal *a, size_t zeros, const struct decimal *b) {
    uint64_t m = 0, r = 0; /* at most 18 digits: r * 10 + 9 fits */
    for (size_t i = 0; i < b->n; i++) m = m * 10 + (uint64_t)json_digit(b, i);
    for (size_t i = 0; i < a->n + zeros; i++) r = (r * 10 + (uint64_t)(i < a->n ? json_digit(a, i) : 0)) % m;
    return r == 0;
}

/* r -= b if that stays non-negative; r has n + 1 digits, most significant first, and b has n. */
static bool subtract(unsigned char *r, const struct decimal *b) {
    size_t n = b->n;
    if (!r[0])
        for (size_t i = 0; i < n; i++) {
            int diff = r[i + 1] - json_digit(b, i);
            if (diff < 0) return false;
            if (diff > 0) break;
        }
    int borrow = 0;
    for (size_t i = n; i > 0; i--) {
        int x = r[i] - json_digit(b, i - 1) - borrow;
        borrow = x < 0;
        r[i] = (unsigned char)(x + 10 * borrow);
    }
    r[0] = (unsigned char)(r[0] - borrow);
    return true;
}

static bool divides_large(const struct decimal *a, size_t zeros, const struct decimal *b) {
    unsigned char *r = xcalloc(b->n + 1, 1);
    bool zero = true;
    for (size_t i = 0; i < a->n + zeros; i++) {
        memmove(r, r + 1, b->n);
        r[b->n] = (unsigned char)(i < a->n ? json_digit(a, i) : 0);
        while (subtract(r, b)) {}
    }
    for (size_t i = 0; i <= b->n; i++) zero = zero && !r[i];
    free(r);
    return zero;
}

bool json_multiple_of(const struct json *a, const struct json *b) {
    struct decimal x = json_decimal(a), y = json_decimal(b);
    if (!x.n) return true;
    int64_t zeros = (x.top - (int64_t)x.n) - (y.top - (int64_t)y.n);
    if (zeros < 0) return false; /* x's last digit is not zero, so 10 does not divide it */
    /* 10^zeros only lends y its factors 2 and 5: y < 10^n has fewer than 4 n of either. */
    if ((uint64_t)zeros > 4 * y.n) zeros = 4 * (int64_t)y.n;
    return y.n <= 18 ? divides_small(&x, (size_t)zeros, &y) : divides_large(&x, (size_t)zeros, &y);
}
