/* Grammars and masks: random schemas against a slow oracle built another way (every token at every prefix), ends within any
   budget, forced text, cases by hand, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/text/mask.h"
#include "grammar_oracle.h"
#include "pick.h"
#include <stdio.h>

/* ---- a vocabulary: every byte, and what crosses borders of JSON ---- */
static const char *const pieces[] = {
    "{\"", "\":", "\":\"", "\",\"", "\"}", "\"},\"", "\"]", "[[", "]]", "],[", "{}", "[]", "},{", "}}", ",\"", "\":{\"", "\":[", "\":1", "\":-",
    "true", "false", "null", "tru", "al", "\"a", "\"b\"", "a\":", "\"ab\":", "ab", "ba", "aa", "b\",", "\"\"", "\\\"", "\\u", "\\u00", "\\ud83d\\ude00",
    "\\n", "\\u001f", "ud8", "12", "10", "00", "-1", "0.", ".5", "e+", "1e", "1,", "2]", "3}", "0,\"", "\xc3\xa3", "\xc3", "\xa3o", "\xf0\x9f",
    "\x98\x80", "\xed\xa0", "\xe2\x82\xac", "x-1", "-01", "\"x", "0\"", " ", ", ", ": "};

static struct vocab *vocab;
static const char *texts[256 + sizeof pieces / sizeof *pieces];
static size_t lens[256 + sizeof pieces / sizeof *pieces];
static int32_t n_tokens;

static int make_vocab(void **unused) {
    static const char bytes[] = " !\"\\,-.+/0123456789:Eeabcdnrstufx[]{}lyzo\n\x01\xc3\xa3\xf0\x9f\x98\x80\xe2\x82\xac";
    for (const char *p = bytes; *p; p++, n_tokens++) texts[n_tokens] = p, lens[n_tokens] = 1;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++, n_tokens++) texts[n_tokens] = pieces[i], lens[n_tokens] = strlen(pieces[i]);
    vocab = vocab_of_texts(texts, lens, n_tokens);
    return 0;
}

static int drop_vocab(void **unused) {
    vocab_free(vocab);
    return 0;
}

static bool in(const uint32_t *bits, int32_t i) { return bits[i >> 5] >> (i & 31) & 1; }

/* ---- random schemas ---- */
static void put_schema(struct buf *b, int depth);

static void put_scalar_enum(struct buf *b) {
    static const char *const values[] = {"\"a\"", "\"ab\"", "\"abba\"", "\"\xc3\xa3\"", "\"a\\nb\"", "\"\\u001f\"", "1", "10", "-1.5", "true", "null", "[]", "[1,\"a\"]",
                                         "{\"a\":1}", "{\"a\":[],\"b\":null}", "\"\""};
    unsigned n = 1 + pick(4), at = pick(16);
    buf_adds(b, "{\"enum\":[");
    for (unsigned i = 0; i < n; i++) buf_addf(b, "%s%s", i ? "," : "", values[(at + i * 5) % 16]);
    buf_adds(b, "]}");
}

static void put_number(struct buf *b) {
    static const char *const bounds[] = {"-12.5", "-10", "-1", "-0.25", "0", "0.5", "1", "2", "9.75", "10", "12", "120"};
    unsigned lo = pick(11), hi = lo + 1 + pick(11 - lo);
    bool whole = pick(2);
    buf_addf(b, "{\"type\":\"%s\"", whole ? "integer" : "number");
    if (whole && hi < lo + 3) hi = lo + 3 > 11 ? 11 : lo + 3; /* an integer between them */
    if (whole && lo > 8) lo = 8;
    if (pick(2)) buf_addf(b, ",\"%s\":%s", pick(2) ? "minimum" : "exclusiveMinimum", bounds[lo]);
    if (pick(2)) buf_addf(b, ",\"%s\":%s", pick(2) ? "maximum" : "exclusiveMaximum", bounds[hi]);
    buf_addc(b, '}');
}

static void put_string(struct buf *b) {
    static const char *const patterns[] = {"^[ab]{2,3}$", "^(a|bb)*x$", "^a[ab]?b$", "^[0-9]+-[0-9]{2}$", "^(ab|ba|x-1)$", "^$", "^[bx]b+$"};
    unsigned kind = pick(3);
    if (kind == 0) buf_adds(b, "{\"type\":\"string\"}");
    else if (kind == 1) buf_addf(b, "{\"type\":\"string\",\"pattern\":\"%s\"}", patterns[pick(7)]);
    else {
        unsigned lo = pick(3);
        buf_addf(b, "{\"type\":\"string\",\"minLength\":%u,\"maxLength\":%u}", lo, lo + pick(4));
    }
}

static void put_array(struct buf *b, int depth) {
    unsigned prefix = pick(3), lo = pick(4), hi = lo + pick(3);
    buf_adds(b, "{\"type\":\"array\"");
    for (unsigned i = 0; i < prefix; i++) {
        buf_adds(b, i ? "," : ",\"prefixItems\":[");
        put_schema(b, depth - 1);
    }
    if (prefix) buf_addc(b, ']');
    buf_adds(b, ",\"items\":");
    if (prefix >= lo && pick(3) == 0) buf_adds(b, "false");
    else put_schema(b, depth - 1);
    if (pick(2)) buf_addf(b, ",\"minItems\":%u", lo);
    if (pick(2)) buf_addf(b, ",\"maxItems\":%u", hi);
    buf_addc(b, '}');
}

static void put_object(struct buf *b, int depth) {
    static const char *const names[] = {"a", "b", "ab", "\xc3\xa3", "x\\n"};
    unsigned n = pick(4), at = pick(5), must = 0;
    struct buf required = BUF_INIT;
    buf_adds(b, "{\"type\":\"object\",\"properties\":{");
    for (unsigned i = 0; i < n; i++) {
        bool need = pick(2), never = !need && pick(6) == 0;
        buf_addf(b, "%s\"%s\":", i ? "," : "", names[(at + i) % 5]);
        if (never) buf_adds(b, "false");
        else put_schema(b, depth - 1);
        if (need) buf_addf(&required, "%s\"%s\"", must++ ? "," : "", names[(at + i) % 5]);
    }
    buf_addf(b, "},\"required\":[%s]", required.n ? required.p : "");
    buf_release(&required);
    bool closed = pick(2);
    if (closed) buf_adds(b, ",\"additionalProperties\":false");
    else if (pick(2)) {
        buf_adds(b, ",\"additionalProperties\":");
        put_schema(b, depth - 1);
    }
    if (pick(4) == 0) buf_addf(b, ",\"minProperties\":%u", closed ? must : pick(4));
    if (pick(4) == 0) buf_addf(b, ",\"maxProperties\":%u", must + (closed ? 0 : 3) + pick(2));
    buf_addc(b, '}');
}

static void put_schema(struct buf *b, int depth) {
    switch (pick(depth > 0 ? 12 : 6)) {
    case 0: put_scalar_enum(b); return;
    case 1: put_number(b); return;
    case 2: put_string(b); return;
    case 3: buf_adds(b, pick(2) ? "{\"type\":[\"boolean\",\"null\"]}" : "{\"type\":[\"integer\",\"string\"]}"); return;
    case 4: buf_adds(b, "{\"const\":{\"a\":\"b\"}}"); return;
    case 5: buf_adds(b, pick(4) ? "{\"$ref\":\"#/$defs/r\"}" : "true"); return;
    case 6:
    case 7: put_array(b, depth); return;
    case 8:
        buf_adds(b, "{\"anyOf\":[");
        put_schema(b, depth - 1);
        buf_addc(b, ',');
        put_schema(b, depth - 1);
        buf_adds(b, "]}");
        return;
    default: put_object(b, depth); return;
    }
}

/* ---- one case ---- */
struct sample {
    struct buf schema, text;
    struct schema *s;
    struct grammar *g;
    struct masker *m;
};

static void open_sample(struct sample *c, enum grammar_space space, bool bytes) {
    struct err e = ERR_INIT;
    struct grammar_options o = {.space = space, .prefix = "", .bytes = bytes ? vocab_bytes(vocab) : NULL};
    c->s = schema_compile(c->schema.p, c->schema.n, "S.json", &e);
    if (!c->s) fail_msg("%s: %s", c->schema.p, e.msg);
    c->g = grammar_from_schema(c->s, &o, &e);
    if (!c->g) fail_msg("%s: %s", c->schema.p, e.msg);
    c->m = masker_new(c->g, vocab);
}

static void close_sample(struct sample *c) {
    masker_free(c->m);
    grammar_free(c->g);
    schema_free(c->s);
    buf_release(&c->schema);
    buf_release(&c->text);
}

static void check_document(struct sample *c) {
    struct err e = ERR_INIT;
    struct json_doc *d = json_parse(c->text.p, c->text.n, &e);
    if (!d) {
        if (!strstr(e.msg, "duplicate key")) fail_msg("%s\n%s: %s", c->schema.p, c->text.p, e.msg);
        return; /* other members of one name: see grammar.h */
    }
    if (schema_validate(c->s, json_root(d), &e) < 0) fail_msg("%s\n%s: %s", c->schema.p, c->text.p, e.msg);
    json_doc_free(d);
}

/* The mask against the oracle, token by token. */
static void compare(struct sample *c, const struct json *root, uint32_t state, const uint32_t *bits) {
    char text[ORACLE_MAX + 16];
    bool whole;
    memcpy(text, c->text.p, c->text.n);
    for (int32_t t = 0; t < n_tokens; t++) {
        memcpy(text + c->text.n, texts[t], lens[t]);
        size_t n = c->text.n + lens[t];
        bool begins = oracle_begins(root, text, n, &whole);
        if (begins != in(bits, t))
            fail_msg("%s\n%s then %.*s: mask %d, oracle %d", c->schema.p, c->text.p, (int)lens[t], texts[t], in(bits, t), begins);
        uint32_t to = mask_accept(c->m, state, t);
        if ((to != GRAMMAR_DEAD) != begins) fail_msg("%s\n%s then %.*s: accept differs from the mask", c->schema.p, c->text.p, (int)lens[t], texts[t]);
        if (begins && whole != grammar_done(c->g, to)) fail_msg("%s\n%.*s: done %d, oracle %d", c->schema.p, (int)n, text, !whole, whole);
    }
}

/* A token of the mask: mostly any, at times the one most likely to go on with structure. */
static int32_t choose(const uint32_t *bits, int32_t n) {
    int32_t k = (int32_t)pick((unsigned)n);
    for (int32_t t = 0; t < n_tokens; t++)
        if (in(bits, t) && k-- == 0) return t;
    return -1;
}

static long walk(struct sample *c, long most) {
    uint32_t bits[16], wide[16], state = grammar_start(c->g), left = mask_min_tokens(c->m, state) + pick(12);
    struct json_doc *d = json_parse(c->schema.p, c->schema.n, NULL);
    long cases = 0;
    buf_add(&c->text, "", 0);
    while (!grammar_done(c->g, state) || (left && !grammar_ended(c->g, state) && pick(3))) {
        bool narrowed;
        int32_t n = mask_fill_within(c->m, state, left, bits, &narrowed), all = mask_fill(c->m, state, wide);
        if (cases < most && c->text.n + 16 < ORACLE_MAX) compare(c, json_root(d), state, wide), cases++;
        if ((n < all) != narrowed) fail_msg("%s\n%s: %d of %d tokens, narrowed %d", c->schema.p, c->text.p, (int)n, (int)all, narrowed);
        if (!n && grammar_done(c->g, state)) break; /* no room to go on and come back */
        if (!n || !left) fail_msg("%s\n%s: no token with %u left", c->schema.p, c->text.p, left);
        int32_t t = choose(bits, n);
        state = mask_accept(c->m, state, t);
        buf_add(&c->text, texts[t], lens[t]);
        left--;
        if (mask_min_tokens(c->m, state) > left) fail_msg("%s\n%s: cannot end in %u", c->schema.p, c->text.p, left);
    }
    json_doc_free(d);
    check_document(c);
    return cases;
}

static void test_differential(void **unused) {
    long cases = 0;
    int schemas = 0;
    for (; cases < 10000; schemas++) {
        struct sample c = {.schema = BUF_INIT};
        pick_seed = (uint64_t)schemas * 1000;
        put_schema(&c.schema, 3);
        bool object = c.schema.p[0] == '{';
        if (!object) buf_clear(&c.schema), buf_adds(&c.schema, "{}");
        c.schema.p[--c.schema.n] = 0;
        buf_addf(&c.schema, "%s\"$defs\":{\"r\":{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/r\"},\"maxItems\":2},{\"type\":\"object\","
                 "\"properties\":{\"a\":{\"$ref\":\"#/$defs/r\"}},\"additionalProperties\":false}]}}}", c.schema.n > 1 ? "," : "");
        open_sample(&c, GRAMMAR_COMPACT, true);
        cases += walk(&c, 10);
        close_sample(&c);
    }
    print_message("# %ld prefixes of %d schemas, %d tokens each\n", cases, schemas, (int)n_tokens);
}

/* Documents that fit and such that do not; the validator agrees on each. */
static void test_by_hand(void **unused) {
    static const char *const cases[][3] = {
        {"{\"not\":{\"type\":[\"object\",\"array\",\"string\"]}}", "null 1 -2.5e3", "{} [] \"a\""},
        {"{\"type\":\"string\",\"not\":{\"enum\":[\"a\",\"ab\"]}}", "\"b\" \"\" \"abc\"", "\"a\" \"ab\" 1"},
        {"{\"type\":[\"string\",\"null\"],\"not\":{\"const\":\"a\"}}", "null \"b\"", "\"a\""},
        {"{\"not\":{\"pattern\":\"^a\"}}", "\"b\"", "\"a\" \"ab\" 1"},
        {"{\"not\":{\"type\":\"string\",\"pattern\":\"^a\"}}", "\"b\" 1 []", "\"a\" \"ab\""},
        {"{\"not\":{\"required\":[\"a\"]}}", "{} {\"b\":1}", "{\"a\":1} {\"b\":1,\"a\":1} 1"},
        {"{\"not\":{\"type\":\"object\",\"required\":[\"a\"]},\"properties\":{\"a\":{\"type\":\"null\"}}}", "{} 1 {\"b\":1}", "{\"a\":null}"},
        {"{\"if\":{\"required\":[\"a\"]},\"then\":{\"required\":[\"b\"]},\"properties\":{\"a\":{},\"b\":{}},\"type\":\"object\"}", "{} {\"b\":1} {\"a\":1,\"b\":1}", "{\"a\":1} 1"},
        {"{\"enum\":[1,2,3],\"not\":{\"multipleOf\":2}}", "1 3", "2"},
        {"{\"oneOf\":[{\"type\":\"integer\",\"maximum\":3},{\"type\":\"integer\",\"minimum\":4},{\"pattern\":\"^x\",\"type\":\"string\"}]}", "1 5 \"xy\"", "\"y\" null"},
        {"{\"allOf\":[{\"properties\":{\"a\":{\"minimum\":2}}},{\"properties\":{\"a\":{\"maximum\":3,\"type\":\"integer\"}},\"required\":[\"a\"]}],\"type\":\"object\"}",
         "{\"a\":2} {\"a\":3,\"b\":[]}", "{\"a\":1} {\"a\":4} {\"b\":null}"},
        {"{\"type\":\"object\",\"patternProperties\":{\"^x\":{\"type\":\"integer\"}},\"propertyNames\":{\"maxLength\":2},\"additionalProperties\":{\"type\":\"boolean\"}}",
         "{} {\"x1\":3,\"a\":true}", "{\"xyz\":1} {\"x\":true} {\"a\":1}"},
        {"{\"type\":\"array\",\"items\":{\"enum\":[\"a\",\"b\",1,1.0]},\"uniqueItems\":true,\"minItems\":1}", "[\"a\"] [\"b\",\"a\"] [1,\"b\",\"a\"]", "[] [\"a\",\"a\"] [1,\"a\",1] [1,1.0] [2]"},
        {"{\"type\":\"array\",\"items\":{\"enum\":[1,2,3,4]},\"uniqueItems\":true,\"maxItems\":2}", "[] [4] [3,1]", "[1,2,3] [2,2]"},
        {"{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"contains\":{\"minimum\":5},\"maxItems\":3}", "[5] [1,7] [6,1,2] [5,5,5]", "[] [1] [1,2,3,5] [5,null]"},
        {"{\"type\":\"array\",\"contains\":{\"const\":\"a\"},\"minContains\":2,\"maxContains\":2,\"items\":{\"type\":\"string\"}}", "[\"a\",\"a\"] [\"b\",\"a\",\"ab\",\"a\"]", "[\"a\"] [\"a\",\"a\",\"a\"] []"},
        {"{\"type\":\"array\",\"allOf\":[{\"contains\":{\"type\":\"null\"}},{\"contains\":{\"type\":\"boolean\"}}],\"prefixItems\":[{\"type\":\"integer\"}]}", "[1,null,true] [0,true,null,\"x\"]", "[1,null] [null,true] [1,2]"},
        {"{\"contains\":{\"type\":\"null\"},\"minContains\":0,\"maxContains\":1}", "[] [null] [1,null,2] 3", "[null,null] [null,1,null]"},
        {"{\"properties\":{\"a\":{},\"b\":{}},\"dependentRequired\":{\"a\":[\"b\"]}}", "{} {\"b\":1} {\"a\":1,\"b\":2} []", "{\"a\":1} {\"a\":1,\"c\":2}"},
        {"{\"type\":\"object\",\"dependentSchemas\":{\"a\":{\"properties\":{\"b\":{\"type\":\"null\"}}}},\"properties\":{\"a\":{},\"b\":{}}}", "{\"b\":1} {\"a\":1,\"b\":null}", "{\"a\":1,\"b\":1}"},
        {"{\"type\":\"object\",\"allOf\":[{\"properties\":{\"a\":{\"type\":\"integer\"}}}],\"properties\":{\"b\":{}},\"patternProperties\":{\"^x\":{}},\"unevaluatedProperties\":false}",
         "{} {\"b\":2,\"a\":1,\"xy\":3}", "{\"c\":1} {\"a\":null} {\"a\":1,\"y\":2}"},
        {"{\"type\":\"object\",\"oneOf\":[{\"properties\":{\"a\":{\"const\":1},\"b\":{}},\"required\":[\"a\"]},{\"properties\":{\"a\":{\"const\":2},\"c\":{}},\"required\":[\"a\"]}],\"unevaluatedProperties\":false}",
         "{\"a\":1,\"b\":0} {\"a\":2,\"c\":0} {\"a\":1}", "{\"a\":1,\"c\":0} {\"a\":2,\"b\":0} {\"a\":2,\"d\":0}"},
        {"{\"type\":\"array\",\"prefixItems\":[{}],\"allOf\":[{\"prefixItems\":[{},{\"type\":\"null\"}]}],\"unevaluatedItems\":{\"type\":\"boolean\"}}", "[] [1,null,true]", "[1,2] [1,null,3]"},
        {"{\"$defs\":{\"t\":{\"$dynamicAnchor\":\"n\",\"type\":\"array\",\"items\":{\"$dynamicRef\":\"#n\"}}},\"$ref\":\"#/$defs/t\"}", "[] [[],[[]]]", "[1] [[1]] {}"},
        {"{\"type\":\"integer\",\"multipleOf\":7,\"minimum\":-7,\"maximum\":21}", "-7 0 7 14 21", "1 28 -14 8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sample c = {.schema = BUF_INIT};
        buf_adds(&c.schema, cases[i][0]);
        open_sample(&c, GRAMMAR_COMPACT, false);
        for (int k = 1; k < 3; k++) {
            char *all = xstrdup(cases[i][k]), *rest = all, *one;
            while ((one = strsep(&rest, " "))) {
                if (!*one) continue;
                uint32_t state = grammar_start(c.g);
                for (const char *p = one; *p && state != GRAMMAR_DEAD; p++) state = grammar_byte(c.g, state, (unsigned char)*p);
                struct json_doc *d = json_parse(one, strlen(one), NULL);
                bool fits = state != GRAMMAR_DEAD && grammar_done(c.g, state), valid = schema_validate(c.s, json_root(d), NULL) == 0;
                if (fits != (k == 1) || valid != (k == 1)) fail_msg("%s on %s: grammar %d, validator %d", cases[i][0], one, fits, valid);
                json_doc_free(d);
            }
            free(all);
        }
        close_sample(&c);
    }
}

/* What cannot be kept is refused by keyword and place, or left out and told. */
static void test_left_out(void **unused) {
    static const char *const cases[][4] = {
        {"{\"properties\":{\"a\":{\"type\":\"array\",\"uniqueItems\":true}}}", "at #/properties/a: uniqueItems: cannot be kept but of few listed values", "{\"a\":[1,1]}", "{\"a\":1}"},
        {"{\"type\":\"object\",\"anyOf\":[{\"properties\":{\"a\":{}}},{\"properties\":{\"b\":{}}}],\"unevaluatedProperties\":false}",
         "at #: unevaluatedProperties: cannot be kept beside anyOf or a bare if", "{\"c\":1}", "[]"},
        {"{\"type\":\"array\",\"contains\":{\"multipleOf\":2},\"maxContains\":1}", "at #/contains: not: this cannot be kept", "[2,2]", "[]"},
        {"{\"type\":\"string\",\"pattern\":\"(a)\\\\1\",\"maxLength\":2}", "at #: pattern: regular expression (a)\\1: a back reference cannot be kept", "\"b\"", "\"abc\""},
        {"{\"oneOf\":[{\"type\":\"integer\"},{\"minimum\":3,\"type\":\"number\"}]}", "at #: oneOf: branches 0 and 1 may hold together, so it cannot be kept", "4", "null"},
        {"{\"type\":\"number\",\"multipleOf\":0.3,\"maximum\":5}", "at #: multipleOf: multipleOf 0.3 cannot be kept, expected a whole number up to 20000 or 0.1, 0.01, …", "0.2", "6"},
        {"{\"type\":\"integer\",\"not\":{\"minimum\":3}}", "at #/not: not: this cannot be kept", "7", "null"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = ERR_INIT;
        struct schema *s = schema_compile(cases[i][0], strlen(cases[i][0]), "S.json", &e);
        if (!s) fail_msg("%s", e.msg);
        assert_null(grammar_from_schema(s, &(struct grammar_options){.prefix = ""}, &e));
        if (strncmp(e.msg, "S.json: ", 8) || strcmp(e.msg + 8, cases[i][1])) fail_msg("%s: %s", cases[i][0], e.msg);
        struct grammar *g = grammar_from_schema(s, &(struct grammar_options){.prefix = "", .lenient = true}, &e);
        if (!g) fail_msg("%s: %s", cases[i][0], e.msg);
        assert_int_equal(grammar_n_left_out(g), 1);
        assert_string_equal(grammar_left_out(g, 0), cases[i][1]);
        for (int k = 2; k < 4; k++) { /* what the keyword alone forbids passes, the rest is kept */
            uint32_t state = grammar_start(g);
            for (const char *p = cases[i][k]; *p && state != GRAMMAR_DEAD; p++) state = grammar_byte(g, state, (unsigned char)*p);
            if ((state != GRAMMAR_DEAD && grammar_done(g, state)) != (k == 2)) fail_msg("%s on %s", cases[i][0], cases[i][k]);
        }
        grammar_free(g);
        schema_free(s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_differential),
        cmocka_unit_test(test_by_hand),
    };
    return cmocka_run_group_tests_name("grammar", tests, make_vocab, drop_vocab);
}
