/* The JSON value in a model's answer: found between other text, and repaired by rules that have names. Whatever is JSON
   already is taken as it stands: no rule is ever applied to it.

   Order. (1) The whole text, white space around it aside. (2) Each part fenced by ``` lines, then the whole text: from
   each { or [ in turn, the balanced piece that starts there if it is JSON, else what the rules below make of it, as far
   as they read. A piece that neither way gives a value is passed over as a whole when its brackets balance. The first
   value that fits the schema is taken; none: the first value's misfit is the error.

   Rules (only from a { or [ on, where strict reading failed):
   fence, chatter   the value stood in a fence; other text stood around it
   single_quotes    'x' is "x"; inside, \' is ' and a bare " is a character
   smart_quotes     the same for “x” „x“ ‘x’ ‚x‘
   inner_quotes     a bare quote inside a string on one line is a character. It ends a key only before a colon, a value
                    only before , } ] a comment, the end of the text, or a line break with another quote after it
   control_chars    bare control characters in a string are those characters
   escapes          \xHH is U+00HH; in a "string" \' is '
   bare_keys        letters, digits, _ $ - and whatever is not ASCII, before a colon, are a key
   python_literals  True False None
   comments         // to the line's end, and between slash-star and star-slash
   missing_comma    a member or element begins where a comma should stand
   trailing_comma   a comma before } or ] is nothing
   cut_end          the text ends inside: an open string value ends there (half an escape is dropped), a member without its
                    whole value is dropped (a number at the very end may go on: dropped), and so is a container in which
                    nothing stood yet; then all is closed. */
#ifndef COADOR_REPAIR_H
#define COADOR_REPAIR_H
#include "common/io/json.h"
#include "common/text/schema.h"

enum repair_rule {
    REPAIR_FENCE, REPAIR_CHATTER, REPAIR_SINGLE_QUOTES, REPAIR_SMART_QUOTES, REPAIR_INNER_QUOTES, REPAIR_CONTROL_CHARS, REPAIR_ESCAPES,
    REPAIR_BARE_KEYS, REPAIR_PYTHON_LITERALS, REPAIR_COMMENTS, REPAIR_MISSING_COMMA, REPAIR_TRAILING_COMMA, REPAIR_CUT_END, REPAIR_RULES
};
const char *repair_name(enum repair_rule rule); /* "single_quotes" */

struct repair; /* memory for one search at a time */
struct repair *repair_new(void); /* give: repair_free */
void repair_free(struct repair *r);
/* 0 and *value (lives until the next call), *rules: bits 1 << repair_rule. -1 and e: no value, or none that fits. s may be
   NULL: anything fits. strict: only the whole text, no rule. Borrows text (UTF-8). */
int repair_find(struct repair *r, const char *text, size_t n, const struct schema *s, bool strict, const struct json **value, unsigned *rules, struct err *e);

/* The rules alone, from the { or [ at text[from]: appends JSON to out; *end is where in text it stopped reading. 0, or -1
   and e "line L column C: what". Duplicate keys and numbers out of range are for the strict scanner to judge. */
int repair_mend(const char *text, size_t n, size_t from, struct buf *out, size_t *end, unsigned *rules, struct err *e);
#endif
