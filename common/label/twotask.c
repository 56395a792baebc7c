/* Rows of reasoning alone: see twotask.h. */
#include "common/label/twotask.h"
#include <string.h>

static void turn_id(struct record *r) {
    struct json *id = record_get(r, "id");
    struct buf b = BUF_INIT;
    if (!id) return;
    if (id->type == JSON_STRING)
        buf_add(&b, id->str, id->len);
    else
        buf_add(&b, id->raw, id->raw_len);
    buf_adds(&b, "#reasoning");
    record_set_str(r, "id", b.p, b.n);
    buf_release(&b);
}

static void put_prefixed(struct buf *out, const char *prefix, const char *s, size_t n) {
    struct buf b = BUF_INIT;
    buf_adds(&b, prefix);
    buf_add(&b, s, n);
    json_put_string(out, b.p ? b.p : "", b.n);
    buf_release(&b);
}

/* The user's last message of those before the last one, NULL where none is text. */
static const struct json *last_question(const struct json *messages) {
    const struct json *found = NULL;
    for (const struct json *x = messages->first; x && x->next; x = x->next) {
        const struct json *text = json_get(x, "content");
        if (json_is_str(json_get(x, "role"), "user") && text && text->type == JSON_STRING) found = x;
    }
    return found;
}

static void turn_messages(struct record *r, const char *prefix, const struct buf *answer) {
    struct json *messages = record_get(r, "messages");
    const struct json *question = last_question(messages);
    struct buf b = BUF_INIT;
    buf_addc(&b, '[');
    for (const struct json *x = messages->first; x && x->next; x = x->next) {
        if (x == question) {
            buf_adds(&b, "{\"role\":\"user\",\"content\":");
            put_prefixed(&b, prefix, json_get(x, "content")->str, json_get(x, "content")->len);
            buf_addc(&b, '}');
        } else {
            json_put_value(&b, x);
        }
        buf_addc(&b, ',');
    }
    buf_adds(&b, "{\"role\":\"assistant\",\"content\":");
    json_put_string(&b, answer->p, answer->n);
    buf_adds(&b, "}]");
    record_set_raw(r, "messages", b.p, b.n);
    buf_release(&b);
}

static void turn_text(struct record *r, const char *prefix, const struct buf *answer) {
    size_t n;
    const char *prompt = record_str(r, "prompt", &n);
    struct buf b = BUF_INIT;
    if (!prompt) {
        turn_messages(r, prefix, answer);
        return;
    }
    buf_adds(&b, prefix);
    buf_add(&b, prompt, n);
    record_set_str(r, "prompt", b.p ? b.p : "", b.n);
    record_set_str(r, "completion", answer->p, answer->n);
    buf_release(&b);
}

bool twotask_turn(struct record *r, const char *prefix, const char *lead, double lambda) {
    size_t n;
    const char *reasoning = record_str(r, "reasoning", &n);
    const struct json *weight = record_get(r, "weight");
    struct buf answer = BUF_INIT;
    if (!reasoning) BUG("a row of two tasks without reasoning");
    if (!n) return false;
    buf_adds(&answer, lead);
    buf_add(&answer, reasoning, n);
    record_set_number(r, "weight", lambda * (weight && weight->type == JSON_NUMBER ? weight->number : 1));
    turn_text(r, prefix, &answer);
    turn_id(r);
    buf_release(&answer);
    return true;
}
