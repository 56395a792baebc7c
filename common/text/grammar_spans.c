/* Sets of code points as spans; see grammar_regex.h. */
#include "common/text/grammar_regex.h"
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define LAST 0x10ffff

void spans_add(struct spans *s, uint32_t from, uint32_t to) {
    GROW(s->v, s->n, s->cap);
    s->v[s->n++] = (struct span){from, to};
}

static int by_start(const void *a, const void *b) {
    const struct span *p = a, *q = b;
    return (p->from > q->from) - (p->from < q->from);
}

void spans_tidy(struct spans *s) {
    size_t to = 0;
    if (!s->n) return;
    qsort(s->v, s->n, sizeof *s->v, by_start);
    for (size_t i = 1; i < s->n; i++) {
        if (s->v[i].from > s->v[to].to + 1) s->v[++to] = s->v[i];
        else if (s->v[i].to > s->v[to].to) s->v[to].to = s->v[i].to;
    }
    s->n = to + 1;
}

void spans_invert(struct spans *s) {
    struct spans r = {0};
    uint32_t from = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (s->v[i].from > from) spans_add(&r, from, s->v[i].from - 1);
        from = s->v[i].to + 1;
    }
    if (from <= LAST) spans_add(&r, from, LAST);
    free(s->v);
    *s = r;
}

/* Every code point but surrogates, as UTF-8; at[] holds the code point that starts at a byte. */
static char *all_text(size_t *n) {
    char *p = xmalloc(4 * (LAST + 1)), *q = p;
    for (uint32_t c = 0; c <= LAST; c++) {
        if (c >= 0xd800 && c <= 0xdfff) continue;
        if (c < 0x80) *q++ = (char)c;
        else if (c < 0x800) *q++ = (char)(0xc0 | c >> 6), *q++ = (char)(0x80 | (c & 63));
        else if (c < 0x10000) *q++ = (char)(0xe0 | c >> 12), *q++ = (char)(0x80 | (c >> 6 & 63)), *q++ = (char)(0x80 | (c & 63));
        else *q++ = (char)(0xf0 | c >> 18), *q++ = (char)(0x80 | (c >> 12 & 63)), *q++ = (char)(0x80 | (c >> 6 & 63)), *q++ = (char)(0x80 | (c & 63));
    }
    *n = (size_t)(q - p);
    return p;
}

static uint32_t code_at(const char *s) {
    const unsigned char *p = (const unsigned char *)s;
    if (*p < 0x80) return *p;
    if (*p < 0xe0) return (uint32_t)(*p & 31) << 6 | (p[1] & 63);
    if (*p < 0xf0) return (uint32_t)(*p & 15) << 12 | (uint32_t)(p[1] & 63) << 6 | (p[2] & 63);
    return (uint32_t)(*p & 7) << 18 | (uint32_t)(p[1] & 63) << 12 | (uint32_t)(p[2] & 63) << 6 | (p[3] & 63);
}

static void collect(struct spans *s, const pcre2_code *re, const char *text, size_t n) {
    pcre2_match_data *m = pcre2_match_data_create_from_pattern(re, NULL);
    for (size_t at = 0; m && at < n;) {
        if (pcre2_match(re, (PCRE2_SPTR)text, n, at, PCRE2_NO_UTF_CHECK, m, NULL) < 0) break;
        size_t *o = pcre2_get_ovector_pointer(m), last = o[1] - 1;
        while (((unsigned char)text[last] & 0xc0) == 0x80) last--;
        spans_add(s, code_at(text + o[0]), code_at(text + last));
        at = o[1];
    }
    pcre2_match_data_free(m);
}

int spans_property(struct spans *s, const char *name, size_t n, struct err *e) {
    struct buf b = BUF_INIT;
    int code;
    PCRE2_SIZE at;
    bool plain = n > 0 && n < 60;
    for (size_t i = 0; i < n; i++) plain &= (name[i] | 32) >= 'a' && (name[i] | 32) <= 'z' ? true : name[i] == '_' || name[i] == '=';
    if (!plain) return err_set(e, RC_INPUT, "broken \\p{…}");
    const char *eq = memchr(name, '=', n);
    if (eq) n -= (size_t)(eq + 1 - name), name = eq + 1;
    buf_addf(&b, "\\p{%.*s}+", (int)n, name);
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)b.p, b.n, PCRE2_UTF, &code, &at, NULL);
    buf_release(&b);
    if (!re) return err_set(e, RC_INPUT, "unknown \\p{%.*s}", (int)n, name);
    size_t len;
    char *text = all_text(&len);
    pcre2_jit_compile(re, PCRE2_JIT_COMPLETE); /* without it, it only runs slower */
    collect(s, re, text, len);
    spans_tidy(s);
    free(text);
    pcre2_code_free(re);
    return 0;
}
