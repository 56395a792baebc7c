/* JSON values: lookup, equality, writing, UTF-8. See json.h. */
#include "common/io/json.h"
#include "common/io/json_scan.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading ---- */
struct json *json_getn(const struct json *v, const char *key, size_t n) {
    if (!v || v->type != JSON_OBJECT) return NULL;
    for (struct json *m = v->first; m; m = m->next)
        if (m->key_len == n && !memcmp(m->key, key, n)) return m;
    return NULL;
}

struct json *json_get(const struct json *v, const char *key) { return json_getn(v, key, strlen(key)); }

bool json_is_str(const struct json *v, const char *s) {
    return v && v->type == JSON_STRING && v->len == strlen(s) && !memcmp(v->str, s, v->len);
}

static bool equal_arrays(const struct json *a, const struct json *b) {
    const struct json *y = b->first;
    for (const struct json *x = a->first; x; x = x->next, y = y->next)
        if (!json_equal(x, y)) return false;
    return true;
}

/* Members mostly come in the same order: try the next one before looking. */
static bool equal_objects(const struct json *a, const struct json *b) {
    const struct json *guess = b->first;
    for (const struct json *x = a->first; x; x = x->next) {
        const struct json *y = guess;
        if (!y || y->key_len != x->key_len || memcmp(y->key, x->key, x->key_len)) y = json_getn(b, x->key, x->key_len);
        if (!y || !json_equal(x, y)) return false;
        guess = y->next;
    }
    return true;
}

bool json_equal(const struct json *a, const struct json *b) {
    if (a->type != b->type) return false;
    switch (a->type) {
    case JSON_NULL: return true;
    case JSON_BOOL: return a->truth == b->truth;
    case JSON_NUMBER: return json_number_cmp(a, b) == 0;
    case JSON_STRING: return a->len == b->len && !memcmp(a->str, b->str, a->len);
    case JSON_ARRAY: return a->count == b->count && equal_arrays(a, b);
    case JSON_OBJECT: return a->count == b->count && equal_objects(a, b);
    }
    BUG("json type %d", (int)a->type);
}

/* ---- writing ---- */
/* What a byte becomes in a JSON string: 0 itself, 'u' the long escape, else the letter behind the backslash. */
#define U8_ 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u'
static const char escapes[256] = {U8_, 'b', 't', 'n', 'u', 'f', 'r', 'u', 'u', U8_, U8_, ['"'] = '"', ['\\'] = '\\'};

/* Room for n bytes of which each may take two, and for the ends. */
static char *string_room(struct buf *b, size_t n) {
    size_t room = 2 * n + 3;
    if (b->cap - b->n <= room) buf_reserve(b, room);
    return b->p + b->n;
}

/* The last bytes, fewer than 16, where all are bare: two loads that overlap. Whether they were copied. */
static inline bool copy_tail(char *o, const char *s, size_t n) {
    if (n >= 8) {
        uint64_t x = json_load8(s), y = json_load8(s + n - 8);
        if (json_special8(x) | json_special8(y)) return false;
        memcpy(o, &x, 8);
        memcpy(o + n - 8, &y, 8);
        return true;
    }
    if (n < 4) return false;
    uint32_t x, y;
    memcpy(&x, s, 4);
    memcpy(&y, s + n - 4, 4);
    if (json_special8((uint64_t)x << 32 | y)) return false;
    memcpy(o, &x, 4);
    memcpy(o + n - 4, &y, 4);
    return true;
}

/* Copies the bare bytes at the start of s..end to o; how many. */
static inline size_t copy_bare(char *o, const char *s, const char *end) {
    const char *begin = s;
#ifdef __SSE2__
    for (; end - s >= 16; s += 16, o += 16) {
        unsigned hit = json_special16(s);
        _mm_storeu_si128((__m128i *)o, _mm_loadu_si128((const __m128i *)s));
        if (hit) return (size_t)(s - begin) + (size_t)__builtin_ctz(hit);
    }
#else
    for (; end - s >= 16 && !json_special8(json_load8(s)); s += 8, o += 8) memcpy(o, s, 8);
#endif
    if (end - s < 16 && copy_tail(o, s, (size_t)(end - s))) return (size_t)(end - begin);
    while (s < end && !escapes[(unsigned char)*s]) *o++ = *s++;
    return (size_t)(s - begin);
}

/* What stands for the byte c, with n more to come behind it; where the next byte goes. */
static char *put_escape(struct buf *b, char *o, unsigned char c, size_t n) {
    *o++ = '\\';
    *o++ = escapes[c];
    if (escapes[c] != 'u') return o;
    b->n = (size_t)(o - b->p);
    buf_addf(b, "%04x", c);
    return string_room(b, n);
}

void json_put_chars(struct buf *b, const char *s, size_t n) {
    const char *end = n ? s + n : s;
    char *o = string_room(b, n);
    while (s < end) {
        size_t bare = copy_bare(o, s, end);
        o += bare, s += bare;
        if (s == end) break;
        o = put_escape(b, o, (unsigned char)*s, (size_t)(end - s));
        s++;
    }
    *o = 0;
    b->n = (size_t)(o - b->p);
}

void json_put_string(struct buf *b, const char *s, size_t n) {
    buf_addc(b, '"');
    json_put_chars(b, s, n);
    buf_addc(b, '"');
}

/* Most labels and many texts have nothing to escape, so that once is as good as twice. */
void json_put_string_chars(struct buf *b, const char *s, size_t n) {
    buf_add(b, "\\\"", 2);
    size_t from = b->n;
    json_put_chars(b, s, n);
    if (b->n != from + n) {
        struct buf once = BUF_INIT;
        buf_add(&once, b->p + from, b->n - from);
        b->n = from;
        json_put_chars(b, once.p, once.n);
        buf_release(&once);
    }
    buf_add(b, "\\\"", 2);
}

/* Fifteen digits give back every decimal that short; subnormals have fewer, so they are tried from one digit up. */
void json_put_number(struct buf *b, double x) {
    char text[40];
    if (!isfinite(x)) {
        buf_adds(b, "null");
        return;
    }
    if (x == trunc(x) && fabs(x) < 9007199254740992.0 && !(x == 0 && signbit(x))) {
        buf_addf(b, "%lld", (long long)x);
        return;
    }
    for (int digits = fabs(x) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, x);
        if (strtod(text, NULL) == x) break;
    }
    buf_adds(b, text);
}

static void put_members(struct buf *b, const struct json *v) {
    for (const struct json *m = v->first; m; m = m->next) {
        if (m != v->first) buf_addc(b, ',');
        if (v->type == JSON_OBJECT) {
            json_put_string(b, m->key, m->key_len);
            buf_addc(b, ':');
        }
        json_put_value(b, m);
    }
}

void json_put_value(struct buf *b, const struct json *v) {
    switch (v->type) {
    case JSON_STRING: json_put_string(b, v->str, v->len); break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        buf_addc(b, v->type == JSON_ARRAY ? '[' : '{');
        put_members(b, v);
        buf_addc(b, v->type == JSON_ARRAY ? ']' : '}');
        break;
    default: buf_add(b, v->raw, v->raw_len);
    }
}

/* ---- UTF-8 ---- */
/* Length of the well-formed sequence at s (RFC 3629's table: no overlongs, surrogates, or beyond U+10FFFF), or 0. */
static size_t sequence(const unsigned char *s, size_t n) {
    unsigned char c = s[0], low = 0x80, high = 0xBF;
    size_t len = c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
    if (!len || len > n) return 0;
    if (c == 0xE0) low = 0xA0;
    if (c == 0xED) high = 0x9F;
    if (c == 0xF0) low = 0x90;
    if (c == 0xF4) high = 0x8F;
    if (s[1] < low || s[1] > high) return 0;
    for (size_t i = 2; i < len; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    return len;
}

/* Goes on from i, where a sequence begins, over well-formed sequences of one or two bytes, many at a time: up to where
   fewer bytes are left than that, or longer or ill-formed ones come. */
static size_t short_end(const char *s, size_t i, size_t n) {
#ifdef __SSE2__
    while (n - i >= 16) {
        const __m128i x = _mm_loadu_si128((const __m128i *)(s + i));
        const unsigned high = (unsigned)_mm_movemask_epi8(x);
        if (high) { /* as signed bytes: -128 … -65 follow, -62 … -33 lead two */
            const __m128i leads = _mm_and_si128(_mm_cmpgt_epi8(x, _mm_set1_epi8(-63)), _mm_cmplt_epi8(x, _mm_set1_epi8(-32)));
            const unsigned follow = (unsigned)_mm_movemask_epi8(_mm_cmplt_epi8(x, _mm_set1_epi8(-64)));
            const unsigned lead = (unsigned)_mm_movemask_epi8(leads);
            if ((lead | follow) != high || follow != (lead << 1 & 0xFFFF)) break;
            i -= lead >> 15; /* a lead at the end comes again as the next beginning */
        }
        i += 16;
    }
#endif
    while (n - i >= 8 && !(json_load8(s + i) & JSON_HIGH)) i += 8;
    return i;
}

size_t utf8_valid(const char *s, size_t n) {
    size_t i = 0;
    while ((i = short_end(s, i, n)) < n)
        for (size_t stop = n - i > 16 ? i + 16 : n; i < stop;) {
            size_t len = (unsigned char)s[i] < 0x80 ? 1 : sequence((const unsigned char *)s + i, n - i);
            if (!len) return i;
            i += len;
        }
    return n;
}

/* Bytes of the ill-formed part at s: a sequence's beginning as far as it could have gone on, at least one byte. */
static size_t ill_formed(const unsigned char *s, size_t n) {
    unsigned char t[4];
    size_t len = s[0] < 0xC2 || s[0] > 0xF4 ? 1 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    for (size_t keep = len - 1; keep > 1; keep--) {
        if (keep > n) continue;
        memset(t, 0x80, sizeof t);
        memcpy(t, s, keep);
        if (sequence(t, len)) return keep;
    }
    return 1;
}

void utf8_repair(struct buf *b, const char *s, size_t n) {
    size_t i = 0;
    while (i < n) {
        size_t good = utf8_valid(s + i, n - i);
        buf_add(b, s + i, good);
        i += good;
        if (i == n) break;
        buf_adds(b, "\xEF\xBF\xBD");
        i += ill_formed((const unsigned char *)s + i, n - i);
    }
}
