/* Any bytes as a server's reply: refused with a message, or an answer that reads back as the cache keeps it; and what a refusal
   says is one line of UTF-8 within its bounds. */
#include "common/io/json.h"
#include "common/label/openai.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_answer(const struct buf *b) {
    static const char *const counts[] = {"prompt_tokens", "completion_tokens"};
    struct err e = ERR_INIT;
    int64_t k;
    struct json_doc *d = json_parse(b->p, b->n, &e);
    if (!d) abort();
    const struct json *v = json_root(d), *text = json_get(v, "text"), *finish = json_get(v, "finish");
    if (!text || text->type != JSON_STRING || !finish || finish->type != JSON_STRING) abort();
    for (int i = 0; i < 2; i++) {
        const struct json *c = json_get(v, counts[i]);
        if (!c || (c->type != JSON_NULL && !(json_int(c, &k) && k >= 0))) abort();
    }
    json_doc_free(d);
}

static void check_line(const char *s, size_t size) {
    size_t n = strnlen(s, size);
    if (n == size || utf8_valid(s, n) != n) abort();
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 32 || s[i] == 127) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct err e = ERR_INIT;
    struct buf b = BUF_INIT;
    char text[24], code[24];
    int rc = openai_answer((const char *)data, n, &b, &e);
    if (rc == 0)
        check_answer(&b);
    else if (e.code != RC_INPUT || !e.msg[0])
        abort();
    openai_refusal((const char *)data, n, text, code, sizeof text);
    check_line(text, sizeof text);
    check_line(code, sizeof code);
    buf_release(&b);
    return 0;
}
