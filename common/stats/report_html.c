/* A report as HTML: see report.h. */
#include "common/stats/report.h"
#include "common/stats/markup.h"

void report_html(const struct report *r, struct buf *b) {
    struct buf text = BUF_INIT;
    report_text(r, &text);
    buf_adds(b, "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><pre>");
    put_escaped(b, text.p);
    buf_adds(b, "</pre>\n");
    buf_release(&text);
}

void report_markdown(const struct report *r, struct buf *b) {
    struct buf text = BUF_INIT;
    report_text(r, &text);
    buf_addf(b, "```\n%s```\n", text.p);
    buf_release(&text);
}
