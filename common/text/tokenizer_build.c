/* From what a file says to a tokenizer that can encode: vocabulary, merges, added tokens, hash. */
#include "common/io/sha256.h"
#include "common/text/tokenizer_impl.h"
#include <stdlib.h>
#include <string.h>

static int add_tokens(struct tokenizer *t, const struct tokenizer_source *s, struct err *e) {
    struct buf bytes = BUF_INIT;
    int rc = 0;
    for (int32_t i = 0; i < s->n_tokens && !rc; i++) {
        const struct token_source *k = &s->tokens[i];
        buf_clear(&bytes);
        if (s->spm) {
            rc = bpe_add_token(t->bpe, k->text, k->n, k->model, e);
            t->class[i] = k->class;
            continue;
        }
        /* A vocabulary text outside the alphabet cannot come from bytes; Hugging Face then decodes it literally. */
        bool word = k->model && bpe_unprintable(k->text, k->n, &bytes);
        bool literal = k->class == TOKEN_ADDED || k->class == TOKEN_SPECIAL || k->class == TOKEN_UNUSED;
        if (word && literal && (bytes.n != k->n || memcmp(bytes.p, k->text, k->n))) {
            rc = err_set(e, RC_INPUT, "token %d is an added token written with GPT-2's letters for bytes, which is not supported", i);
            break;
        }
        if (word)
            rc = bpe_add_token(t->bpe, bytes.p, bytes.n, true, e);
        else
            rc = bpe_add_token(t->bpe, k->text, k->n, false, e);
        t->class[i] = k->class;
    }
    buf_release(&bytes);
    return rc;
}

static int add_merges(struct tokenizer *t, const struct tokenizer_source *s, struct err *e) {
    struct buf left = BUF_INIT, right = BUF_INIT;
    int rc = 0;
    for (int32_t i = 0; i < s->n_merges && !rc; i++) {
        const struct merge_source *m = &s->merges[i];
        buf_clear(&left);
        buf_clear(&right);
        if (s->spm)
            rc = bpe_add_merge(t->bpe, m->left, m->n_left, m->right, m->n_right, m->rank, e);
        else if (!bpe_unprintable(m->left, m->n_left, &left) || !bpe_unprintable(m->right, m->n_right, &right))
            rc = err_set(e, RC_INPUT, "merge %d has characters that stand for no byte, expected byte-level BPE", i);
        else
            rc = bpe_add_merge(t->bpe, left.p, left.n, right.p, right.n, m->rank, e);
    }
    buf_release(&left);
    buf_release(&right);
    return rc;
}

/* ---- added tokens ---- */

struct added_key {
    const char *text;
    size_t n;
    int32_t id;
};

static int added_order(const void *x, const void *y) {
    const struct added_key *a = x, *b = y;
    int ca = (unsigned char)a->text[0], cb = (unsigned char)b->text[0];
    if (ca != cb) return ca < cb ? -1 : 1;
    if (a->n != b->n) return a->n > b->n ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static void index_added(struct added *a, const struct tokenizer_source *s, bool late) {
    struct added_key *key = xcalloc((size_t)s->n_tokens, sizeof *key);
    for (int32_t i = 0; i < s->n_tokens; i++) {
        const struct token_source *k = &s->tokens[i];
        if ((k->class != TOKEN_ADDED && k->class != TOKEN_SPECIAL) || k->late != late || !k->n) continue;
        key[a->n++] = (struct added_key){k->text, k->n, i};
        if (k->class == TOKEN_ADDED) a->any_plain = true;
    }
    qsort(key, (size_t)a->n, sizeof *key, added_order);
    a->ids = xcalloc((size_t)a->n, sizeof *a->ids);
    for (int32_t i = 0, c = 0; i <= a->n; i++) {
        int first = i < a->n ? (unsigned char)key[i].text[0] : 256;
        while (c <= first) a->from[c++] = i;
        if (i < a->n) a->ids[i] = key[i].id;
    }
    free(key);
}

/* ---- hash ---- */

static void put_u32(struct buf *b, uint32_t x) {
    unsigned char le[4] = {(unsigned char)x, (unsigned char)(x >> 8), (unsigned char)(x >> 16), (unsigned char)(x >> 24)};
    buf_add(b, le, 4);
}

/* Everything that decides about ids, in one byte order; the same whether GGUF or tokenizer.json told it. */
static void hash_tokenizer(struct tokenizer *t) {
    struct buf b = BUF_INIT;
    buf_adds(&b, "coador tokenizer 1 ");
    if (t->spm) buf_addf(&b, "spm%d", (int)t->prefix);
    buf_addf(&b, "%s %d %d %d %d %d", t->spm ? "" : pretok_name(t->kind), t->ignore_merges, t->unk, t->bos, t->n, bpe_n_merges(t->bpe));
    for (int32_t i = 0; i < t->n; i++) {
        size_t n;
        const char *s = bpe_bytes(t->bpe, i, &n);
        buf_addc(&b, (char)t->class[i]);
        put_u32(&b, (uint32_t)n);
        buf_add(&b, s, n);
    }
    for (int32_t i = 0; i < bpe_n_merges(t->bpe); i++) {
        int32_t left, right;
        bpe_merge_at(t->bpe, i, &left, &right);
        put_u32(&b, (uint32_t)left);
        put_u32(&b, (uint32_t)right);
    }
    sha256_hex(b.p, b.n, t->hash);
    buf_release(&b);
}

/* What turns a text into words. */
static int finish(struct tokenizer *t, const struct tokenizer_source *s, struct err *e) {
    int32_t byte_token[256];
    if (!s->spm) {
        if (!(t->pretok = pretok_new(s->kind, e))) return -1;
        bpe_finish(t->bpe, s->unk, s->ignore_merges);
        return 0;
    }
    if (spm_check_bytes(s, byte_token, e) < 0) return -1;
    bpe_finish_chars(t->bpe, byte_token);
    return 0;
}

struct tokenizer *tokenizer_build(const struct tokenizer_source *s, struct err *e) {
    struct tokenizer *t = xcalloc(1, sizeof *t);
    t->spm = s->spm;
    t->prefix = s->prefix;
    t->strip = s->strip;
    t->kind = s->kind;
    t->n = s->n_tokens;
    t->unk = s->unk;
    t->bos = s->bos;
    t->ignore_merges = s->ignore_merges;
    t->class = xcalloc((size_t)t->n, 1);
    t->bpe = bpe_new(s->n_tokens, s->n_merges);
    if (add_tokens(t, s, e) < 0 || add_merges(t, s, e) < 0 || finish(t, s, e) < 0) {
        tokenizer_free(t);
        return NULL;
    }
    index_added(&t->added[0], s, false);
    index_added(&t->added[1], s, true);
    hash_tokenizer(t);
    return t;
}

void tokenizer_free(struct tokenizer *t) {
    if (!t) return;
    pretok_free(t->pretok);
    bpe_free(t->bpe);
    free(t->class);
    free(t->added[0].ids);
    free(t->added[1].ids);
    free(t->chat_template);
    free(t);
}

void tokenizer_add_eos(struct tokenizer *t, int32_t id) {
    if (id < 0 || t->n_eos == (int)(sizeof t->eos / sizeof *t->eos)) return;
    for (int i = 0; i < t->n_eos; i++)
        if (t->eos[i] == id) return;
    t->eos[t->n_eos++] = id;
}

int merge_source_split(struct merge_source *m, const char *s, size_t n, int64_t index, struct err *e) {
    const char *space = memchr(s, ' ', n);
    size_t at = space ? (size_t)(space - s) : 0;
    if (!at || at + 1 == n || memchr(space + 1, ' ', n - at - 1))
        return err_set(e, RC_INPUT, "merge %lld is '%.*s', expected two tokens with a space between", (long long)index,
                       (int)(n > 80 ? 80 : n), s);
    *m = (struct merge_source){s, space + 1, at, n - at - 1, (int32_t)index};
    return 0;
}
