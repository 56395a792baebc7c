/* Records in, encoded, and out: see flight.h. */
#include "common/infer/flight.h"

int flight_open(struct flight *f, const char *path, int slots, struct err *e) {
    return window_open(&f->window, path, slots, slots, sizeof(struct pending), e);
}

void flight_close(struct flight *f) {
    for (int i = 0; i < f->window.slots; i++) ids_release(&((struct pending *)window_slot(&f->window, i))->ids);
    window_close(&f->window);
}

void flight_fail(struct flight *f, struct pending *p, const char *why) {
    if (!f->first.code) err_set(&f->first, RC_INPUT, "line %lld: %s", (long long)record_line(p->r), why);
    record_fail(p->r, f->scorer ? NULL : "output", "%s", why);
    p->done = true;
    f->failed++;
}

/* Ids of what the model is shown before it answers. */
static int encode_prompt(const struct flight *f, struct pending *p, struct err *e) {
    const struct tokenizer *tok = f->m->tok;
    const struct json *messages = record_get(p->r, "messages");
    size_t n;
    const char *prompt = record_str(p->r, "prompt", &n);
    if (!prompt && !messages) return err_set(e, RC_INPUT, "no prompt: expected a string field prompt, or messages with --chat");
    if (!prompt && !f->chat) return err_set(e, RC_INPUT, "messages need --chat");
    if (f->chat) return prompt ? chat_encode_user(f->chat, prompt, n, &p->ids, e) : chat_encode(f->chat, messages, true, &p->ids, e);
    if (tokenizer_bos(tok) >= 0) ids_add(&p->ids, tokenizer_bos(tok));
    return tokenizer_encode(tok, prompt, n, &p->ids, e);
}

/* For scoring: the completion and the id that ends it, as lora-train trains them. */
static int encode_completion(const struct flight *f, struct pending *p, struct err *e) {
    const struct model_config *c = &f->m->cfg;
    size_t n;
    const char *text = record_str(p->r, "completion", &n);
    if (!text) return err_set(e, RC_INPUT, "no completion: expected a string field completion to score");
    if (!p->ids.n) return err_set(e, RC_INPUT, "the prompt has no token");
    if (tokenizer_encode(f->m->tok, text, n, &p->ids, e) < 0) return -1;
    ids_add(&p->ids, f->chat ? chat_end(f->chat) : c->eos[0]);
    return p->ids.n > (size_t)c->context ? err_set(e, RC_INPUT, "%zu tokens do not fit the model's context of %d", p->ids.n, c->context) : 0;
}

static void encode(struct flight *f, struct pending *p) {
    struct err e = ERR_INIT;
    if (record_get(p->r, "error")) { /* failed before: goes on as it came */
        p->done = true;
        f->failed++;
        return;
    }
    int rc = encode_prompt(f, p, &e);
    p->n_prompt = p->ids.n;
    if (!rc) rc = f->scorer ? encode_completion(f, p, &e) : generator_fits(f->generator, p->ids.n, &e);
    if (rc < 0) flight_fail(f, p, e.msg);
}

int flight_take(struct flight *f, bool wait, struct pending **p, struct err *e) {
    struct record *r;
    int rc = window_take(&f->window, wait, &r, e);
    if (rc != 1) return rc;
    *p = window_at(&f->window, f->window.next - 1);
    (*p)->r = r;
    (*p)->done = false;
    (*p)->ids.n = 0;
    encode(f, *p);
    return 1;
}

int flight_emit(struct flight *f, struct err *e) {
    bool wrote = false;
    for (struct pending *p; (p = window_oldest(&f->window)) && p->done; window_drop(&f->window)) {
        record_write(p->r, f->out->f);
        record_free(p->r);
        wrote = true;
    }
    if (!wrote) return 0;
    if (out_flush(f->out, e) < 0) return -1;
    progress_at(f->progress, (int64_t)f->window.first, NULL);
    return 0;
}
