/* Inside of json*.c: the byte scans that reading and writing share, eight bytes at a time. */
#ifndef COADOR_JSON_SCAN_H
#define COADOR_JSON_SCAN_H
#include <stdint.h>
#include <string.h>

#define JSON_ONES (UINT64_MAX / 255) /* 0x0101… */
#define JSON_HIGH (JSON_ONES * 128)  /* 0x8080… */

static inline uint64_t json_load8(const char *p) {
    uint64_t x;
    memcpy(&x, p, 8);
    return x;
}

/* Nonzero if a byte of x is zero ("Bit Twiddling Hacks", haszero). */
static inline uint64_t json_zero_byte(uint64_t x) { return (x - JSON_ONES) & ~x & JSON_HIGH; }

/* First byte of [p, end) that may not stand bare in a JSON string: a quote, a backslash, a control; or end. */
static inline const char *json_plain_run(const char *p, const char *end) {
    while (end - p >= 8) {
        uint64_t x = json_load8(p);
        uint64_t low = (x - JSON_ONES * 0x20) & ~x & JSON_HIGH;
        if (low | json_zero_byte(x ^ (JSON_ONES * '"')) | json_zero_byte(x ^ (JSON_ONES * '\\'))) break;
        p += 8;
    }
    while (p < end && (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\') p++;
    return p;
}

static inline const char *json_skip_space(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) p++;
    return p;
}
#endif
