/* ${…} in text, and the text of a value: see vars.h. */
#include "common/flow/vars_impl.h"
#include "common/io/buf.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- text of a value ---- */
/* Python's repr of a float: the shortest digits that read back, exponent form outside 1e-4 … 1e16. */
static void put_float(struct buf *b, double x) {
    char s[40];
    int precision = 0;
    do snprintf(s, sizeof s, "%.*e", precision, x);
    while (strtod(s, NULL) != x && ++precision < 17);
    char *exp = strchr(s, 'e');
    int power = atoi(exp + 1);
    *exp = 0;
    if (power < -4 || power >= 16) {
        buf_addf(b, "%se%c%02d", s, power < 0 ? '-' : '+', abs(power));
        return;
    }
    int decimals = precision - power;
    buf_addf(b, "%.*f", decimals > 1 ? decimals : 1, x);
}

/* A decimal number as YAML 1.2 and DVC understand it: digits, with a point or an exponent for a float. */
static bool is_number(const char *s, bool *real) {
    *real = false;
    s += *s == '-' || *s == '+';
    size_t whole = strspn(s, "0123456789"), part = 0;
    s += whole;
    if (*s == '.') {
        *real = true;
        part = strspn(++s, "0123456789");
        s += part;
    }
    if (whole + part == 0) return false;
    if (*s == 'e' || *s == 'E') {
        *real = true;
        s++;
        s += *s == '-' || *s == '+';
        if (!isdigit((unsigned char)*s)) return false;
        s += strspn(s, "0123456789");
    }
    return !*s;
}

/* Whole numbers keep their digits, without a + and leading zeros. */
static void put_whole(struct buf *b, const char *s) {
    bool minus = *s == '-';
    s += minus || *s == '+';
    while (*s == '0' && s[1]) s++;
    buf_addf(b, "%s%s", minus && *s != '0' ? "-" : "", s);
}

/* 0x10, 0o17 and 1_000: numbers to DVC, text to most readers. */
static bool is_odd_number(const char *s) {
    s += *s == '-' || *s == '+';
    if (*s == '0' && s[1] && strchr("xXoObB", s[1]) && s[2] && !s[2 + strspn(s + 2, "0123456789abcdefABCDEF_")]) return true;
    return isdigit((unsigned char)*s) && strchr(s, '_') && !s[strspn(s, "0123456789_.")];
}

char *vars_text(const struct yaml *y, struct err *e) {
    struct buf b = BUF_INIT;
    bool real;
    if (y->type != YAML_SCALAR)
        return err_set(e, RC_INPUT, "is a %s, expected one value", y->type == YAML_LIST ? "list" : "map"), NULL;
    if (yaml_is_null(y)) return err_set(e, RC_INPUT, "is empty, expected a value"), NULL;
    if (!y->quoted && is_odd_number(y->text))
        return err_set(e, RC_INPUT, "is %s, another number to DVC, expected it in decimal or in quotes", y->text), NULL;
    if (y->quoted) {
        buf_adds(&b, y->text);
    } else if (!strcmp(y->text, "True") || !strcmp(y->text, "TRUE")) {
        buf_adds(&b, "true");
    } else if (!strcmp(y->text, "False") || !strcmp(y->text, "FALSE")) {
        buf_adds(&b, "false");
    } else if (is_number(y->text, &real) && (!real || isfinite(strtod(y->text, NULL)))) {
        if (real)
            put_float(&b, strtod(y->text, NULL));
        else
            put_whole(&b, y->text);
    } else {
        buf_adds(&b, y->text);
    }
    return buf_detach(&b);
}

/* ---- expanding ---- */
void var_uses_release(struct var_uses *u) {
    for (int i = 0; i < u->n; i++) {
        free(u->v[i].name);
        free(u->v[i].value);
    }
    free(u->v);
    *u = (struct var_uses){0};
}

static void used(struct var_uses *u, const char *name, const char *value) {
    if (!u) return;
    for (int i = 0; i < u->n; i++)
        if (!strcmp(u->v[i].name, name)) return;
    u->v = xrealloc(u->v, (size_t)u->n + 1, sizeof *u->v);
    u->v[u->n++] = (struct var_use){xstrdup(name), xstrdup(value)};
}

/* Start of the next "${" that no backslash escapes, or NULL; *end is its brace. */
static const char *next_reference(const char *text, const char *from, const char **end) {
    for (const char *s = from; (s = strstr(s, "${")); s += 2)
        if (s == text || s[-1] != '\\') return (*end = strchr(s, '}')) ? s : NULL;
    return NULL;
}

/* "${ a.b }": its expression without outer blanks; give. */
static char *expression(const char *ref, const char *end) {
    const char *s = ref + 2;
    while (s < end && isspace((unsigned char)*s)) s++;
    while (end > s && isspace((unsigned char)end[-1])) end--;
    return xmemdup0(s, (size_t)(end - s));
}

/* Text between references: \${ becomes ${. */
static void put_plain(struct buf *b, const char *s, const char *end) {
    for (; s < end; s++)
        if (!(*s == '\\' && end - s > 2 && s[1] == '$' && s[2] == '{')) buf_addc(b, *s);
}

/* A value as it stands in text; a list is its values with a space between, for commands that take them all. */
static char *reference_text(const struct yaml *y, struct err *e) {
    if (y->type != YAML_LIST || !y->count) return vars_text(y, e);
    struct buf b = BUF_INIT;
    for (const struct yaml *k = y->first; k; k = k->next) {
        char *value = vars_text(k, e);
        if (!value) {
            err_prefix(e, "has an element that ");
            buf_release(&b);
            return NULL;
        }
        buf_addf(&b, "%s%s", k == y->first ? "" : " ", value);
        free(value);
    }
    return buf_detach(&b);
}

static int put_reference(const struct vars *v, const char *expr, struct buf *b, struct var_uses *uses, struct err *e) {
    struct yaml key, *y = vars_find(v, expr, &key, e);
    if (!y) return -1;
    char *value = reference_text(y, e);
    if (!value) return err_prefix(e, "${%s} ", expr);
    used(uses, expr, value);
    buf_adds(b, value);
    free(value);
    return 0;
}

char *vars_expand(const struct vars *v, const char *text, struct var_uses *uses, struct err *e) {
    struct buf b = BUF_INIT;
    const char *at = text, *ref, *end;
    while ((ref = next_reference(text, at, &end))) {
        put_plain(&b, at, ref);
        char *expr = expression(ref, end);
        int rc = put_reference(v, expr, &b, uses, e);
        free(expr);
        if (rc < 0) {
            buf_release(&b);
            return NULL;
        }
        at = end + 1;
    }
    put_plain(&b, at, at + strlen(at));
    return buf_detach(&b);
}

/* A scalar: "${x}" alone gives a copy of x, whatever it is; other text stays text. */
static struct yaml *resolve_scalar(const struct vars *v, const struct yaml *y, struct var_uses *uses, struct err *e) {
    const char *end, *ref = next_reference(y->text, y->text, &end);
    struct yaml *c = NULL;
    if (ref == y->text && ref && !end[1]) {
        struct yaml key, *found;
        char *expr = expression(ref, end);
        if ((found = vars_find(v, expr, &key, e))) {
            c = vars_copy(found);
            free(c->key);
            c->key = y->key ? xstrdup(y->key) : NULL;
            c->line = y->line;
            struct err ignored;
            char *value = vars_text(found, &ignored);
            if (value) used(uses, expr, value);
            free(value);
        }
        free(expr);
        return c;
    }
    char *text = vars_expand(v, y->text, uses, e);
    if (!text) return NULL;
    c = vars_copy(y);
    if (ref) c->quoted = true; /* text with a reference inside is a string */
    free(c->text);
    c->text = text;
    return c;
}

struct yaml *vars_resolve(const struct vars *v, const struct yaml *y, struct var_uses *uses, struct err *e) {
    if (y->type == YAML_SCALAR) return resolve_scalar(v, y, uses, e);
    struct yaml *c = xcalloc(1, sizeof *c), **tail = &c->first;
    *c = (struct yaml){.type = y->type, .line = y->line, .key_line = y->key_line, .key = y->key ? xstrdup(y->key) : NULL};
    for (const struct yaml *k = y->first; k; k = k->next) {
        if (!(*tail = vars_resolve(v, k, uses, e))) {
            yaml_free(c);
            return NULL;
        }
        tail = &(*tail)->next;
        c->count++;
    }
    return c;
}
