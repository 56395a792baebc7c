/* Finding the JSON in a model's answer: see repair.h for the order of the search. */
#include "common/text/repair.h"
#include "common/io/json_scan.h"
#include <stdlib.h>
#include <string.h>

#define MAX_TRIES 200 /* pieces looked at: each costs a look at the text behind it */

static const char *const names[REPAIR_RULES] = {"fence", "chatter", "single_quotes", "smart_quotes", "inner_quotes", "control_chars", "escapes",
                                                "bare_keys", "python_literals", "comments", "missing_comma", "trailing_comma", "cut_end"};

const char *repair_name(enum repair_rule rule) { return names[rule]; }

struct repair {
    struct json_doc *doc;
    struct buf mended;
    struct err misfit, broken; /* of the first value that did not fit, and of the first piece that gave none */
    int tries;
};

struct repair *repair_new(void) {
    struct repair *r = xcalloc(1, sizeof *r);
    r->doc = json_doc_new();
    return r;
}

void repair_free(struct repair *r) {
    if (!r) return;
    json_doc_free(r->doc);
    buf_release(&r->mended);
    free(r);
}

struct part { /* text[from, to) is searched */
    const char *text;
    size_t from, to;
};

/* Where the brackets that open at `from` are all closed again, strings in " aside; 0 if they are not. */
static size_t balanced_end(const struct part *t, size_t from) {
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = from; i < t->to; i++) {
        char c = t->text[i];
        if (in_string) {
            i += c == '\\';
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && --depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

static bool blank(const char *p, size_t n) { return json_skip_space(p, p + n) == p + n; }

/* Whether r->doc's value fits; the first misfit is kept. */
static bool fits(struct repair *r, const struct schema *s) {
    struct err e = ERR_INIT;
    if (!s || schema_validate(s, json_root(r->doc), &e) == 0) return true;
    if (!r->misfit.code) r->misfit = e;
    return false;
}

/* The value from the bracket at `from`, strictly or by the rules: 1 in r->doc, *end behind it; 0 none, *end 0 or where
   its brackets balance. */
static int read_piece(struct repair *r, const struct part *t, size_t from, size_t *end, unsigned *rules) {
    struct err e = ERR_INIT;
    size_t balance = balanced_end(t, from);
    *rules = 0;
    *end = balance;
    if (balance && json_reparse(r->doc, t->text + from, balance - from, NULL) == 0) return 1;
    buf_clear(&r->mended);
    if (repair_mend(t->text, t->to, from, &r->mended, end, rules, &e) == 0 && json_reparse(r->doc, r->mended.p, r->mended.n, &e) == 0) return 1;
    if (!r->broken.code) r->broken = e;
    *end = balance;
    return 0;
}

/* The first value in t that fits: 1, its rules with chatter if other text stands around it. */
static int search(struct repair *r, const struct part *t, const struct schema *s, unsigned *rules) {
    for (size_t i = t->from; i < t->to && r->tries < MAX_TRIES; i++) {
        size_t end;
        if (t->text[i] != '{' && t->text[i] != '[') continue;
        r->tries++;
        if (read_piece(r, t, i, &end, rules) && fits(r, s)) {
            if (!blank(t->text + t->from, i - t->from) || !blank(t->text + end, t->to - end)) *rules |= 1u << REPAIR_CHATTER;
            return 1;
        }
        if (end > i) i = end - 1;
    }
    return 0;
}

/* The next part between ``` lines at or after *at: false if there is none. The end of the text closes a fence too. */
static bool next_fence(const char *text, size_t n, size_t *at, struct part *t) {
    const char *open = memmem(text + *at, n - *at, "```", 3);
    if (!open) return false;
    const char *line = memchr(open, '\n', (size_t)(text + n - open));
    const char *brace = open + 3; /* ```{"a":1}``` on one line: the word, if any, is passed */
    while (brace < text + n && ((*brace | 32) >= 'a' && (*brace | 32) <= 'z')) brace++;
    const char *from = line && !memchr(open + 3, '{', (size_t)(line - open - 3)) && !memchr(open + 3, '[', (size_t)(line - open - 3)) ? line + 1 : brace;
    const char *close = memmem(from, (size_t)(text + n - from), "```", 3);
    *t = (struct part){text, (size_t)(from - text), close ? (size_t)(close - text) : n};
    *at = close ? t->to + 3 : n;
    return true;
}

static int find(struct repair *r, const char *text, size_t n, const struct schema *s, unsigned *rules) {
    struct part t;
    size_t at = 0;
    while (next_fence(text, n, &at, &t))
        if (search(r, &t, s, rules)) {
            *rules |= 1u << REPAIR_FENCE;
            return 1;
        }
    t = (struct part){text, 0, n};
    return search(r, &t, s, rules);
}

int repair_find(struct repair *r, const char *text, size_t n, const struct schema *s, bool strict, const struct json **value, unsigned *rules, struct err *e) {
    struct err first = ERR_INIT;
    r->misfit = r->broken = (struct err)ERR_INIT;
    r->tries = 0;
    *rules = 0;
    *value = NULL;
    if (json_reparse(r->doc, text, n, &first) == 0) {
        if (fits(r, s)) return *value = json_root(r->doc), 0;
    } else if (!strict && find(r, text, n, s, rules)) {
        return *value = json_root(r->doc), 0;
    }
    *rules = 0;
    if (r->misfit.code) return err_set(e, RC_INPUT, "%s", r->misfit.msg);
    if (strict) return err_set(e, RC_INPUT, "not JSON: %s", first.msg);
    if (r->broken.code) return err_set(e, RC_INPUT, "no JSON, also by repair: %s", r->broken.msg);
    return err_set(e, RC_INPUT, "no JSON object or array in the text");
}
