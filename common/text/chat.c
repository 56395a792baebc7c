/* Chat templates: see chat.h. Each is written out in C and compared with its Jinja text's own rendering (tests/oracle/chat.py).
   What lies between two special tokens is encoded in one piece, as a tokenizer does with a rendered text; so a content that
   begins with a line break may join the template's. */
#include "common/text/chat.h"
#include "common/io/sha256.h"
#include <stdlib.h>
#include <string.h>

struct turn {
    const char *role, *text; /* role: one of `roles` */
    size_t n;
};

/* One rendering: special tokens go out as ids, text is gathered until the next one. */
struct render {
    const struct chat *c;
    struct buf text;
    struct ids *out;
};

struct chat_template {
    const char *name, *sha256[2];     /* several texts that render alike */
    const char *end, *needed[3];      /* special tokens it uses; `end` ends a turn */
    int (*put)(struct render *r, const struct turn *t, size_t n, bool generate, struct err *e);
};

struct chat {
    const struct tokenizer *t;
    const struct chat_template *template;
    int32_t end, needed[3];
};

static int flush(struct render *r, struct err *e) {
    int rc = r->text.n ? tokenizer_encode(r->c->t, r->text.p, r->text.n, r->out, e) : 0;
    buf_clear(&r->text);
    return rc;
}

static int put_special(struct render *r, int32_t id, struct err *e) {
    if (flush(r, e) < 0) return -1;
    ids_add(r->out, id);
    return 0;
}

/* ---- ChatML with SmolLM2's system message ---- */

static const char smollm2_system[] = "You are a helpful AI assistant named SmolLM, trained by Hugging Face";

static int put_chatml_turn(struct render *r, const struct turn *t, struct err *e) {
    if (put_special(r, r->c->needed[0], e) < 0) return -1;
    buf_adds(&r->text, t->role);
    buf_addc(&r->text, '\n');
    buf_add(&r->text, t->text, t->n);
    if (put_special(r, r->c->end, e) < 0) return -1;
    buf_addc(&r->text, '\n');
    return 0;
}

static int put_smollm2(struct render *r, const struct turn *t, size_t n, bool generate, struct err *e) {
    struct turn system = {"system", smollm2_system, sizeof smollm2_system - 1};
    if (strcmp(t[0].role, "system") && put_chatml_turn(r, &system, e) < 0) return -1;
    for (size_t i = 0; i < n; i++)
        if (put_chatml_turn(r, &t[i], e) < 0) return -1;
    if (!generate) return flush(r, e);
    if (put_special(r, r->c->needed[0], e) < 0) return -1;
    buf_adds(&r->text, "assistant\n");
    return flush(r, e);
}

/* ---- Llama-3 ---- */

/* Bytes of the white-space character (Python's str.isspace) that ends s[0..n), or with `front` that begins it; 0: none. */
static size_t space_at(const char *s, size_t n, bool front) {
    static const char *const wide[] = {"\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x81", "\xe2\x80\x82", "\xe2\x80\x83",
                                       "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86", "\xe2\x80\x87", "\xe2\x80\x88", "\xe2\x80\x89", "\xe2\x80\x8a",
                                       "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"};
    if (!n) return 0;
    unsigned char c = (unsigned char)(front ? s[0] : s[n - 1]);
    if (c == ' ' || (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x1f)) return 1;
    for (size_t i = 0; c >= 0x80 && i < sizeof wide / sizeof *wide; i++) {
        size_t k = strlen(wide[i]);
        if (k <= n && !memcmp(front ? s : s + n - k, wide[i], k)) return k;
    }
    return 0;
}

/* Jinja's trim filter. */
static void put_trimmed(struct render *r, const char *s, size_t n) {
    size_t k;
    while ((k = space_at(s, n, true))) s += k, n -= k;
    while ((k = space_at(s, n, false))) n -= k;
    buf_add(&r->text, s, n);
}

static int put_llama_header(struct render *r, const char *role, struct err *e) {
    if (put_special(r, r->c->needed[1], e) < 0) return -1;
    buf_adds(&r->text, role);
    if (put_special(r, r->c->needed[2], e) < 0) return -1;
    buf_adds(&r->text, "\n\n");
    return 0;
}

static int put_llama_turns(struct render *r, const struct turn *t, size_t n, bool generate, struct err *e) {
    for (size_t i = 0; i < n; i++) {
        if (put_llama_header(r, t[i].role, e) < 0) return -1;
        put_trimmed(r, t[i].text, t[i].n);
        if (put_special(r, r->c->end, e) < 0) return -1;
    }
    if (generate && put_llama_header(r, "assistant", e) < 0) return -1;
    return flush(r, e);
}

static int put_llama3(struct render *r, const struct turn *t, size_t n, bool generate, struct err *e) {
    if (put_special(r, r->c->needed[0], e) < 0) return -1;
    return put_llama_turns(r, t, n, generate, e);
}

static int put_llama32(struct render *r, const struct turn *t, size_t n, bool generate, struct err *e) {
    size_t system = !strcmp(t[0].role, "system");
    if (put_special(r, r->c->needed[0], e) < 0 || put_llama_header(r, "system", e) < 0) return -1;
    buf_adds(&r->text, "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n");
    if (system) put_trimmed(r, t[0].text, t[0].n);
    if (put_special(r, r->c->end, e) < 0) return -1;
    return put_llama_turns(r, t + system, n - system, generate, e);
}

static const struct chat_template templates[] = {
    {"chatml-smollm2", {"872be49dbb638044ad01b60388f48d469ff2980e5f0dccdc22ec907db54d0788"}, "<|im_end|>", {"<|im_start|>"}, put_smollm2},
    {"llama-3",
     {"ba03a121d097859c7b5b9cd03af99aafe95275210d2876f642ad9929a150f122",  /* line breaks as such, */
      "4f46ecd43418f216df8c26936c60e5d04bcc81db47db5d86fbe889f64212dd4c"}, /* or as \n */
     "<|eot_id|>",
     {"<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>"},
     put_llama3},
    {"llama-3.2",
     {"5816fce10444e03c2e9ee1ef8a4a1ea61ae7e69e438613f3b17b69d0426223a4",  /* with a line break at its end, */
      "d82792f95932f1c9cef5c4bd992f171225e3bf8c7b609b4557c9e1ec96be819f"}, /* or without */
     "<|eot_id|>",
     {"<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>"},
     put_llama32},
};
#define N_TEMPLATES (sizeof templates / sizeof *templates)

/* ---- opening ---- */

static int special_id(const struct tokenizer *t, const char *token, int32_t *id, struct err *e) {
    *id = tokenizer_id(t, token);
    if (*id >= 0 && tokenizer_is_special(t, *id)) return 0;
    return err_set(e, RC_INPUT, "the tokenizer has no special token %s, which the chat template needs", token);
}

static struct chat *open_template(const struct tokenizer *t, const struct chat_template *k, struct err *e) {
    struct chat c = {.t = t, .template = k};
    if (special_id(t, k->end, &c.end, e) < 0) return NULL;
    for (int i = 0; i < 3 && k->needed[i]; i++)
        if (special_id(t, k->needed[i], &c.needed[i], e) < 0) return NULL;
    struct chat *given = xmalloc(sizeof *given);
    *given = c;
    return given;
}

struct chat *chat_open_as(const struct tokenizer *t, const char *name, struct err *e) {
    for (size_t i = 0; i < N_TEMPLATES; i++)
        if (!strcmp(templates[i].name, name)) return open_template(t, &templates[i], e);
    err_set(e, RC_INPUT, "unknown chat template '%s', expected chatml-smollm2, llama-3 or llama-3.2", name);
    return NULL;
}

struct chat *chat_open(const struct tokenizer *t, struct err *e) {
    const char *text = tokenizer_chat_template(t);
    char hex[SHA256_HEX];
    if (!text) {
        err_set(e, RC_INPUT, "the model has no chat template");
        return NULL;
    }
    sha256_hex(text, strlen(text), hex);
    for (size_t i = 0; i < N_TEMPLATES; i++)
        for (int k = 0; k < 2 && templates[i].sha256[k]; k++)
            if (!strcmp(templates[i].sha256[k], hex)) return open_template(t, &templates[i], e);
    err_set(e, RC_INPUT, "unknown chat template (SHA-256 %s), expected that of SmolLM2, Llama-3 or Llama-3.2", hex);
    return NULL;
}

void chat_free(struct chat *c) { free(c); }
const char *chat_name(const struct chat *c) { return c->template->name; }
int32_t chat_end(const struct chat *c) { return c->end; }

/* ---- encoding ---- */

static int encode_turns(const struct chat *c, const struct turn *t, size_t n, bool generate, struct ids *out, struct err *e) {
    struct render r = {c, BUF_INIT, out};
    size_t before = out->n;
    int rc = c->template->put(&r, t, n, generate, e);
    if (rc < 0) out->n = before;
    buf_release(&r.text);
    return rc;
}

static int read_turn(const struct json *m, size_t number, struct turn *t, struct err *e) {
    static const char *const roles[] = {"system", "user", "assistant"};
    const struct json *role = json_get(m, "role"), *content = json_get(m, "content");
    if (!m || m->type != JSON_OBJECT || !role || !content || role->type != JSON_STRING || content->type != JSON_STRING)
        return err_set(e, RC_INPUT, "message %zu is not {\"role\": text, \"content\": text}", number);
    for (const struct json *v = m->first; v; v = v->next)
        if (v != role && v != content) return err_set(e, RC_INPUT, "message %zu has '%s', expected role and content only", number, v->key);
    t->role = NULL;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (json_is_str(role, roles[i])) t->role = roles[i];
    if (!t->role) return err_set(e, RC_INPUT, "message %zu has role '%s', expected system, user or assistant", number, role->str);
    t->text = content->str;
    t->n = content->len;
    return 0;
}

int chat_encode(const struct chat *c, const struct json *messages, bool generate, struct ids *out, struct err *e) {
    if (!messages || messages->type != JSON_ARRAY || !messages->count) return err_set(e, RC_INPUT, "messages is no list of messages");
    struct turn *t = xcalloc(messages->count, sizeof *t);
    size_t n = 0;
    int rc = 0;
    for (const struct json *m = messages->first; m && !rc; m = m->next, n++) rc = read_turn(m, n + 1, &t[n], e);
    if (!rc) rc = encode_turns(c, t, n, generate, out, e);
    free(t);
    return rc;
}

int chat_encode_user(const struct chat *c, const char *text, size_t n, struct ids *out, struct err *e) {
    struct turn t = {"user", text, n};
    return encode_turns(c, &t, 1, true, out, e);
}
