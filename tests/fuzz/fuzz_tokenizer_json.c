/* tokenizer.json from anywhere: it is refused with a message, or it encodes any text, and streaming gives what decoding gives.
   Where the vocabulary has every byte of the text (and no unknown token), the text comes back. */
#include "common/text/tokenizer_impl.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* Where mutation begins: a small file of each kind. */
#define HEAD "{\"added_tokens\":[{\"id\":6,\"content\":\"<e>\",\"special\":true},{\"id\":7,\"content\":\"ab<\",\"normalized\":true}],\"normalizer\":null,\"pre_tokenizer\":"
#define LEVEL(regex) "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":" regex "}"
#define SPLIT(numbers)                                                                                                             \
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|"          \
    "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}" numbers "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"}," \
    "\"behavior\":\"Isolated\",\"invert\":false}," LEVEL("false") "]}"
#define TAIL                                                                                                                       \
    ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<e>\"}},{\"Sequence\":{\"id\":\"A\"}}]}," \
    "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"unk_token\":null,\"ignore_merges\":false,"                  \
    "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"\xc4\xa0\":3,\"\xc4\xa0" "ab\":4,\"1\":5},\"merges\":[\"a b\",[\"\xc4\xa0\",\"ab\"]]}}"
static const char *const seeds[] = {HEAD LEVEL("true") TAIL, HEAD SPLIT("{1,3}") TAIL, HEAD SPLIT("") TAIL,
                                    HEAD "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true}," LEVEL("true") "]}" TAIL};

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
    const char *start = seeds[seed % 4];
    size_t n = strlen(start);
    if ((size < 200 || seed % 64 == 0) && n <= max_size) {
        memcpy(data, start, n);
        size = n;
    }
    return LLVMFuzzerMutate(data, size, max_size);
}

static void check(const struct tokenizer *t, const char *text, size_t n, bool special) {
    struct ids ids = IDS_INIT;
    struct buf whole = BUF_INIT, stream = BUF_INIT;
    struct detok d = DETOK_INIT;
    int rc = special ? tokenizer_encode_special(t, text, n, &ids, NULL) : tokenizer_encode(t, text, n, &ids, NULL);
    if (rc < 0 && utf8_valid(text, n) == n) abort();
    for (size_t i = 0; i < ids.n; i++) {
        if (ids.v[i] < 0 || ids.v[i] >= tokenizer_size(t)) abort();
        detok_feed(&d, t, ids.v[i], &stream);
        if (utf8_valid(stream.p, stream.n) != stream.n) abort();
    }
    detok_flush(&d, &stream);
    tokenizer_decode(t, ids.v, ids.n, false, &whole);
    if (whole.n != stream.n || (whole.n && memcmp(whole.p, stream.p, whole.n))) abort();
    bool covered = rc == 0 && t->unk < 0 && !special;
    for (size_t i = 0; i < n; i++) covered = covered && bpe_find(t->bpe, text + i, 1) >= 0 && t->class[bpe_find(t->bpe, text + i, 1)] != TOKEN_SPECIAL;
    if (covered && !t->ignore_merges && (whole.n != n || (n && memcmp(whole.p, text, n)))) abort();
    ids_release(&ids);
    buf_release(&whole);
    buf_release(&stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char text[] = "ab abab<e>ab<  ba 123 \xc3\xa9 ab\n\n  'S\t x";
    struct err e = ERR_INIT;
    struct json_doc *doc = json_parse((const char *)data, size, NULL);
    if (!doc) return 0;
    struct tokenizer *t = tokenizer_from_root(json_root(doc), &e);
    if (!t && (e.code != RC_INPUT || !e.msg[0])) abort();
    if (t) {
        check(t, text, sizeof text - 1, false);
        check(t, text, sizeof text - 1, true);
        check(t, (const char *)data, size, false);
        check(t, "ab ab aab", 9, false);
    }
    tokenizer_free(t);
    json_doc_free(doc);
    return 0;
}
