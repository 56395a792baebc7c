/* Escaping: see markup.h. */
#include "common/stats/markup.h"
#include "common/io/json.h"
#include <string.h>

static void put_char(struct buf *b, unsigned char c) {
    if (c == '&') buf_adds(b, "&amp;");
    else if (c == '<') buf_adds(b, "&lt;");
    else if (c == '>') buf_adds(b, "&gt;");
    else if (c == '"') buf_adds(b, "&quot;");
    else if (c == '\'') buf_adds(b, "&#39;");
    else if ((c < 32 && c != '\t' && c != '\n' && c != '\r') || c == 127) buf_adds(b, "\xef\xbf\xbd");
    else buf_addc(b, (char)c);
}

void put_escaped(struct buf *b, const char *s) {
    struct buf valid = BUF_INIT;
    if (!s) return;
    utf8_repair(&valid, s, strlen(s));
    for (size_t i = 0; i < valid.n; i++) put_char(b, (unsigned char)valid.p[i]);
    buf_release(&valid);
}
