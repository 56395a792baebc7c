/* Text from outside put into HTML and SVG. */
#ifndef COADOR_MARKUP_H
#define COADOR_MARKUP_H
#include "common/io/buf.h"

/* Appends s with & < > " ' as entities, and control characters but tab and line breaks, and ill-formed UTF-8, as U+FFFD. NULL: nothing. */
void put_escaped(struct buf *b, const char *s);
#endif
