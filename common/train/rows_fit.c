/* Rows against a grammar: see rows_fit.h. */
#include "common/train/rows_fit.h"
#include <string.h>

/* Why the text is not accepted; at: bytes that are. */
static int blame(const char *text, size_t n, size_t at, const struct schema *s, struct err *e) {
    struct err why = ERR_INIT;
    size_t skip = n && *text == ' ', from = at;
    while (from && ((unsigned char)text[from] & 0xc0) == 0x80) from--;
    struct json_doc *d = json_parse(text + skip, n - skip, &why);
    bool valid = d && schema_validate(s, json_root(d), &why) == 0;
    json_doc_free(d);
    if (!valid) return err_set(e, RC_INPUT, "the completion does not fit the schema: %s", why.msg);
    if (at == n) return err_set(e, RC_INPUT, "the completion fits the schema, but would go on");
    struct buf b = BUF_INIT;
    utf8_repair(&b, text + from, n - from < 20 ? n - from : 20);
    err_set(e, RC_INPUT, "the completion fits the schema, but generate would write it in another way from byte %zu on (%s)", at + 1, b.p);
    buf_release(&b);
    return -1;
}

static int check(struct grammar *g, const struct schema *s, const struct buf *text, struct err *e) {
    uint32_t state = grammar_start(g);
    for (size_t i = 0; i < text->n; i++) {
        state = grammar_byte(g, state, (unsigned char)text->p[i]);
        if (state == GRAMMAR_DEAD) return blame(text->p, text->n, i, s, e);
    }
    return grammar_done(g, state) ? 0 : blame(text->p, text->n, text->n, s, e);
}

int rows_fit(const struct rows *r, int64_t i, const char *name, const struct tokenizer *tok, struct grammar *g, const struct schema *s, struct err *e) {
    struct buf text = BUF_INIT;
    int rc = 0;
    for (int64_t k = r->start[i]; k < r->start[i + 1] && !rc;) {
        if (r->labels[k] == LABEL_NONE) {
            k++;
            continue;
        }
        buf_clear(&text);
        buf_add(&text, "", 0);
        for (; k < r->start[i + 1] && r->labels[k] != LABEL_NONE; k++) tokenizer_bytes(tok, r->labels[k], false, &text);
        rc = check(g, s, &text, e);
    }
    buf_release(&text);
    return rc < 0 ? err_prefix(e, "%s:%lld: ", name, (long long)r->line[i]) : 0;
}
