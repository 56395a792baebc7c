/* Any bytes through the JSON scanner and as a record: what is read is written to a text that reads as an equal value, and a
   record that nobody changed, or whose field was set to what it was, keeps its meaning. */
#include "common/io/json_number.h"
#include "common/io/jsonl.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_numbers(const struct json *v) {
    int64_t x;
    if (v->type == JSON_NUMBER) {
        if (json_number_cmp(v, v) || !json_equal(v, v)) abort();
        if (json_int(v, &x) && (!json_is_whole(v) || (double)x != v->number)) abort();
        if (v->number != 0 && !json_multiple_of(v, v)) abort();
    }
    for (const struct json *m = v->first; m; m = m->next) check_numbers(m);
}

static void check_value(const struct json *v) {
    struct buf b = BUF_INIT;
    struct err e = ERR_INIT;
    json_put_value(&b, v);
    struct json_doc *d = json_parse(b.p, b.n, &e);
    if (!d || !json_equal(v, json_root(d)) || !json_equal(json_root(d), v)) abort();
    check_numbers(v);
    json_doc_free(d);
    buf_release(&b);
}

static void check_record(const char *text, size_t n, const struct json *object) {
    struct err e = ERR_INIT;
    struct buf b = BUF_INIT;
    struct record *r = record_parse(text, n, &e);
    if (!r) abort();
    record_put(r, &b);
    if (b.n != n + 1 || memcmp(b.p, text, n)) abort();
    for (const struct json *m = object->first; m; m = m->next)
        if (!memchr(m->key, 0, m->key_len)) record_set_raw(r, m->key, m->raw, m->raw_len);
    record_set_null(r, "a");
    record_del(r, "b");
    buf_clear(&b);
    record_put(r, &b);
    struct json_doc *d = json_parse(b.p, b.n, &e);
    if (!d) abort();
    const struct json *v = json_root(d), *a = json_get(v, "a");
    if (!a || a->type != JSON_NULL || json_get(v, "b")) abort();
    if (v->count != object->count + !json_get(object, "a") - (json_get(object, "b") != NULL)) abort();
    json_doc_free(d);
    record_free(r);
    buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static struct json_doc *d; /* reused on purpose: leftovers would show */
    struct err e = ERR_INIT;
    struct buf fixed = BUF_INIT;
    const char *text = (const char *)data;
    if (!d) d = json_doc_new();
    utf8_repair(&fixed, n ? text : "", n);
    if (utf8_valid(fixed.p ? fixed.p : "", fixed.n) != fixed.n) abort();
    if (utf8_valid(text, n) == n && (fixed.n != n || (n && memcmp(fixed.p, text, n)))) abort();
    buf_release(&fixed);
    if (json_reparse(d, text, n, &e) < 0) {
        if (e.code != RC_INPUT || strncmp(e.msg, "line ", 5)) abort();
        return 0;
    }
    check_value(json_root(d));
    if (json_root(d)->type == JSON_OBJECT) check_record(text, n, json_root(d));
    return 0;
}
