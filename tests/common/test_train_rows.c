/* Records to rows, and rows to packed passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/io/io.h"
#include "common/train/batch.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { END = 258 }; /* <|im_end|> of the tiny tokenizer; its other ids are bytes in GPT-2's order */
static struct tokenizer *tok;

static int setup(void **state) {
    struct err e = ERR_INIT;
    tok = tokenizer_from_json("tests/data/train/tiny/tokenizer.json", &e);
    if (!tok) printf("# %s\n", e.msg);
    return tok ? 0 : -1;
}

static int teardown(void **state) {
    tokenizer_free(tok);
    return 0;
}

static struct row_rules rules(void) {
    return (struct row_rules){.tok = tok, .bos = -1, .end = END, .vocab = 264, .max_length = 64};
}

static int read_text(struct rows *r, const char *text, const struct row_rules *u, struct err *e) {
    char path[] = "/tmp/coador-rows-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    *e = (struct err)ERR_INIT;
    int rc = rows_read(r, path, u, e);
    unlink(path);
    return rc;
}

/* Row i as text: byte tokens as letters, END as '$', others as their number; trained ones in upper case or with '*'. */
static const char *spell(const struct rows *r, int64_t i) {
    static char out[400];
    char *o = out;
    for (int64_t k = r->start[i]; k < r->start[i + 1]; k++) {
        bool trained = r->labels[k] != LABEL_NONE;
        struct buf b = BUF_INIT;
        tokenizer_bytes(tok, r->ids[k], false, &b);
        char c = r->ids[k] == END ? '$' : b.n ? b.p[0] : '?';
        o += sprintf(o, "%s%c", trained ? "*" : "", c);
        buf_release(&b);
    }
    return out;
}

static void test_kinds(void **state) {
    struct rows r;
    struct err e;
    struct row_rules u = rules();
    const char *text = "{\"prompt\":\"ab\",\"completion\":\"cd\",\"weight\":2}\n{\"text\":\"xy\"}\n"
                       "{\"input_ids\":[65,66,67,68],\"labels\":[65,-100,67,-100]}\n{\"prompt\":\"\",\"completion\":\"c\",\"truth\":{},\"error\":null}\n";
    assert_int_equal(read_text(&r, text, &u, &e), 0);
    assert_int_equal(r.n, 4);
    assert_string_equal(spell(&r, 0), "ab*c*d*$");
    assert_string_equal(spell(&r, 1), "x*y*$"); /* nothing stands before the first: it is not trained */
    assert_int_equal(r.trained[2], 1);
    assert_int_equal(rows_fed(&r, 2), 2); /* what comes after the last trained token is not fed, nor is that itself */
    assert_string_equal(spell(&r, 3), "c*$");
    assert_true(r.weight[0] == 2 && r.weight[1] == 1);
    assert_int_equal(r.longest, 5);
    assert_int_equal(r.all_trained, 3 + 2 + 1 + 1);
    assert_int_equal(r.line[3], 4);
    rows_release(&r);
    u.all = true;
    u.bos = 256;
    assert_int_equal(read_text(&r, text, &u, &e), 0);
    assert_string_equal(spell(&r, 0), "?*a*b*c*d*$");
    assert_string_equal(spell(&r, 1), "?*x*y*$");
    assert_int_equal(r.length[2], 4); /* ready ids get nothing added */
    rows_release(&r);
}

static void test_overlong(void **state) {
    struct rows r;
    struct err e;
    struct row_rules u = rules();
    const char *text = "{\"prompt\":\"abcdef\",\"completion\":\"uv\"}\n{\"text\":\"mnopqrstu\"}\n{\"prompt\":\"a\",\"completion\":\"b\"}\n";
    u.max_length = 5;
    assert_int_equal(read_text(&r, text, &u, &e), -1);
    assert_non_null(strstr(e.msg, ":1: 9 tokens, expected at most 5"));
    u.overlong = OVERLONG_SKIP;
    assert_int_equal(read_text(&r, text, &u, &e), 0);
    assert_true(r.n == 1 && r.skipped_overlong == 2);
    rows_release(&r);
    u.overlong = OVERLONG_TRUNCATE;
    assert_int_equal(read_text(&r, text, &u, &e), 0);
    assert_string_equal(spell(&r, 0), "ef*u*v*$");
    assert_string_equal(spell(&r, 1), "m*n*o*p*q");
    assert_int_equal(r.truncated, 2);
    rows_release(&r);
    u.bos = 256; /* stays */
    assert_int_equal(read_text(&r, text, &u, &e), 0);
    assert_string_equal(spell(&r, 0), "?f*u*v*$");
    rows_release(&r);
    u.max_length = 2;
    assert_int_equal(read_text(&r, text, &u, &e), -1);
    assert_non_null(strstr(e.msg, "the completion alone does not fit into 2 tokens"));
}

static void test_counts(void **state) {
    struct rows r;
    struct err e;
    struct row_rules u = rules();
    u.skip_incomplete = true;
    assert_int_equal(read_text(&r, "{\"prompt\":\"a\"}\n{\"prompt\":\"b \",\"completion\":\"c\"}\n{\"prompt\":\"d \",\"completion\":\"c\"}\n"
                                   "{\"prompt\":\"a\",\"completion\":\"b\",\"error\":\"x\"}\n", &u, &e), 0);
    assert_true(r.n == 2 && r.skipped_incomplete == 2 && r.spaced == 2 && r.first_spaced == 2);
    rows_release(&r);
}

/* What trains the same hashes the same; anything else does not. */
static void test_hash(void **state) {
    static const char *const texts[] = {"{\"prompt\":\"ab\",\"completion\":\"c\"}\n", "{\"completion\":\"c\",\"id\":\"7\",\"prompt\":\"ab\"}\n",
        "{\"prompt\":\"a\",\"completion\":\"bc\"}\n", "{\"prompt\":\"ab\",\"completion\":\"c\",\"weight\":0.5}\n"};
    char hash[4][SHA256_HEX];
    struct rows r;
    struct err e;
    struct row_rules u = rules();
    for (int i = 0; i < 4; i++) {
        assert_int_equal(read_text(&r, texts[i], &u, &e), 0);
        rows_hash(&r, hash[i]);
        rows_release(&r);
    }
    assert_string_equal(hash[0], hash[1]);
    assert_string_not_equal(hash[0], hash[2]);
    assert_string_not_equal(hash[0], hash[3]);
}

static void test_pack(void **state) {
    struct rows r;
    struct err e;
    struct batch b;
    struct row_rules u = rules();
    const int64_t order[] = {2, 0, 1};
    assert_int_equal(read_text(&r, "{\"prompt\":\"ab\",\"completion\":\"c\"}\n{\"prompt\":\"d\",\"completion\":\"e\",\"weight\":3}\n{\"text\":\"xy\"}\n", &u, &e), 0);
    assert_int_equal(batch_trained(&r, order, 3), 6);
    batch_init(&b, 5, 3);
    assert_int_equal(batch_fill(&b, &r, order, 0, 3, 1.0 / 6), 2); /* xy, then ab c; d e is the next pass's */
    const struct packed *p = &b.packed;
    assert_true(p->R == 5 && p->S == 2 && p->M == 4);
    assert_int_equal(b.tokens, 7);
    const int32_t pos[] = {0, 1, 0, 1, 2}, seq[] = {0, 0, 1, 1, 1}, cu[] = {0, 2, 5}, sel[] = {0, 1, 3, 4};
    assert_memory_equal(p->pos, pos, sizeof pos);
    assert_memory_equal(p->seq, seq, sizeof seq);
    assert_memory_equal(p->cu, cu, sizeof cu);
    assert_memory_equal(p->sel, sel, sizeof sel);
    assert_true(p->target[1] == END && p->target[3] == END && p->target[0] == p->ids[1]);
    assert_true(p->scale[0] == (float)(1.0 / 6));
    assert_int_equal(batch_fill(&b, &r, order, 2, 3, 1.0 / 6), 1);
    assert_true(p->R == 2 && p->S == 1 && p->M == 2 && p->seq[0] == 2 && p->pos[1] == 1);
    assert_true(p->scale[0] == 0.5f);
    batch_release(&b);
    rows_release(&r);
}

/* With SmolLM2's template: the turn's end is trained, the line break behind it and earlier turns are not. */
static void test_chat(void **state) {
    char path[4096];
    struct err e = ERR_INIT;
    snprintf(path, sizeof path, "%s/SmolLM2-135M-Instruct.Q4_1.gguf", getenv("FETCHED") ? getenv("FETCHED") : ".fetched");
    if (!io_exists(path)) {
        printf("# no %s\n", path);
        skip();
    }
    struct gguf *g = gguf_open(path, &e);
    struct tokenizer *t = tokenizer_from_gguf(g, &e);
    struct chat *chat = chat_open(t, &e);
    assert_non_null(chat);
    struct rows r;
    struct buf text = BUF_INIT, shown = BUF_INIT;
    struct row_rules u = {.tok = t, .chat = chat, .bos = -1, .end = chat_end(chat), .vocab = tokenizer_size(t), .max_length = 8192};
    if (read_text(&r, "{\"prompt\":\"2+2?\",\"completion\":\"4\"}\n{\"messages\":[{\"role\":\"user\",\"content\":\"2+2?\"},{\"role\":\"assistant\",\"content\":\"4\"}]}\n"
                      "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},{\"role\":\"user\",\"content\":\"c\"},{\"role\":\"assistant\",\"content\":\"d\"}]}\n", &u, &e) < 0)
        fail_msg("%s", e.msg);
    for (int64_t i = 0; i < 3; i++) assert_int_equal(r.trained[i], 2);
    tokenizer_decode(t, r.ids, (size_t)r.length[0], true, &text);
    if (!strstr(text.p, "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n4<|im_end|>")) fail_msg("%s", text.p);
    assert_int_equal(r.length[0], r.length[1]);
    assert_memory_equal(r.ids, r.ids + r.start[1], (size_t)r.length[0] * sizeof *r.ids);
    rows_show(&r, 2, "rows", t, &shown);
    assert_non_null(strstr(shown.p, "* \"d\""));
    assert_null(strstr(shown.p, "* \"b\""));
    rows_release(&r);
    assert_int_equal(read_text(&r, "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}\n", &u, &e), -1);
    assert_non_null(strstr(e.msg, ":1: messages: expected a list that ends in a message of the assistant"));
    buf_release(&text);
    buf_release(&shown);
    chat_free(chat);
    tokenizer_free(t);
    gguf_close(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kinds), cmocka_unit_test(test_overlong), cmocka_unit_test(test_counts),
        cmocka_unit_test(test_hash), cmocka_unit_test(test_pack), cmocka_unit_test(test_chat)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
