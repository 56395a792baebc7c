/* Tokenizer from Hugging Face's tokenizer.json. Only what is known to give the same ids is taken: the four pre-tokenisers in
   the shapes that their models ship, byte-level BPE, no normaliser; and SentencePiece's BPE (tokenizer_spm_json.c).
   Everything else is refused by its name.
   `truncation` and `padding` are left alone: transformers resets both before it encodes. */
#include "common/io/io.h"
#include "common/io/json.h"
#include "common/text/tokenizer_impl.h"
#include <stdlib.h>
#include <string.h>

/* Split patterns of Llama-3 and Qwen2 as their files have them. */
#define SPLIT_HEAD "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define SPLIT_TAIL "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
static const char llama_split[] = SPLIT_HEAD "\\p{N}{1,3}" SPLIT_TAIL;
static const char qwen2_split[] = SPLIT_HEAD "\\p{N}" SPLIT_TAIL;

const char *tokenizer_split_pattern(enum pretok_kind k) { return k == PRETOK_LLAMA ? llama_split : qwen2_split; }

static bool absent(const struct json *v) { return !v || v->type == JSON_NULL; }
static bool is_true(const struct json *v) { return v && v->type == JSON_BOOL && v->truth; }
static bool is_false(const struct json *v) { return v && v->type == JSON_BOOL && !v->truth; }
static bool has_type(const struct json *v, const char *type) { return json_is_str(json_get(v, "type"), type); }

/* A node's "type" for messages. */
static const char *type_of(const struct json *v) {
    const struct json *t = json_get(v, "type");
    return t && t->type == JSON_STRING ? t->str : absent(v) ? "null" : "a value without type";
}

/* ---- pre-tokeniser ---- */

static bool is_byte_level(const struct json *v, bool regex) {
    const struct json *use = json_get(v, "use_regex"); /* absent in old files: true */
    return has_type(v, "ByteLevel") && is_false(json_get(v, "add_prefix_space")) && (regex ? !use || is_true(use) : is_false(use));
}

static bool is_split(const struct json *v, const char *regex) {
    return has_type(v, "Split") && json_is_str(json_get(v, "behavior"), "Isolated") && is_false(json_get(v, "invert")) &&
           json_is_str(json_get(json_get(v, "pattern"), "Regex"), regex);
}

static int pretok_of(const struct json *v) {
    if (is_byte_level(v, true)) return PRETOK_GPT2;
    const struct json *list = json_get(v, "pretokenizers");
    if (!has_type(v, "Sequence") || !list || list->type != JSON_ARRAY || list->count != 2) return -1;
    const struct json *a = list->first, *b = a->next;
    if (has_type(a, "Digits") && is_true(json_get(a, "individual_digits")) && is_byte_level(b, true)) return PRETOK_SMOLLM;
    if (is_split(a, llama_split) && is_byte_level(b, false)) return PRETOK_LLAMA;
    if (is_split(a, qwen2_split) && is_byte_level(b, false)) return PRETOK_QWEN2;
    return -1;
}

/* Up to 200 bytes of a value's own text, for messages. */
static int shown(const struct json *v) { return v ? (int)(v->raw_len > 200 ? 200 : v->raw_len) : 0; }

static int read_stages(const struct json *root, struct tokenizer_source *s, struct err *e) {
    const struct json *model = json_get(root, "model"), *pre = json_get(root, "pre_tokenizer"), *norm = json_get(root, "normalizer");
    if (!has_type(model, "BPE")) return err_set(e, RC_INPUT, "model is %s, expected BPE", type_of(model));
    int spm = spm_stages(root, s, e);
    if (spm) return spm < 0 ? -1 : 0;
    if (!absent(norm)) return err_set(e, RC_INPUT, "normalizer is %s, expected null", type_of(norm));
    int kind = pretok_of(pre);
    if (kind < 0)
        return err_set(e, RC_INPUT, "pre_tokenizer is unknown, expected that of smollm, gpt-2, llama-bpe or qwen2: %.*s", shown(pre), pre ? pre->raw : "");
    if (!has_type(json_get(root, "decoder"), "ByteLevel"))
        return err_set(e, RC_INPUT, "decoder is %s, expected ByteLevel", type_of(json_get(root, "decoder")));
    s->kind = (enum pretok_kind)kind;
    return 0;
}

/* ---- model ---- */

static bool is_empty(const struct json *v) { return absent(v) || json_is_str(v, ""); }

static int read_model_flags(const struct json *model, struct tokenizer_source *s, struct err *e) {
    const struct json *dropout = json_get(model, "dropout");
    if (!absent(dropout) && !(dropout->type == JSON_NUMBER && dropout->number == 0)) return err_set(e, RC_INPUT, "model.dropout is set, expected null");
    if (!is_empty(json_get(model, "continuing_subword_prefix"))) return err_set(e, RC_INPUT, "model.continuing_subword_prefix is set, expected none");
    if (!is_empty(json_get(model, "end_of_word_suffix"))) return err_set(e, RC_INPUT, "model.end_of_word_suffix is set, expected none");
    if (s->spm) return 0; /* with a token for each byte nothing is unknown */
    if (!absent(json_get(model, "unk_token")) && is_true(json_get(model, "fuse_unk")))
        return err_set(e, RC_INPUT, "model.fuse_unk is true beside an unk_token, expected false");
    s->ignore_merges = is_true(json_get(model, "ignore_merges"));
    return 0;
}

/* Places one token; its id must be free. */
static int place(struct tokenizer_source *s, int64_t id, struct token_source k, struct err *e) {
    struct token_source *at = &s->tokens[id];
    if (at->class != TOKEN_HOLE)
        return err_set(e, RC_INPUT, "id %lld belongs to both '%s' and '%s', expected one token", (long long)id, at->text, k.text);
    *at = k;
    return 0;
}

static int read_id(const struct json *v, const char *token, int64_t *id, struct err *e) {
    if (!v || !json_int(v, id) || *id < 0 || *id >= BPE_MAX_TOKENS)
        return err_set(e, RC_INPUT, "the id of token '%s' is %.*s, expected 0 to %d", token, shown(v), v ? v->raw : "missing", BPE_MAX_TOKENS - 1);
    return 0;
}

/* One more than the highest id. */
static int count_ids(const struct json *vocab, const struct json *added, int64_t *n, struct err *e) {
    int64_t id;
    *n = 0;
    for (const struct json *v = vocab->first; v; v = v->next) {
        if (read_id(v, v->key, &id, e) < 0) return -1;
        if (id >= *n) *n = id + 1;
    }
    for (const struct json *v = added ? added->first : NULL; v; v = v->next) {
        const struct json *text = json_get(v, "content");
        if (!text || text->type != JSON_STRING || !text->len) return err_set(e, RC_INPUT, "an added token has no content, expected a text");
        if (read_id(json_get(v, "id"), text->str, &id, e) < 0) return -1;
        if (id >= *n) *n = id + 1;
    }
    return 0;
}

static int read_vocab(const struct json *root, struct tokenizer_source *s, struct err *e) {
    const struct json *vocab = json_get(json_get(root, "model"), "vocab"), *added = json_get(root, "added_tokens");
    int64_t n;
    if (!vocab || vocab->type != JSON_OBJECT || !vocab->count) return err_set(e, RC_INPUT, "model.vocab is missing, expected an object of ids");
    if (!absent(added) && added->type != JSON_ARRAY) return err_set(e, RC_INPUT, "added_tokens is no list");
    if (count_ids(vocab, added, &n, e) < 0) return -1;
    s->n_tokens = (int32_t)n;
    s->tokens = xcalloc((size_t)n, sizeof *s->tokens);
    for (const struct json *v = vocab->first; v; v = v->next) {
        int64_t id = 0;
        json_int(v, &id);
        unsigned char class = s->spm && spm_byte(v->key, v->key_len) >= 0 ? TOKEN_BYTE : TOKEN_PLAIN;
        if (place(s, id, (struct token_source){v->key, v->key_len, class, false, true}, e) < 0) return -1;
    }
    return 0;
}

static int read_added(const struct json *root, struct tokenizer_source *s, struct err *e) {
    static const char *const refused[] = {"single_word", "lstrip", "rstrip"};
    const struct json *list = json_get(root, "added_tokens"), *vocab = json_get(json_get(root, "model"), "vocab");
    for (const struct json *v = absent(list) ? NULL : list->first; v; v = v->next) {
        const struct json *text = json_get(v, "content"), *known = json_getn(vocab, text->str, text->len);
        int64_t id = 0, model_id = 0;
        json_int(json_get(v, "id"), &id);
        for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
            if (is_true(json_get(v, refused[i]))) return err_set(e, RC_INPUT, "added token '%s' has %s true, expected false", text->str, refused[i]);
        if (known && json_int(known, &model_id) && model_id != id)
            return err_set(e, RC_INPUT, "added token '%s' has id %lld, but %lld in the vocabulary", text->str, (long long)id, (long long)model_id);
        struct token_source k = {text->str, text->len, is_true(json_get(v, "special")) ? TOKEN_SPECIAL : TOKEN_ADDED,
                                 is_true(json_get(v, "normalized")), known != NULL};
        /* A special one is not looked for in texts; which spaces it would be looked for with then does not matter. */
        if (s->spm && s->prefix <= SPM_PREPEND && k.late) {
            if (k.class != TOKEN_SPECIAL) return err_set(e, RC_INPUT, "added token '%s' has normalized true beside a normalizer, expected false", text->str);
            k.late = false;
        }
        if (s->spm && spm_byte(k.text, k.n) >= 0) return err_set(e, RC_INPUT, "added token '%s' is the token of a byte, expected another text", text->str);
        if (known) s->tokens[id].class = TOKEN_HOLE;
        if (place(s, id, k, e) < 0) return -1;
    }
    return 0;
}

static int read_merges(const struct json *model, struct tokenizer_source *s, struct err *e) {
    const struct json *list = json_get(model, "merges");
    if (!list || list->type != JSON_ARRAY || list->count > BPE_MAX_TOKENS) return err_set(e, RC_INPUT, "model.merges is missing or too long, expected a list");
    s->n_merges = (int32_t)list->count;
    s->merges = xcalloc(list->count, sizeof *s->merges);
    struct merge_source *m = s->merges;
    for (const struct json *v = list->first; v; v = v->next, m++) {
        const struct json *a = v->first, *b = a ? a->next : NULL;
        if (v->type == JSON_STRING) {
            if (merge_source_split(m, v->str, v->len, m - s->merges, e) < 0) return -1;
        } else if (v->type == JSON_ARRAY && v->count == 2 && a->type == JSON_STRING && b->type == JSON_STRING)
            *m = (struct merge_source){a->str, b->str, a->len, b->len, (int32_t)(m - s->merges)};
        else
            return err_set(e, RC_INPUT, "merge %td is %.*s, expected \"a b\" or [\"a\", \"b\"]", m - s->merges, shown(v), v->raw);
    }
    return 0;
}

/* Id of a token by its text in the file, -1 if there is none. */
static int32_t find_token(const struct tokenizer_source *s, const struct json *text) {
    for (int32_t i = 0; text && text->type == JSON_STRING && i < s->n_tokens; i++)
        if (s->tokens[i].class != TOKEN_HOLE && s->tokens[i].n == text->len && !memcmp(s->tokens[i].text, text->str, text->len)) return i;
    return -1;
}

static int read_unk(const struct json *model, struct tokenizer_source *s, struct err *e) {
    const struct json *unk = json_get(model, "unk_token");
    if (absent(unk) || s->spm) return 0;
    s->unk = find_token(s, unk);
    return s->unk >= 0 ? 0 : err_set(e, RC_INPUT, "model.unk_token is %.*s, which is no token", shown(unk), unk->raw);
}

/* ---- post-processor: at most a token before the text ---- */

static int read_template(const struct json *p, struct tokenizer_source *s, struct err *e) {
    const struct json *list = json_get(p, "single"), *a = list ? list->first : NULL, *b = a ? a->next : NULL;
    const struct json *text = b ? b : a, *special = b ? json_get(a, "SpecialToken") : NULL;
    if (!list || list->type != JSON_ARRAY || list->count > 2 || !json_get(text, "Sequence") || (b && !special))
        return err_set(e, RC_INPUT, "post_processor TemplateProcessing is %.*s, expected the text with at most one token before it", shown(list), list ? list->raw : "");
    if (!special) return 0;
    s->bos = find_token(s, json_get(special, "id"));
    return s->bos >= 0 ? 0 : err_set(e, RC_INPUT, "post_processor names %.*s, which is no token", shown(special), special->raw);
}

static int read_post(const struct json *p, struct tokenizer_source *s, struct err *e) {
    if (absent(p) || has_type(p, "ByteLevel")) return 0;
    if (has_type(p, "TemplateProcessing")) return read_template(p, s, e);
    const struct json *list = json_get(p, "processors");
    if (!has_type(p, "Sequence") || !list || list->type != JSON_ARRAY)
        return err_set(e, RC_INPUT, "post_processor is %s, expected null, ByteLevel or TemplateProcessing", type_of(p));
    for (const struct json *v = list->first; v; v = v->next) {
        if (has_type(v, "Sequence")) return err_set(e, RC_INPUT, "post_processor is a Sequence in a Sequence, expected a flat one");
        if (read_post(v, s, e) < 0) return -1;
    }
    return 0;
}

struct tokenizer *tokenizer_from_root(const struct json *root, struct err *e) {
    const struct json *model = json_get(root, "model");
    struct tokenizer_source s = {.unk = -1, .bos = -1};
    struct tokenizer *t = NULL;
    if (read_stages(root, &s, e) == 0 && read_model_flags(model, &s, e) == 0 && read_vocab(root, &s, e) == 0 && read_added(root, &s, e) == 0 &&
        read_merges(model, &s, e) == 0 && read_unk(model, &s, e) == 0 && read_post(json_get(root, "post_processor"), &s, e) == 0)
        t = tokenizer_build(&s, e);
    free(s.tokens);
    free(s.merges);
    return t;
}

/* ---- the files beside it: tokenizer_config.json (eos_token, chat_template) and chat_template.jinja ---- */

static char *beside(const char *path, const char *name) {
    const char *slash = strrchr(path, '/');
    struct buf b = BUF_INIT;
    if (slash) buf_add(&b, path, (size_t)(slash - path) + 1);
    buf_adds(&b, name);
    return buf_detach(&b);
}

/* A template is a text, or a list of named ones of which "default" counts. */
static void take_template(struct tokenizer *t, const struct json *v) {
    if (v && v->type == JSON_ARRAY)
        for (const struct json *k = v->first; k; k = k->next)
            if (json_is_str(json_get(k, "name"), "default")) {
                take_template(t, json_get(k, "template"));
                return;
            }
    if (v && v->type == JSON_STRING) t->chat_template = xmemdup0(v->str, v->len);
}

static int read_config(struct tokenizer *t, const char *path, struct err *e) {
    if (!io_exists(path)) return 0;
    struct json_doc *d = json_read_file(path, e);
    if (!d) return -1;
    const struct json *root = json_root(d), *eos = json_get(root, "eos_token");
    int rc = 0;
    if (eos && eos->type == JSON_OBJECT) eos = json_get(eos, "content");
    if (eos && eos->type == JSON_STRING) {
        int32_t id = tokenizer_id(t, eos->str);
        if (id < 0) rc = err_set(e, RC_INPUT, "%s: eos_token is '%s', which is no token", path, eos->str);
        tokenizer_add_eos(t, id);
    }
    if (!t->chat_template) take_template(t, json_get(root, "chat_template"));
    json_doc_free(d);
    return rc;
}

static int read_neighbours(struct tokenizer *t, const char *path, struct err *e) {
    char *jinja = beside(path, "chat_template.jinja"), *config = beside(path, "tokenizer_config.json");
    struct buf text = BUF_INIT;
    int rc = io_exists(jinja) ? io_read_all(jinja, 1 << 20, &text, e) : 0;
    if (text.n && !rc) t->chat_template = buf_detach(&text);
    if (!rc) rc = read_config(t, config, e);
    buf_release(&text);
    free(jinja);
    free(config);
    return rc;
}

struct tokenizer *tokenizer_from_json(const char *path, struct err *e) {
    struct json_doc *d = json_read_file(path, e);
    if (!d) return NULL;
    struct tokenizer *t = tokenizer_from_root(json_root(d), e);
    if (!t) err_prefix(e, "%s: ", path);
    json_doc_free(d);
    if (t && read_neighbours(t, path, e) < 0) {
        tokenizer_free(t);
        return NULL;
    }
    return t;
}
