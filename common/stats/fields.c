/* The fields of a schema and their groups: see answers.h. */
#include "common/stats/answers.h"
#include "common/stats/confusion.h"
#include "common/stats/tally.h"
#include <stdlib.h>
#include <string.h>

static const char *last_part(const char *path) {
    const char *dot = strrchr(path, '.');
    return dot ? dot + 1 : path;
}

static bool same_values(const struct schema *s, int a, int b) {
    int n = schema_field_n_values(s, a);
    if (n != schema_field_n_values(s, b)) return false;
    for (int k = 0; k < n; k++)
        if (strcmp(schema_field_value(s, a, k), schema_field_value(s, b, k))) return false;
    return true;
}

static int group_for(struct task *t, int field) {
    for (int i = 0; i < field; i++)
        if (same_values(t->schema, i, field)) return t->group_of[i];
    struct group *g = &t->groups[t->n_groups];
    g->K = schema_field_n_values(t->schema, field);
    g->labels = xcalloc((size_t)g->K, sizeof *g->labels);
    for (int k = 0; k < g->K; k++) g->labels[k] = schema_field_value(t->schema, field, k);
    return t->n_groups++;
}

static void name_group(struct task *t, int g) {
    struct buf b = BUF_INIT;
    const char *shared = NULL;
    bool same = true;
    for (int i = 0; i < t->n_fields; i++) {
        if (t->group_of[i] != g) continue;
        const char *part = last_part(t->field[i]);
        same = same && (!shared || !strcmp(shared, part));
        shared = part;
        buf_addf(&b, "%s%s", b.n ? "," : "", t->field[i]);
    }
    t->groups[g].name = t->groups[g].n_fields > 1 && same ? xstrdup(shared) : buf_detach(&b);
    buf_release(&b);
}

/* Of a run's counts (tally.h). */
static int check_cells(const struct task *t, struct err *e) {
    int64_t n = TALLY_GROUPS;
    for (int g = 0; g < t->n_groups; g++) n += (int64_t)t->groups[g].K * (t->groups[g].K + 1);
    return n <= UNITS_CELLS ? 0 : err_set(e, RC_INPUT, "too many values in %d groups of fields: %lld pairs of them, at most %d can be counted", t->n_groups, (long long)n, UNITS_CELLS);
}

int task_init(struct task *t, const struct schema *s, struct err *e) {
    *t = (struct task){.schema = s, .n_fields = schema_n_fields(s)};
    if (!t->n_fields) return err_set(e, RC_INPUT, "the schema has no property with an enum of strings: nothing to score");
    t->field = xcalloc((size_t)t->n_fields, sizeof *t->field);
    t->group_of = xcalloc((size_t)t->n_fields, sizeof *t->group_of);
    t->groups = xcalloc((size_t)t->n_fields, sizeof *t->groups);
    for (int i = 0; i < t->n_fields; i++) {
        t->field[i] = schema_field(s, i);
        if (schema_field_n_values(s, i) > MAX_CLASSES)
            return err_set(e, RC_INPUT, "field %s has %d values, at most %d can be scored", t->field[i], schema_field_n_values(s, i), MAX_CLASSES);
        t->group_of[i] = group_for(t, i);
        t->groups[t->group_of[i]].n_fields++;
    }
    for (int g = 0; g < t->n_groups; g++) name_group(t, g);
    return check_cells(t, e);
}

void task_release(struct task *t) {
    for (int g = 0; g < t->n_groups; g++) {
        free(t->groups[g].name);
        free(t->groups[g].labels);
    }
    free(t->field);
    free(t->group_of);
    free(t->groups);
}
