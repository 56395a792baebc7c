/* Line of a value in its file, from 1, for messages: line breaks between the document's first byte and the value's. */
#ifndef COADOR_JSON_LINE_H
#define COADOR_JSON_LINE_H
#include "common/io/json.h"

static inline int json_line(const struct json *root, const struct json *v) {
    int line = 1;
    for (const char *p = root->raw; p < v->raw; p++) line += *p == '\n';
    return line;
}
#endif
