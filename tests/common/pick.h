/* Random choices for C tests, the same in every run. */
#ifndef PICK_H
#define PICK_H
#include <stdint.h>

static uint64_t pick_seed = 1;
static unsigned pick(unsigned n) { /* below n; splitmix64 */
    uint64_t x = pick_seed += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (unsigned)((x ^ x >> 31) % n);
}
#endif
