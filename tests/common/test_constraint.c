/* Answers under a schema, token by token, with each kind of tokenizer: SentencePiece's with byte fallback (by scores and by
   merges) and byte-level BPE. Whatever is drawn ends valid within its tokens; what is forced are the tokens that the
   tokenizer makes of the whole answer. */
#include "tests/common/scratch.h"
#include "common/text/constraint.h"

static const char labels[] = "{\"type\":\"object\",\"properties\":{\"sentimento\":{\"enum\":[\"não sei\",\"água\",\"漢字\",\"👩‍🚀\",\"feliz\"]},"
                             "\"texto\":{\"type\":\"string\",\"maxLength\":9},\"n\":{\"type\":\"integer\",\"minimum\":-3,\"maximum\":120}},"
                             "\"required\":[\"sentimento\",\"texto\",\"n\"],\"additionalProperties\":false}";

struct kind {
    const char *path;
    struct tokenizer *t;
    struct vocab *v;
};
static struct kind kinds[] = {{"tests/data/spm/spm.gguf", 0, 0}, {"tests/data/spm/spm.json", 0, 0}, {"tests/data/tokenizer/smollm.json", 0, 0}};
#define N_KINDS (int)(sizeof kinds / sizeof *kinds)

static int open_kinds(void **unused) {
    struct err e = ERR_INIT;
    for (int i = 0; i < N_KINDS; i++) {
        struct gguf *g = strstr(kinds[i].path, ".gguf") ? gguf_open(kinds[i].path, &e) : NULL;
        kinds[i].t = g ? tokenizer_from_gguf(g, &e) : tokenizer_from_json(kinds[i].path, &e);
        if (!kinds[i].t) return print_error("%s\n", e.msg), -1;
        kinds[i].v = vocab_new(kinds[i].t);
        gguf_close(g);
    }
    return 0;
}

static int close_kinds(void **unused) {
    for (int i = 0; i < N_KINDS; i++) vocab_free(kinds[i].v), tokenizer_free(kinds[i].t);
    return 0;
}

static struct constraint *constrain(const struct kind *k, const char *schema, const char *prefix) {
    struct err e = ERR_INIT;
    struct grammar_options o = {.space = GRAMMAR_COMPACT, .prefix = prefix, .bytes = vocab_bytes(k->v)};
    struct schema *s = schema_compile(schema, strlen(schema), "S", &e);
    struct grammar *g = s ? grammar_from_schema(s, &o, &e) : NULL;
    if (!g) fail_msg("%s", e.msg);
    schema_free(s);
    return constraint_new(g, k->v, k->t);
}

static void put_text(struct buf *b, const struct tokenizer *t, const struct ids *ids) {
    buf_clear(b);
    buf_add(b, "", 0);
    for (size_t i = 0; i < ids->n; i++) tokenizer_bytes(t, ids->v[i], false, b);
}

static int32_t any_of(const uint32_t *bits, int32_t n, unsigned *seed) {
    int32_t many = 0, at = 0;
    for (int32_t i = 0; i < n; i++) many += bits[i >> 5] >> (i & 31) & 1;
    assert_true(many > 0);
    for (int32_t left = rand_r(seed) % many + 1; left > 0; at++) left -= bits[at >> 5] >> (at & 31) & 1;
    return at - 1;
}

/* One answer of random tokens; false where it failed. */
static bool draw(const struct kind *k, struct constraint *c, uint32_t tokens, unsigned *seed, struct ids *ids, uint32_t *bits) {
    struct err e = ERR_INIT;
    struct constrained a;
    ids->n = 0;
    constrained_start(&a, c, tokens);
    for (;;) {
        if (constrained_force(&a, c, ids, 0, &e) < 0) fail_msg("%s: %s", k->path, e.msg);
        if (constrained_ended(&a, c)) break;
        constrained_mask(&a, c, bits);
        if (a.failed) break;
        int32_t token = any_of(bits, vocab_size(k->v), seed);
        constrained_accept(&a, c, token);
        ids_add(ids, token);
    }
    constrained_end(&a);
    assert_true(ids->n <= tokens);
    return !a.failed;
}

static void test_random_answers(void **unused) {
    struct err e = ERR_INIT;
    struct schema *s = schema_compile(labels, strlen(labels), "S", &e);
    struct ids ids = IDS_INIT;
    struct buf text = BUF_INIT;
    unsigned seed = 1;
    for (int i = 0; i < N_KINDS; i++) {
        uint32_t *bits = xcalloc((size_t)vocab_size(kinds[i].v) / 32 + 1, sizeof *bits);
        for (int prefix = 0; prefix < 3; prefix++) {
            struct constraint *c = constrain(&kinds[i], labels, (const char *const[]){NULL, "", " "}[prefix]);
            for (int n = 0; n < 60; n++) {
                assert_true(draw(&kinds[i], c, constraint_shortest(c) + (uint32_t)(n % 30), &seed, &ids, bits));
                put_text(&text, kinds[i].t, &ids);
                size_t skip = *text.p == ' ';
                if (prefix) assert_int_equal(skip, prefix == 2);
                struct json_doc *d = json_parse(text.p + skip, text.n - skip, &e);
                if (!d || schema_validate(s, json_root(d), &e) < 0) fail_msg("%s: %s: %s", kinds[i].path, text.p, e.msg);
                json_doc_free(d);
            }
            constraint_free(c);
        }
        free(bits);
    }
    buf_release(&text);
    ids_release(&ids);
    schema_free(s);
}

/* Follows the tokens of one document; how many of them were forced. Forced ones must be the document's own. */
static size_t follow(const struct kind *k, struct constraint *c, const struct ids *want) {
    struct err e = ERR_INIT;
    struct constrained a;
    struct ids ids = IDS_INIT;
    size_t forced = 0;
    constrained_start(&a, c, (uint32_t)want->n + 60);
    while (!constrained_ended(&a, c)) {
        size_t before = ids.n;
        assert_int_equal(constrained_force(&a, c, &ids, 0, &e), 0);
        for (size_t i = before; i < ids.n; i++)
            if (i >= want->n || ids.v[i] != want->v[i]) fail_msg("%s: token %zu is forced to %d, the text has %d", k->path, i, ids.v[i], i < want->n ? want->v[i] : -1);
        forced += ids.n - before;
        if (constrained_ended(&a, c)) break;
        assert_true(ids.n < want->n);
        ids_add(&ids, want->v[ids.n]);
        constrained_accept(&a, c, ids.v[ids.n - 1]);
    }
    assert_int_equal(ids.n, want->n);
    ids_release(&ids);
    return forced;
}

/* Answers begin with a space, as SentencePiece's kinds encode them by themselves. */
static void test_forced_tokens(void **unused) {
    static const char *const documents[] = {"{\"sentimento\":\"não sei\",\"texto\":\"a b\",\"n\":-2}", "{\"sentimento\":\"漢字\",\"texto\":\"água\",\"n\":10}",
                                            "{\"sentimento\":\"👩‍🚀\",\"texto\":\"\",\"n\":7}"};
    struct err e = ERR_INIT;
    for (int i = 0; i < N_KINDS; i++) {
        bool spm = !tokenizer_pretok(kinds[i].t);
        struct constraint *c = constrain(&kinds[i], labels, " ");
        for (int d = 0; d < 3; d++) {
            struct ids want = IDS_INIT;
            struct buf text = BUF_INIT;
            buf_addf(&text, "%s%s", spm ? "" : " ", documents[d]);
            assert_int_equal(tokenizer_encode(kinds[i].t, text.p, text.n, &want, &e), 0);
            size_t forced = follow(&kinds[i], c, &want);
            print_message("%s: %zu of %zu tokens forced\n", kinds[i].path, forced, want.n);
            assert_true(forced * 2 > want.n);
            ids_release(&want);
            buf_release(&text);
        }
        constraint_free(c);
    }
}

/* What comes behind a y in s is nothing, which only a search through 2^13 states and more can tell. */
static const char tangled[] = "{\"anyOf\":[{\"type\":\"object\",\"properties\":{\"k\":{\"const\":1},\"s\":{\"type\":\"string\",\"pattern\":\"^(x|y[ab]*a[ab]{13}c)$\","
                              "\"not\":{\"pattern\":\"^y[ab]*a[ab]{13}[cd]$\"}}},\"required\":[\"k\",\"s\"],\"additionalProperties\":false},"
                              "{\"type\":\"object\",\"properties\":{\"k\":{\"const\":2},\"s\":{\"type\":\"string\",\"maxLength\":9}},\"required\":[\"k\",\"s\"],\"additionalProperties\":false}]}";

/* The longest token of the mask that text begins with, or -1. */
static int32_t token_of(const struct kind *k, const uint32_t *bits, const char *text, size_t *len) {
    struct buf b = BUF_INIT;
    int32_t best = -1;
    *len = 0;
    for (int32_t i = 0; i < vocab_size(k->v); i++) {
        if (!(bits[i >> 5] >> (i & 31) & 1)) continue;
        buf_clear(&b);
        tokenizer_bytes(k->t, i, false, &b);
        if (b.n > *len && !strncmp(text, b.p, b.n)) best = i, *len = b.n;
    }
    buf_release(&b);
    return best;
}

/* Follows a text: whether it is an answer; *why: what failed. */
static bool follow_text(const struct kind *k, struct constraint *c, const char *text, const char **why, uint32_t *bits) {
    struct err e = ERR_INIT;
    struct constrained a;
    struct ids forced = IDS_INIT;
    size_t len = 0;
    constrained_start(&a, c, 100);
    for (; *text && !a.failed; text += len) {
        constrained_mask(&a, c, bits);
        int32_t token = a.failed ? -1 : token_of(k, bits, text, &len);
        if (token < 0) break;
        constrained_accept(&a, c, token);
        struct constrained copy = a; /* what is forced from here on is asked for, and not followed */
        forced.n = 0;
        if (!a.failed) assert_int_equal(constrained_force(&copy, c, &forced, 0, &e), 0);
    }
    bool whole = !*text && !a.failed && constrained_ended(&a, c);
    *why = a.failed;
    constrained_end(&a);
    ids_release(&forced);
    return whole;
}

/* An answer that comes to a state beyond the bounds on searches fails, by name, and no other. */
static void test_beyond_bounds(void **unused) {
    for (int i = 0; i < N_KINDS; i++) {
        struct constraint *c = constrain(&kinds[i], tangled, "");
        uint32_t *bits = xcalloc((size_t)vocab_size(kinds[i].v) / 32 + 1, sizeof *bits);
        const char *why;
        for (int n = 0; n < 3; n++) {
            assert_true(follow_text(&kinds[i], c, "{\"k\":2,\"s\":\"yaaac\"}", &why, bits) && !why);
            assert_false(follow_text(&kinds[i], c, "{\"k\":1,\"s\":\"x\"}", &why, bits));
            assert_non_null(why);
            assert_non_null(strstr(why, "budget"));
        }
        free(bits);
        constraint_free(c);
    }
}

/* Members that no schema names, of names like each other, in objects within objects: no object has a name twice. */
static void test_open_objects(void **unused) {
    static const char open[] = "{\"type\":\"object\",\"properties\":{\"ab\":{\"const\":0}},\"propertyNames\":{\"pattern\":\"^[ab]+$\"},"
                               "\"additionalProperties\":{\"anyOf\":[{\"enum\":[1,\"a\",\"}\\\",\"]},{\"type\":\"array\",\"items\":{\"$ref\":\"#\"},\"maxItems\":2}]},"
                               "\"minProperties\":1,\"maxProperties\":4}";
    struct err e = ERR_INIT;
    struct schema *s = schema_compile(open, strlen(open), "S", &e);
    struct ids ids = IDS_INIT;
    struct buf text = BUF_INIT;
    unsigned seed = 1;
    if (!s) fail_msg("%s", e.msg);
    for (int i = 0; i < N_KINDS; i++) {
        uint32_t *bits = xcalloc((size_t)vocab_size(kinds[i].v) / 32 + 1, sizeof *bits);
        struct constraint *c = constrain(&kinds[i], open, i ? "" : "{\"a\":");
        int failed = 0;
        for (int n = 0; n < 60; n++) {
            if (!draw(&kinds[i], c, 2000, &seed, &ids, bits)) {
                if (ids.n < 1900) fail_msg("%s: failed at token %zu of 2000", kinds[i].path, ids.n);
                failed++; /* the tokens run out, and with them the choice of names */
                continue;
            }
            put_text(&text, kinds[i].t, &ids);
            size_t skip = i ? 0 : 5;
            struct json_doc *d = json_parse(text.p + skip, text.n - skip, &e);
            if (!d || schema_validate(s, json_root(d), &e) < 0) fail_msg("%s: %s: %s", kinds[i].path, text.p, e.msg);
            json_doc_free(d);
        }
        print_message("%s: %d of 60 failed\n", kinds[i].path, failed);
        assert_true(failed < 10);
        constraint_free(c);
        free(bits);
    }
    buf_release(&text);
    ids_release(&ids);
    schema_free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_answers), cmocka_unit_test(test_forced_tokens), cmocka_unit_test(test_beyond_bounds),
                                       cmocka_unit_test(test_open_objects)};
    return cmocka_run_group_tests_name("constraint", tests, open_kinds, close_kinds);
}
