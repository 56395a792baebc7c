/* JSON values as Python prints them: see pyrepr.h. The rules are those of CPython's unicode_repr
   (Objects/unicodeobject.c) and float_repr_style 'short' (Python/pystrtod.c). */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "common/text/pyrepr.h"
#include <math.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Unprintable for Python: categories Other and Separator, but the plain space. */
static pcre2_code *unprintable(void) {
    static pcre2_code *code;
    int error;
    PCRE2_SIZE at;
    if (!code) code = pcre2_compile((PCRE2_SPTR)"(?! )[\\p{C}\\p{Z}]", PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_NO_UTF_CHECK, &error, &at, NULL);
    if (!code) BUG("pattern error %d", error);
    return code;
}

/* Code point at s, whose UTF-8 is known to be valid; *n is its length in bytes. */
static uint32_t decode(const unsigned char *s, size_t *n) {
    *n = s[0] < 0x80 ? 1 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    uint32_t u = *n == 1 ? s[0] : s[0] & (0x7Fu >> *n);
    for (size_t i = 1; i < *n; i++) u = u << 6 | (s[i] & 0x3F);
    return u;
}

static void put_escaped(struct buf *b, uint32_t u) {
    if (u == '\n' || u == '\r' || u == '\t')
        buf_addf(b, "\\%c", u == '\n' ? 'n' : u == '\r' ? 'r' : 't');
    else
        buf_addf(b, u < 0x100 ? "\\x%02x" : u < 0x10000 ? "\\u%04x" : "\\U%08x", u);
}

/* Characters of s[0..n), none of them unprintable, with backslashes and the quote escaped. */
static void put_printable(struct buf *b, const char *s, size_t n, char quote) {
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\\' || s[i] == quote) buf_addc(b, '\\');
        buf_addc(b, s[i]);
    }
}

static void put_str(struct buf *b, const char *s, size_t n) {
    char quote = memchr(s, '\'', n) && !memchr(s, '"', n) ? '"' : '\'';
    pcre2_match_data *m = pcre2_match_data_create(1, NULL);
    size_t at = 0;
    buf_addc(b, quote);
    while (at < n && pcre2_match(unprintable(), (PCRE2_SPTR)s, n, at, PCRE2_NO_UTF_CHECK, m, NULL) > 0) {
        size_t hit = pcre2_get_ovector_pointer(m)[0], len;
        put_printable(b, s + at, hit - at, quote);
        put_escaped(b, decode((const unsigned char *)s + hit, &len));
        at = hit + len;
    }
    put_printable(b, s + at, n - at, quote);
    buf_addc(b, quote);
    pcre2_match_data_free(m);
}

/* Shortest digits that read back, then repr's layout: an exponent from 1e16 on and below 1e-4. */
static void put_float(struct buf *b, double x) {
    char s[40], digits[24];
    int precision = 0, n = 0;
    do snprintf(s, sizeof s, "%.*e", precision, x);
    while (strtod(s, NULL) != x && ++precision < 17);
    const char *mark = strchr(s, 'e');
    int exponent = atoi(mark + 1);
    for (const char *p = s; p < mark; p++)
        if (*p >= '0' && *p <= '9') digits[n++] = *p;
    digits[n] = 0;
    if (signbit(x)) buf_addc(b, '-');
    if (exponent < -4 || exponent >= 16) {
        buf_addf(b, "%c%s%s", digits[0], n > 1 ? "." : "", digits + 1);
        buf_addf(b, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
    } else if (exponent < 0) {
        buf_addf(b, "0.%.*s%s", -exponent - 1, "000", digits);
    } else {
        for (int i = 0; i <= exponent; i++) buf_addc(b, i < n ? digits[i] : '0');
        buf_addf(b, ".%s", n > exponent + 1 ? digits + exponent + 1 : "0");
    }
}

static void put_number(struct buf *b, const struct json *v) {
    if (memchr(v->raw, '.', v->raw_len) || memchr(v->raw, 'e', v->raw_len) || memchr(v->raw, 'E', v->raw_len))
        put_float(b, v->number);
    else if (v->raw_len == 2 && !memcmp(v->raw, "-0", 2))
        buf_addc(b, '0');
    else
        buf_add(b, v->raw, v->raw_len);
}

static void put(struct buf *b, const struct json *v) {
    switch (v->type) {
    case JSON_NULL: buf_adds(b, "None"); return;
    case JSON_BOOL: buf_adds(b, v->truth ? "True" : "False"); return;
    case JSON_NUMBER: put_number(b, v); return;
    case JSON_STRING: put_str(b, v->str, v->len); return;
    case JSON_ARRAY:
    case JSON_OBJECT: break;
    }
    buf_addc(b, v->type == JSON_ARRAY ? '[' : '{');
    for (const struct json *x = v->first; x; x = x->next) {
        if (x != v->first) buf_adds(b, ", ");
        if (v->type == JSON_OBJECT) {
            put_str(b, x->key, x->key_len);
            buf_adds(b, ": ");
        }
        put(b, x);
    }
    buf_addc(b, v->type == JSON_ARRAY ? ']' : '}');
}

void pyrepr(struct buf *b, const struct json *v) {
    if (v->type == JSON_STRING)
        buf_add(b, v->str, v->len);
    else
        put(b, v);
}
