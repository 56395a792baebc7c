/* Inside of a tokenizer: what its loaders fill and its users read. Not for other modules. */
#ifndef COADOR_TOKENIZER_IMPL_H
#define COADOR_TOKENIZER_IMPL_H
#include "common/io/json.h"
#include "common/text/bpe.h"
#include "common/text/pretok.h"
#include "common/text/tokenizer.h"

enum token_class {
    TOKEN_HOLE,   /* an id that no token has */
    TOKEN_PLAIN,  /* of the vocabulary: written in GPT-2's alphabet */
    TOKEN_UNUSED, /* padding of the vocabulary: has a text, never comes out of encoding */
    TOKEN_ADDED,  /* found in texts before anything else; its text is meant literally */
    TOKEN_SPECIAL, /* the same, but only in templates, and left out of decoded text */
    TOKEN_BYTE    /* SentencePiece's "<0x0A>": one byte of a character that has no token */
};

/* Where SentencePiece's kinds put a "▁" before a text (spaces become "▁" in all of them). */
enum spm_prefix {
    SPM_NONE,
    SPM_PREPEND, /* before every piece of text between added tokens: Llama-2's normalizer, and llama.cpp */
    SPM_ALWAYS,  /* the same, unless it begins with one: the pre-tokeniser Metaspace */
    SPM_FIRST    /* the same, only before the very first piece */
};

/* Added tokens to look for, by first byte and within one by falling length. */
struct added {
    int32_t *ids;
    int32_t n;
    int32_t from[257]; /* those with first byte c are from[c] to from[c + 1] */
    bool any_plain;    /* one of them is not special */
};

struct tokenizer {
    bool spm;                 /* SentencePiece's BPE: characters, no pre-tokeniser; else byte-level */
    enum spm_prefix prefix;   /* spm */
    bool strip;               /* spm: one space at the beginning of a decoded text goes */
    enum pretok_kind kind;    /* byte-level */
    struct pretok *pretok;
    struct bpe *bpe;
    int32_t n;
    unsigned char *class; /* enum token_class of each id */
    struct added added[2]; /* looked for in this order: raw ones, then those that Hugging Face matches after normalising */
    int32_t unk;
    bool ignore_merges;
    int32_t bos, eos[8];
    int n_eos;
    char *chat_template, hash[65];
};

/* ---- what a loader knows of a file; all texts are borrowed ---- */
struct token_source {
    const char *text;
    size_t n;
    unsigned char class;
    bool late;  /* second of the two passes over added tokens */
    bool model; /* plain, or an added one that the vocabulary proper has too: merges may make it */
};
struct merge_source {
    const char *left, *right;
    size_t n_left, n_right;
    int32_t rank; /* lower ones merge first; of equals the leftmost */
};
struct tokenizer_source {
    bool spm, strip;
    enum spm_prefix prefix;
    enum pretok_kind kind;
    struct token_source *tokens;
    int32_t n_tokens;
    struct merge_source *merges;
    int32_t n_merges;
    int32_t unk; /* -1: none */
    bool ignore_merges;
    int32_t bos;
};
/* Builds everything but eos and chat template. give: tokenizer_free. */
struct tokenizer *tokenizer_build(const struct tokenizer_source *s, struct err *e);
/* Of a parsed tokenizer.json, without the files beside it. give: tokenizer_free. */
struct tokenizer *tokenizer_from_root(const struct json *root, struct err *e);
/* The regular expression of the Split stage of tokenizer.json for Llama-3's and Qwen2's kinds. */
const char *tokenizer_split_pattern(enum pretok_kind k);
/* Adds an end id unless it is there already or -1. */
void tokenizer_add_eos(struct tokenizer *t, int32_t id);
/* ---- SentencePiece's BPE (tokenizer_spm.c) ---- */
#define SPM_SPACE "\xe2\x96\x81" /* ▁ */
/* The byte that the token text "<0x0A>" stands for, or -1. */
int spm_byte(const char *text, size_t n);
/* Finds the tokens of class TOKEN_BYTE: one for each byte, or an error. */
int spm_check_bytes(const struct tokenizer_source *s, int32_t byte_token[256], struct err *e);
/* s->merges from scores, one for each of s->tokens: every two plain tokens that make a third, those of higher score first. */
int spm_merges(struct tokenizer_source *s, const float *score, struct err *e);
/* Appends text[0..n) with its spaces and prefix as "▁"; `first`: it begins the whole text. */
void spm_normalise(struct buf *out, enum spm_prefix prefix, bool first, const char *text, size_t n);
/* Appends the bytes of a plain token's text. */
void spm_bytes(struct buf *out, const char *text, size_t n);
/* Of tokenizer.json: 1 when it has byte fallback and the stages of a SentencePiece kind (s filled), 0 without byte
   fallback, -1 and e when its stages are others. */
int spm_stages(const struct json *root, struct tokenizer_source *s, struct err *e);

/* Cuts "left right" at its only space. */
int merge_source_split(struct merge_source *m, const char *s, size_t n, int64_t index, struct err *e);
#endif
