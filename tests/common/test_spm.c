/* SentencePiece's kinds of tokenizer against sentencepiece itself and Hugging Face's tokenizers (tests/oracle/spm.py made the
   goldens): 5,300 strings by scores from GGUF and by merges from tokenizer.json under each way of putting the "▁", special and
   added tokens, texts back, the files written from GGUF, and what is refused. */
#include "tests/common/scratch.h"
#include "common/io/json.h"
#include "common/io/sha256.h"
#include "common/text/tokenizer_write.h"
#include "vocabulary.h"

#define DATA "tests/data/spm/"
#define PREPEND "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"▁\"},{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"▁\"}]}"
#define REPLACE "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"▁\"}]}"
#define METASPACE(scheme, split) "null,\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"▁\",\"prepend_scheme\":\"" scheme "\",\"split\":" split "}"

static struct gguf *open_gguf(void) {
    struct err e = ERR_INIT;
    struct gguf *g = gguf_open(DATA "spm.gguf", &e);
    if (!g) fail_msg("%s", e.msg);
    return g;
}

static struct tokenizer *from_gguf(void) {
    struct err e = ERR_INIT;
    struct gguf *g = open_gguf();
    struct tokenizer *t = tokenizer_from_gguf(g, &e);
    if (!t) fail_msg("%s", e.msg);
    gguf_close(g);
    return t;
}

/* spm.json with `from` replaced by `to`; NULL and e if it is refused. */
static struct tokenizer *changed(const char *from, const char *to, struct err *e) {
    struct buf b = slurp(DATA "spm.json"), out = BUF_INIT;
    const char *at = strstr(b.p, from);
    if (!at) fail_msg("spm.json has no %s", from);
    buf_add(&out, b.p, (size_t)(at - b.p));
    buf_adds(&out, to);
    buf_adds(&out, at + strlen(from));
    struct tokenizer *t = tokenizer_from_json(scratch_file("tokenizer.json", out.p, out.n), e);
    buf_release(&b);
    buf_release(&out);
    return t;
}

/* A Metaspace takes the place of the normalizer and of the null that stands for pre_tokenizer. */
static struct tokenizer *with_stages(const char *stages) {
    struct err e = ERR_INIT;
    bool both = strstr(stages, "pre_tokenizer") != NULL;
    struct tokenizer *t = changed(both ? PREPEND ",\"pre_tokenizer\":null" : PREPEND, stages, &e);
    if (!t) fail_msg("%s", e.msg);
    return t;
}

static void join(struct buf *b, const struct ids *ids) {
    for (size_t i = 0; i < ids->n; i++) buf_addf(b, i ? ",%d" : "%d", ids->v[i]);
}

/* ---- all strings ---- */
static void check_ids(const struct tokenizer *t, const char *file) {
    struct in texts, want;
    struct err e = ERR_INIT;
    struct buf b = BUF_INIT;
    struct ids ids = IDS_INIT;
    int64_t n;
    int k = 0;
    char hex[SHA256_HEX];
    if (in_open(&texts, "tests/data/tokenizer/strings.jsonl", &e) < 0 || in_open(&want, file, &e) < 0) fail_msg("%s", e.msg);
    for (bool more = true; more;) {
        if ((more = (n = in_line(&texts, &e)) >= 0)) {
            struct json_doc *d = json_parse(texts.text, (size_t)n, &e);
            if (!d) fail_msg("%s", e.msg);
            ids.n = 0;
            if (tokenizer_encode(t, json_root(d)->str, json_root(d)->len, &ids, &e) < 0) fail_msg("%s", e.msg);
            buf_adds(&b, k++ % 8 ? "\n" : "");
            join(&b, &ids);
            json_doc_free(d);
        }
        if (more ? k % 8 : !(k % 8)) continue;
        sha256_hex(b.p ? b.p : "", b.n, hex);
        assert_int_equal(in_line(&want, &e), 6);
        if (strncmp(hex, want.text, 6)) fail_msg("%s:%lld: the ids of strings up to %d are\n%s", file, (long long)want.line, k, b.p);
        buf_clear(&b);
    }
    assert_int_equal(k, 5300);
    assert_int_equal(in_line(&want, &e), -1);
    in_close(&texts);
    in_close(&want);
    ids_release(&ids);
    buf_release(&b);
}

/* Scores know no added tokens: those of spm.json stay away. */
static void scores_are_sentencepieces(void **state) {
    struct tokenizer *t = from_gguf();
    check_ids(t, DATA "ids-sentencepiece.txt");
    assert_int_equal(tokenizer_bos(t), 1);
    assert_int_equal(tokenizer_size(t), 1000);
    tokenizer_free(t);
}

static void merges_are_hugging_faces(void **state) {
    static const struct {
        const char *stages, *ids;
    } kinds[] = {{PREPEND, "prepend"}, {REPLACE, "none"}, {METASPACE("never", "false"), "none"}, {METASPACE("always", "false"), "always"}, {METASPACE("first", "false"), "first"}};
    char file[100];
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct tokenizer *t = with_stages(kinds[i].stages);
        snprintf(file, sizeof file, DATA "ids-%s.txt", kinds[i].ids);
        check_ids(t, file);
        assert_int_equal(tokenizer_bos(t), 1);
        tokenizer_free(t);
    }
}

/* ---- added tokens, and back ---- */
static struct ids ids_of(const struct json *list) {
    struct ids ids = IDS_INIT;
    for (const struct json *v = list->first; v; v = v->next) ids_add(&ids, (int32_t)v->number);
    return ids;
}

static void assert_ids(const struct ids *got, const struct json *want, const char *text) {
    struct ids w = ids_of(want);
    if (got->n != w.n || (w.n && memcmp(got->v, w.v, w.n * sizeof *w.v))) {
        struct buf b = BUF_INIT;
        join(&b, got);
        fail_msg("%s: ids %s, expected %.*s", text, b.p, (int)want->raw_len, want->raw);
    }
    ids_release(&w);
}

static void special_tokens_cut_texts(void **state) {
    struct tokenizer *t[] = {with_stages(PREPEND), with_stages(METASPACE("first", "false"))};
    struct in in;
    struct err e = ERR_INIT;
    int64_t n;
    int lines = 0;
    if (in_open(&in, DATA "special.jsonl", &e) < 0) fail_msg("%s", e.msg);
    for (; (n = in_line(&in, &e)) >= 0; lines++) {
        struct json_doc *d = json_parse(in.text, (size_t)n, &e);
        if (!d) fail_msg("%s", e.msg);
        const struct json *text = json_root(d)->first, *want = text->next;
        for (int i = 0; i < 2; i++, want = want->next) {
            struct ids ids = IDS_INIT;
            if (tokenizer_encode_special(t[i], text->str, text->len, &ids, &e) < 0) fail_msg("%s", e.msg);
            assert_ids(&ids, want, text->raw);
            ids_release(&ids);
        }
        json_doc_free(d);
    }
    assert_int_equal(lines, 150);
    in_close(&in);
    tokenizer_free(t[0]);
    tokenizer_free(t[1]);
}

static void texts_come_back(void **state) {
    struct tokenizer *t = with_stages(PREPEND);
    struct in in;
    struct err e = ERR_INIT;
    struct buf b = BUF_INIT;
    int64_t n;
    int lines = 0;
    if (in_open(&in, DATA "decode.jsonl", &e) < 0) fail_msg("%s", e.msg);
    for (; (n = in_line(&in, &e)) >= 0; lines++) {
        struct json_doc *d = json_parse(in.text, (size_t)n, &e);
        if (!d) fail_msg("%s", e.msg);
        const struct json *list = json_root(d)->first, *want = list->next;
        struct ids ids = ids_of(list);
        struct detok stream = DETOK_INIT;
        for (int way = 0; way < 2; way++) {
            buf_clear(&b);
            buf_adds(&b, "");
            if (way == 0) tokenizer_decode(t, ids.v, ids.n, false, &b);
            for (size_t i = 0; way == 1 && i < ids.n; i++) detok_feed(&stream, t, ids.v[i], &b);
            if (way == 1) detok_flush(&stream, &b);
            if (b.n != want->len || memcmp(b.p, want->str, b.n)) fail_msg("line %d: got \"%s\", expected %.*s", lines + 1, b.p, (int)want->raw_len, want->raw);
        }
        ids_release(&ids);
        json_doc_free(d);
    }
    assert_true(lines > 200);
    in_close(&in);
    buf_release(&b);
    tokenizer_free(t);
}

/* Decoded where the decoder has no Strip. */
static void changed_strip(const int32_t ids[8], struct buf *b) {
    struct err e = ERR_INIT;
    struct tokenizer *t = changed(",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}", "", &e);
    if (!t) fail_msg("%s", e.msg);
    tokenizer_decode(t, ids, 8, false, b);
    tokenizer_free(t);
}

/* Only the space at the very beginning goes, and bytes without their character are U+FFFD. */
static void decoding_by_hand(void **state) {
    struct tokenizer *t = from_gguf(), *bare = with_stages(METASPACE("never", "false"));
    int32_t space = tokenizer_id(t, "▁"), a = tokenizer_id(t, "a"), byte = 3 + 0xc3, line = 3 + 0x0a;
    const int32_t ids[] = {space, space, a, space, 1, byte, a, line};
    struct buf b = BUF_INIT;
    assert_true(space > 0 && a > 0);
    assert_int_equal(tokenizer_id(bare, "<0xC3>"), byte);
    assert_int_equal(tokenizer_id(t, "<0xC3>"), -1); /* of GGUF no text is a byte's token */
    tokenizer_decode(t, ids, 8, false, &b);
    assert_string_equal(b.p, " a \xef\xbf\xbd" "a\n");
    buf_clear(&b);
    tokenizer_decode(t, ids, 8, true, &b);
    assert_string_equal(b.p, " a <s>\xef\xbf\xbd" "a\n");
    buf_clear(&b);
    changed_strip(ids, &b);
    assert_string_equal(b.p, "  a \xef\xbf\xbd" "a\n");
    buf_clear(&b);
    tokenizer_bytes(t, space, false, &b);
    assert_string_equal(b.p, " ");
    tokenizer_free(t);
    tokenizer_free(bare);
    buf_release(&b);
}

static void long_texts_take_no_longer_a_byte(void **state) {
    static const char *const units[] = {"a", " ", "\n", "1", "é", "漢", "<0x0A>"};
    struct tokenizer *t = from_gguf();
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        struct buf text = BUF_INIT;
        while (text.n < 500000) buf_adds(&text, units[i]);
        back_in_time(t, &text, units[i]);
    }
    tokenizer_free(t);
}

/* ---- written from GGUF ---- */
static void written_files_mean_the_same(void **state) {
    struct err e = ERR_INIT;
    struct buf json = BUF_INIT, config = BUF_INIT;
    struct gguf *g = open_gguf();
    if (tokenizer_write(g, &json, &config, &e) < 0) fail_msg("%s", e.msg);
    gguf_close(g);
    scratch_file("tokenizer_config.json", config.p, config.n);
    struct tokenizer *t = tokenizer_from_json(scratch_file("tokenizer.json", json.p, json.n), &e), *from = from_gguf();
    if (!t) fail_msg("%s", e.msg);
    check_ids(t, DATA "ids-sentencepiece.txt");
    assert_string_equal(tokenizer_hash(t), tokenizer_hash(from));
    assert_int_equal(tokenizer_bos(t), 1);
    struct json_doc *doc = json_parse(json.p, json.n, &e), *want = json_read_file(DATA "spm.json", &e);
    if (!doc || !want) fail_msg("%s", e.msg);
    static const char *const stages[] = {"normalizer", "pre_tokenizer", "post_processor", "decoder"};
    for (int i = 0; i < 4; i++)
        if (!json_equal(json_get(json_root(doc), stages[i]), json_get(json_root(want), stages[i])))
            fail_msg("%s is %s", stages[i], json_get(json_root(doc), stages[i])->raw);
    assert_true(json_equal(json_get(json_get(json_root(doc), "model"), "vocab"), json_get(json_get(json_root(want), "model"), "vocab")));
    json_doc_free(doc);
    json_doc_free(want);
    tokenizer_free(t);
    tokenizer_free(from);
    buf_release(&json);
    buf_release(&config);
    unlink(scratch("tokenizer_config.json"));
}

/* ---- what is refused ---- */
static void others_are_refused(void **state) {
    static const struct {
        const char *from, *to, *message;
    } cases[] = {
        {PREPEND, "{\"type\":\"NFKC\"}", "normalizer is unknown beside byte_fallback"},
        {PREPEND, "null", "pre_tokenizer is unknown beside byte_fallback"},
        {PREPEND ",\"pre_tokenizer\":null", METASPACE("first", "true"), "Metaspace with split false"},
        {"\"pre_tokenizer\":null", "\"pre_tokenizer\":{\"type\":\"Metaspace\"}", "normalizer and pre_tokenizer are both set"},
        {"{\"type\":\"Fuse\"}", "{\"type\":\"ByteFallback\"}", "decoder is unknown beside byte_fallback"},
        {"\"start\":1", "\"start\":2", "decoder is unknown"},
        {"\"ignore_merges\":false", "\"ignore_merges\":true", "model.ignore_merges is true beside byte_fallback"},
        {"\"byte_fallback\":true", "\"byte_fallback\":false", "normalizer is Sequence, expected null"},
        {"\"<0x7F>\"", "\"<0x7f>\"", "byte 0x7F has no token <0x7F>"},
        {"\"content\":\"<extra>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false",
         "\"content\":\"<extra>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":true", "added token '<extra>' has normalized true"},
        {"\"content\":\"<extra>\"", "\"content\":\"<0x41>\"", "added token '<0x41>'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e = ERR_INIT;
        struct tokenizer *t = changed(cases[i].from, cases[i].to, &e);
        if (t) fail_msg("accepted, expected: %s", cases[i].message);
        assert_err(&e, RC_INPUT, cases[i].message);
    }
}

/* The bytes of spm.gguf with the first `from` replaced by as many bytes. */
static void refuse_gguf(const char *from, size_t n, const char *to, const char *message) {
    struct buf b = slurp(DATA "spm.gguf");
    struct err e = ERR_INIT;
    char *at = memmem(b.p, b.n, from, n);
    if (!at) fail_msg("spm.gguf has no %s", from);
    memcpy(at, to, n);
    struct gguf *g = gguf_open(scratch_file("bad.gguf", b.p, b.n), &e);
    if (!g) fail_msg("%s", e.msg);
    struct tokenizer *t = tokenizer_from_gguf(g, &e);
    if (t) fail_msg("accepted, expected: %s", message);
    assert_err(&e, RC_INPUT, message);
    gguf_close(g);
    buf_release(&b);
}

static void bad_metadata_is_refused(void **state) {
    refuse_gguf("tokenizer.ggml.scores", 21, "tokenizer.ggml.scoreX", "tokenizer.ggml.scores: -1 scores");
    refuse_gguf("<0x00>", 6, "<0x0g>", "token 3 is '<0x0g>', expected the token of a byte");
    refuse_gguf("<0x01>", 6, "<0x02>", "tokens 4 and 5 are both byte 0x02");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_sentencepieces), cmocka_unit_test(merges_are_hugging_faces), cmocka_unit_test(special_tokens_cut_texts),
        cmocka_unit_test(texts_come_back),           cmocka_unit_test(decoding_by_hand),         cmocka_unit_test(long_texts_take_no_longer_a_byte),
        cmocka_unit_test(written_files_mean_the_same), cmocka_unit_test(others_are_refused),     cmocka_unit_test(bad_metadata_is_refused),
    };
    return cmocka_run_group_tests_name("spm", tests, NULL, NULL);
}
