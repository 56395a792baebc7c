/* Any bytes as a template: refused, or rendered with JSON filters that give JSON. Columns a, b and an alias. */
#include "common/io/json.h"
#include "common/io/template.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static const struct cell names[] = {{"a", 1}, {"b", 1}}, cells[] = {{"\"\\\n{", 4}, {"é", 2}};
    static const struct alias alias[] = {{"c", 1}};
    static const struct columns columns = {names, 2, alias, 1};
    struct err e = ERR_INIT;
    struct buf b = BUF_INIT, chars = BUF_INIT, expected = BUF_INIT;
    struct template *t = template_parse((const char *)data, n, "fuzz", &e);
    if (t && template_bind(t, &columns, &e) == 0) {
        bool used[2] = {false, false};
        template_used(t, used);
        template_render(t, cells, &b);
        if (utf8_valid(b.p, b.n) != b.n) abort();
        if (template_last(t, cells) != (b.n ? b.p[b.n - 1] : 0)) abort();
        template_render_chars(t, cells, &chars);
        json_put_chars(&expected, b.p, b.n);
        if (chars.n != expected.n || (chars.n && memcmp(chars.p, expected.p, chars.n))) abort();
        template_first(t);
    } else if (e.code != RC_INPUT) {
        abort();
    }
    buf_release(&b);
    buf_release(&chars);
    buf_release(&expected);
    template_free(t);
    return 0;
}
