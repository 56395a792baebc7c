/* Tokenizers against Hugging Face's (tests/oracle/tokenizer.py made the goldens): ids and texts of 5,300 strings under five
   vocabularies, streaming, long words, threads, added tokens, and what the two loaders refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/io/io.h"
#include "common/io/json.h"
#include "common/io/sha256.h"
#include "common/text/pretok.h"
#include "vocabulary.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* SmolLM2's, or a skip where the model has not been fetched. The file is closed at once: the tokenizer keeps nothing of it. */
static struct tokenizer *smollm2(void) {
    char path[4096];
    struct err e = ERR_INIT;
    snprintf(path, sizeof path, "%s/SmolLM2-135M-Instruct.Q4_1.gguf", getenv("FETCHED") ? getenv("FETCHED") : ".fetched");
    if (!io_exists(path)) {
        print_message("no %s: run make model\n", path);
        skip();
    }
    struct gguf *g = gguf_open(path, &e);
    if (!g) fail_msg("%s", e.msg);
    struct tokenizer *t = tokenizer_from_gguf(g, &e);
    if (!t) fail_msg("%s", e.msg);
    gguf_close(g);
    return t;
}

/* ---- goldens ---- */

struct strings {
    char **s;
    size_t *len, n, cap, cap_len;
};

static void read_strings(struct strings *k) {
    struct in in;
    struct err e = ERR_INIT;
    int64_t n;
    *k = (struct strings){0};
    if (in_open(&in, vocabulary_path("strings.jsonl"), &e) < 0) fail_msg("%s", e.msg);
    while ((n = in_line(&in, &e)) >= 0) {
        struct json_doc *d = json_parse(in.text, (size_t)n, &e);
        if (!d) fail_msg("strings.jsonl:%lld: %s", (long long)in.line, e.msg);
        GROW(k->s, k->n, k->cap);
        GROW(k->len, k->n, k->cap_len);
        k->len[k->n] = json_root(d)->len;
        k->s[k->n++] = xmemdup0(json_root(d)->str, json_root(d)->len);
        json_doc_free(d);
    }
    in_close(&in);
    assert_true(k->n >= 5000);
}

static void free_strings(struct strings *k) {
    for (size_t i = 0; i < k->n; i++) free(k->s[i]);
    free(k->s);
    free(k->len);
}

static void join_ids(const struct ids *ids, struct buf *b) {
    buf_clear(b);
    buf_adds(b, "");
    for (size_t i = 0; i < ids->n; i++) buf_addf(b, i ? ",%d" : "%d", ids->v[i]);
}

/* A line is the digest's first 6 digits and, for the first 200 strings, the ids. */
static void compare_line(const char *line, const char *s, size_t n, const struct ids *ids, const char *name) {
    struct buf got = BUF_INIT;
    char hex[SHA256_HEX];
    join_ids(ids, &got);
    sha256_hex(got.p, got.n, hex);
    if (strncmp(hex, line, 6) || (line[6] == ' ' && strcmp(line + 7, got.p))) {
        struct buf shown = BUF_INIT;
        json_put_string(&shown, s, n);
        fail_msg("%s: %s\n  ids      %s\n  expected %s", name, shown.p, got.p, line);
    }
    buf_release(&got);
}

/* All ids equal; and the text comes back, unless the vocabulary lacks some bytes (SmolLM2's lacks 21, Hugging Face drops them). */
static void check_golden(const struct tokenizer *t, const char *ids_file, bool all_bytes) {
    struct strings k;
    struct in in;
    struct err e = ERR_INIT;
    struct ids ids = IDS_INIT;
    struct buf back = BUF_INIT;
    read_strings(&k);
    if (in_open(&in, vocabulary_path(ids_file), &e) < 0) fail_msg("%s", e.msg);
    for (size_t i = 0; i < k.n; i++) {
        assert_true(in_line(&in, &e) >= 6);
        ids.n = 0;
        buf_clear(&back);
        if (tokenizer_encode(t, k.s[i], k.len[i], &ids, &e) < 0) fail_msg("%s", e.msg);
        compare_line(in.text, k.s[i], k.len[i], &ids, ids_file);
        tokenizer_decode(t, ids.v, ids.n, false, &back);
        if (all_bytes && (back.n != k.len[i] || (back.n && memcmp(back.p, k.s[i], back.n)))) fail_msg("string %zu does not come back: %s", i, k.s[i]);
    }
    assert_int_equal(in_line(&in, &e), -1);
    in_close(&in);
    buf_release(&back);
    ids_release(&ids);
    free_strings(&k);
}

static void golden_small(const char *json, const char *ids) {
    struct tokenizer *t = vocabulary(json);
    check_golden(t, ids, true);
    tokenizer_free(t);
}
static void test_golden_smollm(void **unused) { golden_small("smollm.json", "ids-smollm.txt"); }
static void test_golden_gpt2(void **unused) { golden_small("gpt-2.json", "ids-gpt-2.txt"); }
static void test_golden_llama(void **unused) { golden_small("llama-bpe.json", "ids-llama-bpe.txt"); }
static void test_golden_qwen2(void **unused) { golden_small("qwen2.json", "ids-qwen2.txt"); }
static void test_golden_smollm2(void **unused) {
    struct tokenizer *t = smollm2();
    check_golden(t, "ids-smollm2.txt", false);
    tokenizer_free(t);
}

/* ---- the words themselves: where merges never cross a cut, ids alone would not show it ---- */

static void add_cuts(struct pretok_walk *w, const char *s, size_t n, struct buf *out) {
    const char *word, *end = s;
    size_t len;
    struct err e = ERR_INIT;
    int rc;
    pretok_text(w, s, n);
    while ((rc = pretok_next(w, &word, &len, &e)) > 0) {
        assert_ptr_equal(word, end);
        buf_addf(out, word == s ? "%zu" : ",%zu", len);
        end = word + len;
    }
    if (rc < 0) fail_msg("%s", e.msg);
    assert_ptr_equal(end, s + n);
}

static void check_cuts(enum pretok_kind kind) {
    struct err e = ERR_INIT;
    struct pretok *p = pretok_new(kind, &e);
    struct pretok_walk w;
    struct strings k;
    struct in in;
    struct buf cuts = BUF_INIT;
    char name[50], hex[SHA256_HEX];
    if (!p) fail_msg("%s", e.msg);
    read_strings(&k);
    pretok_begin(&w, p);
    snprintf(name, sizeof name, "cuts-%s.txt", pretok_name(kind));
    if (in_open(&in, vocabulary_path(name), &e) < 0) fail_msg("%s", e.msg);
    for (size_t i = 0; i < k.n; i++) {
        buf_adds(&cuts, i % 8 ? "\n" : "");
        add_cuts(&w, k.s[i], k.len[i], &cuts);
        if (i % 8 < 7 && i + 1 < k.n) continue;
        sha256_hex(cuts.p, cuts.n, hex);
        assert_int_equal(in_line(&in, &e), 6);
        if (strncmp(hex, in.text, 6)) fail_msg("%s line %lld: words of strings %zu to %zu differ; ours:\n%s", name, (long long)in.line, i / 8 * 8 + 1, i + 1, cuts.p);
        buf_clear(&cuts);
    }
    assert_int_equal(in_line(&in, &e), -1);
    in_close(&in);
    pretok_end(&w);
    pretok_free(p);
    buf_release(&cuts);
    free_strings(&k);
}

static void test_cuts(void **unused) {
    check_cuts(PRETOK_SMOLLM);
    check_cuts(PRETOK_GPT2);
    check_cuts(PRETOK_LLAMA);
    check_cuts(PRETOK_QWEN2);
}

/* ---- decoding ---- */

/* Feeds ids one by one: never half a character, and in the end the whole text. */
static void check_stream(const struct tokenizer *t, const int32_t *ids, size_t n, const char *text, size_t len) {
    struct detok d = DETOK_INIT;
    struct buf out = BUF_INIT;
    buf_adds(&out, "");
    for (size_t i = 0; i < n; i++) {
        detok_feed(&d, t, ids[i], &out);
        assert_int_equal(utf8_valid(out.p, out.n), out.n);
    }
    detok_flush(&d, &out);
    assert_int_equal(out.n, len);
    assert_memory_equal(out.p, text, len);
    buf_release(&out);
}

static void test_decode_golden(void **unused) {
    struct tokenizer *t = smollm2();
    struct in in;
    struct err e = ERR_INIT;
    struct buf text = BUF_INIT;
    int64_t n;
    int lines = 0;
    if (in_open(&in, vocabulary_path("decode.jsonl"), &e) < 0) fail_msg("%s", e.msg);
    for (; (n = in_line(&in, &e)) >= 0; lines++) {
        struct json_doc *d = json_parse(in.text, (size_t)n, &e);
        struct ids ids = IDS_INIT;
        assert_non_null(d);
        const struct json *list = json_root(d)->first, *want = list->next;
        for (const struct json *v = list->first; v; v = v->next) ids_add(&ids, (int32_t)v->number);
        buf_clear(&text);
        buf_adds(&text, "");
        tokenizer_decode(t, ids.v, ids.n, false, &text);
        if (text.n != want->len || memcmp(text.p, want->str, text.n)) fail_msg("line %d: got %s, expected %s", lines + 1, text.p, want->str);
        check_stream(t, ids.v, ids.n, want->str, want->len);
        ids_release(&ids);
        json_doc_free(d);
    }
    assert_int_equal(lines, 600);
    in_close(&in);
    buf_release(&text);
    tokenizer_free(t);
}

/* Ill-formed bytes, one U+FFFD for each maximal subpart: Unicode 16, tables 3-8 to 3-11, and ends of text. */
static void test_decode_bytes(void **unused) {
#define R "\xef\xbf\xbd"
    static const char *const cases[][2] = {
        {"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", R R R R R R R R "A"},
        {"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", R R R R R R R R "A"},
        {"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", R R R R R "A" R R "B"},
        {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", R R R R "A"},
        {"\xf0\x9f\x8e", R},
        {"\xe2\x82", R},
        {"\xc3", R},
        {"\xc3\xa9\xc3", "\xc3\xa9" R},
        {"\xf0\x9f\x8e\x89", "\xf0\x9f\x8e\x89"},
    };
    struct tokenizer *t = vocabulary("gpt-2.json");
    int32_t byte_id[256];
    for (int32_t id = 0; id < 256; id++) {
        struct buf b = BUF_INIT;
        tokenizer_bytes(t, id, true, &b);
        assert_int_equal(b.n, 1);
        byte_id[(unsigned char)b.p[0]] = id;
        buf_release(&b);
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ids ids = IDS_INIT;
        struct buf text = BUF_INIT;
        for (const char *p = cases[i][0]; *p; p++) ids_add(&ids, byte_id[(unsigned char)*p]);
        tokenizer_decode(t, ids.v, ids.n, false, &text);
        assert_string_equal(text.p, cases[i][1]);
        check_stream(t, ids.v, ids.n, cases[i][1], strlen(cases[i][1]));
        buf_release(&text);
        ids_release(&ids);
    }
    tokenizer_free(t);
}

/* ---- long words: a quadratic step would take hours here ---- */

static void check_long(const struct tokenizer *t, const char *unit) {
    struct buf text = BUF_INIT;
    while (text.n < 1000000) buf_adds(&text, unit);
    buf_adds(&text, "x");
    back_in_time(t, &text, unit);
}

static void test_long(void **unused) {
    static const char *const names[] = {"smollm.json", "gpt-2.json", "llama-bpe.json", "qwen2.json"};
    static const char *const units[] = {"a", " ", "\n", "1", "!", "e", " \t", "\xc3\xa9", "\xe3\x80\x80", "<|im_end|"};
    for (size_t i = 0; i < 4; i++) {
        struct tokenizer *t = vocabulary(names[i]);
        for (size_t k = 0; k < sizeof units / sizeof *units; k++) check_long(t, units[k]);
        tokenizer_free(t);
    }
}

/* ---- threads share a tokenizer ---- */

struct shared {
    const struct tokenizer *t;
    const struct strings *k;
    const struct ids *want;
    size_t from;
    int bad;
};

/* All strings, each thread in another order, so that they meet words that the others have just learnt. */
static void *encode_all(void *arg) {
    struct shared *s = arg;
    struct ids ids = IDS_INIT;
    for (size_t i = 0; i < s->k->n; i++) {
        size_t j = (s->from + i * 7) % s->k->n;
        ids.n = 0;
        s->bad += tokenizer_encode(s->t, s->k->s[j], s->k->len[j], &ids, NULL) < 0;
        s->bad += ids.n != s->want[j].n || (ids.n && memcmp(ids.v, s->want[j].v, ids.n * sizeof *ids.v));
    }
    ids_release(&ids);
    return NULL;
}

static void test_threads(void **unused) {
    struct tokenizer *t = vocabulary("qwen2.json"), *alone = vocabulary("qwen2.json");
    struct strings k;
    pthread_t thread[4];
    struct shared s[4];
    read_strings(&k);
    struct ids *want = xcalloc(k.n, sizeof *want);
    for (size_t i = 0; i < k.n; i++) assert_int_equal(tokenizer_encode(alone, k.s[i], k.len[i], &want[i], NULL), 0);
    for (size_t i = 0; i < 4; i++) {
        s[i] = (struct shared){t, &k, want, i * k.n / 4, 0};
        assert_int_equal(pthread_create(&thread[i], NULL, encode_all, &s[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(s[i].bad, 0);
    }
    for (size_t i = 0; i < k.n; i++) ids_release(&want[i]);
    free(want);
    free_strings(&k);
    tokenizer_free(t);
    tokenizer_free(alone);
}

/* ---- added tokens and questions ---- */

static void expect_ids(const struct tokenizer *t, bool special, const char *text, const char *want) {
    struct ids ids = IDS_INIT;
    struct buf got = BUF_INIT;
    struct err e = ERR_INIT;
    int rc = special ? tokenizer_encode_special(t, text, strlen(text), &ids, &e) : tokenizer_encode(t, text, strlen(text), &ids, &e);
    if (rc < 0) fail_msg("%s", e.msg);
    join_ids(&ids, &got);
    assert_string_equal(got.p, want);
    buf_release(&got);
    ids_release(&ids);
}

static void test_special(void **unused) {
    struct tokenizer *t = vocabulary("gpt-2.json");
    struct buf text = BUF_INIT, want = BUF_INIT;
    int32_t end = tokenizer_id(t, "<|im_end|>"), extra = tokenizer_id(t, "<extra>"), a = tokenizer_id(t, "a");
    assert_true(tokenizer_is_special(t, end));
    assert_false(tokenizer_is_special(t, extra));
    assert_false(tokenizer_is_special(t, -1));
    assert_false(tokenizer_is_special(t, tokenizer_size(t)));
    assert_int_equal(extra, tokenizer_size(t) - 1);
    assert_int_equal(tokenizer_id(t, "<|im_en"), -1);
    assert_int_equal(tokenizer_id(t, ""), -1);
    buf_addf(&want, "%d,%d,%d,%d", a, end, extra, a);
    expect_ids(t, true, "a<|im_end|><extra>a", want.p);
    int32_t ids[] = {a, end, extra, 100000, -7, a};
    tokenizer_decode(t, ids, 6, false, &text);
    assert_string_equal(text.p, "a<extra>a");
    buf_clear(&text);
    tokenizer_decode(t, ids, 6, true, &text);
    assert_string_equal(text.p, "a<|im_end|><extra>a");
    assert_int_equal(tokenizer_bos(t), -1);
    buf_release(&text);
    buf_release(&want);
    tokenizer_free(t);
}

/* Strings with a '<' in which special and added tokens are looked for. */
static void test_special_golden(void **unused) {
    struct tokenizer *t = vocabulary("gpt-2.json");
    struct strings k;
    struct in in;
    struct err e = ERR_INIT;
    struct ids ids = IDS_INIT;
    int lines = 0;
    read_strings(&k);
    if (in_open(&in, vocabulary_path("ids-special.txt"), &e) < 0) fail_msg("%s", e.msg);
    for (size_t i = 0; i < k.n; i++) {
        if (!memchr(k.s[i], '<', k.len[i])) continue;
        assert_true(in_line(&in, &e) >= 6);
        ids.n = 0;
        if (tokenizer_encode_special(t, k.s[i], k.len[i], &ids, &e) < 0) fail_msg("%s", e.msg);
        compare_line(in.text, k.s[i], k.len[i], &ids, "ids-special.txt");
        lines++;
    }
    assert_true(lines > 300);
    assert_int_equal(in_line(&in, &e), -1);
    in_close(&in);
    ids_release(&ids);
    free_strings(&k);
    tokenizer_free(t);
}

static void test_llama_rules(void **unused) {
    struct tokenizer *t = vocabulary("llama-bpe.json"), *other = vocabulary("qwen2.json"), *again = vocabulary("llama-bpe.json");
    char want[20];
    assert_int_equal(tokenizer_bos(t), tokenizer_id(t, "<|begin_of_text|>"));
    assert_true(tokenizer_bos(t) > 0);
    snprintf(want, sizeof want, "%d", tokenizer_id(t, "Ġgovernos")); /* no merge makes it: ignore_merges does */
    expect_ids(t, false, " governos", want);
    assert_string_equal(tokenizer_hash(t), tokenizer_hash(again));
    assert_string_not_equal(tokenizer_hash(t), tokenizer_hash(other));
    assert_int_equal(strlen(tokenizer_hash(t)), 64);
    tokenizer_free(t);
    tokenizer_free(other);
    tokenizer_free(again);
}

static void test_smollm2_facts(void **unused) {
    struct tokenizer *t = smollm2();
    const int32_t *eos;
    assert_int_equal(tokenizer_size(t), 49152);
    assert_int_equal(tokenizer_bos(t), -1);
    assert_int_equal(tokenizer_eos(t, &eos), 1);
    assert_int_equal(eos[0], 2);
    assert_int_equal(tokenizer_id(t, "<|im_end|>"), 2);
    assert_non_null(strstr(tokenizer_chat_template(t), "<|im_start|>"));
    tokenizer_free(t);
}

static void test_bad_utf8(void **unused) {
    struct tokenizer *t = vocabulary("gpt-2.json");
    struct ids ids = IDS_INIT;
    struct err e = ERR_INIT;
    ids_add(&ids, 7);
    assert_int_equal(tokenizer_encode(t, "caf\xe9", 4, &ids, &e), -1);
    assert_int_equal(e.code, RC_INPUT);
    assert_string_equal(e.msg, "text is not valid UTF-8 at byte 3");
    assert_int_equal(ids.n, 1);
    assert_int_equal(tokenizer_encode(t, "", 0, &ids, &e), 0);
    assert_int_equal(tokenizer_encode(t, "a\0b", 3, &ids, &e), 0);
    assert_int_equal(ids.n, 4);
    ids_release(&ids);
    tokenizer_free(t);
}

/* ---- what tokenizer.json must not hold ---- */

static char folder[] = P_tmpdir "/coador-tokenizer-XXXXXX";

static void write_file(const char *name, const char *p, size_t n) {
    char path[200];
    struct err e = ERR_INIT;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (io_write_file(path, p, n, &e) < 0) fail_msg("%s", e.msg);
}

/* smollm.json with its first `from` replaced by `to` fails with a message that holds `want`. */
static void refuses(const char *file, const char *from, const char *to, const char *want) {
    struct buf text = BUF_INIT, out = BUF_INIT;
    struct err e = ERR_INIT;
    char path[200];
    if (io_read_all(vocabulary_path(file), 0, &text, &e) < 0) fail_msg("%s", e.msg);
    const char *at = strstr(text.p, from);
    if (!at) fail_msg("%s has no %s", file, from);
    buf_add(&out, text.p, (size_t)(at - text.p));
    buf_adds(&out, to);
    buf_adds(&out, at + strlen(from));
    write_file("tokenizer.json", out.p, out.n);
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    struct tokenizer *t = tokenizer_from_json(path, &e);
    if (t) fail_msg("accepted with %s", to);
    assert_int_equal(e.code, RC_INPUT);
    if (!strstr(e.msg, want) || strncmp(e.msg, path, strlen(path))) fail_msg("got: %s\nexpected: %s", e.msg, want);
    buf_release(&text);
    buf_release(&out);
}

static void test_json_refuses(void **unused) {
    static const char *const cases[][4] = {
        {"smollm.json", "\"type\":\"BPE\"", "\"type\":\"Unigram\"", "model is Unigram, expected BPE"},
        {"smollm.json", "\"normalizer\":null", "\"normalizer\":{\"type\":\"NFC\"}", "normalizer is NFC, expected null"},
        {"smollm.json", "\"individual_digits\":true", "\"individual_digits\":false", "pre_tokenizer is unknown"},
        {"smollm.json", "\"add_prefix_space\":false", "\"add_prefix_space\":true", "pre_tokenizer is unknown"},
        {"llama-bpe.json", "{1,3}", "{1,4}", "pre_tokenizer is unknown"},
        {"llama-bpe.json", "\"Isolated\"", "\"Removed\"", "pre_tokenizer is unknown"},
        {"smollm.json", "\"decoder\":{\"type\":\"ByteLevel\"", "\"decoder\":{\"type\":\"WordPiece\"", "decoder is WordPiece, expected ByteLevel"},
        {"smollm.json", "\"byte_fallback\":false", "\"byte_fallback\":true", "pre_tokenizer is unknown beside byte_fallback"},
        {"smollm.json", "\"dropout\":null", "\"dropout\":0.1", "model.dropout is set"},
        {"smollm.json", "\"unk_token\":null", "\"unk_token\":\"nope\"", "model.unk_token is \"nope\", which is no token"},
        {"smollm.json", "\"end_of_word_suffix\":null", "\"end_of_word_suffix\":\"</w>\"", "model.end_of_word_suffix is set"},
        {"smollm.json", "\"lstrip\":false", "\"lstrip\":true", "has lstrip true"},
        {"smollm.json", "\"single_word\":false", "\"single_word\":true", "has single_word true"},
        {"smollm.json", "{\"id\":600,", "{\"id\":5,", "id 5 belongs to both"},
        {"smollm.json", "{\"id\":600,", "{\"id\":99999999,", "is 99999999, expected 0 to"},
        {"smollm.json", "{\"id\":600,", "{\"id\":-1,", "is -1, expected 0 to"},
        {"smollm.json", "{\"id\":600,", "{\"id\":1.5,", "is 1.5, expected 0 to"},
        {"smollm.json", "\"content\":\"<extra>\"", "\"content\":\"a\"", "'a' has id 603, but"},
        {"smollm.json", "\"!\":0", "\"!\":1", "id 1 belongs to both"},
        {"smollm.json", "\"merges\":[[", "\"merges\":[[\"zq\",\"a\"],[", "merge 0 (zq + a): its left half is not in the vocabulary"},
        {"smollm.json", "\"merges\":[[", "\"merges\":[[\"z\",\"q\"],[", "what it makes is not in the vocabulary"},
        {"smollm.json", "\"merges\":[[", "\"merges\":[\"a  b\",[", "merge 0 is 'a  b', expected two tokens"},
        {"smollm.json", "\"merges\":[[", "\"merges\":[[\"a\"],[", "merge 0 is [\"a\"], expected"},
        {"smollm.json", "\"merges\":[[", "\"merges\":[[\"\xe6\xbc\xa2\",\"a\"],[", "merge 0 has characters that stand for no byte"},
        {"smollm.json", "\"post_processor\":null", "\"post_processor\":{\"type\":\"BertProcessing\"}", "post_processor is BertProcessing"},
        {"llama-bpe.json", "{\"Sequence\":{\"id\":\"A\"", "{\"Nothing\":{\"id\":\"A\"", "expected the text with at most one token before it"},
        {"smollm.json", "\"model\":{", "\"model\":[{", "expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) refuses(cases[i][0], cases[i][1], cases[i][2], cases[i][3]);
}

/* The files beside tokenizer.json: eos and chat template. */
static void test_json_neighbours(void **unused) {
    struct buf text = BUF_INIT;
    struct err e = ERR_INIT;
    const int32_t *eos;
    char path[200];
    assert_int_equal(io_read_all(vocabulary_path("qwen2.json"), 0, &text, &e), 0);
    write_file("tokenizer.json", text.p, text.n);
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    const char *config = "{\"eos_token\":{\"content\":\"<|im_end|>\"},\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"T\"},{\"name\":\"default\",\"template\":\"D\"}]}";
    write_file("tokenizer_config.json", config, strlen(config));
    struct tokenizer *t = tokenizer_from_json(path, &e);
    assert_non_null(t);
    assert_int_equal(tokenizer_eos(t, &eos), 1);
    assert_int_equal(eos[0], tokenizer_id(t, "<|im_end|>"));
    assert_string_equal(tokenizer_chat_template(t), "D");
    tokenizer_free(t);
    write_file("chat_template.jinja", "J", 1);
    t = tokenizer_from_json(path, &e);
    assert_string_equal(tokenizer_chat_template(t), "J");
    tokenizer_free(t);
    config = "{\"eos_token\":\"<nope>\"}";
    write_file("tokenizer_config.json", config, strlen(config));
    assert_null(tokenizer_from_json(path, &e));
    assert_non_null(strstr(e.msg, "eos_token is '<nope>', which is no token"));
    buf_release(&text);
}

/* ---- what GGUF metadata must not hold: files with a handful of tokens, written here ---- */

static void put(struct buf *b, uint64_t x, int bytes) {
    for (int i = 0; i < bytes; i++) buf_addc(b, (char)(x >> 8 * i));
}
static void put_text(struct buf *b, const char *s) {
    put(b, strlen(s), 8);
    buf_adds(b, s);
}

struct vocabulary { /* NULL or 0: as in a good file */
    const char *model, *pre, *merge, *token3;
    int type3, n_types, eos, add_bos, bos;
};

static void write_gguf(const struct vocabulary *v) {
    const char *tokens[] = {"a", "b", "ab", v->token3 ? v->token3 : "<e>"};
    struct buf b = BUF_INIT;
    buf_adds(&b, "GGUF");
    put(&b, 3, 4), put(&b, 0, 8), put(&b, 8, 8);
    put_text(&b, "tokenizer.ggml.model"), put(&b, 8, 4), put_text(&b, v->model ? v->model : "gpt2");
    put_text(&b, "tokenizer.ggml.pre"), put(&b, 8, 4), put_text(&b, v->pre ? v->pre : "smollm");
    put_text(&b, "tokenizer.ggml.tokens"), put(&b, 9, 4), put(&b, 8, 4), put(&b, 4, 8);
    for (int i = 0; i < 4; i++) put_text(&b, tokens[i]);
    put_text(&b, "tokenizer.ggml.token_type"), put(&b, 9, 4), put(&b, 5, 4), put(&b, (uint64_t)(v->n_types ? v->n_types : 4), 8);
    for (int i = 0; i < (v->n_types ? v->n_types : 4); i++) put(&b, (uint64_t)(i < 3 ? 1 : v->type3 ? v->type3 : 3), 4);
    put_text(&b, "tokenizer.ggml.merges"), put(&b, 9, 4), put(&b, 8, 4), put(&b, 1, 8), put_text(&b, v->merge ? v->merge : "a b");
    put_text(&b, "tokenizer.ggml.eos_token_id"), put(&b, 4, 4), put(&b, (uint64_t)(v->eos ? v->eos : 3), 4);
    put_text(&b, "tokenizer.ggml.add_bos_token"), put(&b, 7, 4), put(&b, (uint64_t)v->add_bos, 1);
    put_text(&b, v->bos ? "tokenizer.ggml.bos_token_id" : "unused"), put(&b, 4, 4), put(&b, (uint64_t)v->bos, 4);
    while (b.n % 32) buf_addc(&b, 0);
    write_file("small.gguf", b.p, b.n);
    buf_release(&b);
}

static struct tokenizer *from_gguf(const struct vocabulary *v, struct err *e) {
    char path[200];
    write_gguf(v);
    snprintf(path, sizeof path, "%s/small.gguf", folder);
    struct gguf *g = gguf_open(path, e);
    if (!g) fail_msg("%s", e->msg);
    struct tokenizer *t = tokenizer_from_gguf(g, e);
    gguf_close(g);
    return t;
}

static void test_gguf_refuses(void **unused) {
    static const struct {
        struct vocabulary v;
        const char *want;
    } cases[] = {
        {{.model = "bert"}, "tokenizer.ggml.model is 'bert', expected 'gpt2'"},
        {{.model = "llama"}, "tokenizer.ggml.scores: -1 scores (f32), expected one for each of 4 tokens"},
        {{.pre = "default"}, "tokenizer.ggml.pre is 'default', expected smollm"},
        {{.pre = "smollm2"}, "tokenizer.ggml.pre is 'smollm2'"},
        {{.merge = "ab"}, "tokenizer.ggml.merges: merge 0 is 'ab'"},
        {{.merge = "b a"}, "merge 0 (b + a): what it makes is not in the vocabulary"},
        {{.token3 = "ab", .type3 = 1}, "tokens 2 and 3 are the same"},
        {{.type3 = 6}, "token_type[3] is 6, expected 1 to 5"},
        {{.type3 = -1}, "token_type[3] is -1"},
        {{.n_types = 5}, "5 types, expected one for each of 4 tokens"},
        {{.eos = 4}, "eos_token_id is no id of this vocabulary, expected 0 to 3"},
        {{.add_bos = 1}, "bos_token_id is missing though texts begin with it"},
        {{.add_bos = 1, .bos = 9}, "bos_token_id is no id of this vocabulary"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = ERR_INIT;
        struct tokenizer *t = from_gguf(&cases[i].v, &e);
        if (t) fail_msg("accepted, expected: %s", cases[i].want);
        assert_int_equal(e.code, RC_INPUT);
        if (!strstr(e.msg, cases[i].want)) fail_msg("got: %s\nexpected: %s", e.msg, cases[i].want);
    }
}

static void test_gguf_small(void **unused) {
    struct vocabulary v = {.add_bos = 1, .bos = 3};
    struct err e = ERR_INIT;
    struct tokenizer *t = from_gguf(&v, &e);
    if (!t) fail_msg("%s", e.msg);
    expect_ids(t, false, "abba", "2,1,0");
    expect_ids(t, false, "axb", "2"); /* a byte without a token vanishes before merging, as in Hugging Face's */
    expect_ids(t, true, "a<e>b", "0,3,1");
    assert_int_equal(tokenizer_bos(t), 3);
    tokenizer_free(t);
    v = (struct vocabulary){.token3 = "ba", .type3 = 1}; /* a token that no merge makes, asked for twice */
    if (!(t = from_gguf(&v, &e))) fail_msg("%s", e.msg);
    expect_ids(t, false, "ba", "1,0");
    expect_ids(t, false, "ba", "1,0");
    expect_ids(t, false, "ab ab", "2,2");
    tokenizer_free(t);
}

static int make_folder(void **unused) { return mkdtemp(folder) ? 0 : -1; }
static int drop_folder(void **unused) { return io_remove_tree(folder, NULL); }

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_smollm2), cmocka_unit_test(test_golden_smollm), cmocka_unit_test(test_golden_gpt2),
        cmocka_unit_test(test_golden_llama),   cmocka_unit_test(test_golden_qwen2),  cmocka_unit_test(test_decode_golden),
        cmocka_unit_test(test_decode_bytes),   cmocka_unit_test(test_long),          cmocka_unit_test(test_threads),
        cmocka_unit_test(test_special),        cmocka_unit_test(test_llama_rules),   cmocka_unit_test(test_smollm2_facts),
        cmocka_unit_test(test_bad_utf8),       cmocka_unit_test(test_json_refuses),  cmocka_unit_test(test_json_neighbours),
        cmocka_unit_test(test_gguf_refuses),   cmocka_unit_test(test_gguf_small),   cmocka_unit_test(test_special_golden),
        cmocka_unit_test(test_cuts),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
