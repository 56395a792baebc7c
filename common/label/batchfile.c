/* Batch files: see batchfile.h. */
#include "common/label/batchfile.h"
#include "common/io/io.h"
#include "common/io/json.h"
#include "common/label/openai.h"
#include <stdlib.h>
#include <string.h>

void batchfile_put(struct buf *out, const char key[SHA256_HEX], const char *body, size_t n) {
    buf_addf(out, "{\"custom_id\":\"%.64s\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":", key);
    buf_add(out, body, n);
    buf_adds(out, "}\n");
}

static void add_error(struct batchfile_results *b, const char *key, const char *text) {
    GROW(b->v, b->n, b->cap);
    snprintf(b->v[b->n].key, SHA256_HEX, "%s", key);
    b->v[b->n++].text = xstrdup(text);
    b->errors++;
}

static bool is_key(const struct json *id) {
    return id && id->type == JSON_STRING && id->len == SHA256_HEX - 1 && strspn(id->str, "0123456789abcdef") == id->len;
}

static void add_refusal(struct batchfile_results *b, const char *key, const struct json *body, int64_t status) {
    char text[300], code[300];
    struct buf raw = BUF_INIT, line = BUF_INIT;
    json_put_value(&raw, body);
    openai_refusal(raw.p, raw.n, text, code, sizeof text);
    if (status)
        buf_addf(&line, "in the batch: status %lld: %s", (long long)status, text);
    else
        buf_addf(&line, "in the batch: %s", text);
    add_error(b, key, line.p);
    buf_release(&raw);
    buf_release(&line);
}

static void take_result(struct batchfile_results *b, struct cache *c, const char *key, const struct json *root) {
    const struct json *response = json_get(root, "response"), *error = json_get(root, "error");
    const struct json *body = response ? json_get(response, "body") : NULL, *status = response ? json_get(response, "status_code") : NULL;
    struct buf raw = BUF_INIT, answer = BUF_INIT, old = BUF_INIT;
    struct err e = ERR_INIT;
    int64_t code = 0;
    if (body) json_put_value(&raw, body);
    if (status) json_int(status, &code);
    if (!body || code != 200) {
        static const struct json nothing = {.type = JSON_NULL, .raw = "null", .raw_len = 4};
        add_refusal(b, key, body ? body : error ? error : &nothing, body ? code : 0);
    } else if (openai_answer(raw.p, raw.n, &answer, &e) < 0) {
        add_error(b, key, e.msg);
    } else if (cache_find(c, key, &old, &e)) {
        b->repeated++;
    } else {
        cache_add(c, key, answer.p, answer.n);
        b->results++;
    }
    buf_release(&raw);
    buf_release(&answer);
    buf_release(&old);
}

int batchfile_read(struct batchfile_results *b, const char *path, struct cache *c, struct err *e) {
    struct in in;
    int64_t n;
    int rc = 0;
    if (in_open(&in, path, e) < 0) return -1;
    while (!rc && (n = in_line(&in, e)) >= 0) {
        struct json_doc *d = json_parse(in.text, (size_t)n, e);
        const struct json *id = d ? json_get(json_root(d), "custom_id") : NULL;
        if (!d)
            rc = err_prefix(e, "%s:%lld: ", in.name, (long long)in.line);
        else if (!is_key(id))
            rc = err_set(e, RC_INPUT, "%s:%lld: no custom_id as --batch-export writes them", in.name, (long long)in.line);
        else
            take_result(b, c, id->str, json_root(d));
        json_doc_free(d);
    }
    if (!rc && n == -2) rc = -1;
    in_close(&in);
    return rc;
}

void batchfile_index(struct batchfile_results *b) {
    for (size_t i = 0; i < b->n; i++) strmap_put(&b->index, b->v[i].key, SHA256_HEX - 1, (int)i);
}

const char *batchfile_error(const struct batchfile_results *b, const char key[SHA256_HEX]) {
    int i = strmap_get(&b->index, key, SHA256_HEX - 1);
    return i < 0 ? NULL : b->v[i].text;
}

void batchfile_release(struct batchfile_results *b) {
    for (size_t i = 0; i < b->n; i++) free(b->v[i].text);
    free(b->v);
    strmap_release(&b->index);
    *b = (struct batchfile_results){0};
}
