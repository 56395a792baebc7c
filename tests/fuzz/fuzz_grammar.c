/* A schema and choices, parted by a newline: a grammar ends, and any walk through it closes to a document that is valid. */
#include "common/text/grammar.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Follows the bytes of `way` that may come, then the shortest way to the end. */
static void walk(struct grammar *g, const struct schema *s, const char *way, size_t n) {
    struct buf text = BUF_INIT;
    struct err e = ERR_INIT;
    uint32_t state = grammar_start(g);
    for (size_t i = 0; i < n; i++) {
        uint32_t to = grammar_byte(g, state, (unsigned char)way[i]);
        if (to == GRAMMAR_DEAD) continue;
        state = to;
        buf_addc(&text, way[i]);
        if (grammar_min_close(g, state) == UINT32_MAX) abort();
    }
    if (grammar_min_close(g, state) < 100000) {
        grammar_close(g, state, &text);
        struct json_doc *d = json_parse(text.p, text.n, &e);
        if (!d && !strstr(e.msg, "duplicate key") && !strstr(e.msg, "deep")) abort();
        if (d && schema_validate(s, json_root(d), &e) < 0 && !strstr(e.msg, "given up")) abort();
        json_doc_free(d);
    }
    buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    const char *text = (const char *)data, *cut = n ? memchr(text, '\n', n) : NULL;
    struct err e = ERR_INIT;
    if (!cut) return 0;
    struct schema *s = schema_compile(text, (size_t)(cut - text), "fuzz", NULL);
    for (int space = GRAMMAR_COMPACT; s && space <= GRAMMAR_BOUNDED; space++) {
        struct grammar_options o = {.space = (enum grammar_space)space, .prefix = ""};
        struct grammar *g = grammar_from_schema(s, &o, &e);
        if (!g && e.code != RC_INPUT) abort();
        if (g) walk(g, s, cut + 1, n - (size_t)(cut + 1 - text));
        grammar_free(g);
    }
    schema_free(s);
    return 0;
}
