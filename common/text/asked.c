/* Constraints of answers as options ask for them: see asked.h. */
#include "common/text/asked.h"
#include "common/io/io.h"
#include <stdlib.h>
#include <string.h>

static int add_choice(struct asked *a, struct buf *one, struct err *e) {
    if (!one->n) return err_set(e, RC_USAGE, "--choice: an empty text, expected A,B,C (a comma inside one is \\,)");
    if (utf8_valid(one->p, one->n) != one->n) return err_set(e, RC_USAGE, "--choice %s: not UTF-8", one->p);
    GROW(a->choice, a->n_choice, a->cap_choice);
    a->choice[a->n_choice++] = buf_detach(one);
    return 0;
}

static int cut_choices(struct asked *a, const char *s, struct err *e) {
    struct buf one = BUF_INIT;
    int rc = 0;
    buf_add(&one, "", 0);
    for (; !rc; s++) {
        if (*s == '\\' && (s[1] == ',' || s[1] == '\\')) buf_addc(&one, *++s);
        else if (*s && *s != ',') buf_addc(&one, *s);
        else rc = add_choice(a, &one, e);
        if (!*s) break;
    }
    buf_release(&one);
    return rc;
}

struct grammar *asked_grammar(const struct asked *a, const uint64_t *bytes, struct err *e) {
    struct grammar_options o = {a->space, a->prefix, bytes, a->lenient};
    if (a->schema) return grammar_from_schema(a->schema, &o, e);
    if (a->regex) return grammar_from_regex(a->regex, &o, e);
    if (a->gbnf_file) return grammar_from_gbnf(a->gbnf.p, a->gbnf.n, strcmp(a->gbnf_file, "-") ? a->gbnf_file : "stdin", &o, e);
    return grammar_from_choices((const char *const *)a->choice, a->n_choice, &o, e);
}

static void list_left_out(struct asked *a, const struct grammar *g) {
    buf_addc(&a->left_out, '[');
    for (size_t i = 0; i < grammar_n_left_out(g); i++) {
        if (i) buf_addc(&a->left_out, ',');
        json_put_string(&a->left_out, grammar_left_out(g, i), strlen(grammar_left_out(g, i)));
    }
    buf_addc(&a->left_out, ']');
}

int asked_read(struct asked *a, struct err *e) {
    struct schema_options o = {.annotate_unknown = a->annotate_unknown};
    if (!asked_any(a)) return 0;
    if (a->schema_file && !(a->schema = schema_read_file_with(a->schema_file, &o, e))) return -1;
    buf_add(&a->gbnf, "", 0);
    if (a->gbnf_file && io_read_all(a->gbnf_file, 0, &a->gbnf, e) < 0) return -1;
    for (int i = 0; i < a->n_choices; i++)
        if (cut_choices(a, a->choices[i], e) < 0) return -1;
    struct grammar *g = asked_grammar(a, NULL, e);
    if (g && a->lenient) list_left_out(a, g);
    grammar_free(g);
    return g ? 0 : -1;
}

void asked_release(struct asked *a) {
    schema_free(a->schema);
    buf_release(&a->gbnf);
    buf_release(&a->left_out);
    for (int i = 0; i < a->n_choice; i++) free(a->choice[i]);
    free(a->choice);
}
