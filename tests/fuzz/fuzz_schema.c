/* A schema and an instance, parted by a newline: compiling and validating end, and say the same with and without an error
   to fill; under {"not": …} the answer turns round. */
#include "common/text/schema.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int validate(const char *text, size_t n, const struct json *v, struct err *e) {
    struct schema *s = schema_compile(text, n, "fuzz", e);
    if (!s) return 1;
    int rc = schema_validate(s, v, e);
    if (rc != schema_validate(s, v, NULL)) abort();
    for (int i = 0; i < schema_n_fields(s); i++)
        for (int k = 0; k < schema_field_n_values(s, i); k++)
            if (!schema_field(s, i) || !schema_field_value(s, i, k)) abort();
    schema_free(s);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct err e = ERR_INIT, f = ERR_INIT;
    const char *text = (const char *)data, *cut = n ? memchr(text, '\n', n) : NULL;
    if (!cut) return 0;
    size_t len = (size_t)(cut - text);
    struct json_doc *d = json_parse(cut + 1, n - len - 1, &e);
    if (!d) return 0;
    e = (struct err)ERR_INIT;
    int rc = validate(text, len, json_root(d), &e);
    if ((rc == 0) != (e.code == 0) || (rc && e.code != RC_INPUT)) abort();
    if (rc <= 0 && !memchr(text, '$', len)) { /* references would no longer lead where they did */
        struct buf b = BUF_INIT;
        buf_adds(&b, "{\"not\":");
        buf_add(&b, text, len);
        buf_addc(&b, '}');
        int turned = validate(b.p, b.n, json_root(d), &f);
        bool lost = strstr(e.msg, "given up") || strstr(f.msg, "given up");
        if (!lost && turned == 1) lost = strstr(f.msg, "deeply") != NULL;
        if (!lost && (turned == 0) == (rc == 0)) abort();
        buf_release(&b);
    }
    json_doc_free(d);
    return 0;
}
