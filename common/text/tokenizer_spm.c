/* SentencePiece's BPE with byte fallback (Llama-2, TinyLlama, Mistral; arXiv 1808.06226): a whole text is one word of
   characters, spaces are "▁", a character without a token becomes its bytes' tokens. */
#include "common/io/strmap.h"
#include "common/text/tokenizer_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SPACE_BYTES (sizeof SPM_SPACE - 1)

/* ---- byte tokens ---- */
static int hex_digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

int spm_byte(const char *text, size_t n) {
    if (n != 6 || memcmp(text, "<0x", 3) || text[5] != '>') return -1;
    int high = hex_digit(text[3]), low = hex_digit(text[4]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

int spm_check_bytes(const struct tokenizer_source *s, int32_t byte_token[256], struct err *e) {
    for (int i = 0; i < 256; i++) byte_token[i] = -1;
    for (int32_t i = 0; i < s->n_tokens; i++) {
        if (s->tokens[i].class != TOKEN_BYTE) continue;
        int byte = spm_byte(s->tokens[i].text, s->tokens[i].n);
        if (byte < 0) return err_set(e, RC_INPUT, "token %d is '%.*s', expected the token of a byte, as <0x0A>", i, (int)(s->tokens[i].n > 80 ? 80 : s->tokens[i].n), s->tokens[i].text);
        if (byte_token[byte] >= 0) return err_set(e, RC_INPUT, "tokens %d and %d are both byte 0x%02X, expected one", byte_token[byte], i, (unsigned)byte);
        byte_token[byte] = i;
    }
    for (int i = 0; i < 256; i++)
        if (byte_token[i] < 0) return err_set(e, RC_INPUT, "byte 0x%02X has no token <0x%02X>, expected byte fallback for every byte", (unsigned)i, (unsigned)i);
    return 0;
}

/* ---- merges from scores ---- */
struct scored {
    struct merge_source m;
    float score;
    int32_t whole;
};

/* Of pairs that make the same token the one with the longer left half first: the order in which transformers lists them. */
static int by_score(const void *x, const void *y) {
    const struct scored *a = x, *b = y;
    if (a->score > b->score || a->score < b->score) return a->score > b->score ? -1 : 1;
    if (a->whole != b->whole) return a->whole < b->whole ? -1 : 1;
    return a->m.n_left > b->m.n_left ? -1 : a->m.n_left < b->m.n_left;
}

static size_t next_char(const char *text, size_t n, size_t at) {
    do at++;
    while (at < n && ((unsigned char)text[at] & 0xc0) == 0x80);
    return at;
}

/* Every way to make token i of two others. A character that is no token would merge by its text alone, which ids cannot say. */
static int add_splits(struct scored **v, size_t *n, size_t *cap, const struct strmap *words, const struct token_source *k, int32_t i, float score, struct err *e) {
    for (size_t at = 0, next; at < k->n; at = next) {
        next = next_char(k->text, k->n, at);
        if (next < k->n || at) {
            if (strmap_get(words, k->text + at, next - at) < 0)
                return err_set(e, RC_INPUT, "token %d '%.*s' has a character that is no token by itself", i, (int)(k->n > 80 ? 80 : k->n), k->text);
        }
        if (next == k->n || strmap_get(words, k->text, next) < 0 || strmap_get(words, k->text + next, k->n - next) < 0) continue;
        GROW(*v, *n, *cap);
        (*v)[(*n)++] = (struct scored){{k->text, k->text + next, next, k->n - next, 0}, score, i};
    }
    return 0;
}

static int take_sorted(struct tokenizer_source *s, struct scored *v, size_t n, struct err *e) {
    if (n > BPE_MAX_TOKENS) return err_set(e, RC_INPUT, "%zu pairs of tokens make a third, expected at most %d", n, BPE_MAX_TOKENS);
    if (n) qsort(v, n, sizeof *v, by_score);
    s->merges = xcalloc(n, sizeof *s->merges);
    s->n_merges = (int32_t)n;
    for (size_t i = 0; i < n; i++) {
        s->merges[i] = v[i].m;
        s->merges[i].rank = i && v[i].score == v[i - 1].score ? s->merges[i - 1].rank : (int32_t)i;
    }
    return 0;
}

int spm_merges(struct tokenizer_source *s, const float *score, struct err *e) {
    struct strmap words = STRMAP_INIT;
    struct scored *v = NULL;
    size_t n = 0, cap = 0;
    int rc = 0;
    for (int32_t i = 0; i < s->n_tokens; i++)
        if (s->tokens[i].class == TOKEN_PLAIN) strmap_put(&words, s->tokens[i].text, s->tokens[i].n, i);
    for (int32_t i = 0; !rc && i < s->n_tokens; i++) {
        if (s->tokens[i].class != TOKEN_PLAIN) continue;
        rc = isnan(score[i]) ? err_set(e, RC_INPUT, "the score of token %d is not a number", i) : add_splits(&v, &n, &cap, &words, &s->tokens[i], i, score[i], e);
    }
    if (!rc) rc = take_sorted(s, v, n, e);
    free(v);
    strmap_release(&words);
    return rc;
}

/* ---- texts ---- */
void spm_normalise(struct buf *out, enum spm_prefix prefix, bool first, const char *text, size_t n) {
    if (!n) return;
    bool has = text[0] == ' ' || (n >= SPACE_BYTES && !memcmp(text, SPM_SPACE, SPACE_BYTES));
    if (prefix == SPM_PREPEND || (prefix == SPM_ALWAYS && !has) || (prefix == SPM_FIRST && first && !has)) buf_adds(out, SPM_SPACE);
    for (const char *p = text, *end = text + n; p < end;) {
        const char *space = memchr(p, ' ', (size_t)(end - p));
        buf_add(out, p, (size_t)((space ? space : end) - p));
        if (space) buf_adds(out, SPM_SPACE);
        p = space ? space + 1 : end;
    }
}

void spm_bytes(struct buf *out, const char *text, size_t n) {
    for (size_t i = 0; i < n;) {
        bool space = n - i >= SPACE_BYTES && !memcmp(text + i, SPM_SPACE, SPACE_BYTES);
        buf_addc(out, space ? ' ' : text[i]);
        i += space ? SPACE_BYTES : 1;
    }
}
