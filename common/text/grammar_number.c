/* Numbers within bounds as terms of decimal digits; see grammar_impl.h. With a bound, no exponent is written; the digits
   before and behind the point stay within DIGITS, so that no number leaves the range of a double. */
#include "common/io/json_number.h"
#include "common/text/grammar_impl.h"
#include <string.h>

#define DIGITS 100
#define MAX_DIVISOR 20000

struct bound { /* magnitude */
    bool set, negative, strict;
    char whole[DIGITS + 1], part[DIGITS + 1]; /* digits without leading zeros ("0" for none), behind the point without trailing ones */
    size_t n, k;
};

static term digits(struct terms *x, uint32_t lo, uint32_t hi) { return term_rep(x, lex_digit(x, '0', '9'), lo, hi); }

static term whole_number(struct terms *x) {
    return term_or2(x, term_byte(x, '0'), term_cat(x, lex_digit(x, '1', '9'), digits(x, 0, DIGITS - 1)));
}

static term fraction(struct terms *x) { return term_cat(x, term_byte(x, '.'), digits(x, 1, DIGITS)); }

static int read_bound(struct bound *b, const struct json *v, bool strict, struct err *e) {
    struct decimal d = json_decimal(v);
    *b = (struct bound){.set = true, .negative = d.negative && d.n, .strict = strict};
    if (!d.n) d.top = 0;
    if (d.top > DIGITS - 1 || d.top < -(DIGITS / 2) || d.n > DIGITS / 2)
        return err_set(e, RC_INPUT, "bound %.*s has too many digits to be kept", (int)(v->raw_len < 60 ? v->raw_len : 60), v->raw);
    for (int64_t i = d.top; i < 0; i++) b->part[b->k++] = '0';
    for (size_t i = 0; i < d.n; i++) {
        char c = (char)('0' + json_digit(&d, i));
        if ((int64_t)i < d.top) b->whole[b->n++] = c;
        else b->part[b->k++] = c;
    }
    while ((int64_t)b->n < d.top) b->whole[b->n++] = '0';
    if (!b->n) b->whole[b->n++] = '0';
    return 0;
}

/* ---- digits before the point ---- */
static term whole_above(struct terms *x, const struct bound *b) {
    term all = term_cat(x, lex_digit(x, '1', '9'), digits(x, (uint32_t)b->n, DIGITS - 1)); /* longer */
    for (size_t i = 0; i < b->n; i++) {
        term t = term_cat(x, lex_digit(x, (char)(b->whole[i] + 1), '9'), digits(x, (uint32_t)(b->n - i - 1), (uint32_t)(b->n - i - 1)));
        all = term_or2(x, all, term_text(x, b->whole, i, t));
    }
    return all;
}

static term whole_below(struct terms *x, const struct bound *b) {
    term all = TERM_EMPTY;
    if (b->n > 1) all = term_or2(x, term_byte(x, '0'), term_cat(x, lex_digit(x, '1', '9'), digits(x, 0, (uint32_t)b->n - 2)));
    for (size_t i = 0; i < b->n; i++) {
        char from = i || b->n == 1 ? '0' : '1';
        term t = term_cat(x, lex_digit(x, from, (char)(b->whole[i] - 1)), digits(x, (uint32_t)(b->n - i - 1), (uint32_t)(b->n - i - 1)));
        all = term_or2(x, all, term_text(x, b->whole, i, t));
    }
    return all;
}

/* ---- digits behind the point ---- */
/* Digits (none is zero) whose value compares as wanted with those of b from i on. */
static term part_above(struct terms *x, const struct bound *b, size_t i) {
    term any = digits(x, 0, DIGITS);
    if (i == b->k) return b->strict ? term_cat(x, digits(x, 0, DIGITS), term_cat(x, lex_digit(x, '1', '9'), any)) : any;
    term more = term_cat(x, lex_digit(x, (char)(b->part[i] + 1), '9'), any);
    return term_or2(x, more, term_cat(x, term_byte(x, (unsigned char)b->part[i]), part_above(x, b, i + 1)));
}

static term part_below(struct terms *x, const struct bound *b, size_t i) {
    if (i == b->k) return b->strict ? TERM_EMPTY : term_rep(x, term_byte(x, '0'), 0, DIGITS);
    term less = term_cat(x, lex_digit(x, '0', (char)(b->part[i] - 1)), digits(x, 0, DIGITS));
    return term_or(x, (term[]){less, TERM_EPS, term_cat(x, term_byte(x, (unsigned char)b->part[i]), part_below(x, b, i + 1))}, 3);
}

/* A point and at least one digit, or nothing where no digit will do. */
static term with_point(struct terms *x, term part) {
    term some = term_and2(x, part, digits(x, 1, DIGITS));
    term t = term_cat(x, term_byte(x, '.'), some);
    return term_nullable(x, part) ? term_opt(x, t) : t;
}

static term equal_whole(struct terms *x, const struct bound *b, term rest) { return term_text(x, b->whole, b->n, rest); }

/* Magnitudes not below (not above) b's. */
static term at_least(struct terms *x, const struct bound *b, bool whole) {
    term more = whole_above(x, b);
    if (whole) return b->k || b->strict ? more : term_or2(x, more, equal_whole(x, b, TERM_EPS));
    return term_or2(x, term_cat(x, more, term_opt(x, fraction(x))), equal_whole(x, b, with_point(x, part_above(x, b, 0))));
}

static term at_most(struct terms *x, const struct bound *b, bool whole) {
    term less = whole_below(x, b);
    if (whole) return b->k || !b->strict ? term_or2(x, less, equal_whole(x, b, TERM_EPS)) : less;
    return term_or2(x, term_cat(x, less, term_opt(x, fraction(x))), equal_whole(x, b, with_point(x, part_below(x, b, 0))));
}

static term magnitudes(struct terms *x, const struct bound *lo, const struct bound *hi, bool whole) {
    term all = whole ? whole_number(x) : term_cat(x, whole_number(x), term_opt(x, fraction(x)));
    if (lo && hi) return term_and2(x, at_least(x, lo, whole), at_most(x, hi, whole));
    return lo ? at_least(x, lo, whole) : hi ? at_most(x, hi, whole) : all;
}

static bool is_zero(const struct bound *b) { return b->n == 1 && *b->whole == '0' && !b->k; }

static term bounded(struct terms *x, const struct bound *least, const struct bound *most, bool whole) {
    const struct bound *lo = least->set ? least : NULL, *hi = most->set ? most : NULL;
    term positive = TERM_EMPTY, negative = TERM_EMPTY;
    if (!hi || !hi->negative) positive = magnitudes(x, lo && !lo->negative && !(is_zero(lo) && !lo->strict) ? lo : NULL, hi, whole);
    if (!lo || lo->negative) negative = magnitudes(x, hi && (hi->negative || is_zero(hi)) ? hi : NULL, lo, whole);
    return term_or2(x, positive, term_cat(x, term_byte(x, '-'), negative));
}

/* ---- all together ---- */
static term exponent(struct terms *x) { /* to 199: with DIGITS before the point still below 1.8e308 */
    term sign = term_opt(x, term_or2(x, term_byte(x, '+'), term_byte(x, '-')));
    term e = term_or2(x, term_byte(x, 'e'), term_byte(x, 'E'));
    return term_cat(x, e, term_cat(x, sign, term_or2(x, digits(x, 1, 2), term_cat(x, term_byte(x, '1'), digits(x, 2, 2)))));
}

/* Only multiples: digits counted by their remainder. A divisor 10^-k allows k digits behind the point. */
static int keep_multiple(struct terms *x, const struct json *m, term *t, struct err *e) {
    struct decimal d = json_decimal(m);
    term sign = term_opt(x, term_byte(x, '-'));
    int64_t divisor;
    if (json_int(m, &divisor) && divisor <= MAX_DIVISOR) {
        for (unsigned char c = '0'; c <= '9'; c++) term_byte(x, c); /* each a class of its own, as T_REM needs */
        *t = term_and2(x, *t, term_cat(x, sign, term_rem(x, (uint32_t)divisor, 0)));
        return 0;
    }
    if (d.n != 1 || json_digit(&d, 0) != 1 || d.top > 0 || d.top < -20)
        return err_set(e, RC_INPUT, "multipleOf %.*s cannot be kept, expected a whole number up to %d or 0.1, 0.01, …",
                       (int)(m->raw_len < 60 ? m->raw_len : 60), m->raw, MAX_DIVISOR);
    uint32_t k = (uint32_t)(1 - d.top);
    term part = term_cat(x, term_byte(x, '.'), digits(x, 1, k));
    *t = term_and2(x, *t, term_cat(x, sign, term_cat(x, digits(x, 1, DIGITS), term_opt(x, part))));
    return 0;
}

int number_term(struct terms *x, const struct limits *l, bool whole, term *out, struct err *e) {
    struct bound least = {0}, most = {0};
    if (l->least && read_bound(&least, l->least, l->above, e) < 0) return -1;
    if (l->most && read_bound(&most, l->most, l->below, e) < 0) return -1;
    *out = bounded(x, &least, &most, whole);
    if (!whole && !l->least && !l->most && !l->n_multiple) *out = term_cat(x, *out, term_opt(x, exponent(x)));
    for (int i = 0; i < l->n_multiple; i++)
        if (keep_multiple(x, l->multiple[i], out, e) < 0) return -1;
    return 0;
}
