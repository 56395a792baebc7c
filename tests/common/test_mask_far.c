/* Masks under limits far away, and of subtrees taken whole: each token against the grammar walked byte by byte, over a
   vocabulary of long tokens that share their beginnings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/text/mask.h"
#include "pick.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKENS 1500

static struct vocab *vocab;

static int make_vocab(void **unused) {
    static const char letters[] = "aaaabbbc  \"1.-", bytes[] = " \"abc1.-{}:,\\nu0@\xc3\xa3";
    static char text[TOKENS][48];
    const char *texts[TOKENS];
    size_t lens[TOKENS];
    for (int i = 0; i < TOKENS; i++) {
        int n = i < (int)sizeof bytes - 1 ? 1 : 2 + (int)pick(pick(4) ? 12 : 45);
        for (int k = 0; k < n; k++) text[i][k] = i < (int)sizeof bytes - 1 ? bytes[i] : letters[pick(sizeof letters - 1)];
        if (n > 4 && pick(8) == 0) memcpy(text[i] + n - 2, "\xc3\xa3", 2);
        texts[i] = text[i], lens[i] = (size_t)n;
    }
    vocab = vocab_of_texts(texts, lens, TOKENS);
    return 0;
}

static int drop_vocab(void **unused) {
    vocab_free(vocab);
    return 0;
}

static bool in(const uint32_t *bits, int32_t i) { return bits[i >> 5] >> (i & 31) & 1; }

static void compare(struct masker *m, uint32_t state, const char *schema) {
    uint32_t bits[TOKENS / 32 + 1], some[TOKENS / 32 + 1], least = mask_min_tokens(m, state), left = least + pick(4) + !least;
    bool narrowed;
    mask_fill(m, state, bits);
    mask_fill_within(m, state, left, some, &narrowed);
    for (int32_t t = 0; t < TOKENS; t++) {
        uint32_t to = mask_accept(m, state, t);
        if (in(bits, t) != (to != GRAMMAR_DEAD)) fail_msg("%s: token %d is %d in the mask", schema, (int)t, in(bits, t));
        if (in(some, t) != (to != GRAMMAR_DEAD && mask_min_tokens(m, to) < left)) fail_msg("%s: token %d within %u", schema, (int)t, left);
    }
}

/* One answer, by random tokens. */
static void walk(struct grammar *g, struct masker *m, const char *schema) {
    uint32_t state = grammar_start(g), bits[TOKENS / 32 + 1];
    for (int i = 0; i < 40 && !grammar_ended(g, state); i++) {
        compare(m, state, schema);
        int32_t n = mask_fill(m, state, bits), k = n ? (int32_t)pick((unsigned)n) : -1, t = 0;
        if (k < 0) break;
        while (!in(bits, t) || k-- > 0) t++;
        state = mask_accept(m, state, t);
    }
}

static void test_far_limits(void **unused) {
    static const char *const schemas[] = {
        "{\"type\":\"string\",\"pattern\":\"^(\\\\S+ ){0,9}\\\\S+$\",\"maxLength\":60}",
        "{\"type\":\"string\",\"pattern\":\"^(\\\\S+ ){0,30}\\\\S+$\",\"minLength\":20,\"maxLength\":33}",
        "{\"type\":\"string\",\"pattern\":\"^[ab ]{0,20}[bc]{3,30}$\"}",
        "{\"type\":\"string\",\"pattern\":\"c.*1$\",\"maxLength\":40}",
        "{\"type\":\"string\",\"pattern\":\"^.{1,17}(aa){17,}\"}",
        "{\"type\":\"string\",\"pattern\":\"^(a{1,20} ?){1,18}$\",\"not\":{\"pattern\":\"aaa{16,18}b\"}}",
        "{\"type\":\"string\",\"pattern\":\"^[^.]\",\"not\":{\"pattern\":\"^(ab?){1,25}$\"}}",
        "{\"type\":\"object\",\"patternProperties\":{\"^.{1,18}$\":{\"maxLength\":17,\"pattern\":\"^[^c]*$\",\"type\":\"string\"}},\"additionalProperties\":false,\"maxProperties\":2}",
        "{\"type\":\"object\",\"properties\":{\"a\":{\"anyOf\":[{\"type\":\"string\",\"pattern\":\"^a{1,20}$\"},{\"type\":\"array\"},{\"type\":\"string\",\"pattern\":\"^b{1,40}1\",\"maxLength\":30}]}},"
        "\"required\":[\"a\"],\"propertyNames\":{\"maxLength\":21}}",
        "{\"type\":\"string\",\"format\":\"email\"}"};
    for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++) {
        struct err e = ERR_INIT;
        struct schema *s = schema_compile(schemas[i], strlen(schemas[i]), "S.json", &e);
        struct grammar *g = s ? grammar_from_schema(s, &(struct grammar_options){.prefix = "", .bytes = vocab_bytes(vocab)}, &e) : NULL;
        if (!g) fail_msg("%s: %s", schemas[i], e.msg);
        struct masker *m = masker_new(g, vocab);
        for (int k = 0; k < 8; k++) walk(g, m, schemas[i]);
        masker_free(m);
        grammar_free(g);
        schema_free(s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_far_limits)};
    return cmocka_run_group_tests_name("mask-far", tests, make_vocab, drop_vocab);
}
