/* Pre-tokenisers through PCRE2: see pretok.h. The patterns are anchored and cover every character, so a walk is a chain of
   matches, each starting where the last one ended. Quantifiers are possessive where giving back could not help, which keeps
   a run of a million equal characters linear. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "common/text/pretok.h"
#include "common/io/buf.h"
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

/* Letters and numbers that Unicode 15 and 16 added to version 14, the oldest that we meet in PCRE2 (10.40 to 10.42). */
#define NEW_LETTERS                                                                                                     \
    "\\x{1C89}-\\x{1C8A}\\x{A7CB}-\\x{A7CD}\\x{A7DA}-\\x{A7DC}\\x{105C0}-\\x{105F3}\\x{10D4A}-\\x{10D65}"               \
    "\\x{10D6F}-\\x{10D85}\\x{10EC2}-\\x{10EC4}\\x{1123F}-\\x{11240}\\x{11380}-\\x{11389}\\x{1138B}"                    \
    "\\x{1138E}\\x{11390}-\\x{113B5}\\x{113B7}\\x{113D1}\\x{113D3}\\x{11BC0}-\\x{11BE0}\\x{11F02}"                      \
    "\\x{11F04}-\\x{11F10}\\x{11F12}-\\x{11F33}\\x{1342F}\\x{13441}-\\x{13446}\\x{13460}-\\x{143FA}"                    \
    "\\x{16100}-\\x{1611D}\\x{16D40}-\\x{16D6C}\\x{18CFF}\\x{1B132}\\x{1B155}\\x{1DF25}-\\x{1DF2A}"                     \
    "\\x{1E030}-\\x{1E06D}\\x{1E4D0}-\\x{1E4EB}\\x{1E5D0}-\\x{1E5ED}\\x{1E5F0}\\x{2B739}"                               \
    "\\x{2EBF0}-\\x{2EE5D}\\x{31350}-\\x{323AF}"
#define NEW_NUMBERS                                                                                                     \
    "\\x{10D40}-\\x{10D49}\\x{116D0}-\\x{116E3}\\x{11BF0}-\\x{11BF9}\\x{11F50}-\\x{11F59}"                              \
    "\\x{16130}-\\x{16139}\\x{16D70}-\\x{16D79}\\x{1CCF0}-\\x{1CCF9}\\x{1D2C0}-\\x{1D2D3}"                              \
    "\\x{1E4F0}-\\x{1E4F9}\\x{1E5F1}-\\x{1E5FA}"
/* The digits of `smollm` are Rust's char::is_numeric, one Unicode version further. */
#define NEWER_NUMBERS "\\x{11DE0}-\\x{11DE9}\\x{16FF4}-\\x{16FF6}"
#define LETTER "\\p{L}" NEW_LETTERS
#define NUMBER "\\p{N}" NEW_NUMBERS
/* White_Space; PCRE2's own \s would add U+180E. */
#define SPACE "\\x09-\\x0d\\x20\\x85\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define OTHER "[^" SPACE LETTER NUMBER "]"
#define SPACES_BUT_ONE "[" SPACE "]+(?![^" SPACE "])|[" SPACE "]+"

#define GPT2_PATTERN "'(?:[stmd]|re|ve|ll)| ?[" LETTER "]++| ?[" NUMBER "]++| ?" OTHER "++|" SPACES_BUT_ONE
#define LLAMA_PATTERN(numbers)                                                                                          \
    "(?i:'(?:[sdmt]|ll|ve|re))|[^\\r\\n" LETTER NUMBER "]?[" LETTER "]++|[" NUMBER "]" numbers "| ?" OTHER "++[\\r\\n]*+|[" SPACE     \
    "]*[\\r\\n]++|" SPACES_BUT_ONE
#define SMOLLM_OUTER "[" NUMBER NEWER_NUMBERS "]|[^" NUMBER NEWER_NUMBERS "]++"

struct pretok {
    pcre2_code *outer; /* cuts the text before `inner` sees it; NULL: the whole text is one span */
    pcre2_code *inner;
};

static const struct {
    const char *name, *outer, *inner;
} kinds[] = {
    [PRETOK_SMOLLM] = {"smollm", SMOLLM_OUTER, GPT2_PATTERN},
    [PRETOK_GPT2] = {"gpt-2", NULL, GPT2_PATTERN},
    [PRETOK_LLAMA] = {"llama-bpe", NULL, LLAMA_PATTERN("{1,3}+")},
    [PRETOK_QWEN2] = {"qwen2", NULL, LLAMA_PATTERN("")},
};

/* llama.cpp writes Llama-3's under three names. */
static const struct {
    const char *name;
    enum pretok_kind kind;
} names[] = {{"smollm", PRETOK_SMOLLM},    {"gpt-2", PRETOK_GPT2},  {"llama-bpe", PRETOK_LLAMA},
             {"llama-v3", PRETOK_LLAMA}, {"llama3", PRETOK_LLAMA}, {"qwen2", PRETOK_QWEN2}};

int pretok_by_name(const char *s, size_t n) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i].name) == n && !memcmp(names[i].name, s, n)) return names[i].kind;
    return -1;
}

const char *pretok_name(enum pretok_kind k) { return kinds[k].name; }

static pcre2_code *compile(const char *pattern, struct err *e) {
    int code;
    PCRE2_SIZE at;
    uint32_t flags = PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED | PCRE2_NO_UTF_CHECK;
    pcre2_code *c = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, flags, &code, &at, NULL);
    if (!c) {
        PCRE2_UCHAR text[200];
        pcre2_get_error_message(code, text, sizeof text);
        err_set(e, RC_IO, "this PCRE2 cannot compile the pre-tokeniser's pattern: %s at offset %zu", (char *)text, (size_t)at);
        return NULL;
    }
    /* Where there is no JIT this fails and pcre2_match interprets: the same words, later. */
    pcre2_jit_compile(c, PCRE2_JIT_COMPLETE);
    return c;
}

struct pretok *pretok_new(enum pretok_kind k, struct err *e) {
    struct pretok *p = xcalloc(1, sizeof *p);
    if ((kinds[k].outer && !(p->outer = compile(kinds[k].outer, e))) || !(p->inner = compile(kinds[k].inner, e))) {
        pretok_free(p);
        return NULL;
    }
    return p;
}

void pretok_free(struct pretok *p) {
    if (!p) return;
    pcre2_code_free(p->outer);
    pcre2_code_free(p->inner);
    free(p);
}

void pretok_begin(struct pretok_walk *w, const struct pretok *p) {
    *w = (struct pretok_walk){.p = p, .match = pcre2_match_data_create(1, NULL)};
}

void pretok_text(struct pretok_walk *w, const char *text, size_t n) {
    w->text = text;
    w->n = n;
    w->at = 0;
    w->limit = w->p->outer ? 0 : n;
}

void pretok_end(struct pretok_walk *w) {
    pcre2_match_data_free(w->match);
    w->match = NULL;
}

/* End of the match of c at w->at in text[0..limit), or 0 and e. */
static size_t match_end(struct pretok_walk *w, const pcre2_code *c, size_t limit, struct err *e) {
    if (!w->match) return err_set(e, RC_IO, "out of memory for a pattern match"), 0;
    int rc = pcre2_match(c, (PCRE2_SPTR)w->text, limit, w->at, PCRE2_NO_UTF_CHECK, w->match, NULL);
    size_t end = rc >= 0 ? pcre2_get_ovector_pointer(w->match)[1] : 0;
    if (end > w->at) return end;
    PCRE2_UCHAR text[200] = "empty match";
    if (rc < 0) pcre2_get_error_message(rc, text, sizeof text);
    err_set(e, RC_IO, "pre-tokeniser stopped at byte %zu of a text: %s", w->at, (char *)text);
    return 0;
}

int pretok_next(struct pretok_walk *w, const char **word, size_t *len, struct err *e) {
    if (w->at == w->n) return 0;
    if (w->at == w->limit && !(w->limit = match_end(w, w->p->outer, w->n, e))) return -1;
    size_t end = match_end(w, w->p->inner, w->limit, e);
    if (!end) return -1;
    *word = w->text + w->at;
    *len = end - w->at;
    w->at = end;
    return 1;
}
