/* Tokenizer from GGUF metadata (tokenizer.ggml.*; ggml-org/ggml docs/gguf.md, "Tokenizer"). */
#include "common/text/tokenizer_impl.h"
#include <stdlib.h>
#include <string.h>

#define KEY(name) "tokenizer.ggml." name

/* llama.cpp's token types. */
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER_DEFINED, TYPE_UNUSED, TYPE_BYTE };

/* SentencePiece's own normaliser must be the identity, as Llama's is. */
static int read_spm_kind(const struct gguf *g, struct tokenizer_source *s, struct err *e) {
    bool prefix = true, extra = false;
    if (gguf_has(g, KEY("precompiled_charsmap"))) return err_set(e, RC_INPUT, KEY("precompiled_charsmap") " is there: texts normalised by a table are not supported");
    if (gguf_get_bool(g, KEY("remove_extra_whitespaces"), &extra) && extra) return err_set(e, RC_INPUT, KEY("remove_extra_whitespaces") " is true, which is not supported");
    gguf_get_bool(g, KEY("add_space_prefix"), &prefix);
    s->spm = true;
    s->strip = prefix;
    s->prefix = prefix ? SPM_PREPEND : SPM_NONE;
    return 0;
}

static int read_kind(const struct gguf *g, struct tokenizer_source *s, struct err *e) {
    const char *text;
    size_t n;
    bool prefix = false;
    if (!gguf_get_str(g, KEY("model"), &text, &n)) return err_set(e, RC_INPUT, KEY("model") " is missing, expected 'gpt2' or 'llama'");
    if (n == 5 && !memcmp(text, "llama", 5)) return read_spm_kind(g, s, e);
    if (n != 4 || memcmp(text, "gpt2", 4))
        return err_set(e, RC_INPUT, KEY("model") " is '%.*s', expected 'gpt2' (byte-level BPE) or 'llama' (SentencePiece's)", (int)(n > 80 ? 80 : n), text);
    if (!gguf_get_str(g, KEY("pre"), &text, &n)) return err_set(e, RC_INPUT, KEY("pre") " is missing, expected the pre-tokeniser's name");
    int kind = pretok_by_name(text, n);
    if (kind < 0)
        return err_set(e, RC_INPUT, KEY("pre") " is '%.*s', expected smollm, gpt-2, llama-bpe or qwen2", (int)(n > 80 ? 80 : n), text);
    if (gguf_get_bool(g, KEY("add_space_prefix"), &prefix) && prefix)
        return err_set(e, RC_INPUT, KEY("add_space_prefix") " is true, which byte-level BPE here does not support");
    s->kind = (enum pretok_kind)kind;
    s->ignore_merges = s->kind == PRETOK_LLAMA; /* GGUF has no field for it; Llama-3's own file sets it */
    return 0;
}

static int token_class(int32_t type, bool spm) {
    switch (type) {
    case TYPE_BYTE: return spm ? TOKEN_BYTE : -1;
    case TYPE_NORMAL: return TOKEN_PLAIN;
    case TYPE_UNKNOWN:
    case TYPE_CONTROL: return TOKEN_SPECIAL;
    case TYPE_USER_DEFINED: return TOKEN_ADDED;
    case TYPE_UNUSED: return TOKEN_UNUSED;
    default: return -1;
    }
}

static int read_tokens(const struct gguf *g, struct tokenizer_source *s, struct err *e) {
    const void *types;
    int64_t n = gguf_arr_strs(g, KEY("tokens")), n_types = gguf_arr_ints(g, KEY("token_type"), &types);
    if (n < 1 || n > BPE_MAX_TOKENS) return err_set(e, RC_INPUT, KEY("tokens") ": %lld tokens, expected 1 to %d", (long long)n, BPE_MAX_TOKENS);
    if (n_types != n) return err_set(e, RC_INPUT, KEY("token_type") ": %lld types, expected one for each of %lld tokens", (long long)n_types, (long long)n);
    s->n_tokens = (int32_t)n;
    s->tokens = xcalloc((size_t)n, sizeof *s->tokens);
    for (int32_t i = 0; i < n; i++) {
        struct token_source *k = &s->tokens[i];
        int32_t type;
        memcpy(&type, (const char *)types + (size_t)i * 4, 4);
        int class = token_class(type, s->spm);
        if (class < 0) return err_set(e, RC_INPUT, KEY("token_type") "[%d] is %d, expected 1 to %s", i, type, s->spm ? "6" : "5 (byte-level BPE)");
        gguf_arr_str(g, KEY("tokens"), i, &k->text, &k->n);
        k->class = (unsigned char)class;
        k->model = class == TOKEN_PLAIN;
        k->late = class == TOKEN_ADDED && !s->spm;
    }
    return 0;
}

/* One score a token. */
static int read_scores(const struct gguf *g, struct tokenizer_source *s, struct err *e) {
    const void *p;
    int64_t n = gguf_arr_f32(g, KEY("scores"), &p);
    if (n != s->n_tokens) return err_set(e, RC_INPUT, KEY("scores") ": %lld scores (f32), expected one for each of %d tokens", (long long)n, s->n_tokens);
    float *score = xcalloc((size_t)n, sizeof *score);
    memcpy(score, p, (size_t)n * sizeof *score);
    int rc = spm_merges(s, score, e);
    free(score);
    return rc;
}

static int read_merges(const struct gguf *g, struct tokenizer_source *s, struct err *e) {
    if (s->spm) return read_scores(g, s, e);
    int64_t n = gguf_arr_strs(g, KEY("merges"));
    if (n < 0 || n > BPE_MAX_TOKENS) return err_set(e, RC_INPUT, KEY("merges") " is missing or too long, expected at most %d strings", BPE_MAX_TOKENS);
    s->n_merges = (int32_t)n;
    s->merges = xcalloc((size_t)n, sizeof *s->merges);
    for (int64_t i = 0; i < n; i++) {
        const char *text;
        size_t len;
        gguf_arr_str(g, KEY("merges"), i, &text, &len);
        if (merge_source_split(&s->merges[i], text, len, i, e) < 0) return err_prefix(e, KEY("merges") ": ");
    }
    return 0;
}

/* An id field: *id stays -1 if the file lacks it. */
static int read_id(const struct gguf *g, const char *key, int32_t n_tokens, int32_t *id, struct err *e) {
    int64_t x;
    *id = -1;
    if (!gguf_has(g, key)) return 0;
    if (!gguf_get_int(g, key, &x) || x < 0 || x >= n_tokens)
        return err_set(e, RC_INPUT, "%s is no id of this vocabulary, expected 0 to %d", key, n_tokens - 1);
    *id = (int32_t)x;
    return 0;
}

static int read_bos(const struct gguf *g, struct tokenizer_source *s, struct err *e) {
    bool add = s->spm || s->kind == PRETOK_LLAMA; /* what llama.cpp does when the file is silent */
    gguf_get_bool(g, KEY("add_bos_token"), &add);
    if (read_id(g, KEY("bos_token_id"), s->n_tokens, &s->bos, e) < 0) return -1;
    if (add && s->bos < 0) return err_set(e, RC_INPUT, KEY("bos_token_id") " is missing though texts begin with it");
    if (!add) s->bos = -1;
    return 0;
}

static int read_ends(const struct gguf *g, struct tokenizer *t, struct err *e) {
    static const char *const keys[] = {KEY("eos_token_id"), KEY("eot_token_id"), KEY("eom_token_id")};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int32_t id;
        if (read_id(g, keys[i], t->n, &id, e) < 0) return -1;
        tokenizer_add_eos(t, id);
    }
    return 0;
}

struct tokenizer *tokenizer_from_gguf(const struct gguf *g, struct err *e) {
    struct tokenizer_source s = {.unk = -1, .bos = -1};
    struct tokenizer *t = NULL;
    const char *text;
    size_t n;
    if (read_kind(g, &s, e) == 0 && read_tokens(g, &s, e) == 0 && read_merges(g, &s, e) == 0 && read_bos(g, &s, e) == 0)
        t = tokenizer_build(&s, e);
    if (t && read_ends(g, t, e) < 0) {
        tokenizer_free(t);
        t = NULL;
    }
    if (t && gguf_get_str(g, "tokenizer.chat_template", &text, &n)) t->chat_template = xmemdup0(text, n);
    free(s.tokens);
    free(s.merges);
    return t;
}
