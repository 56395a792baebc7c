/* A GBNF grammar and a text, parted by a NUL: reading it ends, and any walk through it closes to a text that it takes. */
#include "common/text/grammar.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    const char *text = (const char *)data, *cut = n ? memchr(text, 0, n) : NULL;
    size_t len = cut ? (size_t)(cut - text) : n;
    struct grammar_options o = {.prefix = ""};
    struct err e = ERR_INIT;
    struct buf close = BUF_INIT;
    if (n > 2000) return 0;
    struct grammar *g = grammar_from_gbnf(text, len, "fuzz", &o, &e);
    if (!g && (e.code != RC_INPUT || strncmp(e.msg, "fuzz:", 5))) abort();
    uint32_t state = g ? grammar_start(g) : 0;
    for (size_t i = len + 1; g && i < n; i++) {
        uint32_t to = grammar_byte(g, state, data[i]);
        if (to != GRAMMAR_DEAD) state = to;
    }
    if (g && grammar_min_close(g, state) < 10000) {
        grammar_close(g, state, &close);
        for (size_t i = 0; i < close.n; i++) state = grammar_byte(g, state, (unsigned char)close.p[i]);
        if (!grammar_done(g, state)) abort();
    }
    buf_release(&close);
    grammar_free(g);
    return 0;
}
