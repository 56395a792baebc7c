/* YAML 1.1 through libyaml, as a tree whose nodes know their line: for configs and pipeline files.
   Duplicate keys, anchors and aliases, merge keys, tags, keys that are not scalars, NULs and several
   documents are errors, each by its name and line. UTF-8 only. */
#ifndef COADOR_YAML_H
#define COADOR_YAML_H
#include "common/io/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum yaml_type { YAML_SCALAR, YAML_LIST, YAML_MAP };
struct yaml {
    enum yaml_type type;
    int line;             /* 1-based line of the value */
    bool quoted;          /* scalar stood in quotes or a block: always a string */
    char *text;           /* YAML_SCALAR: its text ("" for an empty value); never NULL */
    char *key;            /* member of a map: its key, else NULL */
    int key_line;
    size_t count;
    struct yaml *first, *next; /* children, siblings, in file order */
};
/* give: yaml_free. Errors carry "path:line: what". An empty file is an empty map. */
struct yaml *yaml_read_file(const char *path, struct err *e);
struct yaml *yaml_parse(const char *text, size_t n, const char *name, struct err *e);
void yaml_tree_free(struct yaml *y);
/* Inline because libyaml exports a yaml_free of its own, which a global symbol of ours would replace. */
static inline void yaml_free(struct yaml *y) { yaml_tree_free(y); }
struct yaml *yaml_get(const struct yaml *map, const char *key); /* NULL if absent or not a map */
bool yaml_is_null(const struct yaml *y);                        /* unquoted empty, ~, null */
/* Typed reads of a scalar: 0, or -1 and "name:line: key: expected …". `name` is the file's. Numbers and booleans
   must stand unquoted; a string may be any scalar but null. */
int yaml_int(const struct yaml *y, const char *name, int64_t *out, struct err *e);
int yaml_real(const struct yaml *y, const char *name, double *out, struct err *e); /* 4e-4 counts as a number */
int yaml_bool(const struct yaml *y, const char *name, bool *out, struct err *e);   /* true/false/yes/no/on/off, any case */
int yaml_str(const struct yaml *y, const char *name, const char **out, struct err *e); /* borrows */
#endif
