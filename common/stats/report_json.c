/* A report as JSON: see report.h. */
#include "common/stats/report.h"
#include <math.h>
#include <string.h>

static void put_key(struct buf *b, const char *key) {
    char last = b->n ? b->p[b->n - 1] : '{';
    if (last != '{' && last != '[') buf_addc(b, ',');
    if (!key) return;
    json_put_string(b, key, strlen(key));
    buf_addc(b, ':');
}

static void put_number(struct buf *b, const char *key, double x) {
    put_key(b, key);
    json_put_number(b, x);
}

/* Absent strings are null. */
static void put_string(struct buf *b, const char *key, const char *s) {
    put_key(b, key);
    if (s)
        json_put_string(b, s, strlen(s));
    else
        buf_adds(b, "null");
}

static void open_as(struct buf *b, const char *key, char bracket) {
    put_key(b, key);
    buf_addc(b, bracket);
}

static void put_ci(struct buf *b, const char *key, struct measured m) {
    open_as(b, key, '{');
    put_number(b, "value", m.value);
    put_number(b, "low", m.ci.low);
    put_number(b, "high", m.ci.high);
    buf_addc(b, '}');
}

static void json_class(const struct class_score *c, const char *label, struct buf *b) {
    open_as(b, NULL, '{');
    put_string(b, "label", label);
    put_number(b, "precision", c->precision);
    put_number(b, "recall", c->recall);
    put_number(b, "f1", c->f1);
    put_number(b, "support", (double)c->support);
    put_number(b, "predicted", (double)c->predicted);
    buf_addc(b, '}');
}

static void json_group(const struct report *r, int g, const struct group_result *s, struct buf *b) {
    const struct group *x = &r->task->groups[g];
    open_as(b, x->name, '{');
    put_number(b, "items", (double)s->s.n);
    put_ci(b, "accuracy", s->accuracy);
    put_ci(b, "macro_f1", s->macro_f1);
    put_ci(b, "weighted_f1", s->weighted_f1);
    put_number(b, "macro_precision", s->s.macro_precision);
    put_number(b, "macro_recall", s->s.macro_recall);
    put_number(b, "weighted_precision", s->s.weighted_precision);
    put_number(b, "weighted_recall", s->s.weighted_recall);
    put_number(b, "kappa", s->s.kappa);
    open_as(b, "classes", '[');
    for (int k = 0; k < x->K; k++) json_class(&s->s.of[k], x->labels[k], b);
    buf_addc(b, ']');
    open_as(b, "confusion", '[');
    for (int k = 0; k < x->K; k++) {
        open_as(b, NULL, '[');
        for (int j = 0; j <= x->K; j++) put_number(b, NULL, (double)s->counts[k * (x->K + 1) + j]);
        buf_addc(b, ']');
    }
    buf_adds(b, "]}");
}

static void json_runs(const struct report *r, int i, struct buf *b) {
    const struct system_result *s = &r->systems[i];
    open_as(b, "runs", '[');
    for (int k = 0; k < s->n_runs; k++) {
        const struct run_result *x = &s->runs[k];
        open_as(b, NULL, '{');
        put_string(b, "seed", r->in->v[i].runs[k].seed);
        if (s->classified) {
            put_number(b, "valid_rate", x->valid);
            put_number(b, "exact", x->exact);
            put_number(b, "score", x->score);
            open_as(b, "macro_f1", '{');
            for (int g = 0; g < r->task->n_groups; g++) put_number(b, r->task->groups[g].name, x->macro_f1[g]);
            buf_addc(b, '}');
        }
        buf_addc(b, '}');
    }
    buf_addc(b, ']');
}

static void json_facts(const struct system_result *s, struct buf *b) {
    open_as(b, "facts", '{');
    for (int f = 0; f < N_FACTS; f++) put_number(b, fact_keys[f], s->facts.v[f]); /* unknown: null */
    put_number(b, "answer_prompt_tokens", s->tokens_in);
    put_number(b, "answer_completion_tokens", s->tokens_out);
    put_string(b, "note", s->facts.note);
    buf_addc(b, '}');
}

static void json_calibration(const struct calibration *c, struct buf *b) {
    put_key(b, "calibration");
    if (!c->n) return buf_adds(b, "null");
    buf_addc(b, '{');
    put_number(b, "items", (double)c->n);
    put_number(b, "without", (double)c->without);
    put_number(b, "ece", calibration_ece(c));
    put_number(b, "confidence", calibration_confidence(c));
    put_number(b, "accuracy", calibration_accuracy(c));
    open_as(b, "bins", '[');
    for (int k = 0; k < CALIBRATION_BINS; k++) {
        open_as(b, NULL, '{');
        put_number(b, "items", (double)c->count[k]);
        put_number(b, "confidence", c->sum[k] / (double)c->count[k]);
        put_number(b, "accuracy", (double)c->right[k] / (double)c->count[k]);
        buf_addc(b, '}');
    }
    buf_adds(b, "]}");
}

static void json_system(const struct report *r, int i, struct buf *b) {
    const struct system_result *s = &r->systems[i];
    open_as(b, s->name, '{');
    if (s->classified) {
        put_ci(b, "valid_rate", s->valid);
        put_ci(b, "exact", s->exact);
        put_ci(b, "score", s->score);
    }
    if (s->scored_tokens) {
        put_number(b, "perplexity", s->perplexity);
        put_number(b, "scored_tokens", (double)s->scored_tokens);
    }
    open_as(b, "groups", '{');
    for (int g = 0; s->classified && g < r->task->n_groups; g++) json_group(r, g, &s->g[g], b);
    buf_addc(b, '}');
    json_runs(r, i, b);
    json_facts(s, b);
    if (s->classified) json_calibration(&s->calibration, b);
    buf_addc(b, '}');
}

static void json_pair(const struct report *r, const struct pair_result *p, struct buf *b) {
    open_as(b, NULL, '{');
    put_string(b, "a", r->systems[p->a].name);
    put_string(b, "b", r->systems[p->b].name);
    put_string(b, "group", p->group < 0 ? NULL : r->task->groups[p->group].name);
    put_number(b, "macro_f1_difference", p->difference.value);
    put_number(b, "low", p->difference.ci.low);
    put_number(b, "high", p->difference.ci.high);
    put_number(b, "permutation_p", p->p);
    put_number(b, "holm_p", p->holm);
    if (isfinite(p->mcnemar_p)) {
        put_number(b, "only_a_right", (double)p->only_a);
        put_number(b, "only_b_right", (double)p->only_b);
        put_number(b, "mcnemar_p", p->mcnemar_p);
    }
    buf_addc(b, '}');
}

static void json_verdict(const struct report *r, const struct verdict *v, struct buf *b) {
    static const char *const kinds[] = {"yes", "yes, too small to matter", "no", "no, the other way round", "not decidable"};
    open_as(b, NULL, '{');
    put_string(b, "question", v->question);
    put_string(b, "a", r->systems[v->a].name);
    put_string(b, "b", r->systems[v->b].name);
    put_string(b, "answer", kinds[v->kind]);
    put_string(b, "sentence", v->sentence);
    put_ci(b, "difference", v->difference);
    put_number(b, "holm_p", v->holm);
    put_number(b, "margin", r->o.margin);
    put_number(b, "seeds", v->seeds);
    put_number(b, "seeds_won", v->wins);
    buf_addc(b, '}');
}

static void json_learning(const struct report *r, const struct learning *l, struct buf *b) {
    open_as(b, NULL, '{');
    put_string(b, "name", l->name);
    open_as(b, "points", '[');
    for (int i = 0; i < l->n; i++) {
        const struct system_result *s = &r->systems[l->systems[i]];
        open_as(b, NULL, '{');
        put_string(b, "system", s->name);
        put_number(b, "rows", s->facts.v[FACT_ROWS]);
        put_number(b, "tokens", s->facts.v[FACT_TOKENS]);
        put_ci(b, "score", s->score);
        buf_addc(b, '}');
    }
    buf_adds(b, "]}");
}

static void json_said(const struct report *r, const char *key, int system, const struct said *s, struct buf *b) {
    open_as(b, key, '{');
    put_string(b, "seed", r->in->v[system].runs[s->run].seed);
    put_number(b, "confidence", s->confidence);
    put_string(b, "reasoning", s->reasoning);
    put_string(b, "error", s->error);
    open_as(b, "answer", '{');
    for (int f = 0; f < r->task->n_fields; f++) {
        const struct group *g = &r->task->groups[r->task->group_of[f]];
        put_string(b, r->task->field[f], s->pred[f] < g->K ? g->labels[s->pred[f]] : NULL);
    }
    buf_adds(b, "}}");
}

static void json_differing(const struct report *r, struct buf *b) {
    const struct differing *d = &r->differing;
    put_key(b, "differing");
    if (d->teacher < 0) return buf_adds(b, "null");
    buf_addc(b, '{');
    put_string(b, "teacher", r->systems[d->teacher].name);
    put_string(b, "student", r->systems[d->student].name);
    put_number(b, "rows_that_differ", (double)d->total);
    open_as(b, "rows", '[');
    for (int i = 0; i < d->n; i++) {
        const struct differing_row *x = &d->rows[i];
        open_as(b, NULL, '{');
        put_string(b, "id", r->ref->ids.key[x->row]);
        put_number(b, "distance", x->distance);
        open_as(b, "truth", '{');
        for (int f = 0; f < r->task->n_fields; f++)
            put_string(b, r->task->field[f], r->task->groups[r->task->group_of[f]].labels[r->ref->truth[x->row * r->task->n_fields + f]]);
        buf_addc(b, '}');
        json_said(r, "teacher", d->teacher, &x->teacher, b);
        json_said(r, "student", d->student, &x->student, b);
        buf_addc(b, '}');
    }
    buf_adds(b, "]}");
}

void report_json(const struct report *r, struct buf *b) {
    buf_addc(b, '{');
    put_number(b, "rows", (double)r->ref->rows);
    put_number(b, "units", (double)r->ref->n_units);
    if (r->o.title) put_string(b, "title", r->o.title);
    open_as(b, "notes", '[');
    for (int i = 0; i < r->o.n_notes; i++) put_string(b, NULL, r->o.notes[i]);
    buf_addc(b, ']');
    open_as(b, "systems", '{');
    for (int i = 0; i < r->n_systems; i++) json_system(r, i, b);
    buf_addc(b, '}');
    open_as(b, "pairs", '[');
    for (int i = 0; i < r->n_pairs; i++) json_pair(r, &r->pairs[i], b);
    buf_addc(b, ']');
    open_as(b, "questions", '[');
    for (int i = 0; i < r->n_verdicts; i++) json_verdict(r, &r->verdicts[i], b);
    buf_addc(b, ']');
    open_as(b, "learning", '[');
    for (int i = 0; i < r->n_learning; i++) json_learning(r, &r->learning[i], b);
    buf_addc(b, ']');
    json_differing(r, b);
    buf_adds(b, "}\n");
}
