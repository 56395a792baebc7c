/* Characters: code points as bytes, plain or inside JSON strings; see grammar_impl.h. */
#include "common/text/grammar_impl.h"
#include <string.h>

term lex_digit(struct terms *x, char from, char to) {
    return from > to ? TERM_EMPTY : term_range(x, (unsigned char)from, (unsigned char)to);
}

/* ---- UTF-8 ---- */
static int utf8_put(uint32_t c, unsigned char *p) {
    int n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (int i = n - 1; i > 0; i--, c >>= 6) p[i] = (unsigned char)(0x80 | (c & 0x3f));
    p[0] = (unsigned char)(lead[n] | c);
    return n;
}

/* Code points from..to of one encoded length: cut until all trailing bytes of a piece span whole ranges. */
static term utf8_piece(struct terms *x, uint32_t from, uint32_t to) {
    for (int i = 1; i < 4; i++) {
        uint32_t m = ((uint32_t)1 << 6 * i) - 1;
        if ((from & ~m) == (to & ~m)) continue;
        if (from & m) return term_or2(x, utf8_piece(x, from, from | m), utf8_piece(x, (from | m) + 1, to));
        if ((to & m) != m) return term_or2(x, utf8_piece(x, from, (to & ~m) - 1), utf8_piece(x, to & ~m, to));
    }
    unsigned char a[4], b[4];
    int n = utf8_put(from, a);
    utf8_put(to, b);
    term t = TERM_EPS;
    while (n--) t = term_cat(x, term_range(x, a[n], b[n]), t);
    return t;
}

static term utf8_span(struct terms *x, uint32_t from, uint32_t to) {
    static const uint32_t ends[] = {0x7f, 0x7ff, 0xd7ff, 0xdfff, 0xffff, 0x10ffff};
    term t = TERM_EMPTY;
    uint32_t start = 0;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; start = ends[i++] + 1) {
        uint32_t lo = from > start ? from : start, hi = to < ends[i] ? to : ends[i];
        if (lo <= hi && i != 3) t = term_or2(x, t, utf8_piece(x, lo, hi)); /* piece 3: surrogates */
    }
    return t;
}

term lex_spans_raw(struct terms *x, const struct span *v, size_t n) {
    struct byteset ascii = {{0}};
    term t = TERM_EMPTY;
    for (size_t i = 0; i < n; i++) {
        if (v[i].from < 0x80) byteset_add(&ascii, v[i].from, v[i].to < 0x7f ? v[i].to : 0x7f);
        if (v[i].to >= 0x80) t = term_or2(x, t, utf8_span(x, v[i].from > 0x80 ? v[i].from : 0x80, v[i].to));
    }
    return term_or2(x, term_set(x, &ascii), t);
}

/* ---- inside JSON strings ---- */
static bool must_escape(unsigned c) { return c < 0x20 || c == '"' || c == '\\'; }

/* Characters as json_put_string escapes them. Factored: a state inside a string has this in every part of it. */
struct escapes {
    struct byteset short_, low[2]; /* \n and so on; the last digit behind \u000 and \u001 */
};

static void add_escape(struct escapes *to, char c) {
    struct buf b = BUF_INIT;
    json_put_string(&b, &c, 1);
    const unsigned char *s = (unsigned char *)b.p + 1; /* behind the quote */
    if (b.n == 4) byteset_add(&to->short_, s[1], s[1]);
    else if (b.n == 8 && !memcmp(s, "\\u00", 4) && (s[4] == '0' || s[4] == '1')) byteset_add(&to->low[s[4] - '0'], s[5], s[5]);
    else BUG("an escape that is none: %s", b.p);
    buf_release(&b);
}

static term escapes_term(struct terms *x, const struct escapes *e) {
    term low = term_or2(x, term_cat(x, term_byte(x, '0'), term_set(x, &e->low[0])), term_cat(x, term_byte(x, '1'), term_set(x, &e->low[1])));
    return term_cat(x, term_byte(x, '\\'), term_or2(x, term_set(x, &e->short_), term_cat(x, term_str(x, "u00"), low)));
}

term lex_spans(struct terms *x, const struct span *v, size_t n) {
    struct byteset ascii = {{0}};
    struct escapes e = {0};
    term beyond = TERM_EMPTY;
    for (size_t i = 0; i < n; i++) {
        for (uint32_t c = v[i].from; c <= v[i].to && c < 0x80; c++) {
            if (!must_escape(c)) byteset_add(&ascii, c, c);
            else add_escape(&e, (char)c);
        }
        if (v[i].to >= 0x80) beyond = term_or2(x, beyond, utf8_span(x, v[i].from > 0x80 ? v[i].from : 0x80, v[i].to));
    }
    return term_or(x, (term[]){beyond, term_set(x, &ascii), escapes_term(x, &e)}, 3);
}

static term set_of(struct terms *x, const char *bytes) {
    struct byteset s = {{0}};
    for (; *bytes; bytes++) byteset_add(&s, (unsigned char)*bytes, (unsigned char)*bytes);
    return term_set(x, &s);
}

/* XXXX behind \u: any but a lone surrogate, a pair being one character. */
static term unicode_escape(struct terms *x) {
    term h = set_of(x, "0123456789abcdefABCDEF"), hh = term_cat(x, h, h), d = set_of(x, "dD");
    term below = term_cat(x, set_of(x, "0123456789abcABCefEF"), term_cat(x, h, hh));
    term d7 = term_cat(x, d, term_cat(x, set_of(x, "01234567"), hh));
    term high = term_cat(x, d, term_cat(x, set_of(x, "89abAB"), hh));
    term low = term_cat(x, d, term_cat(x, set_of(x, "cdefCDEF"), hh));
    return term_or(x, (term[]){below, d7, term_cat(x, high, term_cat(x, term_str(x, "\\u"), low))}, 3);
}

void lex_init(struct grammar *g) {
    struct terms *x = &g->x;
    static const struct span every[] = {{0, 0x10ffff}}, beyond[] = {{0x80, 0x10ffff}};
    struct byteset plain = {{0}};
    byteset_add(&plain, 0x20, 0x21);
    byteset_add(&plain, 0x23, 0x5b);
    byteset_add(&plain, 0x5d, 0x7f);
    g->char_plain = lex_spans(x, every, 1);
    term escape = term_or2(x, set_of(x, "\"\\/bfnrt"), term_cat(x, term_byte(x, 'u'), unicode_escape(x)));
    g->char_free = term_or(x, (term[]){term_set(x, &plain), lex_spans_raw(x, beyond, 1), term_cat(x, term_byte(x, '\\'), escape)}, 3);
}
