/* Answers under a grammar: see constraint.h. */
#include "common/text/constraint.h"
#include "common/text/forced.h"
#include "common/text/names.h"
#include "common/text/pretok.h"
#include <stdlib.h>
#include <string.h>

#define FORCED_MAX 4096 /* bytes at a time */

struct constraint {
    struct grammar *g;
    struct masker *m;
    const struct vocab *v;
    const struct tokenizer *t;
    struct buf text; /* scratch: the last tokens and the forced text */
    struct ids ids;  /* scratch: its tokens */
    struct forced *forced;
    /* where objects are open */
    bool open;
    size_t prefix;
    struct quoting {
        int32_t token;
        int quotes; /* in it */
    } *quoting;     /* tokens that may end a name */
    size_t n_quoting, cap_quoting;
    struct names scratch;
};

static void token_text(struct constraint *c, int32_t token) {
    buf_clear(&c->text);
    tokenizer_bytes(c->t, token, false, &c->text);
}

struct constraint *constraint_new(struct grammar *g, const struct vocab *v, const struct tokenizer *t) {
    struct constraint *c = xcalloc(1, sizeof *c);
    *c = (struct constraint){.g = g, .m = masker_new(g, v), .v = v, .t = t, .forced = forced_new()};
    c->open = grammar_open(g, &c->prefix);
    for (int32_t i = 0; c->open && i < vocab_size(v); i++) {
        int quotes = 0;
        token_text(c, i);
        for (size_t k = 0; k < c->text.n; k++) quotes += c->text.p[k] == '"';
        if (!quotes) continue;
        GROW(c->quoting, c->n_quoting, c->cap_quoting);
        c->quoting[c->n_quoting++] = (struct quoting){i, quotes};
    }
    return c;
}

void constraint_free(struct constraint *c) {
    if (!c) return;
    masker_free(c->m);
    grammar_free(c->g);
    buf_release(&c->text);
    ids_release(&c->ids);
    forced_free(c->forced);
    names_release(&c->scratch);
    free(c->quoting);
    free(c);
}

uint32_t constraint_shortest(struct constraint *c) { return mask_min_tokens(c->m, grammar_start(c->g)); }
size_t constraint_words(const struct constraint *c) { return ((size_t)vocab_size(c->v) + 31) / 32; }

void constrained_start(struct constrained *a, struct constraint *c, uint32_t tokens) {
    *a = (struct constrained){.state = grammar_start(c->g), .left = tokens, .before = c->prefix};
    if (c->open) a->names = xcalloc(1, sizeof *a->names);
}

void constrained_end(struct constrained *a) {
    if (a->names) names_release(a->names);
    free(a->names);
    a->names = NULL;
}

bool constrained_done(const struct constrained *a, struct constraint *c) { return grammar_done(c->g, a->state); }

/* After a grammar_try: whether what was found since is good. */
static bool found(struct constrained *a, struct constraint *c) {
    if (grammar_beyond(c->g)) a->failed = "the schema or grammar is too tangled here: the search for what may follow went beyond its budget";
    return !a->failed;
}

bool constrained_ended(struct constrained *a, struct constraint *c) {
    if (!grammar_done(c->g, a->state) || !a->left) return grammar_done(c->g, a->state);
    grammar_try(c->g);
    bool ended = grammar_ended(c->g, a->state);
    return found(a, c) && ended;
}

/* ---- names ---- */
static const char twice[] = "whatever may follow would give an object a name that it has";

/* Takes out the n tokens' worth of the mask that would write a name twice. */
static void drop_repeats(struct constrained *a, struct constraint *c, uint32_t *bits, int32_t n) {
    int32_t dropped = 0;
    if (!a->names->text.n) return; /* no object has a name yet */
    for (size_t i = 0; i < c->n_quoting; i++) {
        int32_t token = c->quoting[i].token;
        if (!(bits[token >> 5] >> (token & 31) & 1) || c->quoting[i].quotes < names_quotes(a->names)) continue;
        token_text(c, token);
        if (!names_would(a->names, c->text.p, c->text.n, &c->scratch)) continue;
        bits[token >> 5] &= ~(1u << (token & 31));
        dropped++;
    }
    if (dropped && dropped == n && !grammar_done(c->g, a->state)) a->failed = twice;
}

static void take_names(struct constrained *a, struct constraint *c, int32_t token) {
    token_text(c, token);
    size_t skip = a->before < c->text.n ? a->before : c->text.n;
    a->before -= skip;
    if (names_take(a->names, c->text.p + skip, c->text.n - skip)) a->failed = twice; /* forced */
}

/* ---- tokens ---- */
void constrained_mask(struct constrained *a, struct constraint *c, uint32_t *bits) {
    bool narrowed;
    int32_t n = mask_fill_within(c->m, a->state, a->left, bits, &narrowed);
    if (n < 0) found(a, c);
    else if (a->names && !a->before) drop_repeats(a, c, bits, n);
    a->cut |= narrowed;
}

void constrained_accept(struct constrained *a, struct constraint *c, int32_t token) {
    uint32_t to = mask_accept(c->m, a->state, token);
    if (!found(a, c)) return;
    if (to == GRAMMAR_DEAD || !a->left) BUG("token %d, which the grammar does not take, with %u left", (int)token, a->left);
    if (a->names) take_names(a, c, token);
    a->state = to;
    a->left--;
    a->cut |= !a->left && !grammar_ended(c->g, to);
}

/* ---- forced text ---- */
/* Whether a byte that may follow would be of the word that ends the text, or nobody knows. */
static int joins(struct constraint *c, struct pretok_walk *w, unsigned char byte, struct err *e) {
    size_t end = c->text.n, n, at = 0;
    const char *word;
    int rc;
    buf_addc(&c->text, (char)byte);
    pretok_text(w, c->text.p, c->text.n);
    while ((rc = pretok_next(w, &word, &n, e)) > 0 && at < end) at += n;
    c->text.p[c->text.n = end] = 0;
    return rc < 0 ? -1 : at != end;
}

static bool letter(unsigned b) { return (b | 32) >= 'a' && (b | 32) <= 'z'; }
static bool digit(unsigned b) { return b >= '0' && b <= '9'; }

/* Whether the end of the text is a border for every continuation: 1, 0, -1. */
static int holds(struct constraint *c, struct pretok_walk *w, uint32_t state, struct err *e) {
    bool letters = false, digits = false;
    if (grammar_ended(c->g, state)) return 1;
    if (grammar_done(c->g, state) || c->text.p[c->text.n - 1] == '\'') return 0; /* 's, 're are words */
    for (unsigned b = 0; b < 256; b++) {
        if (grammar_byte(c->g, state, (unsigned char)b) == GRAMMAR_DEAD) continue;
        if (b >= 0x80) return 0;
        if ((letter(b) && letters) || (digit(b) && digits)) continue; /* one is as good as another */
        letters |= letter(b);
        digits |= digit(b);
        int rc = joins(c, w, (unsigned char)b, e);
        if (rc) return rc < 0 ? -1 : 0;
    }
    return 1;
}

static bool all_space(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!strchr(" \t\r\n\v\f", s[i])) return false;
    return true;
}

/* The same where no words are cut first (SentencePiece's kinds): a border stays where no token of the vocabulary joins the
   bytes on both sides. */
static size_t unjoined(struct constraint *c, uint32_t state) {
    size_t n = c->text.n;
    bool open = !grammar_ended(c->g, state);
    for (unsigned b = 0; b < 256 && open && n == c->text.n; b++)
        if (vocab_joins(c->v, (unsigned char)c->text.p[n - 1], (unsigned char)b) && grammar_byte(c->g, state, (unsigned char)b) != GRAMMAR_DEAD) n--;
    while (n > 0 && n < c->text.n && vocab_joins(c->v, (unsigned char)c->text.p[n - 1], (unsigned char)c->text.p[n])) n--;
    return n;
}

/* Bytes of the text up to the last border that stays: all, or those before its last word and the white space at its end. */
static int border(struct constraint *c, uint32_t state, size_t *stable, struct err *e) {
    if (!tokenizer_pretok(c->t)) return *stable = unjoined(c, state), 0;
    struct pretok_walk w;
    const char *word;
    size_t n, at = 0;
    pretok_begin(&w, tokenizer_pretok(c->t));
    int rc = holds(c, &w, state, e);
    *stable = c->text.n;
    if (rc == 0) {
        *stable = 0;
        pretok_text(&w, c->text.p, c->text.n);
        while ((rc = pretok_next(&w, &word, &n, e)) > 0) {
            if (!all_space(c->text.p + at, c->text.n - at)) *stable = at;
            at += n;
        }
    }
    pretok_end(&w);
    return rc < 0 ? -1 : 0;
}

/* Where tokens begin in the text: their number until `stable`, or -1 where none ends there. */
static long tokens_until(struct constraint *c, size_t stable) {
    struct buf b = BUF_INIT;
    long n = 0;
    while ((size_t)n < c->ids.n && b.n < stable) tokenizer_bytes(c->t, c->ids.v[n++], false, &b);
    bool exact = b.n == stable && (!b.n || !memcmp(b.p, c->text.p, b.n));
    buf_release(&b);
    return exact ? n : -1;
}

/* Takes the tokens if they leave room for the end. */
static void take(struct constrained *a, struct constraint *c, const struct ids *forced, struct ids *ids) {
    uint32_t state = a->state;
    if (forced->n > a->left) return;
    for (size_t i = 0; i < forced->n && state != GRAMMAR_DEAD; i++) state = mask_accept(c->m, state, forced->v[i]);
    bool fits = state != GRAMMAR_DEAD && mask_min_tokens(c->m, state) <= a->left - (uint32_t)forced->n;
    if (!found(a, c) || !fits) return;
    for (size_t i = 0; i < forced->n; i++) {
        ids_add(ids, forced->v[i]);
        constrained_accept(a, c, forced->v[i]);
    }
}

/* The text of the last tokens, from the border of a character on; returns how many they are. */
static size_t context(struct constraint *c, const int32_t *ids, size_t n) {
    size_t k = n < FORCED_CONTEXT ? n : FORCED_CONTEXT;
    for (;; k--) {
        buf_clear(&c->text);
        buf_add(&c->text, "", 0);
        for (size_t i = n - k; i < n; i++) tokenizer_bytes(c->t, ids[i], false, &c->text);
        if (!c->text.n || ((unsigned char)*c->text.p & 0xc0) != 0x80) return k;
    }
}

/* c->ids: the tokens of the text as it stands inside a longer one. SentencePiece's kinds put a space before what they are given:
   so they are given a byte first that joins nothing, and its tokens and those before it go. */
static int encode(struct constraint *c, struct err *e) {
    static const char guard = 1;
    struct buf b = BUF_INIT;
    size_t k = 0;
    bool guarded = !tokenizer_pretok(c->t), seen = !guarded;
    if (guarded) buf_addc(&b, guard);
    buf_add(&b, c->text.p, c->text.n);
    c->ids.n = 0;
    int rc = tokenizer_encode(c->t, b.p, b.n, &c->ids, e);
    while (rc == 0 && !seen && k < c->ids.n) {
        buf_clear(&b);
        tokenizer_bytes(c->t, c->ids.v[k++], false, &b);
        seen = b.n == 1 && *b.p == guard;
    }
    c->ids.n -= k; /* 0 when the guard joined something */
    memmove(c->ids.v, c->ids.v + k, c->ids.n * sizeof *c->ids.v);
    buf_release(&b);
    return rc;
}

/* What must follow, as c->ids[*from..*to). */
static int find_forced(struct constrained *a, struct constraint *c, const int32_t *ids, size_t n, long *from, long *to, struct err *e) {
    size_t known = context(c, ids, n), before = c->text.n, stable;
    const int32_t *last = ids + n - known;
    *from = *to = 0;
    grammar_try(c->g);
    uint32_t state = grammar_forced(c->g, a->state, FORCED_MAX, &c->text);
    if (!found(a, c)) return 0;
    if (c->text.n == before || utf8_valid(c->text.p, c->text.n) != c->text.n) return 0; /* nothing, or half a character */
    if (border(c, state, &stable, e) < 0) return -1;
    if (!found(a, c)) return 0;
    if (stable <= before) return 0;
    if (encode(c, e) < 0) return -1;
    bool same = c->ids.n > known && (!known || !memcmp(c->ids.v, last, known * sizeof *last));
    if (!same) { /* the model cut its text in another way: the forced text by itself */
        if (((unsigned char)c->text.p[before] & 0xc0) == 0x80) return 0; /* the rest of a character that the model began */
        memmove(c->text.p, c->text.p + before, c->text.n - before + 1);
        c->text.n -= before;
        stable -= before;
        known = 0;
        if (encode(c, e) < 0) return -1;
    }
    long end = tokens_until(c, stable);
    if (end > (long)known) *from = (long)known, *to = end;
    return 0;
}

int constrained_force(struct constrained *a, struct constraint *c, struct ids *ids, size_t first, struct err *e) {
    long from, to;
    if (!a->left) return 0;
    const struct forced_key key = forced_key(a->state, ids->n > first ? ids->v + first : NULL, ids->n - first);
    const struct ids *forced = forced_find(c->forced, &key);
    if (!forced) {
        if (find_forced(a, c, ids->n > first ? ids->v + first : NULL, ids->n - first, &from, &to, e) < 0) return -1;
        if (a->failed || to == from) return 0;
        forced = forced_keep(c->forced, &key, c->ids.v + from, (size_t)(to - from));
    }
    take(a, c, forced, ids);
    return 0;
}
