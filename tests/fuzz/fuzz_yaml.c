/* Any bytes as YAML: refused with a line, or a tree whose counts and lines hold. */
#include "common/io/yaml.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(const struct yaml *y, bool member) {
    struct err e;
    int64_t i;
    double r;
    bool b;
    const char *s;
    size_t count = 0;
    if (y->line < 1 || (y->type == YAML_SCALAR) != (y->text != NULL) || member != (y->key != NULL)) abort();
    yaml_int(y, "fuzz", &i, &e);
    yaml_bool(y, "fuzz", &b, &e);
    if (yaml_real(y, "fuzz", &r, &e) == 0 && !(r - r == 0)) abort();
    if (yaml_str(y, "fuzz", &s, &e) == 0 && s != y->text) abort();
    for (const struct yaml *x = y->first; x; x = x->next, count++) {
        check(x, y->type == YAML_MAP);
        if (x->key && yaml_get(y, x->key) != x) abort();
    }
    if (count != y->count) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct err e = ERR_INIT;
    struct yaml *y = yaml_parse((const char *)data, n, "fuzz", &e);
    if (y)
        check(y, false);
    else if (e.code != RC_INPUT || strncmp(e.msg, "fuzz:", 5))
        abort();
    yaml_free(y);
    return 0;
}
