/* Bodies and replies of chat completions: see openai.h. */
#include "common/label/openai.h"
#include <string.h>

const char *const response_formats[] = {"json_schema", "json_object", "none"};

/* ---- requests ---- */
int openai_check_sets(const struct opt_list *sets, struct err *e) {
    for (int i = 0; i < sets->n; i++) {
        const char *eq = strchr(sets->v[i], '=');
        if (!eq || eq == sets->v[i]) return err_set(e, RC_USAGE, "--set %s: expected NAME=JSON", sets->v[i]);
        struct json_doc *d = json_parse(eq + 1, strlen(eq + 1), e);
        if (!d) {
            err_prefix(e, "--set %s: ", sets->v[i]);
            e->code = RC_USAGE;
            return -1;
        }
        json_doc_free(d);
        if (!strncmp(sets->v[i], "messages=", 9) || !strncmp(sets->v[i], "model=", 6) || !strncmp(sets->v[i], "stream=", 7) || !strncmp(sets->v[i], "n=", 2))
            return err_set(e, RC_USAGE, "--set %s: this member is set here", sets->v[i]);
    }
    return 0;
}

static const char *set_for(const struct opt_list *sets, const char *name) {
    size_t n = strlen(name);
    const char *value = NULL;
    for (int i = 0; i < sets->n; i++)
        if (!strncmp(sets->v[i], name, n) && sets->v[i][n] == '=') value = sets->v[i] + n + 1;
    return value;
}

static void put_json(struct buf *b, const char *text) {
    struct json_doc *d = json_parse(text, strlen(text), NULL);
    if (!d) BUG("a member that was checked is no JSON");
    json_put_value(b, json_root(d));
    json_doc_free(d);
}

/* One member of our own, unless --set has another value for it. */
static void put_member(struct buf *b, const struct openai_params *p, const char *name, const char *value) {
    const char *other = set_for(p->sets, name);
    if (other) value = other;
    if (!value || !strcmp(value, "null")) return;
    buf_addf(b, ",\"%s\":", name);
    put_json(b, value);
}

static void format_value(struct buf *b, const struct openai_params *p) {
    if (p->format == FORMAT_JSON_SCHEMA)
        buf_adds(b, "{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"labels\",\"strict\":true,\"schema\":");
    else
        buf_adds(b, "{\"type\":\"json_object\",\"schema\":");
    buf_adds(b, p->task->told);
    buf_adds(b, p->format == FORMAT_JSON_SCHEMA ? "}}" : "}");
}

static bool is_ours(const char *set) {
    static const char *const ours[] = {"temperature", "max_tokens", "seed", "response_format"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (!strncmp(set, ours[i], strlen(ours[i])) && set[strlen(ours[i])] == '=') return true;
    return false;
}

void openai_body(struct buf *out, const char *model, const char *messages, size_t n, const struct openai_params *p, int sample, int attempt) {
    struct buf v = BUF_INIT;
    buf_adds(out, "{\"model\":");
    json_put_string(out, model, strlen(model));
    buf_adds(out, ",\"messages\":");
    buf_add(out, messages, n);
    json_put_number(&v, p->temperature);
    put_member(out, p, "temperature", v.p);
    buf_clear(&v);
    buf_addf(&v, "%lld", (long long)p->max_tokens);
    put_member(out, p, "max_tokens", v.p);
    buf_clear(&v);
    buf_addf(&v, "%llu", (unsigned long long)(p->seed + (uint64_t)sample + 1000003u * (uint64_t)attempt));
    put_member(out, p, "seed", p->has_seed ? v.p : NULL);
    buf_clear(&v);
    if (p->format != FORMAT_NONE) format_value(&v, p);
    put_member(out, p, "response_format", p->format != FORMAT_NONE ? v.p : NULL);
    for (int i = 0; i < p->sets->n; i++) {
        const char *set = p->sets->v[i], *eq = strchr(set, '=');
        char name[100];
        if (is_ours(set) || (size_t)(eq - set) >= sizeof name) continue;
        memcpy(name, set, (size_t)(eq - set));
        name[eq - set] = 0;
        if (set_for(p->sets, name) == eq + 1) put_member(out, p, name, NULL);
    }
    buf_addc(out, '}');
    buf_release(&v);
}

/* ---- replies ---- */
static void put_tokens(struct buf *b, const char *name, int64_t n) {
    if (n < 0)
        buf_addf(b, ",\"%s\":null", name);
    else
        buf_addf(b, ",\"%s\":%lld", name, (long long)n);
}

void answer_put_saved(struct buf *out, const char *text, size_t n, const char *finish, int64_t tokens_in, int64_t tokens_out) {
    buf_adds(out, "{\"text\":");
    json_put_string(out, text, n);
    buf_adds(out, ",\"finish\":");
    json_put_string(out, finish, strlen(finish));
    put_tokens(out, "prompt_tokens", tokens_in);
    put_tokens(out, "completion_tokens", tokens_out);
    buf_addc(out, '}');
}

static int64_t tokens_of(const struct json *usage, const char *name) {
    int64_t n = -1;
    const struct json *v = usage ? json_get(usage, name) : NULL;
    return v && json_int(v, &n) && n >= 0 && n < (int64_t)1 << 40 ? n : -1;
}

static int take_answer(const struct json *root, struct buf *out, struct err *e) {
    const struct json *choices = json_get(root, "choices"), *usage = json_get(root, "usage");
    if (!choices || choices->type != JSON_ARRAY) return err_set(e, RC_INPUT, "the reply has no choices");
    if (!choices->first) return err_set(e, RC_INPUT, "the reply's choices are empty");
    const struct json *message = json_get(choices->first, "message"), *finish = json_get(choices->first, "finish_reason");
    const struct json *content = message ? json_get(message, "content") : NULL, *refusal = message ? json_get(message, "refusal") : NULL;
    bool refused = refusal && refusal->type == JSON_STRING;
    if (!refused && (!content || content->type != JSON_STRING)) return err_set(e, RC_INPUT, "the reply's message has no content");
    const struct json *text = refused ? refusal : content;
    answer_put_saved(out, text->str, text->len, refused ? "refusal" : finish && finish->type == JSON_STRING ? finish->str : "stop",
                     tokens_of(usage, "prompt_tokens"), tokens_of(usage, "completion_tokens"));
    return 0;
}

int openai_answer(const char *body, size_t n, struct buf *out, struct err *e) {
    struct json_doc *d = json_parse(body, n, e);
    if (!d) return err_prefix(e, "the reply is no JSON: ");
    int rc = take_answer(json_root(d), out, e);
    json_doc_free(d);
    return rc;
}

static void copy_line(char *to, size_t size, const char *s, size_t n) {
    size_t k = 0;
    if (n >= size)
        for (n = size - 1; n && ((unsigned char)s[n] & 0xC0) == 0x80; n--) {} /* whole characters */
    for (size_t i = 0; i < n; i++) to[k++] = (unsigned char)s[i] < 32 || s[i] == 127 ? ' ' : s[i];
    to[k] = 0;
}

void openai_refusal(const char *body, size_t n, char *text, char *code, size_t size) {
    struct json_doc *d = json_parse(body, n, NULL);
    *text = *code = 0;
    if (!d) {
        if (utf8_valid(body, n) == n) copy_line(text, size, body, n);
        return;
    }
    const struct json *root = json_root(d), *error = json_get(root, "error"), *m = error, *c = error ? json_get(error, "code") : NULL;
    if (error && error->type == JSON_OBJECT) m = json_get(error, "message");
    if (!m) m = json_get(root, "message");
    if (!m) m = json_get(root, "detail");
    if (!m) m = root;
    if (m->type == JSON_STRING)
        copy_line(text, size, m->str, m->len);
    else
        copy_line(text, size, m->raw, m->raw_len);
    if (c && c->type == JSON_STRING) copy_line(code, size, c->str, c->len);
    json_doc_free(d);
}
