/* Templates with LangChain's braces: see template.h. */
#include "common/io/template.h"
#include "common/io/io.h"
#include "common/io/json.h"
#include <stdlib.h>
#include <string.h>

#define MAX_TEXT ((size_t)16 << 20)

enum kind { LITERAL, CELL, CELL_JSON };

struct part {
    enum kind kind;
    size_t from, n; /* LITERAL: bytes of `literals`; else the name, in `text` */
    size_t chars_from, chars_n; /* LITERAL: bytes of `chars` */
    size_t at;      /* where it stands in the text, for messages */
    size_t column;  /* once bound */
};

struct template {
    char *name, *text;
    size_t n;            /* bytes of text */
    struct buf literals; /* literal text, braces already single */
    struct buf chars;    /* the same as the content of JSON strings */
    struct part *parts;
    size_t count, cap;
};

/* line:column of byte `at`, characters counted by their first bytes. */
static int fail_at(const struct template *t, size_t at, struct err *e, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static int fail_at(const struct template *t, size_t at, struct err *e, const char *fmt, ...) {
    long line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        if (t->text[i] == '\n')
            line++, column = 1;
        else
            column += ((unsigned char)t->text[i] & 0xC0) != 0x80;
    }
    va_list ap;
    va_start(ap, fmt);
    err_vset(e, RC_INPUT, fmt, ap);
    va_end(ap);
    return err_prefix(e, "%s:%ld:%ld: ", t->name, line, column);
}

static struct part *add_part(struct template *t, enum kind kind, size_t at, size_t from, size_t n) {
    GROW(t->parts, t->count, t->cap);
    t->parts[t->count] = (struct part){.kind = kind, .from = from, .n = n, .at = at};
    return &t->parts[t->count++];
}

static void put_literal(struct template *t, const char *s, size_t n, size_t at) {
    if (!n) return;
    struct part *last = t->count ? &t->parts[t->count - 1] : NULL;
    if (last && last->kind == LITERAL)
        last->n += n;
    else
        add_part(t, LITERAL, at, t->literals.n, n);
    buf_add(&t->literals, s, n);
}

static void add_literal(struct template *t, size_t at, size_t n) { put_literal(t, t->text + at, n, at); }

/* The field that opens at `at`; returns the index behind its }, or 0 after an error. */
static size_t parse_field(struct template *t, size_t at, struct err *e) {
    size_t from = at + 1, end = from;
    while (end < t->n && !strchr("{}\n", t->text[end])) end++;
    if (end == t->n || t->text[end] == '\n')
        return fail_at(t, at, e, "unclosed {, expected } on the same line (a literal brace is written {{)"), 0;
    if (t->text[end] == '{')
        return fail_at(t, end, e, "{ inside a column name, expected } (a literal brace is written {{)"), 0;
    const char *bar = memrchr(t->text + from, '|', end - from);
    size_t n = (bar ? (size_t)(bar - t->text) : end) - from;
    if (bar && (t->text + end - bar != 5 || memcmp(bar, "|json", 5)))
        return fail_at(t, (size_t)(bar - t->text) + 1, e, "unknown filter '%.*s', expected json",
                       (int)(t->text + end - bar - 1 < 60 ? t->text + end - bar - 1 : 60), bar + 1), 0;
    if (!n) return fail_at(t, at, e, "no column name between { and }, expected one (a literal brace is written {{ or }})"), 0;
    add_part(t, bar ? CELL_JSON : CELL, at, from, n);
    return end + 1;
}

static int parse(struct template *t, struct err *e) {
    size_t i = 0;
    while (i < t->n) {
        size_t n = 0;
        while (i + n < t->n && t->text[i + n] != '{' && t->text[i + n] != '}') n++;
        add_literal(t, i, n);
        i += n;
        if (i == t->n) break;
        if (i + 1 < t->n && t->text[i + 1] == t->text[i]) {
            add_literal(t, i, 1);
            i += 2;
        } else if (t->text[i] == '}') {
            return fail_at(t, i, e, "lone }, expected }} for a literal brace");
        } else if (!(i = parse_field(t, i, e))) {
            return -1;
        }
    }
    return t->count ? 0 : fail_at(t, 0, e, "the template is empty, expected text");
}

/* Takes the text without a BOM and without the line end that closes the file. */
static int set_text(struct template *t, const char *text, size_t n, struct err *e) {
    if (n >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3)) text += 3, n -= 3;
    if (n && text[n - 1] == '\n') n -= n > 1 && text[n - 2] == '\r' ? 2 : 1;
    t->text = xmemdup0(text, n);
    t->n = n;
    const char *nul = memchr(t->text, 0, n);
    if (nul) return fail_at(t, (size_t)(nul - t->text), e, "NUL byte, expected text");
    size_t bad = utf8_valid(t->text, n);
    if (bad < n) return fail_at(t, bad, e, "byte 0x%02x is not UTF-8, expected UTF-8 text", (unsigned char)t->text[bad]);
    return 0;
}

static void escape_literals(struct template *t) {
    for (struct part *p = t->parts; p < t->parts + t->count; p++) {
        if (p->kind != LITERAL) continue;
        p->chars_from = t->chars.n;
        json_put_chars(&t->chars, t->literals.p + p->from, p->n);
        p->chars_n = t->chars.n - p->chars_from;
    }
}

struct template *template_parse(const char *text, size_t n, const char *name, struct err *e) {
    struct template *t = xcalloc(1, sizeof *t);
    t->name = xstrdup(name);
    if (set_text(t, text, n, e) == 0 && parse(t, e) == 0) {
        escape_literals(t);
        return t;
    }
    template_free(t);
    return NULL;
}

struct template *template_read(const char *path, struct err *e) {
    struct buf b = BUF_INIT;
    struct template *t = NULL;
    if (io_read_all(path, MAX_TEXT, &b, e) == 0) t = template_parse(b.p, b.n, strcmp(path, "-") ? path : "stdin", e);
    buf_release(&b);
    return t;
}

void template_free(struct template *t) {
    if (!t) return;
    free(t->name);
    free(t->text);
    free(t->parts);
    buf_release(&t->literals);
    buf_release(&t->chars);
    free(t);
}

/* ---- names ---- */
long columns_find(const struct columns *c, const char *name, size_t n) {
    for (size_t i = 0; i < c->n_aliases; i++)
        if (strlen(c->aliases[i].name) == n && !memcmp(c->aliases[i].name, name, n)) return (long)c->aliases[i].column;
    for (size_t i = 0; i < c->n; i++)
        if (c->names[i].n == n && !memcmp(c->names[i].p, name, n)) return (long)i;
    return -1;
}

void columns_list(const struct columns *c, struct buf *b) {
    size_t total = c->n_aliases + c->n, shown = total > 20 ? 20 : total;
    for (size_t i = 0; i < shown; i++) {
        const char *name = i < c->n_aliases ? c->aliases[i].name : c->names[i - c->n_aliases].p;
        buf_addf(b, "%s'%.40s'", i ? ", " : "", name);
    }
    if (shown < total) buf_addf(b, " and %zu more", total - shown);
}

int template_bind(struct template *t, const struct columns *c, struct err *e) {
    for (size_t i = 0; i < t->count; i++) {
        struct part *p = &t->parts[i];
        if (p->kind == LITERAL) continue;
        long column = columns_find(c, t->text + p->from, p->n);
        if (column < 0) {
            struct buf list = BUF_INIT;
            columns_list(c, &list);
            fail_at(t, p->at, e, "unknown column '%.*s', expected one of %s", (int)(p->n < 60 ? p->n : 60), t->text + p->from, list.p);
            buf_release(&list);
            return -1;
        }
        p->column = (size_t)column;
    }
    return 0;
}

void template_used(const struct template *t, bool *used) {
    for (size_t i = 0; i < t->count; i++)
        if (t->parts[i].kind != LITERAL) used[t->parts[i].column] = true;
}

void template_render(const struct template *t, const struct cell *cells, struct buf *b) {
    for (size_t i = 0; i < t->count; i++) {
        const struct part *p = &t->parts[i];
        switch (p->kind) {
        case LITERAL: buf_add(b, t->literals.p + p->from, p->n); break;
        case CELL: buf_add(b, cells[p->column].p, cells[p->column].n); break;
        case CELL_JSON: json_put_string(b, cells[p->column].p, cells[p->column].n); break;
        }
    }
}

void template_render_chars(const struct template *t, const struct cell *cells, struct buf *b) {
    for (size_t i = 0; i < t->count; i++) {
        const struct part *p = &t->parts[i];
        switch (p->kind) {
        case LITERAL: buf_add(b, t->chars.p + p->chars_from, p->chars_n); break;
        case CELL: json_put_chars(b, cells[p->column].p, cells[p->column].n); break;
        case CELL_JSON: json_put_string_chars(b, cells[p->column].p, cells[p->column].n); break;
        }
    }
}

char template_last(const struct template *t, const struct cell *cells) {
    for (size_t i = t->count; i-- > 0;) {
        const struct part *p = &t->parts[i];
        if (p->kind == LITERAL) return t->literals.p[p->from + p->n - 1];
        if (p->kind == CELL_JSON) return '"';
        if (cells[p->column].n) return cells[p->column].p[cells[p->column].n - 1];
    }
    return 0;
}

char template_first(const struct template *t) {
    for (size_t i = 0; i < t->count && t->parts[i].kind == LITERAL; i++) {
        const char *s = t->literals.p + t->parts[i].from;
        size_t skip = strspn(s, " \t\r\n");
        if (skip < t->parts[i].n) return s[skip];
    }
    return 0;
}

/* ---- rewriting ---- */
#define MARK TEMPLATE_MARK
#define MARK_N (sizeof MARK - 1)

/* The template with "MARK i MARK" for its i-th part where that is a cell; false where a cell is not {column|json}. */
static bool put_marked(const struct template *t, struct buf *b) {
    if (t->literals.n && memmem(t->literals.p, t->literals.n, MARK, MARK_N)) return false;
    for (size_t i = 0; i < t->count; i++) {
        const struct part *p = &t->parts[i];
        if (p->kind == CELL) return false;
        if (p->kind == LITERAL)
            buf_add(b, t->literals.p + p->from, p->n);
        else
            buf_addf(b, "\"" MARK "%zu" MARK "\"", i);
    }
    return true;
}

/* Cuts `text` at the marks of t's cells, each of which stands there once and in its turn, into parts of `to`. */
static bool cut_at_marks(const struct template *t, const struct buf *text, struct template *to) {
    const char *s = text->p, *end = s + text->n, *at;
    for (size_t i = 0; i < t->count; i++) {
        char mark[40];
        if (t->parts[i].kind == LITERAL) continue;
        size_t n = (size_t)snprintf(mark, sizeof mark, "\"" MARK "%zu" MARK "\"", i);
        if (!(at = memmem(s, (size_t)(end - s), MARK, MARK_N)) || at == s || (size_t)(end - --at) < n || memcmp(at, mark, n)) return false;
        put_literal(to, s, (size_t)(at - s), 0);
        add_part(to, CELL_JSON, 0, 0, 0)->column = t->parts[i].column;
        s = at + n;
    }
    put_literal(to, s, (size_t)(end - s), 0);
    return !memmem(s, (size_t)(end - s), MARK, MARK_N);
}

struct template *template_rewrite(const struct template *t, bool (*rewrite)(void *, const struct buf *, struct buf *), void *arg) {
    struct template *to = xcalloc(1, sizeof *to);
    struct buf marked = BUF_INIT, text = BUF_INIT;
    to->name = xstrdup(t->name);
    bool done = put_marked(t, &marked) && rewrite(arg, &marked, &text) && text.n && cut_at_marks(t, &text, to);
    buf_release(&marked);
    buf_release(&text);
    if (done) {
        escape_literals(to);
        return to;
    }
    template_free(to);
    return NULL;
}

const char *template_name(const struct template *t) { return t->name; }
