/* Curves, confusions, calibration and differing rows in the HTML report: see page.h. */
#include "common/stats/chart.h"
#include "common/stats/markup.h"
#include "common/stats/page.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- curves ---- */
static bool learning_chart(struct buf *b, const struct view *v, enum fact f) {
    const struct report *r = v->r;
    struct chart_point *p = xcalloc((size_t)r->n_systems * (size_t)r->n_learning, sizeof *p);
    struct chart_line *l = xcalloc((size_t)r->n_learning, sizeof *l);
    int n = 0;
    for (int i = 0; i < r->n_learning; i++) {
        const struct learning *x = &r->learning[i];
        double *at = xcalloc(2 * (size_t)x->n, sizeof *at);
        for (int k = 0; k < x->n; k++) {
            const struct system_result *s = &r->systems[x->systems[k]];
            at[k] = s->facts.v[f];
            at[x->n + k] = s->score.value;
            p[n++] = (struct chart_point){at[k], s->score.value, s->score.ci.low, s->score.ci.high, v->rank[x->systems[k]] + 1, i};
        }
        l[i] = (struct chart_line){at, at + x->n, x->n, i};
    }
    bool any = false;
    for (int i = 0; i < n; i++) any = any || isfinite(p[i].x);
    struct chart c = {fact_titles[f], fact_titles[f], "macro-F1", p, n, l, r->n_learning};
    if (any) chart_xy(b, &c);
    for (int i = 0; i < r->n_learning; i++) free((void *)l[i].x);
    free(l);
    free(p);
    return any;
}

void page_learning(struct buf *b, const struct view *v) {
    if (!v->r->n_learning) return;
    buf_adds(b, "<h2>Learning curves</h2>\n<div class=\"grid\">\n");
    for (int f = FACT_ROWS; f <= FACT_TOKENS; f++) {
        buf_adds(b, "<figure>");
        bool any = learning_chart(b, v, f);
        buf_addf(b, "<figcaption>Score against %s%s</figcaption></figure>\n", fact_titles[f], any ? "." : ": not given.");
    }
    buf_adds(b, "</div>\n<p>");
    for (int i = 0; i < v->r->n_learning; i++) {
        buf_addf(b, "<span class=\"num c%d\">&nbsp;</span>", i % CHART_COLOURS);
        put_escaped(b, v->r->learning[i].name);
        buf_adds(b, " ");
    }
    buf_adds(b, "</p>\n");
}

void page_losses(struct buf *b, const struct view *v) {
    const struct report *r = v->r;
    struct chart_line *l = xcalloc((size_t)r->n_losses + 1, sizeof *l);
    if (!r->n_losses) return free(l);
    for (int i = 0; i < r->n_losses; i++) l[i] = (struct chart_line){r->losses[i].x, r->losses[i].y, r->losses[i].n, i};
    struct chart c = {"Training loss", "step", "loss a token", NULL, 0, l, r->n_losses};
    buf_adds(b, "<h2>Training loss</h2>\n<div class=\"grid\"><figure>");
    chart_xy(b, &c);
    buf_adds(b, "<figcaption>");
    for (int i = 0; i < r->n_losses; i++) {
        buf_addf(b, "<span class=\"num c%d\">&nbsp;</span>", i % CHART_COLOURS);
        put_escaped(b, r->losses[i].name);
        buf_adds(b, " ");
    }
    buf_adds(b, "</figcaption></figure></div>\n");
    free(l);
}

/* ---- confusions ---- */
static void confusion(struct buf *b, const struct view *v, int system, int g) {
    const struct group *x = &v->r->task->groups[g];
    const int64_t *c = v->r->systems[system].g[g].counts;
    buf_adds(b, "<figure><h3>");
    page_name(b, v, system);
    buf_adds(b, " <small>");
    put_escaped(b, x->name);
    if (v->r->systems[system].n_runs > 1) buf_addf(b, ", summed over %d seeds", v->r->systems[system].n_runs);
    buf_adds(b, "</small></h3><table class=\"conf\"><thead><tr><th></th>");
    for (int j = 0; j <= x->K; j++) buf_adds(b, "<th>"), put_escaped(b, j < x->K ? x->labels[j] : "unparsed"), buf_adds(b, "</th>");
    buf_adds(b, "</tr></thead><tbody>\n");
    for (int i = 0; i < x->K; i++) {
        int64_t sum = 0;
        for (int j = 0; j <= x->K; j++) sum += c[i * (x->K + 1) + j];
        buf_adds(b, "<tr><th class=\"l\">");
        put_escaped(b, x->labels[i]);
        buf_adds(b, "</th>");
        for (int j = 0; j <= x->K; j++) {
            int64_t n = c[i * (x->K + 1) + j];
            buf_addf(b, "<td class=\"%s\" style=\"--p:%.0f%%\">%lld</td>", i == j ? "hit" : "miss", sum ? 70.0 * (double)n / (double)sum : 0, (long long)n);
        }
        buf_adds(b, "</tr>\n");
    }
    buf_adds(b, "</tbody></table></figure>\n");
}

void page_confusions(struct buf *b, const struct view *v) {
    buf_adds(b, "<h2>Confusion matrices</h2>\n<p class=\"soft\">A row is a true class, a column what was answered; the deeper the colour, the larger the share of the row.</p>\n<div class=\"grid\">\n");
    for (int i = 0; i < v->r->n_systems; i++)
        for (int g = 0; v->r->systems[v->order[i]].classified && g < v->r->task->n_groups; g++) confusion(b, v, v->order[i], g);
    buf_adds(b, "</div>\n");
}

/* ---- calibration ---- */
void page_calibration(struct buf *b, const struct view *v) {
    int n = 0;
    buf_adds(b, "<h2>Does the confidence mean what it says?</h2>\n<div class=\"grid\">\n");
    for (int i = 0; i < v->r->n_systems; i++) {
        const struct system_result *s = &v->r->systems[v->order[i]];
        const struct calibration *c = &s->calibration;
        if (!s->classified || !c->n) continue;
        buf_adds(b, "<figure><h3>");
        page_name(b, v, v->order[i]);
        buf_adds(b, "</h3>");
        chart_reliability(b, "Accuracy by confidence", c, i);
        buf_addf(b, "<figcaption>Expected calibration error %.3f over %lld answers: mean confidence %.3f, accuracy %.3f.", calibration_ece(c), (long long)c->n, calibration_confidence(c), calibration_accuracy(c));
        if (c->without) buf_addf(b, " %lld more have no confidence.", (long long)c->without);
        buf_adds(b, "</figcaption></figure>\n");
        n++;
    }
    buf_adds(b, "</div>\n");
    if (!n) return buf_adds(b, "<p>No record carries a confidence.</p>\n");
    buf_adds(b, "<p class=\"soft\">Ten bins of confidence; on the dashed line it equals accuracy. Numbers: answers in the bin.</p>\n");
}

/* ---- differing rows ---- */
static void put_answer(struct buf *b, const struct task *t, int f, const struct said *s, int16_t truth) {
    buf_addf(b, "<td class=\"l %s\">", s->pred[f] == truth ? "ok" : "bad");
    put_escaped(b, view_label(t, f, s->pred[f]));
    buf_adds(b, s->pred[f] == truth ? " ✓</td>" : " ✗</td>");
}

static void put_reasoning(struct buf *b, const struct view *v, int system, const struct said *s, const char *role) {
    const char *seed = v->r->in->v[system].runs[s->run].seed;
    buf_addf(b, "<p><b>%s</b> ", role);
    if (seed) buf_adds(b, "<small>seed "), put_escaped(b, seed), buf_adds(b, "</small> ");
    if (isfinite(s->confidence)) buf_addf(b, "<small>confidence %.2f</small> ", s->confidence);
    buf_adds(b, "<br>");
    if (s->reasoning) put_escaped(b, s->reasoning);
    else buf_adds(b, "<span class=\"soft\">no reasoning in its record</span>");
    if (s->error) buf_adds(b, "<br><span class=\"soft\">failed: "), put_escaped(b, s->error), buf_adds(b, "</span>");
    buf_adds(b, "</p>");
}

static void differing_row(struct buf *b, const struct view *v, const struct differing_row *x, int n) {
    const struct task *t = v->r->task;
    const uint8_t *truth = v->r->ref->truth + x->row * t->n_fields;
    bool cells = false;
    for (int f = 0; f < t->n_fields; f++) cells = cells || (x->text && x->text[f]);
    buf_addf(b, "<div class=\"row\"><h3>%d. id ", n);
    put_escaped(b, v->r->ref->ids.key[x->row]);
    buf_addf(b, ": they differ in %.0f %% of the answers</h3>\n", 100 * x->distance);
    if (!cells && x->prompt) buf_adds(b, "<p class=\"prompt\">"), put_escaped(b, x->prompt), buf_adds(b, "</p>");
    buf_adds(b, "<table><thead><tr><th class=\"l\">field</th><th class=\"l\">true</th><th class=\"l\">teacher</th><th class=\"l\">student</th></tr></thead><tbody>\n");
    for (int f = 0; f < t->n_fields; f++) {
        const char *cell = x->text ? x->text[f] : NULL;
        if (cell && (f == 0 || !x->text[f - 1] || strcmp(cell, x->text[f - 1]))) buf_adds(b, "<tr><td class=\"l\" colspan=\"4\">"), put_escaped(b, cell), buf_adds(b, "</td></tr>\n");
        buf_adds(b, "<tr><td class=\"l\">");
        put_escaped(b, t->field[f]);
        buf_adds(b, "</td><td class=\"l\">");
        put_escaped(b, view_label(t, f, truth[f]));
        buf_adds(b, "</td>");
        put_answer(b, t, f, &x->teacher, truth[f]);
        put_answer(b, t, f, &x->student, truth[f]);
        buf_adds(b, "</tr>\n");
    }
    buf_adds(b, "</tbody></table><div class=\"why\">");
    put_reasoning(b, v, v->r->differing.teacher, &x->teacher, "Teacher:");
    put_reasoning(b, v, v->r->differing.student, &x->student, "Student:");
    buf_adds(b, "</div></div>\n");
}

void page_differing(struct buf *b, const struct view *v) {
    const struct differing *d = &v->r->differing;
    buf_adds(b, "<h2>Where teacher and student differ most</h2>\n");
    if (d->teacher < 0) return buf_adds(b, "<p>No teacher and student were named.</p>\n");
    buf_adds(b, "<p>Teacher: ");
    page_name(b, v, d->teacher);
    buf_adds(b, ". Student: ");
    page_name(b, v, d->student);
    buf_addf(b, ". They differ in %lld of %lld rows%s.</p>\n", (long long)d->total, (long long)v->r->ref->rows, d->n < d->total ? "; here are those in which most fields differ, surest teacher first" : "");
    for (int i = 0; i < d->n; i++) differing_row(b, v, &d->rows[i], i + 1);
}
