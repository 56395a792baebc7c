/* Inside of grammar_gbnf*.c: a parsed grammar in llama.cpp's GBNF. Kept are rules (names of letters, digits, - and _), "text",
   [classes] and [^such], the dot (any character), | ( ) * + ? {m} {m,} {m,n}, # comments, and the escapes \x \u \U \t \r \n \\
   \" \[ \] \-. The answer is what the rule root derives. Errors: tokens in angle brackets (a text of the answer has no special
   tokens), a rule that is not defined or defined twice, left recursion. */
#ifndef COADOR_GRAMMAR_GBNF_H
#define COADOR_GRAMMAR_GBNF_H
#include "common/text/grammar_regex.h"

enum bnf_kind { B_TEXT, B_SET, B_CAT, B_OR, B_REP, B_CALL };

struct bnf {
    enum bnf_kind kind;
    struct buf text;          /* B_TEXT: UTF-8 */
    struct spans set;         /* B_SET: tidy */
    struct bnf *first, *next; /* children; next sibling */
    uint32_t lo, hi;          /* B_REP */
    size_t rule;              /* B_CALL */
};

struct bnf_rule {
    const char *name;
    size_t len;
    int defined, used; /* line, 0: not yet */
    struct bnf *body;
    bool nullable;
    int mark; /* search for left recursion: 0 new, 1 on the path, 2 done */
    int deep;
    uint32_t rule; /* of the terms */
};

struct bnf_rules {
    const char *file;
    struct bnf_rule *v;
    size_t n, cap;
};

/* Borrows text and file for the life of r. -1 and "file:line: …". give either way: bnf_release. */
int bnf_parse(struct bnf_rules *r, const char *text, size_t n, const char *file, struct err *e);
void bnf_release(struct bnf_rules *r);
#endif
