/* A report as one HTML page that needs nothing else: see report.h. */
#include "common/stats/chart.h"
#include "common/stats/markup.h"
#include "common/stats/page.h"

static void verdict(struct buf *b, const struct verdict *v) {
    buf_addf(b, "<div class=\"answer %s\">", v->kind == VERDICT_OPEN ? "open" : v->kind == VERDICT_YES || v->kind == VERDICT_YES_SMALL ? "yes" : "no");
    if (v->question) buf_adds(b, "<p>"), put_escaped(b, v->question), buf_adds(b, "</p>");
    buf_adds(b, "<p class=\"said\">");
    put_escaped(b, v->sentence);
    buf_adds(b, "</p></div>\n");
}

static void open_page(struct buf *b, const struct report *r) {
    buf_adds(b, "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>");
    put_escaped(b, view_title(r));
    buf_addf(b, "</title>\n<style>\n%s%s</style></head>\n<body>\n<h1>", chart_css, page_css);
    put_escaped(b, view_title(r));
    buf_adds(b, "</h1>\n<p class=\"soft\">");
    struct buf units = BUF_INIT;
    report_units(r, &units);
    put_escaped(b, units.p);
    buf_release(&units);
    buf_addf(b, "; %d system%s</p>\n", r->n_systems, r->n_systems == 1 ? "" : "s");
}

void report_html(const struct report *r, struct buf *b) {
    struct view v;
    struct buf method = BUF_INIT;
    view_init(&v, r);
    open_page(b, r);
    for (int i = 0; i < r->n_verdicts; i++) verdict(b, &r->verdicts[i]);
    for (int i = 0; i < r->o.n_notes; i++) buf_adds(b, "<p class=\"note\">"), put_escaped(b, r->o.notes[i]), buf_adds(b, "</p>\n");
    page_scores(b, &v);
    page_pairs(b, &v);
    page_costs(b, &v);
    page_learning(b, &v);
    page_confusions(b, &v);
    page_calibration(b, &v);
    page_losses(b, &v);
    page_differing(b, &v);
    view_method(r, &method);
    buf_adds(b, "<h2>How the numbers were made</h2>\n<p>");
    put_escaped(b, method.p);
    buf_adds(b, "</p>\n</body>\n</html>\n");
    buf_release(&method);
    view_release(&v);
}
