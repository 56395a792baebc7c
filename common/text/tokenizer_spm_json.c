/* The stages of tokenizer.json that make SentencePiece's kinds. Two ways to write the "▁" are in use: a normalizer (Prepend,
   Replace), or the pre-tokeniser Metaspace that does not split. */
#include "common/text/tokenizer_impl.h"
#include <string.h>

static bool absent(const struct json *v) { return !v || v->type == JSON_NULL; }
static bool has_type(const struct json *v, const char *type) { return json_is_str(json_get(v, "type"), type); }
static int shown(const struct json *v) { return v ? (int)(v->raw_len > 200 ? 200 : v->raw_len) : 0; }

static bool is_replace(const struct json *v, const char *from, const char *to) {
    return has_type(v, "Replace") && json_is_str(json_get(json_get(v, "pattern"), "String"), from) && json_is_str(json_get(v, "content"), to);
}

/* Elements of a Sequence, or the one stage by itself. */
static const struct json *stages_of(const struct json *v, const char *list, size_t *n) {
    const struct json *l = has_type(v, "Sequence") ? json_get(v, list) : NULL;
    *n = !l ? 1 : l->type == JSON_ARRAY ? l->count : 0;
    return !l ? v : *n ? l->first : NULL;
}

static int read_normalizer(const struct json *v, struct tokenizer_source *s, struct err *e) {
    size_t n;
    const struct json *a = stages_of(v, "normalizers", &n);
    s->prefix = SPM_NONE;
    if (n == 1 && is_replace(a, " ", SPM_SPACE)) return 0;
    s->prefix = SPM_PREPEND;
    if (n == 2 && has_type(a, "Prepend") && json_is_str(json_get(a, "prepend"), SPM_SPACE) && is_replace(a->next, " ", SPM_SPACE)) return 0;
    return err_set(e, RC_INPUT, "normalizer is unknown beside byte_fallback, expected Prepend and Replace of spaces by '" SPM_SPACE "': %.*s", shown(v), v->raw);
}

static int read_metaspace(const struct json *v, struct tokenizer_source *s, struct err *e) {
    static const char *const schemes[] = {"never", "always", "first"};
    static const enum spm_prefix prefixes[] = {SPM_NONE, SPM_ALWAYS, SPM_FIRST};
    const struct json *split = json_get(v, "split");
    for (int i = 0; i < 3; i++)
        if (has_type(v, "Metaspace") && json_is_str(json_get(v, "replacement"), SPM_SPACE) && json_is_str(json_get(v, "prepend_scheme"), schemes[i]) &&
            split && split->type == JSON_BOOL && !split->truth) {
            s->prefix = prefixes[i];
            return 0;
        }
    return err_set(e, RC_INPUT, "pre_tokenizer is unknown beside byte_fallback, expected null or Metaspace with split false: %.*s", shown(v), v ? v->raw : "null");
}

static bool is_strip(const struct json *v) {
    int64_t start, stop;
    return has_type(v, "Strip") && json_is_str(json_get(v, "content"), " ") && json_int(json_get(v, "start"), &start) && start == 1 &&
           json_int(json_get(v, "stop"), &stop) && stop == 0;
}

static int read_decoder(const struct json *v, struct tokenizer_source *s, struct err *e) {
    size_t n;
    const struct json *a = stages_of(v, "decoders", &n), *b = a ? a->next : NULL, *c = b && n >= 3 ? b->next : NULL;
    s->strip = n == 4;
    if (c && n <= 4 && is_replace(a, SPM_SPACE, " ") && has_type(b, "ByteFallback") && has_type(c, "Fuse") && (n == 3 || is_strip(c->next))) return 0;
    return err_set(e, RC_INPUT, "decoder is unknown beside byte_fallback, expected Replace, ByteFallback, Fuse and at most Strip: %.*s", shown(v), v ? v->raw : "null");
}

int spm_stages(const struct json *root, struct tokenizer_source *s, struct err *e) {
    const struct json *model = json_get(root, "model"), *fallback = json_get(model, "byte_fallback"), *ignore = json_get(model, "ignore_merges");
    const struct json *norm = json_get(root, "normalizer"), *pre = json_get(root, "pre_tokenizer");
    if (!fallback || fallback->type != JSON_BOOL || !fallback->truth) return 0;
    s->spm = true;
    if (ignore && ignore->type == JSON_BOOL && ignore->truth) return err_set(e, RC_INPUT, "model.ignore_merges is true beside byte_fallback, expected false");
    if (!absent(norm) && !absent(pre)) return err_set(e, RC_INPUT, "normalizer and pre_tokenizer are both set beside byte_fallback, expected one: %.*s", shown(pre), pre->raw);
    if ((absent(norm) ? read_metaspace(pre, s, e) : read_normalizer(norm, s, e)) < 0 || read_decoder(json_get(root, "decoder"), s, e) < 0) return -1;
    return 1;
}
