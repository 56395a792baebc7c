/* Chat templates against transformers' rendering of their Jinja text (tests/oracle/chat.py made the goldens). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/io/io.h"
#include "common/text/chat.h"
#include "vocabulary.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void compare(const struct ids *got, const struct json *want, int line) {
    size_t i = 0;
    for (const struct json *v = want->first; v && i < got->n && got->v[i] == (int32_t)v->number; v = v->next) i++;
    if (i == got->n && i == want->count) return;
    print_message("line %d: %zu ids, expected %zu; the first to differ is number %zu of:", line, got->n, want->count, i);
    for (size_t k = 0; k < got->n; k++) print_message(" %d", got->v[k]);
    fail_msg("expected %.*s", (int)want->raw_len, want->raw);
}

static void check_golden(const struct chat *c) {
    char name[100];
    struct in in;
    struct err e = ERR_INIT;
    int64_t n;
    int lines = 0;
    snprintf(name, sizeof name, "chat-%s.jsonl", chat_name(c));
    if (in_open(&in, vocabulary_path(name), &e) < 0) fail_msg("%s", e.msg);
    for (; (n = in_line(&in, &e)) >= 0; lines++) {
        struct json_doc *d = json_parse(in.text, (size_t)n, &e);
        struct ids ids = IDS_INIT;
        assert_non_null(d);
        const struct json *root = json_root(d), *messages = json_get(root, "messages");
        bool generate = json_get(root, "generate")->truth;
        if (chat_encode(c, messages, generate, &ids, &e) < 0) fail_msg("%s:%d: %s", name, lines + 1, e.msg);
        compare(&ids, json_get(root, "ids"), lines + 1);
        if (messages->count == 1 && generate && json_is_str(json_get(messages->first, "role"), "user")) {
            const struct json *text = json_get(messages->first, "content");
            ids.n = 0;
            assert_int_equal(chat_encode_user(c, text->str, text->len, &ids, &e), 0);
            compare(&ids, json_get(root, "ids"), lines + 1);
        }
        ids_release(&ids);
        json_doc_free(d);
    }
    assert_int_equal(lines, 26);
    in_close(&in);
}

static void test_smollm2(void **unused) {
    char path[4096];
    struct err e = ERR_INIT;
    snprintf(path, sizeof path, "%s/SmolLM2-135M-Instruct.Q4_1.gguf", getenv("FETCHED") ? getenv("FETCHED") : ".fetched");
    if (!io_exists(path)) {
        print_message("no %s: run make model\n", path);
        skip();
    }
    struct gguf *g = gguf_open(path, &e);
    struct tokenizer *t = g ? tokenizer_from_gguf(g, &e) : NULL;
    struct chat *c = t ? chat_open(t, &e) : NULL;
    if (!c) fail_msg("%s", e.msg);
    assert_string_equal(chat_name(c), "chatml-smollm2");
    assert_int_equal(chat_end(c), 2);
    check_golden(c);
    chat_free(c);
    tokenizer_free(t);
    gguf_close(g);
}

static void check_llama(const char *name) {
    struct tokenizer *t = vocabulary("llama-bpe.json");
    struct err e = ERR_INIT;
    struct chat *c = chat_open_as(t, name, &e);
    if (!c) fail_msg("%s", e.msg);
    assert_int_equal(chat_end(c), tokenizer_id(t, "<|eot_id|>"));
    check_golden(c);
    chat_free(c);
    tokenizer_free(t);
}
static void test_llama3(void **unused) { check_llama("llama-3"); }
static void test_llama32(void **unused) { check_llama("llama-3.2"); }

static void test_unknown(void **unused) {
    struct tokenizer *t = vocabulary("llama-bpe.json");
    struct err e = ERR_INIT;
    assert_null(chat_open(t, &e));
    assert_string_equal(e.msg, "the model has no chat template");
    assert_null(chat_open_as(t, "vicuna", &e));
    assert_string_equal(e.msg, "unknown chat template 'vicuna', expected chatml-smollm2, llama-3 or llama-3.2");
    assert_null(chat_open_as(t, "chatml-smollm2", &e));
    assert_string_equal(e.msg, "the tokenizer has no special token <|im_end|>, which the chat template needs");
    assert_int_equal(e.code, RC_INPUT);
    tokenizer_free(t);
}

/* A template that differs in one character is another template. */
static void test_hash(void **unused) {
    char folder[] = P_tmpdir "/coador-chat-XXXXXX";
    struct buf text = BUF_INIT, path = BUF_INIT;
    struct err e = ERR_INIT;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(io_read_all(vocabulary_path("llama-bpe.json"), 0, &text, &e), 0);
    buf_addf(&path, "%s/chat_template.jinja", folder);
    assert_int_equal(io_write_file(path.p, "abc", 3, &e), 0);
    buf_clear(&path);
    buf_addf(&path, "%s/tokenizer.json", folder);
    assert_int_equal(io_write_file(path.p, text.p, text.n, &e), 0);
    struct tokenizer *t = tokenizer_from_json(path.p, &e);
    assert_non_null(t);
    assert_null(chat_open(t, &e));
    assert_non_null(strstr(e.msg, "unknown chat template (SHA-256 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad)"));
    tokenizer_free(t);
    io_remove_tree(folder, NULL);
    buf_release(&text);
    buf_release(&path);
}

static void test_bad_messages(void **unused) {
    static const char *const cases[][2] = {
        {"[]", "messages is no list of messages"},
        {"{}", "messages is no list of messages"},
        {"[1]", "message 1 is not {\"role\": text, \"content\": text}"},
        {"[{\"role\":\"user\"}]", "message 1 is not {\"role\": text, \"content\": text}"},
        {"[{\"role\":\"user\",\"content\":null}]", "message 1 is not {\"role\": text, \"content\": text}"},
        {"[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"tool\",\"content\":\"b\"}]", "message 2 has role 'tool', expected system, user or assistant"},
        {"[{\"role\":\"user\",\"content\":\"a\",\"name\":\"x\"}]", "message 1 has 'name', expected role and content only"},
    };
    struct tokenizer *t = vocabulary("llama-bpe.json");
    struct err e = ERR_INIT;
    struct chat *c = chat_open_as(t, "llama-3", &e);
    struct ids ids = IDS_INIT;
    ids_add(&ids, 5);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json_doc *d = json_parse(cases[i][0], strlen(cases[i][0]), &e);
        assert_int_equal(chat_encode(c, json_root(d), true, &ids, &e), -1);
        assert_int_equal(e.code, RC_INPUT);
        assert_string_equal(e.msg, cases[i][1]);
        assert_int_equal(ids.n, 1);
        json_doc_free(d);
    }
    assert_int_equal(chat_encode_user(c, "\xff", 1, &ids, &e), -1);
    assert_int_equal(ids.n, 1);
    ids_release(&ids);
    chat_free(c);
    tokenizer_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smollm2), cmocka_unit_test(test_llama3), cmocka_unit_test(test_llama32),
        cmocka_unit_test(test_unknown), cmocka_unit_test(test_hash),   cmocka_unit_test(test_bad_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
