/* Inside of schema*.c: a compiled schema. A node is one schema object (or true/false) of the source. */
#ifndef COADOR_SCHEMA_NODE_H
#define COADOR_SCHEMA_NODE_H
#include "common/io/json.h"
#include "common/text/schema.h"

#define SCHEMA_NO_LIMIT UINT64_MAX

/* Bits of a set of types: 1 << enum json_type, and one more for whole numbers. */
#define TYPE_INTEGER (1u << 6)

struct pattern; /* schema_pattern.c */
/* ECMA-262 (u flag) regular expression; errors without a place. give: pattern_free. */
struct pattern *pattern_new(const char *text, size_t n, struct err *e);
void pattern_free(struct pattern *p);
/* 1 if it matches anywhere in s, 0 if not, -1 if the search was given up (too much backtracking). */
int pattern_search(const struct pattern *p, const char *s, size_t n);

struct member_schema { /* of properties and patternProperties */
    const struct json *name; /* the member in the source: its key is the name or the pattern */
    struct pattern *pattern; /* patternProperties only */
    struct node *schema;
};

struct nodes {
    struct node **v;
    size_t n;
};

struct node {
    const struct json *source;
    char *path;          /* "#/properties/f1" */
    bool is_bool, truth; /* schema true or false: nothing below counts */
    unsigned types;      /* 0: any */
    const struct json *values, *constant; /* enum, const */
    const struct json *required;
    const struct json *minimum, *maximum, *above, *below, *multiple; /* above: exclusiveMinimum */
    uint64_t min_length, max_length, min_items, max_items, min_members, max_members, min_contains, max_contains;
    bool unique;
    struct pattern *pattern, *format;
    const char *format_text; /* its regular expression */
    bool is_regex;           /* format regex: itself no regular language, so the pattern's own reader checks it */
    struct member_schema *members, *by_pattern;
    size_t n_members, n_by_pattern;
    struct node *additional, *names, *items, *contains;
    struct nodes prefix;
    const struct json *ref_source; /* $ref as written */
    struct node *ref;              /* where it leads */
    struct nodes all, any, one;
    struct nodes also;                     /* as allOf: dependent… as if/then, $dynamicRef as $ref (schema_depend.c) */
    struct node *rest_members, *rest_items; /* unevaluated… */
    bool contains_marks;                   /* contains evaluates: not before 2020-12 */
    struct node *not, *cond, *then, *otherwise;
    size_t index; /* in the schema's nodes */
    int mark; /* cycle check: 0 new, 1 on the path, 2 done */
};

struct anchor {
    const struct json *name;
    struct node *node;
};

struct schema_field {
    char *path;
    const struct json *values;
};

struct schema {
    char *name;
    struct schema_options options;
    bool old; /* draft-07 or older by its $schema */
    bool of_2019;
    struct json_doc *doc;
    const char *text;
    size_t n;
    struct nodes nodes; /* all; the first is the root */
    size_t nodes_cap;
    struct json_doc **made; /* of nodes that stand in no file */
    size_t n_made, made_cap;
    struct anchor *anchors;
    size_t n_anchors, anchors_cap;
    struct schema_field *fields;
    size_t n_fields, fields_cap;
};

/* What a keyword's row does with its value v in node n; to: the field it fills. */
struct compile {
    struct schema *s;
    struct node *n;
    const struct json *v; /* key and value */
    struct err *e;
};

/* schema_keyword.c */
#define DIALECT "https://json-schema.org/draft/2020-12/schema"
#define DIALECT_2019 "https://json-schema.org/draft/2019-09/schema"
struct node *schema_add(struct schema *s, const struct json *source, const char *path);
/* The schema v that stands under c's keyword, further below under `key` if that is not NULL. */
struct node *schema_sub(struct compile *c, const struct json *v, const char *key, size_t n);
char *schema_below(const char *path, const char *key, size_t n); /* "path/key", the key escaped as in a JSON pointer; give */
struct node *schema_node(struct schema *s, const struct json *v, const char *path, struct err *e);
int schema_bad(const struct schema *s, const char *path, struct err *e, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* schema_depend.c: rows of the table of keywords */
int schema_dependent_required(struct compile *c, void *to);
int schema_dependent_schemas(struct compile *c, void *to);
int schema_dependencies(struct compile *c, void *to);
int schema_dynamic_ref(struct compile *c, void *to); /* $recursiveRef, too */
/* schema_format.c: the regular expression of a format, NULL for one that is not known. */
const char *schema_format_pattern(const char *name, size_t n);
/* schema_ref.c: finds what every $ref means, compiling targets that are no keyword's; refuses loops without descent. */
int schema_resolve(struct schema *s, struct err *e);
/* schema_check.c: whether v satisfies n; false also where validation is given up. */
bool schema_node_holds(const struct node *n, const struct json *v);
/* schema_field.c */
int schema_find_fields(struct schema *s, struct err *e);
#endif
