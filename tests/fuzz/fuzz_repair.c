/* Any answer through the search for JSON: what it finds is JSON; a text that is JSON is found as it stands, and even the
   forgiving reader, set on a valid object or array, applies no rule and changes nothing. */
#include "common/text/repair.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_valid(const char *text, size_t n, const struct json *v, const struct json *found, unsigned rules) {
    struct buf b = BUF_INIT;
    struct err e = ERR_INIT;
    unsigned used;
    size_t end, from = (size_t)(v->raw - text);
    if (!json_equal(v, found) || rules) abort();
    if (v->type != JSON_ARRAY && v->type != JSON_OBJECT) return;
    if (repair_mend(text, n, from, &b, &end, &used, &e) < 0 || used || end != from + v->raw_len) abort();
    struct json_doc *d = json_parse(b.p, b.n, &e);
    if (!d || !json_equal(json_root(d), v)) abort();
    json_doc_free(d);
    buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static struct repair *r;
    const char *text = (const char *)data;
    const struct json *value;
    struct err e = ERR_INIT;
    unsigned rules;
    if (!r) r = repair_new();
    struct json_doc *d = json_doc_new();
    bool valid = json_reparse(d, n ? text : "", n, NULL) == 0;
    int rc = repair_find(r, n ? text : "", n, NULL, false, &value, &rules, &e);
    if ((rc == 0) != (value != NULL) || (rc < 0 && (rules || e.code != RC_INPUT))) abort();
    if (valid && rc) abort();
    if (valid) check_valid(text, n, json_root(d), value, rules);
    if (value) {
        struct buf b = BUF_INIT;
        json_put_value(&b, value);
        struct json_doc *again = json_parse(b.p, b.n, &e);
        if (!again || !json_equal(json_root(again), value)) abort();
        json_doc_free(again);
        buf_release(&b);
    }
    json_doc_free(d);
    return 0;
}
