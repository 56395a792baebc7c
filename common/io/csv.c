/* A strict streaming CSV reader: see csv.h. RFC 4180, section 2. */
#include "common/io/csv.h"
#include "common/io/buf.h"
#include "common/io/io.h"
#include "common/io/json.h"
#include "common/io/strmap.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define PIECE ((size_t)1 << 16)
#define END (-1)    /* of the input */
#define BROKEN (-2) /* read error */

struct csv {
    struct in in;
    const char *name;
    char delimiter;
    unsigned char *piece; /* PIECE bytes of input, at..n of them still to come */
    size_t at, n;
    bool nul;             /* there was a NUL in some piece */
    int64_t line, start; /* the line being read; the line where the record began */
    struct buf text;     /* the record's cells, each ended by a NUL */
    size_t *begins;      /* where each cell starts in text */
    struct cell *cells;
    size_t count, cap; /* cells of the record; capacity of begins and cells */
    struct cell *names; /* the header, NULL until it is read */
    size_t columns;
    char *names_text;
};

static int fail(struct csv *c, int64_t line, struct err *e, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static int fail(struct csv *c, int64_t line, struct err *e, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    err_vset(e, RC_INPUT, fmt, ap);
    va_end(ap);
    return err_prefix(e, "%s:%lld: ", c->name, (long long)line);
}

/* How messages call cell i: by its column's name once there is one. */
static const char *called(const struct csv *c, size_t i, char s[100]) {
    if (c->names && i < c->columns)
        snprintf(s, 100, "column '%.60s'", c->names[i].p);
    else
        snprintf(s, 100, "cell %zu", i + 1);
    return s;
}

/* ---- bytes ---- */
static int peek(struct csv *c) {
    if (c->at < c->n) return c->piece[c->at];
    c->at = 0;
    c->n = fread(c->piece, 1, PIECE, c->in.f);
    c->nul = c->nul || memchr(c->piece, 0, c->n);
    if (c->n) return c->piece[0];
    return ferror(c->in.f) ? BROKEN : END;
}

static int broken(struct csv *c, struct err *e) { return err_sys(e, "cannot read %s", c->name); }

static int take(struct csv *c, size_t n, struct err *e) {
    if (c->text.n + n > CSV_MAX_RECORD)
        return fail(c, c->start, e, "the record is larger than %zu MiB, expected a quote to close before", CSV_MAX_RECORD >> 20);
    buf_add(&c->text, c->piece + c->at, n);
    c->at += n;
    return 0;
}

/* ---- cells: each reads up to, not past, the byte that ends it ---- */
static bool ends_cell(const struct csv *c, int b) { return b == c->delimiter || b == '\n' || b == '\r' || b == '"'; }

/* First byte of the piece from i on that ends an unquoted cell or may not stand in one; or its end. */
static size_t cell_end(const struct csv *c, size_t i) {
#ifdef __SSE2__
    const __m128i delimiter = _mm_set1_epi8(c->delimiter);
    for (; c->n - i >= 16; i += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(c->piece + i));
        __m128i hit = _mm_or_si128(_mm_cmpeq_epi8(x, delimiter), _mm_cmpeq_epi8(x, _mm_set1_epi8('\n')));
        hit = _mm_or_si128(hit, _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('\r')), _mm_cmpeq_epi8(x, _mm_set1_epi8('"'))));
        int mask = _mm_movemask_epi8(hit);
        if (mask) return i + (size_t)__builtin_ctz((unsigned)mask);
    }
#endif
    while (i < c->n && !ends_cell(c, c->piece[i])) i++;
    return i;
}

static int read_plain(struct csv *c, struct err *e) {
    char s[100];
    int b;
    while ((b = peek(c)) >= 0) {
        size_t i = cell_end(c, c->at);
        if (i < c->n) b = c->piece[i];
        if (take(c, i - c->at, e) < 0) return -1;
        if (i == c->n) continue;
        if (b != '"') return 0;
        return fail(c, c->start, e, "quote inside the unquoted %s, expected the cell in quotes and its quotes doubled",
                    called(c, c->count - 1, s));
    }
    return b == BROKEN ? broken(c, e) : 0;
}

/* The bytes up to the next quote, over as many lines as it takes. */
static int read_to_quote(struct csv *c, int64_t opened, struct err *e) {
    char s[100];
    int b;
    while ((b = peek(c)) >= 0) {
        const unsigned char *from = c->piece + c->at, *quote = memchr(from, '"', c->n - c->at);
        size_t n = quote ? (size_t)(quote - from) : c->n - c->at;
        for (const unsigned char *p = from; (p = memchr(p, '\n', (size_t)(from + n - p))); p++) c->line++;
        if (take(c, n, e) < 0) return -1;
        if (quote) return 0;
    }
    if (b == BROKEN) return broken(c, e);
    return fail(c, opened, e, "the quote that opens %s is never closed, expected \" before the end of the file",
                called(c, c->count - 1, s));
}

static int read_quoted(struct csv *c, struct err *e) {
    int64_t opened = c->line;
    char s[100];
    for (;;) {
        c->at++; /* the opening quote, or the second of a doubled one */
        if (read_to_quote(c, opened, e) < 0) return -1;
        c->at++;
        int b = peek(c);
        if (b == BROKEN) return broken(c, e);
        if (b == c->delimiter || b == '\n' || b == '\r' || b == END) return 0;
        if (b != '"')
            return fail(c, c->start, e, "byte %s%c%s (0x%02x) after the closing quote of %s, expected '%c' or the end of the line",
                        "'", b > 32 && b < 127 ? b : '?', "'", b, called(c, c->count - 1, s), c->delimiter);
        buf_addc(&c->text, '"');
    }
}

static int check_text(struct csv *c, size_t i, struct err *e) {
    const char *p = c->text.p + c->begins[i];
    size_t n = (i + 1 < c->count ? c->begins[i + 1] : c->text.n) - c->begins[i] - 1, bad = utf8_valid(p, n);
    char s[100];
    if (memchr(p, 0, n)) return fail(c, c->start, e, "NUL byte in %s, expected text", called(c, i, s));
    if (bad < n)
        return fail(c, c->start, e, "byte 0x%02x of %s is not UTF-8, expected UTF-8 text (Latin-1? iconv -f latin1 -t utf-8)",
                    (unsigned char)p[bad], called(c, i, s));
    return 0;
}

/* The cells and the NULs between them are looked at as one text; cell by cell only where something is wrong. */
static int check_record(struct csv *c, struct err *e) {
    if (!c->nul && utf8_valid(c->text.p, c->text.n) == c->text.n) return 0;
    for (size_t i = 0; i < c->count; i++)
        if (check_text(c, i, e) < 0) return -1;
    return 0;
}

static int read_cell(struct csv *c, struct err *e) {
    GROW(c->begins, c->count, c->cap);
    c->begins[c->count++] = c->text.n;
    int b = peek(c);
    if (b == BROKEN) return broken(c, e);
    if ((b == '"' ? read_quoted(c, e) : read_plain(c, e)) < 0) return -1;
    buf_addc(&c->text, 0);
    return 0;
}

/* ---- records ---- */
/* What follows a cell: 1 another cell, 0 the record's end, -1 an error. */
static int separator(struct csv *c, struct err *e) {
    int b = peek(c);
    if (b == BROKEN) return broken(c, e);
    if (b == END) return 0;
    c->at++;
    if (b == c->delimiter) return 1;
    if (b == '\r') {
        b = peek(c);
        if (b == BROKEN) return broken(c, e);
        if (b != '\n') return fail(c, c->start, e, "carriage return without a line feed, expected CRLF or LF");
        c->at++;
    }
    c->line++;
    return 0;
}

/* Gives every cell its pointer, now that the text no longer moves. */
static void place_cells(struct csv *c) {
    c->cells = xrealloc(c->cells, c->cap, sizeof *c->cells);
    for (size_t i = 0; i < c->count; i++) {
        size_t end = i + 1 < c->count ? c->begins[i + 1] : c->text.n;
        c->cells[i] = (struct cell){c->text.p + c->begins[i], end - 1 - c->begins[i]};
    }
}

static int read_record(struct csv *c, struct err *e) {
    int more, b = peek(c);
    if (b == BROKEN) return broken(c, e);
    if (b == END) return 0;
    c->start = c->line;
    c->count = 0;
    buf_clear(&c->text);
    do
        if (read_cell(c, e) < 0) return -1;
    while ((more = separator(c, e)) > 0);
    if (more < 0 || check_record(c, e) < 0) return -1;
    place_cells(c);
    return 1;
}

static int check_names(struct csv *c, struct err *e) {
    struct strmap seen = STRMAP_INIT;
    int rc = 0;
    for (size_t i = 0; !rc && i < c->columns; i++) {
        const struct cell *name = &c->names[i];
        if (!name->n)
            rc = fail(c, c->start, e, "column %zu has no name, expected unique names", i + 1);
        else if (!strmap_put(&seen, name->p, name->n, (int)i))
            rc = fail(c, c->start, e, "column name '%.60s' stands twice (columns %d and %zu), expected unique names",
                      name->p, strmap_get(&seen, name->p, name->n) + 1, i + 1);
    }
    strmap_release(&seen);
    return rc;
}

static int read_header(struct csv *c, struct err *e) {
    int b = peek(c);
    if (b == 0xEF && c->n >= 3 && !memcmp(c->piece, "\xEF\xBB\xBF", 3)) c->at = 3;
    if (c->n >= 2 && (!memcmp(c->piece, "\xFF\xFE", 2) || !memcmp(c->piece, "\xFE\xFF", 2)))
        return fail(c, 1, e, "UTF-16 text, expected UTF-8");
    int rc = read_record(c, e);
    if (rc < 0) return -1;
    if (!rc) return fail(c, 1, e, "the file is empty, expected a row of column names");
    /* The header keeps this record's memory; the rows get their own. */
    c->names = c->cells;
    c->columns = c->count;
    c->names_text = buf_detach(&c->text);
    c->cells = NULL;
    return check_names(c, e);
}

int csv_next(struct csv *c, struct err *e) {
    int rc = read_record(c, e);
    if (rc <= 0 || c->count == c->columns) return rc;
    if (c->count == 1 && !c->cells[0].n)
        return fail(c, c->start, e, "empty line, expected %zu cells as in the header", c->columns);
    return fail(c, c->start, e, "%zu cell%s, expected %zu as in the header", c->count, c->count == 1 ? "" : "s", c->columns);
}

/* ---- opening ---- */
static struct csv *start(struct in in, const char *name, char delimiter, struct err *e) {
    struct csv *c = xcalloc(1, sizeof *c);
    c->in = in;
    c->name = name;
    c->delimiter = delimiter;
    c->line = 1;
    c->piece = xmalloc(PIECE);
    if (read_header(c, e) == 0) return c;
    csv_close(c);
    return NULL;
}

struct csv *csv_from(FILE *f, const char *name, char delimiter, struct err *e) {
    struct in in = {.f = f, .name = NULL}; /* no name: not ours to close */
    return start(in, name, delimiter, e);
}

struct csv *csv_open(const char *path, char delimiter, struct err *e) {
    struct in in;
    if (in_open(&in, path, e) < 0) return NULL;
    return start(in, in.name, delimiter, e);
}

void csv_close(struct csv *c) {
    if (!c) return;
    if (c->in.name) in_close(&c->in);
    buf_release(&c->text);
    free(c->piece);
    free(c->begins);
    free(c->cells);
    free(c->names);
    free(c->names_text);
    free(c);
}

size_t csv_columns(const struct csv *c) { return c->columns; }
const struct cell *csv_names(const struct csv *c) { return c->names; }
const char *csv_name(const struct csv *c) { return c->name; }
const struct cell *csv_cells(const struct csv *c) { return c->cells; }
int64_t csv_line(const struct csv *c) { return c->start; }
