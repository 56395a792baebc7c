/* Inside of json*.c: the byte scans that reading and writing share, 16 bytes at a time where SSE2 is there, else eight. */
#ifndef COADOR_JSON_SCAN_H
#define COADOR_JSON_SCAN_H
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define JSON_ONES (UINT64_MAX / 255) /* 0x0101… */
#define JSON_HIGH (JSON_ONES * 128)  /* 0x8080… */

static inline uint64_t json_load8(const char *p) {
    uint64_t x;
    memcpy(&x, p, 8);
    return x;
}

/* Nonzero if a byte of x is zero ("Bit Twiddling Hacks", haszero). */
static inline uint64_t json_zero_byte(uint64_t x) { return (x - JSON_ONES) & ~x & JSON_HIGH; }

/* Nonzero if a byte of x may not stand bare in a JSON string. */
static inline uint64_t json_special8(uint64_t x) {
    uint64_t low = (x - JSON_ONES * 0x20) & ~x & JSON_HIGH;
    return low | json_zero_byte(x ^ (JSON_ONES * '"')) | json_zero_byte(x ^ (JSON_ONES * '\\'));
}

#ifdef __SSE2__
/* A bit for each of the 16 bytes at p that may not stand bare in a JSON string. */
static inline unsigned json_special16(const char *p) {
    const __m128i x = _mm_loadu_si128((const __m128i *)p), control = _mm_set1_epi8(0x1f);
    __m128i hit = _mm_cmpeq_epi8(_mm_max_epu8(x, control), control);
    hit = _mm_or_si128(hit, _mm_cmpeq_epi8(x, _mm_set1_epi8('"')));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(hit, _mm_cmpeq_epi8(x, _mm_set1_epi8('\\'))));
}
#endif

/* First byte of [p, end) that may not stand bare in a JSON string: a quote, a backslash, a control; or end. */
static inline const char *json_plain_run(const char *p, const char *end) {
#ifdef __SSE2__
    for (; end - p >= 16; p += 16) {
        unsigned hit = json_special16(p);
        if (hit) return p + __builtin_ctz(hit);
    }
#else
    while (end - p >= 8 && !json_special8(json_load8(p))) p += 8;
#endif
    while (p < end && (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\') p++;
    return p;
}

/* Copies that run to o, where as many bytes as to `end` have room; its length. */
static inline size_t json_copy_run(char *o, const char *p, const char *end) {
    const char *begin = p;
#ifdef __SSE2__
    for (; end - p >= 16; p += 16, o += 16) {
        unsigned hit = json_special16(p);
        _mm_storeu_si128((__m128i *)o, _mm_loadu_si128((const __m128i *)p));
        if (hit) return (size_t)(p + __builtin_ctz(hit) - begin);
    }
    if (end - p >= 8 && !json_special8(json_load8(p))) memcpy(o, p, 8), o += 8, p += 8;
    while (p < end && (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\') *o++ = *p++;
#else
    p = json_plain_run(p, end);
    memcpy(o, begin, (size_t)(p - begin));
#endif
    return (size_t)(p - begin);
}

static inline const char *json_skip_space(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) p++;
    return p;
}

#define JSON_BAD_HEX (-1)
#define JSON_LONE_SURROGATE (-2)

/* Four hexadecimal digits at p, or JSON_BAD_HEX. */
static inline int32_t json_hex4(const char *p, const char *end) {
    int32_t x = 0;
    for (int i = 0; i < 4; i++) {
        char c = p + i < end ? p[i] : 0;
        int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (digit < 0) return JSON_BAD_HEX;
        x = x * 16 + digit;
    }
    return x;
}

/* The code point of a \u escape, *p at its first digit and moved behind it, behind both escapes of a surrogate pair;
   or a negative code, *p where it was. */
static inline int32_t json_unicode(const char **p, const char *end) {
    const char *s = *p;
    int32_t c = json_hex4(s, end), low;
    if (c < 0) return c;
    s += 4;
    if (c >= 0xDC00 && c <= 0xDFFF) return JSON_LONE_SURROGATE;
    if (c >= 0xD800 && c <= 0xDBFF) {
        if (end - s < 2 || s[0] != '\\' || s[1] != 'u') return JSON_LONE_SURROGATE;
        low = json_hex4(s + 2, end);
        if (low < 0xDC00 || low > 0xDFFF) return low < 0 ? low : JSON_LONE_SURROGATE;
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        s += 6;
    }
    *p = s;
    return c;
}

/* Writes c, a scalar value, as UTF-8; bytes written, 1 to 4. */
static inline size_t json_utf8(char *o, uint32_t c) {
    if (c < 0x80) return o[0] = (char)c, 1;
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6) o[i] = (char)(0x80 | (c & 63));
    o[0] = (char)(c | (0xF00u >> n & 0xFF)); /* C0, E0, F0 */
    return n;
}
#endif
