/* The integer product with AVX-512 VNNI in 256 bits: one instruction multiplies four codes and adds. */
#include "kernels/cpu/int8_decode.h"
#if CPU_X86
#define ISA __attribute__((target("avx2,fma,f16c,avx512f,avx512vl,avx512vnni")))
#define VINLINE static inline __attribute__((always_inline)) ISA

/* The weight's operand is unsigned: signed codes are raised by 128. */
VINLINE void int8_ready(struct int8_panel *o, enum dtype t) {
    if (int8_narrow(t)) return;
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) o->w[i / 8][i % 8] = _mm256_xor_si256(o->w[i / 8][i % 8], _mm256_set1_epi8((char)0x80));
}

VINLINE __m256i int8_dots(const struct int8_panel *o, enum dtype t, int h, int from, int n, const int8_t *q, int32_t sum) {
    int zero = int8_narrow(t) ? int8_zero(t) : 128;
    __m256i s = zero ? _mm256_set1_epi32(-zero * sum) : _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int j = from; j < from + n; j++) s = _mm256_dpbusd_epi32(s, o->w[h][j], _mm256_set1_epi32(word((const char *)q + 4 * j)));
    return s;
}

#include "kernels/cpu/int8_tile.h"

void int8_panels_vnni(const struct int8_job *j, int64_t n0, int64_t panels, int r0, int rows) { int8_panels(j, n0, panels, r0, rows); }
#endif
