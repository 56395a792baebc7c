/* Column and label names from YAML: see labelmap.h. */
#include "common/text/labelmap.h"
#include "common/io/buf.h"
#include "common/io/yaml.h"
#include <stdlib.h>
#include <string.h>

struct table {
    const struct yaml *labels;  /* map, or NULL */
    const struct yaml *allowed; /* list, or NULL */
};

struct labelmap {
    const char *path;
    struct yaml *root; /* NULL without a file */
    struct alias *aliases;
    struct columns columns;
    struct table common, *own; /* for all label columns; for each column */
};

static int fail(const struct labelmap *m, int line, struct err *e, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static int fail(const struct labelmap *m, int line, struct err *e, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    err_vset(e, RC_INPUT, fmt, ap);
    va_end(ap);
    return err_prefix(e, "%s:%d: ", m->path, line);
}

static int no_column(const struct labelmap *m, int line, const char *field, const char *name, struct err *e) {
    struct buf list = BUF_INIT;
    columns_list(&m->columns, &list);
    fail(m, line, e, "%s: unknown column '%.60s', expected one of %s", field, name, list.p);
    buf_release(&list);
    return -1;
}

static int expect_map(const struct labelmap *m, const struct yaml *y, struct err *e) {
    return y->type == YAML_MAP ? 0 : fail(m, y->line, e, "%s: expected a map", y->key);
}

static int read_columns(struct labelmap *m, const struct yaml *y, struct err *e) {
    const char *target;
    if (expect_map(m, y, e) < 0) return -1;
    m->aliases = xcalloc(y->count, sizeof *m->aliases);
    size_t n = 0;
    for (const struct yaml *x = y->first; x; x = x->next) {
        if (yaml_str(x, m->path, &target, e) < 0) return -1;
        long column = columns_find(&m->columns, target, strlen(target)); /* no alias is in force yet */
        if (column < 0) return no_column(m, x->line, "columns", target, e);
        m->aliases[n++] = (struct alias){x->key, (size_t)column};
    }
    m->columns.aliases = m->aliases;
    m->columns.n_aliases = n;
    return 0;
}

static int find(const struct labelmap *m, const struct yaml *x, const char *field, size_t *column, struct err *e) {
    long found = columns_find(&m->columns, x->key, strlen(x->key));
    if (found < 0) return no_column(m, x->key_line, field, x->key, e);
    *column = (size_t)found;
    return 0;
}

/* Common labels stay in the map y itself beside the columns' tables: a member that is a scalar is a label. */
static int read_labels(struct labelmap *m, const struct yaml *y, struct err *e) {
    const char *text;
    size_t column;
    if (expect_map(m, y, e) < 0) return -1;
    m->common.labels = y;
    for (const struct yaml *x = y->first; x; x = x->next) {
        if (x->type != YAML_MAP) {
            if (yaml_str(x, m->path, &text, e) < 0) return -1;
            continue;
        }
        if (find(m, x, "labels", &column, e) < 0) return -1;
        if (m->own[column].labels) return fail(m, x->key_line, e, "labels: column '%s' has two tables", x->key);
        m->own[column].labels = x;
        for (const struct yaml *l = x->first; l; l = l->next)
            if (yaml_str(l, m->path, &text, e) < 0) return -1;
    }
    return 0;
}

static int check_list(const struct labelmap *m, const struct yaml *y, struct err *e) {
    const char *text;
    if (y->type != YAML_LIST || !y->count) return fail(m, y->line, e, "%s: expected a list of labels", y->key);
    for (const struct yaml *x = y->first; x; x = x->next)
        if (yaml_str(x, m->path, &text, e) < 0) return -1;
    return 0;
}

static int read_allowed(struct labelmap *m, const struct yaml *y, struct err *e) {
    size_t column;
    if (y->type != YAML_MAP) {
        m->common.allowed = y;
        return check_list(m, y, e);
    }
    for (const struct yaml *x = y->first; x; x = x->next) {
        if (find(m, x, "allowed", &column, e) < 0 || check_list(m, x, e) < 0) return -1;
        if (m->own[column].allowed) return fail(m, x->key_line, e, "allowed: column '%s' has two lists", x->key);
        m->own[column].allowed = x;
    }
    return 0;
}

/* `columns` first, wherever it stands: the other fields may use its names. */
static int read_fields(struct labelmap *m, struct err *e) {
    const struct yaml *columns = yaml_get(m->root, "columns");
    if (m->root->type != YAML_MAP) return fail(m, m->root->line, e, "expected a map with columns, labels or allowed");
    if (columns && read_columns(m, columns, e) < 0) return -1;
    for (const struct yaml *y = m->root->first; y; y = y->next) {
        int rc = 0;
        if (!strcmp(y->key, "labels"))
            rc = read_labels(m, y, e);
        else if (!strcmp(y->key, "allowed"))
            rc = read_allowed(m, y, e);
        else if (y != columns)
            rc = fail(m, y->key_line, e, "unknown field '%.60s', expected columns, labels or allowed", y->key);
        if (rc < 0) return -1;
    }
    return 0;
}

struct labelmap *labelmap_read(const char *path, const struct cell *names, size_t n, struct err *e) {
    struct labelmap *m = xcalloc(1, sizeof *m);
    m->path = path && strcmp(path, "-") ? path : "stdin";
    m->columns = (struct columns){.names = names, .n = n};
    m->own = xcalloc(n, sizeof *m->own);
    if (!path || ((m->root = yaml_read_file(path, e)) && read_fields(m, e) == 0)) return m;
    labelmap_free(m);
    return NULL;
}

void labelmap_free(struct labelmap *m) {
    if (!m) return;
    yaml_free(m->root);
    free(m->aliases);
    free(m->own);
    free(m);
}

const struct columns *labelmap_columns(const struct labelmap *m) { return &m->columns; }

int labelmap_check(const struct labelmap *m, const bool *fixed, struct err *e) {
    for (size_t i = 0; i < m->columns.n; i++) {
        const struct yaml *y = m->own[i].labels ? m->own[i].labels : m->own[i].allowed;
        if (y && fixed[i]) return fail(m, y->key_line, e, "column '%s' is used by the prompt, expected a label column", y->key);
    }
    return 0;
}

static const struct yaml *lookup(const struct yaml *labels, const char *label) {
    const struct yaml *y = labels ? yaml_get(labels, label) : NULL;
    return y && y->type == YAML_SCALAR ? y : NULL;
}

int labelmap_apply(const struct labelmap *m, size_t column, struct cell *label, struct err *e) {
    if (!m->root) return 0;
    const struct yaml *to = lookup(m->own[column].labels, label->p);
    const char *was = label->p;
    if (!to) to = lookup(m->common.labels, label->p);
    if (to) *label = (struct cell){to->text, strlen(to->text)};
    const struct yaml *allowed = m->own[column].allowed ? m->own[column].allowed : m->common.allowed;
    if (!allowed) return 0;
    for (const struct yaml *x = allowed->first; x; x = x->next)
        if (!strcmp(x->text, label->p)) return 0;
    return err_set(e, RC_INPUT, "column '%.60s': label '%.60s'%s%.60s%s is not allowed, expected one that %s:%d lists",
                   m->columns.names[column].p, was, to ? " (mapped to '" : "", to ? label->p : "", to ? "')" : "", m->path,
                   allowed->line);
}
