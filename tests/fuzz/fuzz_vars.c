/* A pipeline's `vars` as YAML and a text, parted by a NUL: what is expanded ends, and without "${" the text stays as it is. */
#include "common/flow/vars.h"
#include "common/io/buf.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void expand(const struct vars *v, const char *text) {
    struct err e = ERR_INIT;
    struct var_uses uses = {0};
    char *out = vars_expand(v, text, &uses, &e);
    if (!out != (e.code == RC_INPUT && e.msg[0])) abort();
    if (out && !strstr(text, "${") && strcmp(out, text)) abort();
    free(out);
    var_uses_release(&uses);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct err e = ERR_INIT;
    struct vars v;
    const uint8_t *cut = n ? memchr(data, 0, n) : NULL;
    if (!cut) return 0;
    char *text = xmemdup0(cut + 1, (size_t)(data + n - cut - 1));
    struct yaml *list = yaml_parse((const char *)data, (size_t)(cut - data), "fuzz", &e);
    vars_init(&v);
    if (list && vars_merge(&v, list, "fuzz", false, &e) == 0) expand(&v, text);
    vars_release(&v);
    yaml_free(list);
    free(text);
    return 0;
}
