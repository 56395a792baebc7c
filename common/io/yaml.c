/* YAML into a small tree, over libyaml's events: see yaml.h. */
#include "common/io/yaml.h"
#include "common/io/buf.h"
#include "common/io/io.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#define MAX_DEPTH 64
#define MAX_BYTES (16u << 20)

struct reader {
    yaml_parser_t parser;
    yaml_event_t ev; /* the event being looked at */
    const char *name, *text;
    size_t n; /* bytes of text */
    struct err *e;
};

static int fail(struct reader *r, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int fail(struct reader *r, int line, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    err_vset(r->e, RC_INPUT, fmt, ap);
    va_end(ap);
    return err_prefix(r->e, "%s:%d: ", r->name, line);
}

/* libyaml's own complaint; its reader knows only a byte offset. */
static int syntax_error(struct reader *r) {
    yaml_parser_t *p = &r->parser;
    const char *problem = p->problem ? p->problem : "not YAML";
    if (p->error == YAML_MEMORY_ERROR) return err_set(r->e, RC_IO, "%s: out of memory", r->name);
    if (p->error == YAML_READER_ERROR) {
        int line = 1;
        for (size_t i = 0; i < p->problem_offset && i < r->n; i++) line += r->text[i] == '\n';
        return fail(r, line, "%s, expected UTF-8 text", problem);
    }
    return fail(r, (int)p->problem_mark.line + 1, "%s%s%s", problem, p->context ? " " : "", p->context ? p->context : "");
}

static int step(struct reader *r) {
    yaml_event_delete(&r->ev);
    memset(&r->ev, 0, sizeof r->ev);
    return yaml_parser_parse(&r->parser, &r->ev) ? 0 : syntax_error(r);
}

static int here(const struct reader *r) { return (int)r->ev.start_mark.line + 1; }

/* Anchors and tags change what a file means from elsewhere; configs have no need of them. */
static int check_plain(struct reader *r, const yaml_char_t *anchor, const yaml_char_t *tag) {
    if (anchor) return fail(r, here(r), "anchor &%s: anchors are not supported, expected the value itself", anchor);
    if (tag) return fail(r, here(r), "tag %s: tags are not supported, expected a plain value", tag);
    return 0;
}

static struct yaml *node_new(struct reader *r, enum yaml_type type) {
    struct yaml *y = xcalloc(1, sizeof *y);
    y->type = type;
    y->line = here(r);
    return y;
}

/* The scalar under the cursor as text without NULs; give. */
static char *take_text(struct reader *r) {
    const char *s = (const char *)r->ev.data.scalar.value;
    size_t n = r->ev.data.scalar.length;
    if (memchr(s, 0, n)) return fail(r, here(r), "NUL inside a string, expected text"), NULL;
    return xmemdup0(s, n);
}

static struct yaml *read_node(struct reader *r, int depth);

static struct yaml *read_scalar(struct reader *r) {
    if (check_plain(r, r->ev.data.scalar.anchor, r->ev.data.scalar.tag) < 0) return NULL;
    char *text = take_text(r);
    if (!text) return NULL;
    struct yaml *y = node_new(r, YAML_SCALAR);
    y->quoted = r->ev.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    y->text = text;
    return y;
}

static struct yaml *read_list(struct reader *r, int depth) {
    if (check_plain(r, r->ev.data.sequence_start.anchor, r->ev.data.sequence_start.tag) < 0) return NULL;
    struct yaml *y = node_new(r, YAML_LIST), **tail = &y->first;
    while (step(r) == 0) {
        if (r->ev.type == YAML_SEQUENCE_END_EVENT) return y;
        if (!(*tail = read_node(r, depth + 1))) break;
        tail = &(*tail)->next;
        y->count++;
    }
    yaml_free(y);
    return NULL;
}

/* A key of map y, checked; give. */
static char *read_key(struct reader *r, const struct yaml *y) {
    if (r->ev.type == YAML_ALIAS_EVENT)
        return fail(r, here(r), "alias *%s: aliases are not supported", r->ev.data.alias.anchor), NULL;
    if (r->ev.type != YAML_SCALAR_EVENT) return fail(r, here(r), "the key is a list or a map, expected a word"), NULL;
    if (check_plain(r, r->ev.data.scalar.anchor, r->ev.data.scalar.tag) < 0) return NULL;
    char *key = take_text(r);
    if (!key) return NULL;
    const struct yaml *twin = yaml_get(y, key);
    if (twin)
        fail(r, here(r), "key '%s' stands twice, first on line %d", key, twin->key_line);
    else if (!strcmp(key, "<<") && r->ev.data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        fail(r, here(r), "merge key <<: merge keys are not supported, expected the members themselves");
    else
        return key;
    free(key);
    return NULL;
}

static struct yaml *read_map(struct reader *r, int depth) {
    if (check_plain(r, r->ev.data.mapping_start.anchor, r->ev.data.mapping_start.tag) < 0) return NULL;
    struct yaml *y = node_new(r, YAML_MAP), **tail = &y->first;
    while (step(r) == 0) {
        if (r->ev.type == YAML_MAPPING_END_EVENT) return y;
        int line = here(r);
        char *key = read_key(r, y);
        if (!key) break;
        if (step(r) < 0 || !(*tail = read_node(r, depth + 1))) {
            free(key);
            break;
        }
        (*tail)->key = key;
        (*tail)->key_line = line;
        tail = &(*tail)->next;
        y->count++;
    }
    yaml_free(y);
    return NULL;
}

static struct yaml *read_node(struct reader *r, int depth) {
    if (depth > MAX_DEPTH) return fail(r, here(r), "nested deeper than %d levels", MAX_DEPTH), NULL;
    switch (r->ev.type) {
    case YAML_SCALAR_EVENT: return read_scalar(r);
    case YAML_SEQUENCE_START_EVENT: return read_list(r, depth);
    case YAML_MAPPING_START_EVENT: return read_map(r, depth);
    case YAML_ALIAS_EVENT:
        return fail(r, here(r), "alias *%s: aliases are not supported, expected the value itself",
                    r->ev.data.alias.anchor), NULL;
    default: BUG("libyaml gave event %d for a value", r->ev.type);
    }
}

/* STREAM-START [DOCUMENT-START node DOCUMENT-END] STREAM-END */
static struct yaml *read_stream(struct reader *r) {
    if (step(r) < 0 || step(r) < 0) return NULL;
    if (r->ev.type == YAML_STREAM_END_EVENT) return node_new(r, YAML_MAP);
    if (step(r) < 0) return NULL;
    struct yaml *y = read_node(r, 0);
    if (!y) return NULL;
    if (step(r) == 0 && step(r) == 0) {
        if (r->ev.type == YAML_STREAM_END_EVENT) return y;
        fail(r, here(r), "a second document starts here, expected one");
    }
    yaml_free(y);
    return NULL;
}

struct yaml *yaml_parse(const char *text, size_t n, const char *name, struct err *e) {
    struct reader r = {.name = name, .text = text, .n = n, .e = e};
    if (!yaml_parser_initialize(&r.parser)) {
        err_set(e, RC_IO, "%s: out of memory", name);
        return NULL;
    }
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, n);
    struct yaml *y = read_stream(&r);
    yaml_event_delete(&r.ev);
    yaml_parser_delete(&r.parser);
    return y;
}

struct yaml *yaml_read_file(const char *path, struct err *e) {
    struct buf b = BUF_INIT;
    struct yaml *y = NULL;
    if (io_read_all(path, MAX_BYTES, &b, e) == 0) y = yaml_parse(b.p, b.n, strcmp(path, "-") ? path : "stdin", e);
    buf_release(&b);
    return y;
}

void yaml_tree_free(struct yaml *y) {
    while (y) {
        struct yaml *next = y->next;
        yaml_tree_free(y->first);
        free(y->text);
        free(y->key);
        free(y);
        y = next;
    }
}

struct yaml *yaml_get(const struct yaml *map, const char *key) {
    if (!map || map->type != YAML_MAP) return NULL;
    for (struct yaml *y = map->first; y; y = y->next)
        if (y->key && !strcmp(y->key, key)) return y;
    return NULL;
}

bool yaml_is_null(const struct yaml *y) {
    if (y->type != YAML_SCALAR || y->quoted) return false;
    return !*y->text || !strcmp(y->text, "~") || !strcasecmp(y->text, "null");
}

/* ---- typed reads ---- */
static int unexpected(const struct yaml *y, const char *name, const char *expected, struct err *e) {
    const char *key = y->key ? y->key : "", *colon = y->key ? ": " : "";
    if (y->type != YAML_SCALAR)
        return err_set(e, RC_INPUT, "%s:%d: %s%sexpected %s, found a %s", name, y->line, key, colon, expected,
                       y->type == YAML_LIST ? "list" : "map");
    const char *q = y->quoted ? "\"" : "'";
    return err_set(e, RC_INPUT, "%s:%d: %s%sexpected %s, found %s%.60s%s", name, y->line, key, colon, expected, q, y->text, q);
}

/* An unquoted scalar that starts as a decimal number does and has only letters of `set`. */
static bool looks_numeric(const struct yaml *y, const char *set) {
    return y->type == YAML_SCALAR && !y->quoted && *y->text && y->text[strspn(y->text, set)] == 0;
}

int yaml_int(const struct yaml *y, const char *name, int64_t *out, struct err *e) {
    char *end;
    if (!looks_numeric(y, "+-0123456789")) return unexpected(y, name, "a whole number", e);
    errno = 0;
    long long x = strtoll(y->text, &end, 10);
    if (*end || end == y->text || errno) return unexpected(y, name, "a whole number", e);
    *out = x;
    return 0;
}

int yaml_real(const struct yaml *y, const char *name, double *out, struct err *e) {
    char *end;
    if (!looks_numeric(y, "+-.eE0123456789")) return unexpected(y, name, "a number", e);
    double x = strtod(y->text, &end);
    if (*end || end == y->text || !isfinite(x)) return unexpected(y, name, "a finite number", e);
    *out = x;
    return 0;
}

int yaml_bool(const struct yaml *y, const char *name, bool *out, struct err *e) {
    static const char *words[] = {"false", "true", "no", "yes", "off", "on"};
    for (int i = 0; i < 6; i++)
        if (y->type == YAML_SCALAR && !y->quoted && !strcasecmp(y->text, words[i])) {
            *out = i & 1;
            return 0;
        }
    return unexpected(y, name, "true or false", e);
}

int yaml_str(const struct yaml *y, const char *name, const char **out, struct err *e) {
    if (y->type != YAML_SCALAR || yaml_is_null(y)) return unexpected(y, name, "a string", e);
    *out = y->text;
    return 0;
}
