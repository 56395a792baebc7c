/* Scores, pairs and costs in the HTML report: see page.h. */
#include "common/stats/page.h"
#include "common/stats/chart.h"
#include "common/stats/markup.h"
#include <math.h>
#include <stdlib.h>

void page_name(struct buf *b, const struct view *v, int system) {
    int rank = v->rank[system];
    buf_addf(b, "<span class=\"num c%d\">%d</span>", rank % CHART_COLOURS, rank + 1);
    put_escaped(b, v->r->systems[system].name);
}

static void head(struct buf *b, const char *class, const char *const *titles, int n) {
    buf_addf(b, "<table class=\"%s\"><thead><tr><th class=\"l\">system</th>", class);
    for (int i = 0; i < n; i++) buf_addf(b, "<th>%s</th>", titles[i]);
    buf_adds(b, "</tr></thead><tbody>\n");
}

static void put_measured(struct buf *b, const struct measured *m) {
    buf_addf(b, "<td>%.3f<small>%.3f–%.3f</small></td>", m->value, m->ci.low, m->ci.high);
}

/* ---- scores ---- */
static void forest(struct buf *b, const struct view *v) {
    const struct report *r = v->r;
    struct chart_row *rows = xcalloc((size_t)r->n_systems, sizeof *rows);
    double **runs = xcalloc((size_t)r->n_systems, sizeof *runs);
    int n = 0;
    for (int i = 0; i < r->n_systems; i++) {
        const struct system_result *s = &r->systems[v->order[i]];
        if (!s->classified) continue;
        runs[n] = xcalloc((size_t)s->n_runs, sizeof **runs);
        for (int k = 0; k < s->n_runs; k++) runs[n][k] = s->runs[k].score;
        rows[n] = (struct chart_row){s->name, s->score.value, s->score.ci.low, s->score.ci.high, runs[n], s->n_runs, i + 1, i};
        n++;
    }
    if (n) chart_rows(b, "Score of each system with its interval", rows, n);
    for (int i = 0; i < n; i++) free(runs[i]);
    free(runs);
    free(rows);
}

static void systems_table(struct buf *b, const struct view *v) {
    static const char *const titles[] = {"macro-F1", "all fields right", "valid answers"};
    const struct report *r = v->r;
    head(b, "", titles, 3);
    for (int i = 0; i < r->n_systems; i++) {
        const struct system_result *s = &r->systems[v->order[i]];
        buf_adds(b, "<tr><td class=\"l\">");
        page_name(b, v, v->order[i]);
        if (s->n_runs > 1) buf_addf(b, "<small>%d seeds</small>", s->n_runs);
        if (s->facts.note) buf_adds(b, "<small style=\"white-space:normal\">"), put_escaped(b, s->facts.note), buf_adds(b, "</small>");
        buf_adds(b, "</td>");
        if (s->classified) {
            put_measured(b, &s->score);
            put_measured(b, &s->exact);
            put_measured(b, &s->valid);
        } else {
            buf_adds(b, "<td colspan=\"3\">no parsed answers</td>");
        }
        buf_adds(b, "</tr>\n");
    }
    buf_adds(b, "</tbody></table>\n");
}

static void group_table(struct buf *b, const struct view *v, int g) {
    static const char *const titles[] = {"macro-F1", "accuracy", "weighted F1", "kappa"};
    const struct report *r = v->r;
    int one = r->task->n_groups == 1; /* then its macro-F1 is the score beside */
    const struct group *x = &r->task->groups[g];
    buf_adds(b, "<figure><h3>");
    put_escaped(b, x->name);
    buf_addf(b, " <small>%d field%s</small></h3>", x->n_fields, x->n_fields == 1 ? "" : "s pooled");
    head(b, "", titles + one, 4 - one);
    for (int i = 0; i < r->n_systems; i++) {
        const struct system_result *s = &r->systems[v->order[i]];
        if (!s->classified) continue;
        buf_adds(b, "<tr><td class=\"l\">");
        page_name(b, v, v->order[i]);
        buf_adds(b, "</td>");
        if (!one) put_measured(b, &s->g[g].macro_f1);
        put_measured(b, &s->g[g].accuracy);
        put_measured(b, &s->g[g].weighted_f1);
        buf_addf(b, "<td>%.3f</td></tr>\n", s->g[g].s.kappa);
    }
    buf_adds(b, "</tbody></table></figure>\n");
}

void page_scores(struct buf *b, const struct view *v) {
    buf_adds(b, "<h2>Scores</h2>\n<div class=\"grid\"><figure>");
    forest(b, v);
    buf_adds(b, "<figcaption>");
    view_score_name(v->r, b);
    buf_adds(b, ", with 95 % interval; small marks: single seeds.</figcaption></figure>\n<figure>");
    systems_table(b, v);
    buf_adds(b, "</figure>\n");
    for (int g = 0; g < v->r->task->n_groups; g++) group_table(b, v, g);
    buf_adds(b, "</div>\n");
}

/* ---- pairs ---- */
static void matrix(struct buf *b, const struct view *v, int n) {
    buf_adds(b, "<table class=\"matrix\"><thead><tr><th class=\"l\">row against column</th>");
    for (int k = 0; k < n; k++) buf_addf(b, "<th><span class=\"num c%d\" style=\"margin:0\">%d</span></th>", k % CHART_COLOURS, k + 1);
    buf_adds(b, "</tr></thead><tbody>\n");
    for (int i = 0; i < n; i++) {
        buf_adds(b, "<tr><td class=\"l\">");
        page_name(b, v, v->order[i]);
        buf_adds(b, "</td>");
        for (int k = 0; k < n; k++) {
            int sign = i == k ? 0 : view_sign(v->r, v->order[i], v->order[k]);
            buf_adds(b, i == k ? "<td></td>" : sign > 0 ? "<td class=\"up\">▲</td>" : sign < 0 ? "<td class=\"down\">▽</td>" : "<td>·</td>");
        }
        buf_adds(b, "</tr>\n");
    }
    buf_adds(b, "</tbody></table>\n<p class=\"soft\">▲ better, ▽ worse (Holm p below 0.05), · not decidable.</p>\n");
}

static void pairs_table(struct buf *b, const struct view *v, int n) {
    buf_adds(b, "<details open><summary>All pairs: difference of the score, 95 % interval, p, Holm p</summary>\n<table class=\"pairs\"><thead><tr><th class=\"l\">pair</th><th>difference</th><th>p</th><th>Holm p</th></tr></thead><tbody>\n");
    for (int i = 0; i < n; i++)
        for (int k = i + 1; k < n; k++) {
            double sign;
            const struct pair_result *p = report_pair(v->r, v->order[i], v->order[k], &sign);
            if (!p) continue;
            struct measured d = p->difference;
            if (sign < 0) d = measured_reversed(d);
            buf_adds(b, "<tr><td class=\"l\">");
            page_name(b, v, v->order[i]);
            buf_adds(b, " − ");
            page_name(b, v, v->order[k]);
            buf_addf(b, "</td><td>%+.3f<small>%+.3f to %+.3f</small></td><td>%.4f</td><td>%s%.4f%s</td></tr>\n", d.value, d.ci.low, d.ci.high, p->p, p->holm < 0.05 ? "<b>" : "", p->holm,
                p->holm < 0.05 ? "</b>" : "");
        }
    buf_adds(b, "</tbody></table></details>\n");
}

void page_pairs(struct buf *b, const struct view *v) {
    int n = 0;
    while (n < v->r->n_systems && v->r->systems[v->order[n]].classified) n++;
    buf_adds(b, "<h2>Who beats whom</h2>\n");
    if (n < 2) return buf_adds(b, "<p>There is one system only: nothing to compare.</p>\n");
    buf_adds(b, "<div class=\"grid two\"><div>");
    matrix(b, v, n);
    buf_adds(b, "</div>\n");
    pairs_table(b, v, n);
    buf_adds(b, "</div>\n");
}

/* ---- costs ---- */
static void costs_table(struct buf *b, const struct view *v) {
    const struct report *r = v->r;
    const char *titles[N_FACTS + 1];
    for (int f = 0; f < N_FACTS; f++) titles[f] = fact_titles[f];
    titles[N_FACTS] = "answer tokens";
    head(b, "cards", titles, N_FACTS + 1);
    for (int i = 0; i < r->n_systems; i++) {
        const struct system_result *s = &r->systems[v->order[i]];
        buf_adds(b, "<tr><td class=\"l\">");
        page_name(b, v, v->order[i]);
        buf_adds(b, "</td>");
        for (int f = 0; f < N_FACTS; f++) {
            buf_addf(b, "<td data-l=\"%s\">", fact_titles[f]);
            view_fact(b, f, s->facts.v[f]);
            buf_adds(b, "</td>");
        }
        buf_adds(b, "<td data-l=\"answer tokens\">");
        if (isfinite(s->tokens_out)) buf_addf(b, "%.0f + %.0f", s->tokens_in, s->tokens_out);
        else buf_adds(b, "not given");
        buf_adds(b, "</td></tr>\n");
    }
    buf_adds(b, "</tbody></table>\n<p class=\"soft\">Means over seeds. Answer tokens: a row, read + written.</p>\n");
}

bool page_fact_chart(struct buf *b, const struct view *v, enum fact f) {
    static const char *const labels[N_FACTS] = {"training rows", "training tokens", "training seconds", "model bytes", "price"};
    const struct report *r = v->r;
    struct chart_point *p = xcalloc((size_t)r->n_systems, sizeof *p);
    int n = 0;
    for (int i = 0; i < r->n_systems; i++) {
        const struct system_result *s = &r->systems[v->order[i]];
        if (!s->classified || !isfinite(s->facts.v[f])) continue;
        p[n++] = (struct chart_point){s->facts.v[f], s->score.value, s->score.ci.low, s->score.ci.high, i + 1, i};
    }
    struct chart c = {labels[f], labels[f], "macro-F1", p, n, NULL, 0};
    if (n) chart_xy(b, &c);
    free(p);
    return n > 0;
}

static void put_missing(struct buf *b, const struct view *v, enum fact f) {
    int n = 0;
    for (int i = 0; i < v->r->n_systems; i++) {
        if (isfinite(v->r->systems[v->order[i]].facts.v[f])) continue;
        buf_addf(b, n++ ? ", " : " Not given for ");
        put_escaped(b, v->r->systems[v->order[i]].name);
    }
    if (n) buf_adds(b, ".");
}

void page_costs(struct buf *b, const struct view *v) {
    buf_adds(b, "<h2>What the scores cost</h2>\n");
    costs_table(b, v);
    buf_adds(b, "<div class=\"grid\">\n");
    for (int f = 0; f < N_FACTS; f++) {
        buf_adds(b, "<figure>");
        if (page_fact_chart(b, v, f)) {
            buf_addf(b, "<figcaption>Score against %s.", fact_titles[f]);
            put_missing(b, v, f);
        } else {
            buf_addf(b, "<figcaption>Score against %s: not given for any system.", fact_titles[f]);
        }
        buf_adds(b, "</figcaption></figure>\n");
    }
    buf_adds(b, "</div>\n<p class=\"soft\">Numbers are those of the systems above; bars are intervals; points at one place are set side by side.</p>\n");
}
