/* tokenizer.json and tokenizer_config.json from GGUF: see tokenizer_write.h. The stages are those that tokenizer_json.c
   knows the four pre-tokenisers by. */
#include "common/text/tokenizer_write.h"
#include "common/io/strmap.h"
#include "common/text/tokenizer_impl.h"
#include <string.h>

#define KEY(name) "tokenizer.ggml." name

static void put_text(struct buf *b, const struct gguf *g, int32_t id) {
    const char *text;
    size_t n;
    gguf_arr_str(g, KEY("tokens"), id, &text, &n);
    json_put_string(b, text, n);
}

static void put_added(struct buf *b, const struct gguf *g, const struct tokenizer *t) {
    const char *comma = "";
    buf_adds(b, "\"added_tokens\":[");
    for (int32_t i = 0; i < t->n; i++) {
        if (t->class[i] != TOKEN_SPECIAL && t->class[i] != TOKEN_ADDED) continue;
        bool special = t->class[i] == TOKEN_SPECIAL;
        buf_addf(b, "%s\n{\"id\":%d,\"content\":", comma, i);
        put_text(b, g, i);
        buf_addf(b, ",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":%s,\"special\":%s}", special || t->spm ? "false" : "true", special ? "true" : "false");
        comma = ",";
    }
    buf_adds(b, "],\n");
}

#define BYTE_LEVEL(regex) "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":" regex "}"
#define REPLACE(from, to) "{\"type\":\"Replace\",\"pattern\":{\"String\":\"" from "\"},\"content\":\"" to "\"}"
static void put_spm_normaliser(struct buf *b, enum spm_prefix prefix) {
    buf_adds(b, "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[");
    if (prefix == SPM_PREPEND) buf_adds(b, "{\"type\":\"Prepend\",\"prepend\":\"" SPM_SPACE "\"},");
    buf_adds(b, REPLACE(" ", SPM_SPACE) "]},\n\"pre_tokenizer\":null,\n");
}

static void put_pre(struct buf *b, enum pretok_kind kind) {
    buf_adds(b, "\"normalizer\":null,\n\"pre_tokenizer\":");
    if (kind == PRETOK_GPT2) {
        buf_adds(b, BYTE_LEVEL("true") ",\n");
        return;
    }
    buf_adds(b, "{\"type\":\"Sequence\",\"pretokenizers\":[");
    if (kind == PRETOK_SMOLLM) {
        buf_adds(b, "{\"type\":\"Digits\",\"individual_digits\":true}," BYTE_LEVEL("true") "]},\n");
        return;
    }
    const char *regex = tokenizer_split_pattern(kind);
    buf_adds(b, "{\"type\":\"Split\",\"pattern\":{\"Regex\":");
    json_put_string(b, regex, strlen(regex));
    buf_adds(b, "},\"behavior\":\"Isolated\",\"invert\":false}," BYTE_LEVEL("false") "]},\n");
}

/* A token before every text, or nothing */
static void put_post(struct buf *b, const struct gguf *g, int32_t bos) {
    if (bos < 0) {
        buf_adds(b, "\"post_processor\":null,\n");
        return;
    }
    struct buf t = BUF_INIT;
    put_text(&t, g, bos);
    buf_adds(b, "\"post_processor\":{\"type\":\"TemplateProcessing\",");
    for (int pair = 0; pair < 2; pair++) {
        buf_addf(b, "\"%s\":[", pair ? "pair" : "single");
        for (int s = 0; s <= pair; s++)
            buf_addf(b, "%s{\"SpecialToken\":{\"id\":%s,\"type_id\":0}},{\"Sequence\":{\"id\":\"%c\",\"type_id\":0}}", s ? "," : "", t.p, "AB"[s]);
        buf_adds(b, "],");
    }
    buf_addf(b, "\"special_tokens\":{%s:{\"id\":%s,\"ids\":[%d],\"tokens\":[%s]}}},\n", t.p, t.p, bos, t.p);
    buf_release(&t);
}

/* Added tokens must be in the vocabulary where plain ones come after them, or tokenizers numbers them anew. The last ones stay
   outside, so that no word of a text can be one. */
static int32_t vocabulary_end(const struct tokenizer *t) {
    int32_t n = t->n;
    while (n > 0 && (t->class[n - 1] == TOKEN_SPECIAL || t->class[n - 1] == TOKEN_ADDED)) n--;
    return n;
}

static int check_distinct(const struct gguf *g, const struct tokenizer *t, struct err *e) {
    struct strmap texts = STRMAP_INIT;
    int rc = 0;
    for (int32_t i = 0; !rc && i < t->n; i++) {
        const char *text;
        size_t n;
        gguf_arr_str(g, KEY("tokens"), i, &text, &n);
        if (!strmap_put(&texts, text, n, i)) rc = err_set(e, RC_INPUT, KEY("tokens") ": tokens %d and %d are the same, which tokenizer.json cannot hold", strmap_get(&texts, text, n), i);
    }
    strmap_release(&texts);
    return rc;
}

static void put_decoder(struct buf *b, const struct tokenizer *t) {
    if (!t->spm) {
        buf_adds(b, "\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true},\n");
        return;
    }
    buf_adds(b, "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[" REPLACE(SPM_SPACE, " ") ",{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}");
    buf_adds(b, t->strip ? ",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]},\n" : "]},\n");
}

/* The unknown token never comes of a text, every byte having one, but readers want it named. */
static void put_unknown(struct buf *b, const struct gguf *g, const struct tokenizer *t) {
    int64_t id;
    if (t->spm && gguf_get_int(g, KEY("unknown_token_id"), &id) && id >= 0 && id < t->n)
        put_text(b, g, (int32_t)id);
    else
        buf_adds(b, "null");
}

static void put_merge(struct buf *b, const char *left, size_t nl, const char *right, size_t nr, bool first) {
    buf_adds(b, first ? "\n[" : ",\n[");
    json_put_string(b, left, nl);
    buf_addc(b, ',');
    json_put_string(b, right, nr);
    buf_addc(b, ']');
}

static void put_merges(struct buf *b, const struct gguf *g, const struct tokenizer *t) {
    int32_t n = bpe_n_merges(t->bpe);
    for (int32_t i = 0; i < n; i++) {
        struct merge_source m;
        const char *text;
        size_t len;
        struct err e;
        if (t->spm) {
            int32_t left, right;
            bpe_merge_at(t->bpe, i, &left, &right);
            m.left = bpe_bytes(t->bpe, left, &m.n_left);
            m.right = bpe_bytes(t->bpe, right, &m.n_right);
        } else {
            gguf_arr_str(g, KEY("merges"), i, &text, &len);
            if (merge_source_split(&m, text, len, i, &e) < 0) BUG("%s", e.msg); /* the loader took them */
        }
        put_merge(b, m.left, m.n_left, m.right, m.n_right, !i);
    }
}

static void put_model(struct buf *b, const struct gguf *g, const struct tokenizer *t) {
    buf_adds(b, "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":");
    put_unknown(b, g, t);
    buf_addf(b, ",\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":%s,\"byte_fallback\":%s,\"ignore_merges\":%s,\n\"vocab\":{",
             t->spm ? "true" : "false", t->spm ? "true" : "false", t->ignore_merges ? "true" : "false");
    for (int32_t i = 0; i < vocabulary_end(t); i++) {
        buf_adds(b, i ? ",\n" : "\n");
        put_text(b, g, i);
        buf_addf(b, ":%d", i);
    }
    buf_adds(b, "},\n\"merges\":[");
    put_merges(b, g, t);
    buf_adds(b, "]}}\n");
}

static void put_config(struct buf *b, const struct gguf *g, const struct tokenizer *t) {
    static const char *const fields[][2] = {{"bos_token", KEY("bos_token_id")}, {"eos_token", KEY("eos_token_id")},
                                            {"pad_token", KEY("padding_token_id")}, {"unk_token", KEY("unknown_token_id")}};
    int64_t id, context;
    buf_adds(b, "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n  \"clean_up_tokenization_spaces\": false");
    if (gguf_get_int(g, "llama.context_length", &context)) buf_addf(b, ",\n  \"model_max_length\": %lld", (long long)context);
    for (int i = 0; i < 4; i++) {
        if (!gguf_get_int(g, fields[i][1], &id) || id < 0 || id >= t->n) continue;
        buf_addf(b, ",\n  \"%s\": ", fields[i][0]);
        put_text(b, g, (int32_t)id);
    }
    if (t->chat_template) {
        buf_adds(b, ",\n  \"chat_template\": ");
        json_put_string(b, t->chat_template, strlen(t->chat_template));
    }
    buf_adds(b, "\n}\n");
}

int tokenizer_write(const struct gguf *g, struct buf *tokenizer, struct buf *config, struct err *e) {
    struct tokenizer *t = tokenizer_from_gguf(g, e);
    if (!t) return -1;
    if (check_distinct(g, t, e) < 0) {
        tokenizer_free(t);
        return -1;
    }
    buf_adds(tokenizer, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\n");
    put_added(tokenizer, g, t);
    if (t->spm)
        put_spm_normaliser(tokenizer, t->prefix);
    else
        put_pre(tokenizer, t->kind);
    put_post(tokenizer, g, t->bos);
    put_decoder(tokenizer, t);
    put_model(tokenizer, g, t);
    put_config(config, g, t);
    tokenizer_free(t);
    return 0;
}
