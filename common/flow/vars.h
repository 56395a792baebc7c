/* Variables of a pipeline, and ${name} in its text, read as DVC reads them (dvc.org, "Templating"):
   ${a.b} and ${a[0]} look inside maps and lists; \${ stands for ${ itself; numbers and booleans become the text that
   Python prints (4e-4 is 0.0004, yes stays yes, True is true), so one folder gives the same commands under both. */
#ifndef COADOR_FLOW_VARS_H
#define COADOR_FLOW_VARS_H
#include "common/io/err.h"
#include "common/io/yaml.h"

struct vars {
    struct yaml *root;       /* a map: owned */
    const struct yaml *item; /* what ${item} is inside a foreach, else NULL; borrowed */
    const char *key;         /* what ${key} is inside a foreach over a map, else NULL; borrowed */
};
void vars_init(struct vars *v);
void vars_release(struct vars *v);
/* Adds a `vars` list (maps only). Maps merge; a name given twice is an error unless `replace`. Messages say file:line. */
int vars_merge(struct vars *v, const struct yaml *list, const char *file, bool replace, struct err *e);
/* "a.b=VALUE" from the command line: the variable must be there and hold one value, or a list, which takes a list "[1,2]".
   RC_USAGE else. */
int vars_set(struct vars *v, const char *assignment, struct err *e);

/* Which variables a text used, each once: for the provenance. */
struct var_use {
    char *name, *value;
};
struct var_uses {
    struct var_use *v;
    int n;
};
void var_uses_release(struct var_uses *u);

/* `text` with its ${…} replaced; give. NULL and e (RC_INPUT, without a place) where a variable is missing or is a map,
   or a list with one inside. A list is its values with a space between (DVC refuses it). uses may be NULL. */
char *vars_expand(const struct vars *v, const char *text, struct var_uses *uses, struct err *e);
/* A copy of y with its scalars expanded; one that is exactly "${x}" becomes a copy of x, lists and maps too.
   give: yaml_free. */
struct yaml *vars_resolve(const struct vars *v, const struct yaml *y, struct var_uses *uses, struct err *e);
/* Text of one scalar as it goes into a command; give. NULL and e for an empty value, a list or a map. */
char *vars_text(const struct yaml *y, struct err *e);
#endif
