/* JSON values as Python prints them: str() of what json.loads gives. The notebook trained on such text
   ("{'f1': {'polaridade': 'Positivo'}}"), so its data can be made again. */
#ifndef COADOR_PYREPR_H
#define COADOR_PYREPR_H
#include "common/io/buf.h"
#include "common/io/json.h"
/* Appends v: True, False, None; strings in the quotes that repr() picks, unprintable characters escaped (by PCRE2's
   Unicode tables); floats with repr's shortest digits; a top-level string without quotes, as str() has it. */
void pyrepr(struct buf *b, const struct json *v);
#endif
