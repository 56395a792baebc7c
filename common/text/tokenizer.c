/* Encoding with a tokenizer and asking it things: see tokenizer.h. */
#include "common/text/tokenizer.h"
#include "common/io/json.h"
#include "common/text/tokenizer_impl.h"
#include <stdlib.h>
#include <string.h>

void ids_add(struct ids *s, int32_t id) {
    GROW(s->v, s->n, s->cap);
    s->v[s->n++] = id;
}

void ids_release(struct ids *s) {
    free(s->v);
    *s = (struct ids)IDS_INIT;
}

/* One call of encode: its memory and whether special tokens are looked for. */
struct encoder {
    const struct tokenizer *t;
    bool special;
    struct pretok_walk walk;
    struct bpe_work work;
    struct buf normal; /* of a SentencePiece kind */
    const char *text;  /* where the whole text begins */
    struct ids *out;
};

static void encode_spm(struct encoder *c, const char *text, size_t n) {
    buf_clear(&c->normal);
    spm_normalise(&c->normal, c->t->prefix, text == c->text, text, n);
    if (c->normal.n) bpe_encode(c->t->bpe, c->normal.p, c->normal.n, &c->work, c->out);
}

static int encode_words(struct encoder *c, const char *text, size_t n, struct err *e) {
    const char *word;
    size_t len;
    int rc;
    if (c->t->spm) return encode_spm(c, text, n), 0;
    pretok_text(&c->walk, text, n);
    while ((rc = pretok_next(&c->walk, &word, &len, e)) > 0) bpe_encode(c->t->bpe, word, len, &c->work, c->out);
    return rc;
}

/* The longest added token that starts at s, -1 if none does; *len is its length. */
static int32_t added_at(const struct tokenizer *t, const struct added *a, const char *s, size_t n, size_t *len) {
    unsigned char c = (unsigned char)*s;
    for (int32_t i = a->from[c]; i < a->from[c + 1]; i++) {
        const char *text = bpe_bytes(t->bpe, a->ids[i], len);
        if (*len <= n && !memcmp(text, s, *len)) return a->ids[i];
    }
    return -1;
}

/* Added tokens of this pass become ids, what lies between goes to the next pass, in the end to the words. A special
   token's text stays text unless asked for, but as in Hugging Face no other token of the pass starts inside of it. */
static int encode_pass(struct encoder *c, int pass, const char *text, size_t n, struct err *e) {
    if (pass == 2) return encode_words(c, text, n, e);
    const struct added *a = &c->t->added[pass];
    size_t from = 0, len;
    if (c->special ? !a->n : !a->any_plain) return encode_pass(c, pass + 1, text, n, e);
    for (size_t i = 0; i < n;) {
        int32_t id = added_at(c->t, a, text + i, n - i, &len);
        if (id < 0) {
            i++;
            continue;
        }
        if (c->special || c->t->class[id] == TOKEN_ADDED) {
            if (encode_pass(c, pass + 1, text + from, i - from, e) < 0) return -1;
            ids_add(c->out, id);
            from = i + len;
        }
        i += len;
    }
    return encode_pass(c, pass + 1, text + from, n - from, e);
}

static int encode(const struct tokenizer *t, const char *text, size_t n, bool special, struct ids *out, struct err *e) {
    const size_t most = t->spm ? INT32_MAX / 3 - 1 : INT32_MAX; /* a space becomes three bytes */
    if (n > most) return err_set(e, RC_INPUT, "text of %zu bytes, expected at most %zu", n, most);
    size_t bad = utf8_valid(text, n);
    if (bad < n) return err_set(e, RC_INPUT, "text is not valid UTF-8 at byte %zu", bad);
    struct encoder c = {t, special, {0}, BPE_WORK_INIT, BUF_INIT, text, out};
    size_t before = out->n;
    if (!t->spm) pretok_begin(&c.walk, t->pretok);
    int rc = encode_pass(&c, 0, text, n, e);
    if (!t->spm) pretok_end(&c.walk);
    buf_release(&c.normal);
    bpe_work_release(&c.work);
    if (rc < 0) out->n = before;
    return rc;
}

int tokenizer_encode(const struct tokenizer *t, const char *text, size_t n, struct ids *out, struct err *e) {
    return encode(t, text, n, false, out, e);
}

int tokenizer_encode_special(const struct tokenizer *t, const char *text, size_t n, struct ids *out, struct err *e) {
    return encode(t, text, n, true, out, e);
}

/* ---- questions ---- */

int32_t tokenizer_size(const struct tokenizer *t) { return t->n; }

int32_t tokenizer_id(const struct tokenizer *t, const char *token) {
    size_t n = strlen(token), len;
    for (int pass = 0; pass < 2 && n; pass++) {
        const struct added *a = &t->added[pass];
        unsigned char c = (unsigned char)*token;
        for (int32_t i = a->from[c]; i < a->from[c + 1]; i++) {
            const char *text = bpe_bytes(t->bpe, a->ids[i], &len);
            if (len == n && !memcmp(text, token, n)) return a->ids[i];
        }
    }
    if (t->spm) return bpe_find(t->bpe, token, n);
    struct buf bytes = BUF_INIT;
    int32_t id = bpe_unprintable(token, n, &bytes) ? bpe_find(t->bpe, bytes.p, bytes.n) : -1;
    buf_release(&bytes);
    return id;
}

bool tokenizer_is_special(const struct tokenizer *t, int32_t id) {
    return id >= 0 && id < t->n && t->class[id] == TOKEN_SPECIAL;
}

int32_t tokenizer_bos(const struct tokenizer *t) { return t->bos; }

int tokenizer_eos(const struct tokenizer *t, const int32_t **ids) {
    *ids = t->eos;
    return t->n_eos;
}

const char *tokenizer_chat_template(const struct tokenizer *t) { return t->chat_template; }
const struct pretok *tokenizer_pretok(const struct tokenizer *t) { return t->pretok; }
const char *tokenizer_hash(const struct tokenizer *t) { return t->hash; }
