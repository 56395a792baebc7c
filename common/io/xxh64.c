/* XXH64: see xxh64.h. Four lanes over stripes of 32 bytes, merged, then the tail of 8, 4 and 1 bytes, then an avalanche. */
#include "common/io/xxh64.h"
#include <string.h>

#define P1 0x9E3779B185EBCA87u
#define P2 0xC2B2AE3D27D4EB4Fu
#define P3 0x165667B19E3779F9u
#define P4 0x85EBCA77C2B2AE63u
#define P5 0x27D4EB2F165667C5u

static uint64_t rotl(uint64_t x, int n) { return x << n | x >> (64 - n); }

static uint64_t load(const unsigned char *p, int bytes) {
    uint64_t x = 0;
    for (int i = bytes; i-- > 0;) x = x << 8 | p[i];
    return x;
}

static uint64_t lane(uint64_t acc, uint64_t in) { return rotl(acc + in * P2, 31) * P1; }

static uint64_t stripes(const unsigned char **p, const unsigned char *end) {
    uint64_t v[4] = {P1 + P2, P2, 0, 0 - P1}, h;
    for (; end - *p >= 32; *p += 32)
        for (int i = 0; i < 4; i++) v[i] = lane(v[i], load(*p + 8 * i, 8));
    h = rotl(v[0], 1) + rotl(v[1], 7) + rotl(v[2], 12) + rotl(v[3], 18);
    for (int i = 0; i < 4; i++) h = (h ^ lane(0, v[i])) * P1 + P4;
    return h;
}

uint64_t xxh64(const void *data, size_t n) {
    const unsigned char *p = data, *end = p + n;
    uint64_t h = n < 32 ? P5 : stripes(&p, end);
    h += n;
    for (; end - p >= 8; p += 8) h = rotl(h ^ lane(0, load(p, 8)), 27) * P1 + P4;
    if (end - p >= 4) {
        h = rotl(h ^ load(p, 4) * P1, 23) * P2 + P3;
        p += 4;
    }
    for (; p < end; p++) h = rotl(h ^ *p * P5, 11) * P1;
    h = (h ^ h >> 33) * P2;
    h = (h ^ h >> 29) * P3;
    return h ^ h >> 32;
}
