/* Element types: sizes, all 65,536 half-precision values both ways, rounding at every midpoint, block decoders. */
#include "tests/kernels/ktest.h"

static uint32_t bits(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}
static float from_bits(uint32_t u) {
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static void test_sizes(void **state) {
    assert_string_equal(dtype_name(DT_Q4_1), "q4_1");
    assert_string_equal(dtype_name(DT_BF16), "bf16");
    for (int t = 0; t < DT_COUNT; t++) assert_true(dtype_name((enum dtype)t)[0] != '?' && dtype_bytes((enum dtype)t, 64) == 64 / (size_t)dtype_block((enum dtype)t) * dtype_block_bytes((enum dtype)t));
    assert_int_equal(dtype_bytes(DT_Q4_1, 576), 360);
    assert_int_equal(dtype_bytes(DT_Q4_0, 64), 36);
    assert_int_equal(dtype_bytes(DT_Q8_0, 96), 102);
    assert_int_equal(dtype_bytes(DT_F64, (int64_t)1 << 33), (size_t)1 << 36);
}

/* From the format's definition: sign, 5 bits of exponent biased by 15, 10 of fraction */
static double half_value(int h) {
    int e = h >> 10 & 31, m = h & 1023;
    double v = e == 31 ? (m ? NAN : INFINITY) : e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
    return h & 0x8000 ? -v : v;
}

static void test_f16_to_f32(void **state) {
    for (int h = 0; h < 65536; h++) {
        double want = half_value(h);
        float got = f16_to_f32((uint16_t)h);
        if (isnan(want) ? !isnan(got) : !((double)got == want && !signbit(got) == !signbit(want))) fail_msg("f16 %04x is %g, not %g", h, (double)got, want);
        uint16_t back = f32_to_f16(got);
        if (isnan(want) ? (back & 0x7fff) <= 0x7c00 || (back & 0x8000) != (h & 0x8000) : back != h) fail_msg("f16 %04x comes back as %04x", h, back);
    }
}

/* Between two neighbours: below the middle goes down, above up, the middle to the even one. */
static void test_f32_to_f16(void **state) {
    for (int h = 0; h < 0x7c00; h++) {
        double a = half_value(h), b = h == 0x7bff ? 65536 : half_value(h + 1);
        float mid = (float)((a + b) / 2); /* exact: one bit more than f16 has */
        uint16_t even = (uint16_t)(h % 2 ? h + 1 : h);
        assert_int_equal(f32_to_f16(mid), even);
        assert_int_equal(f32_to_f16(-mid), even | 0x8000);
        assert_int_equal(f32_to_f16(nextafterf(mid, 0)), h);
        assert_int_equal(f32_to_f16(nextafterf(mid, INFINITY)), h + 1);
    }
    assert_int_equal(f32_to_f16(1e30f), 0x7c00);
    assert_int_equal(f32_to_f16(-INFINITY), 0xfc00);
    assert_int_equal(f32_to_f16(1e-30f), 0);
    assert_int_equal(f32_to_f16(from_bits(0x80000001)), 0x8000);
    assert_true((f32_to_f16(from_bits(0x7f800001)) & 0x7fff) > 0x7c00); /* a NaN whose payload sits in the low bits */
}

static void test_bf16(void **state) {
    for (uint32_t h = 0; h < 65536; h++) {
        float f = bf16_to_f32((uint16_t)h);
        assert_true(bits(f) == h << 16);
        if (isnan(f)) {
            assert_true(isnan(bf16_to_f32(f32_to_bf16(f))) && isnan(bf16_to_f32(f32_to_bf16(from_bits(h << 16 | 1)))));
            continue;
        }
        assert_int_equal(f32_to_bf16(f), h);
        if ((h & 0x7fff) >= 0x7f80) continue;
        assert_int_equal(f32_to_bf16(from_bits(h << 16 | 0x7fff)), h);
        assert_int_equal(f32_to_bf16(from_bits(h << 16 | 0x8000)), h + (h & 1)); /* tie to even, to infinity at the top */
        assert_int_equal(f32_to_bf16(from_bits(h << 16 | 0x8001)), h + 1);
    }
    assert_true(isnan(bf16_to_f32(f32_to_bf16(from_bits(0x7f800001)))) && isnan(bf16_to_f32(f32_to_bf16(from_bits(0xffffffff)))));
}

static void test_blocks(void **state) {
    uint8_t b[34];
    float v[32];
    for (int n = 0; n < 1000; n++) {
        for (int i = 0; i < 34; i++) b[i] = (uint8_t)(rng() >> 30);
        b[1] &= 0xbb, b[3] &= 0xbb; /* finite scales */
        double d = half_value(b[0] | b[1] << 8), m = half_value(b[2] | b[3] << 8);
        dtype_to_f32(v, DT_Q8_0, b, 32);
        for (int i = 0; i < 32; i++) assert_true(v[i] == (float)(d * (b[2 + i] < 128 ? b[2 + i] : b[2 + i] - 256)));
        dtype_to_f32(v, DT_Q4_0, b, 32);
        for (int i = 0; i < 32; i++) assert_true(v[i] == (float)(d * ((i < 16 ? b[2 + i] % 16 : b[2 + i - 16] / 16) - 8)));
        dtype_to_f32(v, DT_Q4_1, b, 32);
        for (int i = 0; i < 32; i++) assert_true(v[i] == (float)(d * (i < 16 ? b[4 + i] % 16 : b[4 + i - 16] / 16) + m));
    }
}

static void test_plain(void **state) {
    static const double f64[] = {-1.5, 3e10};
    static const int64_t i64[] = {-7, 1 << 20};
    static const int16_t i16[] = {-300, 12};
    static const int8_t i8[] = {-128, 5};
    static const uint8_t u8[] = {255, 1};
    float v[2];
    dtype_to_f32(v, DT_F64, f64, 2);
    assert_true(v[0] == -1.5f && v[1] == 3e10f);
    dtype_to_f32(v, DT_I64, i64, 2);
    assert_true(v[0] == -7 && v[1] == 1048576);
    dtype_to_f32(v, DT_I16, i16, 2);
    assert_true(v[0] == -300 && v[1] == 12);
    dtype_to_f32(v, DT_I8, i8, 2);
    assert_true(v[0] == -128 && v[1] == 5);
    dtype_to_f32(v, DT_U8, u8, 2);
    assert_true(v[0] == 255);
    dtype_to_f32(v, DT_BOOL, u8 + 1, 1);
    assert_true(v[0] == 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sizes), cmocka_unit_test(test_f16_to_f32), cmocka_unit_test(test_f32_to_f16), cmocka_unit_test(test_bf16), cmocka_unit_test(test_blocks), cmocka_unit_test(test_plain)};
    return cmocka_run_group_tests_name("dtype", tests, NULL, NULL);
}
