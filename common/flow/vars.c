/* Variables, merged, found and set: see vars.h. */
#include "common/flow/vars_impl.h"
#include "common/io/buf.h"
#include "common/io/json.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- trees ---- */
struct yaml *vars_copy(const struct yaml *y) {
    struct yaml *c = xcalloc(1, sizeof *c), **tail = &c->first;
    *c = *y;
    c->next = c->first = NULL;
    c->text = y->text ? xstrdup(y->text) : NULL;
    c->key = y->key ? xstrdup(y->key) : NULL;
    for (const struct yaml *k = y->first; k; k = k->next) {
        *tail = vars_copy(k);
        tail = &(*tail)->next;
    }
    return c;
}

static void append(struct yaml *parent, struct yaml *child) {
    struct yaml **tail = &parent->first;
    while (*tail) tail = &(*tail)->next;
    *tail = child;
    parent->count++;
}

void vars_init(struct vars *v) {
    *v = (struct vars){.root = xcalloc(1, sizeof *v->root)};
    v->root->type = YAML_MAP;
}

void vars_release(struct vars *v) {
    yaml_free(v->root);
    *v = (struct vars){0};
}

/* DVC forbids ${…} inside vars; so values are final once read. */
static int check_literal(const struct yaml *y, const char *file, struct err *e) {
    if (y->type == YAML_SCALAR && strstr(y->text, "${"))
        return err_set(e, RC_INPUT, "%s:%d: ${…} inside vars is not allowed, expected a plain value", file, y->line);
    for (const struct yaml *k = y->first; k; k = k->next)
        if (check_literal(k, file, e) < 0) return -1;
    return 0;
}

static void replace_value(struct yaml *old, const struct yaml *new) {
    struct yaml *c = vars_copy(new), swap = *old;
    *old = *c;
    old->next = swap.next;
    old->key = swap.key;
    swap.key = c->key;
    swap.next = NULL;
    *c = swap;
    yaml_free(c);
}

static int merge_map(struct yaml *into, const struct yaml *from, const char *file, bool replace, struct err *e) {
    for (const struct yaml *m = from->first; m; m = m->next) {
        struct yaml *old = yaml_get(into, m->key);
        if (!old) {
            append(into, vars_copy(m));
        } else if (old->type == YAML_MAP && m->type == YAML_MAP) {
            if (merge_map(old, m, file, replace, e) < 0) return -1;
        } else if (replace) {
            replace_value(old, m);
        } else {
            return err_set(e, RC_INPUT, "%s:%d: variable %s is already defined", file, m->key_line, m->key);
        }
    }
    return 0;
}

int vars_merge(struct vars *v, const struct yaml *list, const char *file, bool replace, struct err *e) {
    if (list->type != YAML_LIST)
        return err_set(e, RC_INPUT, "%s:%d: vars: expected a list of maps (- name: value)", file, list->line);
    for (const struct yaml *m = list->first; m; m = m->next) {
        if (m->type == YAML_SCALAR)
            return err_set(e, RC_INPUT, "%s:%d: vars: %s: files of variables are not read, expected a map (name: value)", file, m->line, m->text);
        if (m->type != YAML_MAP) return err_set(e, RC_INPUT, "%s:%d: vars: expected a map (name: value)", file, m->line);
        if (check_literal(m, file, e) < 0 || merge_map(v->root, m, file, replace, e) < 0) return -1;
    }
    return 0;
}

/* ---- looking up ---- */
/* Member `word` of y: by key, or by index for a list. */
static const struct yaml *member(const struct yaml *y, const char *word) {
    if (y->type == YAML_MAP) return yaml_get(y, word);
    if (y->type != YAML_LIST || !*word || word[strspn(word, "0123456789")]) return NULL;
    unsigned long i = strtoul(word, NULL, 10);
    if (i >= y->count) return NULL;
    const struct yaml *k = y->first;
    while (i--) k = k->next;
    return k;
}

/* Takes the next word of expr = word ( "." word | "[" word "]" )…; *p is the place reached, `word` has room for all.
   1, 0 at the end, -1 where the expression is malformed. */
static int next_word(const char *expr, const char **p, char *word) {
    const char *s = *p;
    if (!*s && s > expr) return 0;
    bool bracket = *s == '[' && s > expr;
    if (bracket || (*s == '.' && s > expr)) s++;
    size_t n = strcspn(s, ".[]");
    const char *end = s + n, *rest = bracket ? end + 1 : end;
    if (bracket != (*end == ']') || (*rest && *rest != '.' && *rest != '[')) return -1;
    while (n && isspace((unsigned char)*s)) s++, n--;
    while (n && isspace((unsigned char)s[n - 1])) n--;
    if (!n) return -1;
    memcpy(word, s, n);
    word[n] = 0;
    *p = rest;
    return 1;
}

struct yaml *vars_find(const struct vars *v, const char *expr, struct yaml *key_node, struct err *e) {
    char *w = xmalloc(strlen(expr) + 1);
    const char *p = expr;
    const struct yaml *y = v->root;
    int rc;
    while ((rc = next_word(expr, &p, w)) > 0 && y) {
        bool first = y == v->root;
        if (first && v->item && !strcmp(w, "item")) {
            y = v->item;
        } else if (first && v->key && !strcmp(w, "key")) {
            *key_node = (struct yaml){.type = YAML_SCALAR, .quoted = true, .text = (char *)v->key};
            y = key_node;
        } else {
            y = member(y, w);
        }
    }
    free(w);
    if (rc < 0) return err_set(e, RC_INPUT, "${%s}: expected a name like a.b or a[0]", expr), NULL;
    if (!y) return err_set(e, RC_INPUT, "${%s}: no such variable", expr), NULL;
    return (struct yaml *)y;
}

/* Puts "[a, b]" in the place of list y. */
static int set_list(struct yaml *y, const char *value, struct err *e) {
    struct err ignored = ERR_INIT;
    struct yaml *new = yaml_parse(value, strlen(value), "--set", &ignored);
    int rc = new && new->type == YAML_LIST && new->count ? 0 : err_set(e, RC_USAGE, "is a list, expected one that is not empty, like [1,2]");
    if (!rc) {
        for (struct yaml *k = new->first; k; k = k->next) k->line = y->line;
        new->line = y->line;
        replace_value(y, new);
    }
    yaml_free(new);
    return rc;
}

static void set_scalar(struct yaml *y, const char *value) {
    free(y->text);
    y->text = xstrdup(value);
    y->quoted = !*value; /* an empty value is an empty string */
}

int vars_set(struct vars *v, const char *assignment, struct err *e) {
    const char *eq = strchr(assignment, '=');
    if (!eq || eq == assignment) return err_set(e, RC_USAGE, "--set %s: expected NAME=VALUE", assignment);
    if (assignment[utf8_valid(assignment, strlen(assignment))]) return err_set(e, RC_USAGE, "--set %s: not UTF-8", assignment);
    char *name = xmemdup0(assignment, (size_t)(eq - assignment));
    struct yaml key, *y = vars_find(v, name, &key, e);
    int rc = 0;
    if (!y)
        rc = err_set(e, RC_USAGE, "--set %s: the pipeline has no variable %s", assignment, name);
    else if (y->type == YAML_MAP)
        rc = err_set(e, RC_USAGE, "--set %s: %s is a map, only values and lists can be set", assignment, name);
    else if (y->type == YAML_SCALAR)
        set_scalar(y, eq + 1);
    else if (set_list(y, eq + 1, e) < 0)
        rc = err_prefix(e, "--set %s: %s ", assignment, name);
    free(name);
    return rc;
}
