/* Which texts begin a document of a schema: slow, and built another way than the grammar. From a place in the text each part
   of the schema gives the set of places where it may end, and whether the text runs out inside it. Compact white space only.
   Keywords: type, enum, const, $ref to #/$defs/…, anyOf, properties, required, additionalProperties, min/maxProperties,
   prefixItems, items, min/maxItems, min/maxLength, pattern (anchored, of plain ASCII), bounds of numbers. Whatever begins is
   taken to be possible: schemas with parts that nothing fits are not for it. */
#ifndef GRAMMAR_ORACLE_H
#define GRAMMAR_ORACLE_H
#include "common/io/json.h"
#include "common/text/schema_node.h"
#define PCRE2_CODE_UNIT_WIDTH 8
#include <math.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#define ORACLE_MAX 160

struct ends {
    bool at[ORACLE_MAX + 1], out; /* out: the text ran out */
};

struct oracle {
    const struct json *root;
    const char *s;
    size_t n;
};

static void oracle_value(struct oracle *o, const struct json *schema, size_t i, struct ends *r);

static void oracle_text(const struct oracle *o, const char *text, size_t len, size_t i, struct ends *r) {
    size_t have = o->n - i < len ? o->n - i : len;
    if (memcmp(o->s + i, text, have)) return;
    if (have == len) r->at[i + len] = true;
    else r->out = true;
}

static void oracle_byte(const struct oracle *o, char c, size_t i, struct ends *r) { oracle_text(o, &c, 1, i, r); }

/* ---- scalars ---- */
static void oracle_values(const struct oracle *o, const struct json *v, size_t i, struct ends *r) {
    struct buf b = BUF_INIT;
    json_put_value(&b, v);
    oracle_text(o, b.p, b.n, i, r);
    buf_release(&b);
}

static bool in_hex(int c) { return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f'); }

/* Bytes of the character at i: 0 never one, -1 the text runs out. free: any escape, else only those of json_put_string. */
static int oracle_escape(const struct oracle *o, size_t i, bool free) {
    const char *s = o->s + i, *end = o->s + o->n;
    int first = 0;
    if (end - s < 2) return -1;
    if (s[1] != 'u') return s[1] && strchr(free ? "\"\\/bfnrt" : "\"\\bfnrt", s[1]) ? 2 : 0;
    for (int k = 2; k < 6; k++) {
        if (s + k >= end) return -1;
        int c = (unsigned char)s[k];
        if (!in_hex(c)) return 0;
        first = first * 16 + (c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
        if (!free) { /* 00 0-1 x, lower case, without those that have a short form */
            if (k < 4 ? c != '0' : k == 4 ? c != '0' && c != '1' : c >= 'A' && c <= 'F') return 0;
            if (k == 5 && strchr("\b\f\n\r\t", first) && first) return 0;
        } else if (k == 3 && first >= 0xdc && first <= 0xdf) {
            return 0; /* a low surrogate alone */
        }
    }
    if (first < 0xd800 || first > 0xdbff) return 6;
    for (int k = 6; k < 12; k++) {
        if (s + k >= end) return -1;
        int c = (unsigned char)s[k];
        bool good = k == 6 ? c == '\\' : k == 7 ? c == 'u' : k == 8 ? (c | 32) == 'd' : k == 9 ? (c | 32) >= 'c' && (c | 32) <= 'f' : in_hex(c);
        if (!good) return 0;
    }
    return 12;
}

static int oracle_char(const struct oracle *o, size_t i, bool free) {
    const unsigned char *s = (const unsigned char *)o->s + i;
    if (i == o->n) return -1;
    if (*s < 0x20 || *s == '"') return 0;
    if (*s == '\\') return oracle_escape(o, i, free);
    if (*s < 0x80) return 1;
    int len = *s < 0xc2 ? 0 : *s < 0xe0 ? 2 : *s < 0xf0 ? 3 : *s < 0xf5 ? 4 : 0;
    if (!len) return 0;
    if (o->n - i >= (size_t)len) return utf8_valid((const char *)s, (size_t)len) == (size_t)len ? len : 0;
    char whole[8];
    size_t have = o->n - i;
    for (int fill = 0x80; fill <= 0xbf; fill += 0x1f) { /* 0x80, 0x9f, 0xbe: low, middle, high second bytes */
        memcpy(whole, s, have);
        for (size_t k = have; k < (size_t)len; k++) whole[k] = (char)fill;
        if (utf8_valid(whole, (size_t)len) == (size_t)len) return -1;
    }
    return 0;
}

/* Whether s may be continued to a match; the pattern is anchored and plain. */
static bool pattern_begins(const struct json *p, const char *s, size_t n) {
    int code;
    PCRE2_SIZE at;
    if (!n) return true; /* no partial match of nothing */
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)p->str, p->len, PCRE2_DOLLAR_ENDONLY, &code, &at, NULL);
    pcre2_match_data *m = pcre2_match_data_create_from_pattern(re, NULL);
    int rc = pcre2_match(re, (PCRE2_SPTR)s, n, 0, PCRE2_PARTIAL_HARD, m, NULL);
    pcre2_match_data_free(m);
    pcre2_code_free(re);
    return rc >= 0 || rc == PCRE2_ERROR_PARTIAL;
}

static void oracle_string(const struct oracle *o, const struct json *schema, size_t i, struct ends *r) {
    int64_t lo = 0, hi = INT64_MAX, chars = 0;
    const struct json *p = json_get(schema, "pattern");
    json_int(json_get(schema, "minLength"), &lo);
    json_int(json_get(schema, "maxLength"), &hi);
    struct pattern *re = p ? pattern_new(p->str, p->len, NULL) : NULL;
    if (i == o->n) r->out = true;
    else if (o->s[i] == '"') {
        size_t from = ++i;
        for (;; chars++) {
            if (i < o->n && o->s[i] == '"') {
                if (chars >= lo && (!re || pattern_search(re, o->s + from, i - from) == 1)) r->at[i + 1] = true;
                break;
            }
            if (i < o->n && chars == hi) break;
            if (re && i < o->n && (o->s[i] & 0x80 || o->s[i] == '\\')) break;
            int len = oracle_char(o, i, !p);
            if (len < 0 && (!re || pattern_begins(p, o->s + from, i - from))) r->out = true;
            if (len <= 0) break;
            i += (size_t)len;
        }
    }
    pattern_free(re);
}

/* A number's text from i: [-]digits[.digits]; exponent only without bounds. */
struct range {
    double lo, hi;
    bool above, below;
};

static struct range oracle_range(const struct json *schema) {
    struct range r = {-INFINITY, INFINITY, false, false};
    const struct json *a = json_get(schema, "minimum"), *b = json_get(schema, "exclusiveMinimum"), *c = json_get(schema, "maximum"), *d = json_get(schema, "exclusiveMaximum");
    if (a) r.lo = a->number;
    if (b && b->number >= r.lo) r.lo = b->number, r.above = true;
    if (c) r.hi = c->number;
    if (d && d->number <= r.hi) r.hi = d->number, r.below = true;
    return r;
}

/* Whether a number of [a, b) lies in the range; closed: b itself counts, a does not. */
static bool meets(const struct range *r, double a, double b, bool mirrored) {
    double lo = a > r->lo ? a : r->lo, hi = b < r->hi ? b : r->hi;
    bool lo_out = (r->lo >= a && r->above) || (mirrored && a >= r->lo), hi_out = (r->hi <= b && r->below) || (!mirrored && b <= r->hi);
    return lo < hi || (lo == hi && !lo_out && !hi_out);
}

/* Integers of [a, b) (mirrored: (a, b]) in the range. */
static bool meets_whole(const struct range *r, double a, double b, bool mirrored) {
    double lo = fmax(mirrored ? a + 1 : a, r->above ? floor(r->lo) + 1 : ceil(r->lo)), hi = fmin(mirrored ? b : b - 1, r->below ? ceil(r->hi) - 1 : floor(r->hi));
    return lo <= hi;
}

static bool number_begins(const struct range *r, const char *s, size_t n, bool whole) {
    char text[ORACLE_MAX + 1];
    memcpy(text, s, n);
    text[n] = 0;
    bool negative = *text == '-';
    if (negative && r->lo >= 0) return false; /* no -0 where zero is the least */
    const char *digits = text + negative, *dot = strchr(text, '.');
    if (!*digits) /* nothing or a sign */
        return whole ? meets_whole(r, negative ? -INFINITY : 0, negative ? 0 : INFINITY, negative) : meets(r, negative ? -INFINITY : 0, negative ? 0 : INFINITY, negative);
    double v = strtod(digits, NULL), size = 1;
    for (const char *p = dot ? dot + 1 : ""; *p; p++) size /= 10;
    for (int k = 0; k < (dot || *digits == '0' ? 1 : 12); k++) {
        double a = negative ? -(v + size) : v, b = negative ? -v : v + size;
        if (whole && !k ? (negative ? -v >= r->lo && !(r->above && -v == r->lo) && -v <= r->hi && !(r->below && -v == r->hi) : meets_whole(r, v, v + 1, false))
            : whole ? meets_whole(r, a, b, negative) : meets(r, a, b, negative))
            return true;
        v *= 10;
        size *= 10;
    }
    return false;
}

static bool number_in(const struct range *r, const char *s, size_t n) {
    char text[ORACLE_MAX + 1];
    memcpy(text, s, n);
    text[n] = 0;
    double v = strtod(text, NULL);
    if (*s == '-' && r->lo >= 0) return false;
    return v >= r->lo && v <= r->hi && !(r->above && v == r->lo) && !(r->below && v == r->hi);
}

static void oracle_number(const struct oracle *o, const struct json *schema, bool whole, size_t i, struct ends *r) {
    struct range g = oracle_range(schema);
    bool bounds = !isinf(g.lo) || !isinf(g.hi);
    size_t k = i, from;
    if (k < o->n && o->s[k] == '-') k++;
    from = k;
    while (k < o->n && o->s[k] >= '0' && o->s[k] <= '9' && !(k > from && o->s[from] == '0')) {
        k++;
        r->at[k] |= !bounds || number_in(&g, o->s + i, k - i);
    }
    if (k == o->n && (!bounds || number_begins(&g, o->s + i, k - i, whole))) r->out = true;
    if (k == from || k == o->n || whole) return;
    if (o->s[k] == '.') {
        size_t dot = ++k;
        while (k < o->n && o->s[k] >= '0' && o->s[k] <= '9') {
            k++;
            r->at[k] |= !bounds || number_in(&g, o->s + i, k - i);
        }
        if (k == o->n && (!bounds || number_begins(&g, o->s + i, k - i, false))) r->out = true;
        if (k == dot) return;
    }
    if (bounds || k == o->n || (o->s[k] | 32) != 'e') return;
    if (++k < o->n && strchr("+-", o->s[k]) && o->s[k]) k++;
    for (size_t first = k; k < o->n && o->s[k] >= '0' && o->s[k] <= '9' && k - first < 3; ) {
        if (k - first == 2 && o->s[first] != '1') return;
        r->at[++k] = true;
    }
    if (k == o->n) r->out = true;
}

/* ---- arrays and objects ---- */
static bool flag_false(const struct json *v) { return v && v->type == JSON_BOOL && !v->truth; }

static void merge_ends(struct ends *to, const struct ends *from) {
    for (size_t i = 0; i <= ORACLE_MAX; i++) to->at[i] |= from->at[i];
    to->out |= from->out;
}

/* part(…) from every place of `from`. */
#define THEN(o, from, to, call)                              \
    do {                                                     \
        struct ends made_ = {{false}, (from).out};           \
        for (size_t at = 0; at <= (o)->n; at++)              \
            if ((from).at[at]) {                             \
                struct ends *r_ = &made_;                    \
                call;                                        \
            }                                                \
        (to) = made_;                                        \
    } while (0)

static void oracle_array(struct oracle *o, const struct json *schema, size_t i, struct ends *r) {
    const struct json *prefix = json_get(schema, "prefixItems"), *items = json_get(schema, "items");
    int64_t lo = 0, hi = INT64_MAX;
    json_int(json_get(schema, "minItems"), &lo);
    json_int(json_get(schema, "maxItems"), &hi);
    struct ends now = {{false}, false};
    oracle_byte(o, '[', i, &now);
    const struct json *next = prefix ? prefix->first : NULL;
    for (int64_t k = 0; ; k++) {
        struct ends closed = {{false}, false};
        if (k >= lo) {
            THEN(o, now, closed, oracle_byte(o, ']', at, r_));
            merge_ends(r, &closed);
        }
        r->out |= now.out;
        bool any = false;
        for (size_t at = 0; at <= o->n; at++) any |= now.at[at];
        const struct json *s = next ? next : items;
        if (next) next = next->next;
        if (k >= hi || !any || flag_false(s)) return;
        if (k) THEN(o, now, now, oracle_byte(o, ',', at, r_));
        THEN(o, now, now, oracle_value(o, s, at, r_));
        r->out |= now.out;
    }
}

static void oracle_member(struct oracle *o, const char *name, size_t len, const struct json *schema, size_t i, struct ends *r) {
    struct buf b = BUF_INIT;
    json_put_string(&b, name, len);
    buf_addc(&b, ':');
    struct ends key = {{false}, false}, value;
    oracle_text(o, b.p, b.n, i, &key);
    buf_release(&b);
    THEN(o, key, value, oracle_value(o, schema, at, r_));
    merge_ends(r, &value);
}

/* A name that is not declared, then its value. */
static void oracle_other(struct oracle *o, const struct json *schema, const struct json *members, size_t i, struct ends *r) {
    struct ends name = {{false}, false}, value;
    size_t from = i + 1;
    if (i == o->n) r->out = true;
    if (i == o->n || o->s[i] != '"') return;
    for (i++;;) {
        if (i < o->n && o->s[i] == '"') {
            struct json_doc *d = json_parse(o->s + from - 1, i + 2 - from, NULL);
            if (d && (!members || !json_getn(members, json_root(d)->str, json_root(d)->len))) name.at[i + 1] = true;
            json_doc_free(d);
            break;
        }
        int len = oracle_char(o, i, false);
        if (len < 0) name.out = true;
        if (len <= 0) break;
        i += (size_t)len;
    }
    THEN(o, name, name, oracle_byte(o, ':', at, r_));
    THEN(o, name, value, oracle_value(o, schema, at, r_));
    merge_ends(r, &value);
}

static bool is_required(const struct json *required, const struct json *member) {
    for (const struct json *x = required ? required->first : NULL; x; x = x->next)
        if (x->len == member->key_len && !memcmp(x->str, member->key, x->len)) return true;
    return false;
}

/* Whether an object with k members so far, those from d on undecided, can still keep its limits. */
static bool room(const struct json *schema, const struct json *d, int64_t k, int64_t lo, int64_t hi) {
    int64_t must = 0, may = 0;
    for (; d; d = d->next) {
        must += is_required(json_get(schema, "required"), d);
        may += !flag_false(d);
    }
    return k + must <= hi && (!flag_false(json_get(schema, "additionalProperties")) || k + may >= lo);
}

static void oracle_object(struct oracle *o, const struct json *schema, size_t i, struct ends *r) {
    static const struct json anything = {.type = JSON_BOOL, .truth = true};
    const struct json *members = json_get(schema, "properties"), *required = json_get(schema, "required"), *more = json_get(schema, "additionalProperties");
    enum { MANY = 24 };
    int64_t lo = 0, hi = MANY - 1;
    json_int(json_get(schema, "minProperties"), &lo);
    json_int(json_get(schema, "maxProperties"), &hi);
    struct ends now[MANY + 1] = {0}, closed; /* by members written */
    oracle_byte(o, '{', i, &now[0]);
    for (const struct json *d = members ? members->first : NULL; d; d = d->next)
        for (int64_t k = MANY - 1; k >= 0; k--) {
            struct ends one = {{false}, false};
            if (!flag_false(d) && room(schema, d->next, k + 1, lo, hi)) {
                one = now[k];
                if (k) THEN(o, one, one, oracle_byte(o, ',', at, r_));
                THEN(o, one, one, oracle_member(o, d->key, d->key_len, d, at, r_));
            }
            r->out |= one.out;
            merge_ends(&now[k + 1], &one);
            if (is_required(required, d) || !room(schema, d->next, k, lo, hi)) memset(now[k].at, 0, sizeof now[k].at);
            now[k].out = false;
        }
    for (int64_t k = 0; k < MANY; k++) {
        if (k >= lo) {
            THEN(o, now[k], closed, oracle_byte(o, '}', at, r_));
            merge_ends(r, &closed);
        }
        if (k >= hi || flag_false(more)) continue;
        struct ends one = now[k];
        if (k) THEN(o, one, one, oracle_byte(o, ',', at, r_));
        THEN(o, one, one, oracle_other(o, more ? more : &anything, members, at, r_));
        merge_ends(&now[k + 1], &one);
        r->out |= one.out;
    }
}

/* ---- all ---- */
static bool has_type(const struct json *schema, const char *type) {
    const struct json *t = json_get(schema, "type");
    if (!t) return strcmp(type, "integer") != 0;
    if (t->type == JSON_STRING) return json_is_str(t, type);
    for (const struct json *x = t->first; x; x = x->next)
        if (json_is_str(x, type)) return true;
    return false;
}

static void oracle_value(struct oracle *o, const struct json *schema, size_t i, struct ends *r) {
    static const struct json anything = {.type = JSON_OBJECT};
    if (!schema || (schema->type == JSON_BOOL && schema->truth)) schema = &anything;
    if (flag_false(schema)) return;
    const struct json *ref = json_get(schema, "$ref"), *any = json_get(schema, "anyOf"), *v = json_get(schema, "enum"), *c = json_get(schema, "const");
    if (ref) {
        oracle_value(o, json_get(json_get(o->root, "$defs"), ref->str + strlen("#/$defs/")), i, r);
        return;
    }
    for (const struct json *x = any ? any->first : NULL; x; x = x->next) oracle_value(o, x, i, r);
    for (const struct json *x = v ? v->first : NULL; x; x = x->next) oracle_values(o, x, i, r);
    if (c) oracle_values(o, c, i, r);
    if (any || v || c) return;
    if (has_type(schema, "null")) oracle_text(o, "null", 4, i, r);
    if (has_type(schema, "boolean")) oracle_text(o, "true", 4, i, r), oracle_text(o, "false", 5, i, r);
    if (has_type(schema, "string")) oracle_string(o, schema, i, r);
    if (has_type(schema, "number")) oracle_number(o, schema, false, i, r);
    else if (has_type(schema, "integer")) oracle_number(o, schema, true, i, r);
    if (i == o->n) r->out = true;
    if (i == o->n) return;
    if (o->s[i] == '[' && has_type(schema, "array")) oracle_array(o, schema, i, r);
    if (o->s[i] == '{' && has_type(schema, "object")) oracle_object(o, schema, i, r);
}

/* Whether text begins a document; *whole: whether it is one. */
static bool oracle_begins(const struct json *root, const char *text, size_t n, bool *whole) {
    struct oracle o = {root, text, n};
    struct ends r = {{false}, false};
    oracle_value(&o, root, 0, &r);
    *whole = r.at[n];
    return r.out || r.at[n];
}
#endif
