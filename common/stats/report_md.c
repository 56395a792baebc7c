/* A report as Markdown (GitHub's tables), the twin of the HTML without its pictures: see report.h. */
#include "common/stats/view.h"
#include "common/io/json.h"
#include <math.h>
#include <string.h>

/* Text from outside as plain text: what Markdown or HTML would read as markup is escaped, line breaks become spaces. */
static void plain(struct buf *b, const char *s) {
    struct buf valid = BUF_INIT;
    utf8_repair(&valid, s, strlen(s));
    for (size_t i = 0; i < valid.n; i++) {
        char c = valid.p[i];
        if (c == '<') buf_adds(b, "&lt;");
        else if (c == '&') buf_adds(b, "&amp;");
        else if ((unsigned char)c < 32) buf_addc(b, ' ');
        else if (strchr("\\`*_{}[]()#+-!|>~", c)) buf_addf(b, "\\%c", c);
        else buf_addc(b, c);
    }
    buf_release(&valid);
}

static void name(struct buf *b, const struct view *v, int system) {
    buf_addf(b, "%d ", v->rank[system] + 1);
    plain(b, v->r->systems[system].name);
}

static void measured(struct buf *b, const struct measured *m) { buf_addf(b, " %.3f (%.3f–%.3f) |", m->value, m->ci.low, m->ci.high); }

static void scores(struct buf *b, const struct view *v) {
    const struct report *r = v->r;
    buf_adds(b, "## Scores\n\n| system | seeds | ");
    view_score_name(r, b);
    buf_adds(b, " | all fields right | valid answers | single seeds |\n| --- | ---: | ---: | ---: | ---: | --- |\n");
    for (int i = 0; i < r->n_systems; i++) {
        const struct system_result *s = &r->systems[v->order[i]];
        buf_adds(b, "| ");
        name(b, v, v->order[i]);
        if (s->facts.note) buf_adds(b, " ("), plain(b, s->facts.note), buf_addc(b, ')');
        buf_addf(b, " | %d |", s->n_runs);
        if (!s->classified) {
            buf_adds(b, " no parsed answers | | | |\n");
            continue;
        }
        measured(b, &s->score);
        measured(b, &s->exact);
        measured(b, &s->valid);
        for (int k = 0; k < s->n_runs; k++) buf_addf(b, " %.3f", s->runs[k].score);
        buf_adds(b, " |\n");
    }
}

static void groups(struct buf *b, const struct view *v) {
    const struct report *r = v->r;
    for (int g = 0; g < r->task->n_groups; g++) {
        buf_adds(b, "\n### ");
        plain(b, r->task->groups[g].name);
        buf_adds(b, "\n\n| system | accuracy | macro-F1 | weighted F1 | kappa |\n| --- | ---: | ---: | ---: | ---: |\n");
        for (int i = 0; i < r->n_systems; i++) {
            const struct system_result *s = &r->systems[v->order[i]];
            if (!s->classified) continue;
            buf_adds(b, "| ");
            name(b, v, v->order[i]);
            buf_adds(b, " |");
            measured(b, &s->g[g].accuracy);
            measured(b, &s->g[g].macro_f1);
            measured(b, &s->g[g].weighted_f1);
            buf_addf(b, " %.3f |\n", s->g[g].s.kappa);
        }
    }
}

static void pairs(struct buf *b, const struct view *v) {
    const struct report *r = v->r;
    buf_adds(b, "\n## Who beats whom\n\n");
    if (!r->n_pairs) return buf_adds(b, "There is one system only: nothing to compare.\n");
    buf_adds(b, "| pair | difference (95 % interval) | p | Holm p |\n| --- | ---: | ---: | ---: |\n");
    for (int i = 0; i < r->n_systems; i++)
        for (int k = i + 1; k < r->n_systems; k++) {
            double sign;
            const struct pair_result *p = report_pair(r, v->order[i], v->order[k], &sign);
            if (!p) continue;
            struct measured d = p->difference;
            if (sign < 0) d = measured_reversed(d);
            buf_adds(b, "| ");
            name(b, v, v->order[i]);
            buf_adds(b, " − ");
            name(b, v, v->order[k]);
            buf_addf(b, " | %+.3f (%+.3f to %+.3f) | %.4f | %.4f%s |\n", d.value, d.ci.low, d.ci.high, p->p, p->holm, p->holm < 0.05 ? " ★" : "");
        }
    buf_adds(b, "\n★ Holm p below 0.05; the rest are not decidable.\n");
}

static void costs(struct buf *b, const struct view *v) {
    const struct report *r = v->r;
    buf_adds(b, "\n## What the scores cost\n\n| system | macro-F1 |");
    for (int f = 0; f < N_FACTS; f++) buf_addf(b, " %s |", fact_titles[f]);
    buf_adds(b, " answer tokens |\n| --- | ---: |");
    for (int f = 0; f <= N_FACTS; f++) buf_adds(b, " ---: |");
    buf_addc(b, '\n');
    for (int i = 0; i < r->n_systems; i++) {
        const struct system_result *s = &r->systems[v->order[i]];
        buf_adds(b, "| ");
        name(b, v, v->order[i]);
        if (s->classified) buf_addf(b, " | %.3f |", s->score.value);
        else buf_adds(b, " | |");
        for (int f = 0; f < N_FACTS; f++) {
            buf_addc(b, ' ');
            view_fact(b, f, s->facts.v[f]);
            buf_adds(b, " |");
        }
        if (isfinite(s->tokens_out)) buf_addf(b, " %.0f + %.0f |\n", s->tokens_in, s->tokens_out);
        else buf_adds(b, " not given |\n");
    }
    buf_adds(b, "\nMeans over seeds. Answer tokens: a row, read + written.\n");
}

static void learning(struct buf *b, const struct view *v) {
    const struct report *r = v->r;
    if (!r->n_learning) return;
    buf_adds(b, "\n## Learning curves\n\n| curve | system | training rows | training tokens | macro-F1 |\n| --- | --- | ---: | ---: | ---: |\n");
    for (int i = 0; i < r->n_learning; i++)
        for (int k = 0; k < r->learning[i].n; k++) {
            int system = r->learning[i].systems[k];
            const struct system_result *s = &r->systems[system];
            buf_adds(b, "| ");
            plain(b, r->learning[i].name);
            buf_adds(b, " | ");
            name(b, v, system);
            buf_adds(b, " | ");
            view_fact(b, FACT_ROWS, s->facts.v[FACT_ROWS]);
            buf_adds(b, " | ");
            view_fact(b, FACT_TOKENS, s->facts.v[FACT_TOKENS]);
            buf_adds(b, " |");
            measured(b, &s->score);
            buf_addc(b, '\n');
        }
}

static void confusion(struct buf *b, const struct view *v, int system, int g) {
    const struct group *x = &v->r->task->groups[g];
    const struct system_result *s = &v->r->systems[system];
    buf_adds(b, "\n**");
    name(b, v, system);
    buf_adds(b, "**, ");
    plain(b, x->name);
    if (s->n_runs > 1) buf_addf(b, ", summed over %d seeds", s->n_runs);
    buf_adds(b, "\n\n| true |");
    for (int j = 0; j <= x->K; j++) buf_addc(b, ' '), plain(b, j < x->K ? x->labels[j] : "unparsed"), buf_adds(b, " |");
    buf_adds(b, "\n| --- |");
    for (int j = 0; j <= x->K; j++) buf_adds(b, " ---: |");
    buf_addc(b, '\n');
    for (int i = 0; i < x->K; i++) {
        buf_adds(b, "| ");
        plain(b, x->labels[i]);
        buf_adds(b, " |");
        for (int j = 0; j <= x->K; j++) buf_addf(b, " %lld |", (long long)s->g[g].counts[i * (x->K + 1) + j]);
        buf_addc(b, '\n');
    }
}

static void calibration(struct buf *b, const struct view *v) {
    bool any = false;
    buf_adds(b, "\n## Does the confidence mean what it says?\n\n");
    for (int i = 0; i < v->r->n_systems; i++) {
        const struct calibration *c = &v->r->systems[v->order[i]].calibration;
        if (!v->r->systems[v->order[i]].classified || !c->n) continue;
        any = true;
        buf_adds(b, "**");
        name(b, v, v->order[i]);
        buf_addf(b, "**: expected calibration error %.3f over %lld answers; mean confidence %.3f, accuracy %.3f", calibration_ece(c), (long long)c->n, calibration_confidence(c), calibration_accuracy(c));
        if (c->without) buf_addf(b, "; %lld more have no confidence", (long long)c->without);
        buf_adds(b, ".\n\n| confidence | answers | mean confidence | accuracy |\n| --- | ---: | ---: | ---: |\n");
        for (int k = 0; k < CALIBRATION_BINS; k++)
            if (c->count[k])
                buf_addf(b, "| %.1f–%.1f | %lld | %.3f | %.3f |\n", k / 10.0, (k + 1) / 10.0, (long long)c->count[k], c->sum[k] / (double)c->count[k], (double)c->right[k] / (double)c->count[k]);
        buf_addc(b, '\n');
    }
    if (!any) buf_adds(b, "No record carries a confidence.\n");
}

static void said(struct buf *b, const struct view *v, int system, const struct said *s, const char *role) {
    const char *seed = v->r->in->v[system].runs[s->run].seed;
    buf_addf(b, "- %s", role);
    if (seed) buf_adds(b, ", seed "), plain(b, seed);
    if (isfinite(s->confidence)) buf_addf(b, ", confidence %.2f", s->confidence);
    buf_adds(b, ": ");
    if (s->reasoning) plain(b, s->reasoning);
    else buf_adds(b, "no reasoning in its record");
    if (s->error) buf_adds(b, " (failed: "), plain(b, s->error), buf_addc(b, ')');
    buf_addc(b, '\n');
}

static void differing_row(struct buf *b, const struct view *v, const struct differing_row *x, int n) {
    const struct task *t = v->r->task;
    buf_addf(b, "\n### %d. id ", n);
    plain(b, v->r->ref->ids.key[x->row]);
    buf_addf(b, ": they differ in %.0f %% of the answers\n\n| field | text | true | teacher | student |\n| --- | --- | --- | --- | --- |\n", 100 * x->distance);
    for (int f = 0; f < t->n_fields; f++) {
        const char *cell = x->text ? x->text[f] : NULL;
        buf_adds(b, "| ");
        plain(b, t->field[f]);
        buf_adds(b, " | ");
        if (cell) plain(b, cell);
        buf_adds(b, " | ");
        plain(b, view_label(t, f, v->r->ref->truth[x->row * t->n_fields + f]));
        buf_adds(b, " | ");
        plain(b, view_label(t, f, x->teacher.pred[f]));
        buf_adds(b, " | ");
        plain(b, view_label(t, f, x->student.pred[f]));
        buf_adds(b, " |\n");
    }
    buf_addc(b, '\n');
    said(b, v, v->r->differing.teacher, &x->teacher, "Teacher");
    said(b, v, v->r->differing.student, &x->student, "Student");
}

static void differing(struct buf *b, const struct view *v) {
    const struct differing *d = &v->r->differing;
    buf_adds(b, "\n## Where teacher and student differ most\n\n");
    if (d->teacher < 0) return buf_adds(b, "No teacher and student were named.\n");
    buf_adds(b, "Teacher: ");
    name(b, v, d->teacher);
    buf_adds(b, ". Student: ");
    name(b, v, d->student);
    buf_addf(b, ". They differ in %lld of %lld rows.\n", (long long)d->total, (long long)v->r->ref->rows);
    for (int i = 0; i < d->n; i++) differing_row(b, v, &d->rows[i], i + 1);
}

static void top(struct buf *b, const struct report *r) {
    buf_adds(b, "# ");
    plain(b, view_title(r));
    buf_adds(b, "\n\n");
    report_units(r, b);
    buf_addf(b, "; %d system%s.\n\n", r->n_systems, r->n_systems == 1 ? "" : "s");
    for (int i = 0; i < r->n_verdicts; i++) {
        if (r->verdicts[i].question) plain(b, r->verdicts[i].question), buf_adds(b, "\n\n");
        buf_adds(b, "> **");
        plain(b, r->verdicts[i].sentence);
        buf_adds(b, "**\n\n");
    }
    for (int i = 0; i < r->o.n_notes; i++) plain(b, r->o.notes[i]), buf_adds(b, "\n\n");
}

void report_markdown(const struct report *r, struct buf *b) {
    struct view v;
    view_init(&v, r);
    top(b, r);
    scores(b, &v);
    groups(b, &v);
    pairs(b, &v);
    costs(b, &v);
    learning(b, &v);
    buf_adds(b, "\n## Confusion matrices\n");
    for (int i = 0; i < r->n_systems; i++)
        for (int g = 0; r->systems[v.order[i]].classified && g < r->task->n_groups; g++) confusion(b, &v, v.order[i], g);
    calibration(b, &v);
    differing(b, &v);
    buf_adds(b, "\n## How the numbers were made\n\n");
    view_method(r, b);
    buf_addc(b, '\n');
    view_release(&v);
}
