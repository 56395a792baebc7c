/* Inside of vars*.c. */
#ifndef COADOR_VARS_IMPL_H
#define COADOR_VARS_IMPL_H
#include "common/flow/vars.h"

struct yaml *vars_copy(const struct yaml *y);
/* The node that an expression names; ${key} is made in *key_node. NULL and why. */
struct yaml *vars_find(const struct vars *v, const char *expr, struct yaml *key_node, struct err *e);
#endif
