/* Philox4x32-10, a counter-based random generator (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as
   1, 2, 3, SC'11): four 32-bit words that are a pure function of a counter and a key. */
#ifndef COADOR_PHILOX_H
#define COADOR_PHILOX_H
#include <stdint.h>
#define PHILOX_M0 0xD2511F53u
#define PHILOX_M1 0xCD9E8D57u
#define PHILOX_W0 0x9E3779B9u
#define PHILOX_W1 0xBB67AE85u

/* c: the counter, replaced by the output */
static inline void philox4x32_10(uint32_t c[4], const uint32_t key[2]) {
    uint32_t k0 = key[0], k1 = key[1];
    for (int i = 0; i < 10; i++, k0 += PHILOX_W0, k1 += PHILOX_W1) {
        uint64_t a = (uint64_t)PHILOX_M0 * c[0], b = (uint64_t)PHILOX_M1 * c[2];
        c[0] = (uint32_t)(b >> 32) ^ c[1] ^ k0;
        c[1] = (uint32_t)b;
        c[2] = (uint32_t)(a >> 32) ^ c[3] ^ k1;
        c[3] = (uint32_t)a;
    }
}
#endif
