/* Inside of grammar_schema*.c: from the nodes of a schema to rules. A rule stands for a conjunction: a set of items, all of
   which a value has to satisfy. References and allOf add items, anyOf splits a conjunction, so in the end each consists of
   plain assertions, merged type by type. Equal sets are one rule; recursion ends there. */
#ifndef COADOR_GRAMMAR_SCHEMA_H
#define COADOR_GRAMMAR_SCHEMA_H
#include "common/text/grammar_impl.h"
#include "common/text/schema_node.h"

enum part {
    PART_ALL,    /* everything a node says */
    PART_PLAIN,  /* its assertions on the value itself */
    PART_ANY, PART_ONE, PART_IF, /* its anyOf, oneOf, if/then/else */
    PART_NOT     /* the opposite of all it says */
};

/* node index * 8 + part, ascending, each once */
struct items {
    uint32_t *v;
    size_t n, cap;
};
void items_add(struct items *s, const struct node *n, enum part part);

struct conj {
    struct items items;
    uint32_t rule;
    struct err e; /* why it cannot be kept */
};

struct apart { /* what must have no string: two branches of a oneOf together */
    uint32_t rule;
    const struct node *node;
    size_t i, k;
};

struct left { /* a keyword that is not kept, of rule conj[conj] */
    size_t conj;
    char *text; /* "at PATH: KEYWORD: why" */
};

struct builder {
    struct grammar *g;
    struct terms *x;
    const struct schema *s;
    enum grammar_space space;
    term comma, colon, gap; /* white space included; gap: what may stand behind { and before } */
    struct conj *conj;
    size_t n_conj, cap_conj;
    uint32_t *slots; /* hash table over conj */
    size_t n_slots;
    struct apart *apart;
    size_t n_apart, cap_apart;
    bool lenient;
    size_t now; /* conj being built */
    struct left *left;
    size_t n_left, cap_left;
};

/* The value items of one merged conjunction, none of them PART_ALL or a choice. */
struct merged {
    struct builder *b;
    const struct node **plain, **not; /* PART_PLAIN and PART_NOT */
    size_t n_plain, n_not;
    unsigned types;
    struct err *e;
};

/* ---- grammar_conj.c ---- */
/* Takes the items. The rule's body comes later. */
uint32_t conj_rule(struct builder *b, struct items *s);
/* The body of the rule of a conjunction; -1 and why where it cannot be kept. */
int conj_body(struct builder *b, const struct items *given, term *out, struct err *e);
/* -1 with e: "at PATH: …". */
int cannot(const struct node *n, struct err *e, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* A keyword of n that cannot be kept: -1 with e "at PATH: KEYWORD: …", or 0 and it is left out, where that is allowed. */
int left_out(struct merged *m, const struct node *n, const char *keyword, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The values that alone satisfy the items, where enum or const list them; true with *v (give) and *n. */
bool conj_values(struct builder *b, const struct items *s, const struct json ***v, size_t *n);

/* ---- grammar_value.c ---- */
bool values_fit(const struct merged *m, const struct json *v); /* whether all of the conjunction holds for v */
term value_text(struct builder *b, const struct json *v); /* v as it is written */
int values_term(struct merged *m, const struct json *values, const struct json *constant, term *out);
int string_term(struct merged *m, term *out);
int plain_number(struct merged *m, term *out);
/* ---- grammar_not.c: the opposites in m->not, as far as they can be kept ---- */
int opposite_types(struct merged *m);
int opposite_strings(struct merged *m, term *t); /* narrows t, of strings written plainly */
/* ---- grammar_object.c, grammar_array.c ---- */
int object_term(struct merged *m, term *out);
int array_term(struct merged *m, term *out);
/* ---- grammar_rest.c ---- */
struct rest { /* an unevaluatedProperties or …Items and the schemas that evaluate beside it */
    const struct node *schema;
    const struct node **v;
    size_t n;
    bool all; /* they leave nothing over */
};
int rests(struct merged *m, bool of_items, struct rest **v, size_t *n); /* give either way: rests_free */
void rests_free(struct rest *v, size_t n);
#endif
