/* The reader that forgives by the rules of repair.h, and writes what it understood as JSON. A reader returns KEPT when it
   has written a value, DROPPED when the text ended before there was one (nothing is written then), FAILED. */
#include "common/io/json_number.h"
#include "common/io/json_scan.h"
#include "common/text/repair.h"
#include <string.h>

enum { FAILED = -1, DROPPED = 0, KEPT = 1 };

struct mend {
    const char *p, *end;
    struct buf *out;
    struct buf string; /* the one being read, decoded */
    unsigned rules;
    int depth;
    bool cut; /* the text has ended inside */
    const char *what, *at;
};

static int fail(struct mend *m, const char *at, const char *what) {
    m->what = what;
    m->at = at;
    return FAILED;
}

static void apply(struct mend *m, enum repair_rule rule) { m->rules |= 1u << rule; }

static int cut(struct mend *m) {
    m->cut = true;
    m->p = m->end;
    apply(m, REPAIR_CUT_END);
    return DROPPED;
}

/* ---- between tokens ---- */
static bool at_comment(const struct mend *m, const char *p) { return m->end - p >= 2 && p[0] == '/' && (p[1] == '/' || p[1] == '*'); }

static void skip(struct mend *m) {
    while (m->p = json_skip_space(m->p, m->end), at_comment(m, m->p)) {
        apply(m, REPAIR_COMMENTS);
        bool line = m->p[1] == '/';
        const char *stop = line ? memchr(m->p, '\n', (size_t)(m->end - m->p)) : memmem(m->p + 2, (size_t)(m->end - m->p - 2), "*/", 2);
        m->p = !stop ? m->end : line ? stop : stop + 2;
    }
}

/* ---- quotes ---- */
enum quote { NO_QUOTE, DOUBLE, SINGLE, SMART_DOUBLE, SMART_SINGLE };

/* The quotation mark at p and its length in bytes. “ ” „ are U+201C D E, ‘ ’ ‚ are U+2018 9 A: E2 80 98…9E. */
static enum quote quote_at(const struct mend *m, const char *p, size_t *len) {
    *len = 1;
    if (p == m->end) return NO_QUOTE;
    if (*p == '"') return DOUBLE;
    if (*p == '\'') return SINGLE;
    if (m->end - p < 3 || memcmp(p, "\xE2\x80", 2)) return NO_QUOTE;
    unsigned char c = (unsigned char)p[2];
    *len = 3;
    if (c >= 0x9C && c <= 0x9E) return SMART_DOUBLE;
    return c >= 0x98 && c <= 0x9A ? SMART_SINGLE : NO_QUOTE;
}

static bool pairs(enum quote open, enum quote q) {
    switch (open) {
    case DOUBLE: return q == DOUBLE;
    case SINGLE: return q == SINGLE;
    case SMART_DOUBLE: return q == DOUBLE || q == SMART_DOUBLE;
    case SMART_SINGLE: return q == SINGLE || q == SMART_SINGLE;
    default: return false;
    }
}

/* Whether a quote that ends right before p ends the string: by what follows. */
static bool ends_string(const struct mend *m, const char *p, bool key) {
    size_t len;
    const char *next = json_skip_space(p, m->end);
    if (next == m->end) return true;
    if (key) return *next == ':';
    if (*next == ',' || *next == '}' || *next == ']' || at_comment(m, next)) return true;
    return memchr(p, '\n', (size_t)(next - p)) && quote_at(m, next, &len) != NO_QUOTE;
}

/* ---- strings ---- */
/* Whether all that is left from p, the digits of a \u escape, begins an escape or a surrogate pair. */
static bool unfinished_unicode(const char *p, const char *end) {
    static const char form[] = "hhhh\\uhhhh";
    size_t n = (size_t)(end - p);
    if (n >= sizeof form - 1) return false;
    for (size_t i = 0; i < n; i++) {
        bool hex = (p[i] >= '0' && p[i] <= '9') || ((p[i] | 32) >= 'a' && (p[i] | 32) <= 'f');
        if (form[i] == 'h' ? !hex : p[i] != form[i]) return false;
    }
    int32_t first = json_hex4(p, end);
    return n < 4 || (first >= 0xD800 && first <= 0xDBFF);
}

/* The escape at m->p; DROPPED if the text ends inside it. */
static int read_escape(struct mend *m, enum quote open) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char utf8[4], c = m->end - m->p > 1 ? m->p[1] : 0;
    int32_t code = -1;
    if (m->end - m->p < 2) return cut(m);
    const char *hit = c ? strchr(from, c) : NULL, *p = m->p + 2;
    if (hit || c == '\'') {
        if (c == '\'' && open == DOUBLE) apply(m, REPAIR_ESCAPES);
        buf_addc(&m->string, hit ? to[hit - from] : c);
        m->p += 2;
        return KEPT;
    }
    if (c == 'u') {
        code = json_unicode(&p, m->end);
        if (code < 0 && unfinished_unicode(p, m->end)) return cut(m);
    } else if (c == 'x') {
        char four[] = {'0', '0', p < m->end ? p[0] : 0, m->end - p > 1 ? p[1] : 0};
        if (m->end - p < 2) return cut(m);
        code = json_hex4(four, four + 4);
        p += 2;
        apply(m, REPAIR_ESCAPES);
    }
    if (code < 0) return fail(m, m->p, "unknown escape in a string");
    buf_add(&m->string, utf8, json_utf8(utf8, (uint32_t)code));
    m->p = p;
    return KEPT;
}

/* A string into m->string, m->p at its opening quote. DROPPED: the text ended inside (m->string holds what stood). */
static int read_string(struct mend *m, bool key) {
    size_t len;
    const char *start = m->p;
    enum quote open = quote_at(m, start, &len);
    bool inner = false, breaks = false;
    m->p += len;
    buf_clear(&m->string);
    if (open == SINGLE) apply(m, REPAIR_SINGLE_QUOTES);
    if (open == SMART_DOUBLE || open == SMART_SINGLE) apply(m, REPAIR_SMART_QUOTES);
    for (;;) {
        if (m->p == m->end) return inner ? fail(m, start, "string without its closing quote") : cut(m);
        if (*m->p == '\\') {
            int rc = read_escape(m, open);
            if (rc != KEPT) return rc;
            continue;
        }
        if (pairs(open, quote_at(m, m->p, &len))) {
            m->p += len;
            if (ends_string(m, m->p, key)) break;
            inner = true;
            buf_add(&m->string, m->p - len, len);
            continue;
        }
        if ((unsigned char)*m->p < 0x20) apply(m, REPAIR_CONTROL_CHARS);
        breaks = breaks || *m->p == '\n';
        buf_addc(&m->string, *m->p++);
    }
    if (inner && breaks) return fail(m, start, "string without its closing quote");
    if (inner) apply(m, REPAIR_INNER_QUOTES);
    return KEPT;
}

static bool key_byte(char c) {
    return (unsigned char)c >= 0x80 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' || c == '-';
}

/* A key into m->string. */
static int read_key(struct mend *m) {
    size_t len;
    if (quote_at(m, m->p, &len) != NO_QUOTE) return read_string(m, true);
    const char *start = m->p;
    while (m->p < m->end && key_byte(*m->p)) m->p++;
    if (m->p == start) return fail(m, start, "expected a key");
    if (m->p == m->end) return cut(m);
    apply(m, REPAIR_BARE_KEYS);
    buf_clear(&m->string);
    buf_add(&m->string, start, (size_t)(m->p - start));
    return KEPT;
}

/* ---- values ---- */
static int mend_value(struct mend *m);

static int mend_string(struct mend *m) {
    if (read_string(m, false) == FAILED) return FAILED;
    json_put_string(m->out, m->string.n ? m->string.p : "", m->string.n);
    return KEPT;
}

static int mend_number(struct mend *m) {
    const char *what = NULL, *stop = json_number_end(m->p, m->end, &what);
    if (stop == m->end) return cut(m);
    if (what) return fail(m, stop, what);
    buf_add(m->out, m->p, (size_t)(stop - m->p));
    m->p = stop;
    return KEPT;
}

static int mend_word(struct mend *m) {
    static const char *const words[] = {"true", "false", "null", "True", "False", "None"};
    const char *start = m->p, *stop = start;
    while (stop < m->end && ((*stop | 32) >= 'a' && (*stop | 32) <= 'z')) stop++;
    size_t n = (size_t)(stop - start);
    for (int i = 0; n && i < 6; i++) {
        if (strncmp(words[i], start, n)) continue;
        if (words[i][n]) {
            if (stop == m->end) return cut(m);
            continue;
        }
        if (i >= 3) apply(m, REPAIR_PYTHON_LITERALS);
        buf_adds(m->out, words[i % 3]);
        m->p = stop;
        return KEPT;
    }
    return fail(m, start, "unexpected text, expected a value");
}

/* Takes back what stood from `keep` on. */
static void take_back(struct mend *m, size_t keep) {
    m->out->n = keep;
    m->out->p[keep] = 0;
}

static int mend_member(struct mend *m) {
    int rc = read_key(m);
    if (rc != KEPT) return rc;
    skip(m);
    if (m->p == m->end) return cut(m);
    if (*m->p != ':') return fail(m, m->p, "expected : after a key");
    m->p++;
    json_put_string(m->out, m->string.n ? m->string.p : "", m->string.n);
    buf_addc(m->out, ':');
    return mend_value(m);
}

/* Behind an element or member: KEPT if another may follow, DROPPED at the end of the container, m->p behind it. */
static int mend_comma(struct mend *m, char close) {
    if (m->cut) return DROPPED;
    skip(m);
    if (m->p == m->end) return cut(m);
    if (*m->p == close) return m->p++, DROPPED;
    if (*m->p != ',') {
        apply(m, REPAIR_MISSING_COMMA); /* whether something begins here, its reader says */
        return KEPT;
    }
    m->p++;
    skip(m);
    if (m->p == m->end) return cut(m);
    if (*m->p != close) return KEPT;
    apply(m, REPAIR_TRAILING_COMMA);
    return m->p++, DROPPED;
}

static int mend_container(struct mend *m, char close) {
    size_t start = m->out->n, count = 0;
    int rc = KEPT;
    if (++m->depth > JSON_MAX_DEPTH) return fail(m, m->p, "nested too deeply");
    buf_addc(m->out, *m->p++);
    skip(m);
    if (m->p < m->end && *m->p == close) m->p++, rc = DROPPED;
    while (rc == KEPT) {
        size_t keep = m->out->n;
        if (m->p == m->end) {
            cut(m);
            break;
        }
        if (count) buf_addc(m->out, ',');
        rc = close == '}' ? mend_member(m) : mend_value(m);
        if (rc == FAILED) return FAILED;
        if (rc == DROPPED) take_back(m, keep);
        count += rc == KEPT;
        if (rc == KEPT) rc = mend_comma(m, close);
    }
    m->depth--;
    if (m->cut && !count) return take_back(m, start), DROPPED;
    buf_addc(m->out, close);
    return KEPT;
}

static int mend_value(struct mend *m) {
    size_t len;
    skip(m);
    if (m->p == m->end) return cut(m);
    if (quote_at(m, m->p, &len) != NO_QUOTE) return mend_string(m);
    if (*m->p == '{') return mend_container(m, '}');
    if (*m->p == '[') return mend_container(m, ']');
    if (*m->p == '-' || (*m->p >= '0' && *m->p <= '9')) return mend_number(m);
    return mend_word(m);
}

int repair_mend(const char *text, size_t n, size_t from, struct buf *out, size_t *end, unsigned *rules, struct err *e) {
    struct mend m = {.p = text + from, .end = text + n, .out = out};
    buf_add(out, "", 0);
    int rc = mend_value(&m);
    buf_release(&m.string);
    *end = (size_t)(m.p - text);
    *rules = m.rules;
    if (rc == KEPT) return 0;
    if (rc == DROPPED) return err_set(e, RC_INPUT, "the text ends before anything whole");
    size_t line = 1, column = 1;
    for (const char *p = text; p < m.at; p++) {
        if (*p == '\n')
            line++, column = 1;
        else
            column += ((unsigned char)*p & 0xC0) != 0x80;
    }
    return err_set(e, RC_INPUT, "line %zu column %zu: %s", line, column, m.what);
}
