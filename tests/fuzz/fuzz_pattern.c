/* A pattern and a text, parted by a newline: what the grammar takes, the validator's search finds, and the other way round. */
#include "common/text/grammar.h"
#include "common/text/schema_node.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    const char *text = (const char *)data, *cut = n ? memchr(text, '\n', n) : NULL;
    struct grammar_options o = {.prefix = ""};
    struct buf schema = BUF_INIT, json = BUF_INIT;
    if (!cut || n > 300 || utf8_valid(text, n) != n) return 0;
    size_t len = (size_t)(cut - text);
    buf_adds(&schema, "{\"type\":\"string\",\"pattern\":");
    json_put_string(&schema, text, len);
    buf_addc(&schema, '}');
    json_put_string(&json, cut + 1, n - len - 1);
    struct schema *s = schema_compile(schema.p, schema.n, "fuzz", NULL);
    struct grammar *g = s ? grammar_from_schema(s, &o, NULL) : NULL;
    if (g) {
        uint32_t state = grammar_start(g);
        for (size_t i = 0; i < json.n && state != GRAMMAR_DEAD; i++) state = grammar_byte(g, state, (unsigned char)json.p[i]);
        bool taken = state != GRAMMAR_DEAD && grammar_done(g, state);
        int found = pattern_search(s->nodes.v[0]->pattern, cut + 1, n - len - 1);
        if (found >= 0 && taken != (found == 1)) abort();
    }
    grammar_free(g);
    schema_free(s);
    buf_release(&schema);
    buf_release(&json);
    return 0;
}
