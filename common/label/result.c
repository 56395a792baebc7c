/* Votes into records: see result.h. */
#include "common/label/result.h"
#include "common/label/question.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

void results_init(struct results *s, const struct result_rules *rules) {
    const struct schema *labels = rules->task->labels;
    size_t n = (size_t)(rules->teachers * rules->samples);
    *s = (struct results){.rules = *rules, .repair = repair_new()};
    vote_init(&s->vote, labels);
    vote_init(&s->one, labels);
    s->docs = xcalloc(n, sizeof *s->docs);
    s->answers = xcalloc(n, sizeof *s->answers);
    for (size_t i = 0; i < n; i++) s->docs[i] = json_doc_new();
    if (rules->teachers < 2) return;
    s->agree = xcalloc((size_t)s->vote.n_fields, sizeof *s->agree);
    for (int f = 0; f < s->vote.n_fields; f++) agree_init(&s->agree[f], schema_field_n_values(labels, f), rules->teachers);
}

void results_release(struct results *s) {
    for (int i = 0; i < s->rules.teachers * s->rules.samples; i++) json_doc_free(s->docs[i]);
    for (int f = 0; s->agree && f < s->vote.n_fields; f++) agree_release(&s->agree[f]);
    free(s->agree);
    free(s->docs);
    free(s->answers);
    vote_release(&s->vote);
    vote_release(&s->one);
    repair_free(s->repair);
    buf_release(&s->labels);
    buf_release(&s->text);
    *s = (struct results){0};
}

int results_fit(void *arg, const char *text, size_t n, bool cut, struct buf *value, struct err *e) {
    struct results *s = arg;
    const struct json *v;
    unsigned rules;
    if (repair_find(s->repair, text, n, s->rules.task->asked, s->rules.strict, &v, &rules, e) < 0)
        return cut ? err_prefix(e, "cut at --max-tokens: ") : -1;
    if (rules >> REPAIR_CUT_END & 1) return err_set(e, RC_INPUT, cut ? "cut at --max-tokens" : "the answer ends inside its JSON");
    buf_clear(value);
    json_put_value(value, v);
    return 0;
}

static bool fail(struct results *s, struct record *r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static bool fail(struct results *s, struct record *r, const char *fmt, ...) {
    char text[700];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    record_set_null(r, "parsed");
    if (!record_get(r, "messages") || record_get(r, "prompt")) record_set_null(r, "completion");
    record_fail(r, NULL, "%s", text);
    s->failed++;
    return false;
}

/* Parses the answers; the first error, or NULL. */
static const char *load(struct results *s, const struct ask *asks, int n) {
    const char *error = NULL;
    for (int i = 0; i < n; i++) {
        struct err e = ERR_INIT;
        s->answers[i] = NULL;
        if (asks[i].end == ASK_UNASKED) return "not asked: the budget is spent";
        if (asks[i].end != ASK_ANSWERED) {
            if (!error) error = asks[i].error;
            continue;
        }
        if (json_reparse(s->docs[i], asks[i].value.p, asks[i].value.n, &e) < 0) BUG("an answer that fitted: %s", e.msg);
        s->answers[i] = json_root(s->docs[i]);
    }
    return error;
}

/* Each teacher's own vote, for the agreement between them. */
static void compare(struct results *s) {
    const struct schema *labels = s->rules.task->labels;
    int T = s->rules.teachers, F = s->vote.n_fields, *label = xcalloc((size_t)(T * F), sizeof *label);
    for (int t = 0; t < T; t++) {
        vote_count(&s->one, labels, s->answers + t * s->rules.samples, s->rules.samples);
        for (int f = 0; f < F; f++) label[f * T + t] = s->one.valid && s->one.label[f] < schema_field_n_values(labels, f) ? s->one.label[f] : -1;
    }
    for (int f = 0; f < F; f++) agree_add(&s->agree[f], label + f * T);
    free(label);
}

/* Sets confidence; returns the field with the least share. */
static int put_confidence(struct results *s, struct record *r) {
    int least = 0;
    buf_clear(&s->text);
    for (int f = 0; f < s->vote.n_fields; f++) {
        const char *name = schema_field(s->rules.task->labels, f);
        if (s->vote.votes[f] < s->vote.votes[least]) least = f;
        buf_addc(&s->text, f ? ',' : '{');
        json_put_string(&s->text, name, strlen(name));
        buf_addc(&s->text, ':');
        json_put_number(&s->text, (double)s->vote.votes[f] / s->vote.asked);
    }
    buf_addc(&s->text, '}');
    record_set_raw(r, "confidence", s->text.p, s->text.n);
    return least;
}

static void put_usage(struct results *s, struct record *r, const struct ask *asks, int n) {
    int64_t in = 0, out = 0;
    for (int i = 0; i < n; i++) in += asks[i].tokens_in, out += asks[i].tokens_out;
    buf_clear(&s->text);
    buf_addf(&s->text, "{\"prompt_tokens\":%lld,\"completion_tokens\":%lld}", (long long)in, (long long)out);
    record_set_raw(r, "usage", s->text.p, s->text.n);
}

/* The labels of the vote in s->labels, compact, in the schema's order, checked again: the mixture of answers may not fit. */
static int vote_labels(struct results *s, struct err *e) {
    const struct label_task *t = s->rules.task;
    struct buf mixed = BUF_INIT;
    buf_clear(&s->labels);
    int rc = vote_put(&s->vote, t->labels, s->answers[s->vote.kept], &mixed, e);
    struct json_doc *d = rc ? NULL : json_parse(mixed.p, mixed.n, e);
    if (d) {
        label_put(t, json_root(d), NULL, &s->labels);
        json_doc_free(d);
        d = json_parse(s->labels.p, s->labels.n, e);
    }
    rc = d ? schema_validate(t->labels, json_root(d), e) : -1;
    json_doc_free(d);
    buf_release(&mixed);
    return rc < 0 ? err_prefix(e, "the vote: ") : 0;
}

static void put_completion(struct results *s, struct record *r) {
    const struct label_task *t = s->rules.task;
    const struct json *reasoning = label_reasoning(t, s->answers[s->vote.kept]);
    struct json_doc *d = json_parse(s->labels.p, s->labels.n, NULL);
    if (!d) BUG("labels that were checked are no JSON");
    record_set_raw(r, "parsed", s->labels.p, s->labels.n);
    if (reasoning) record_set_str(r, "reasoning", reasoning->str, reasoning->len);
    buf_clear(&s->text);
    buf_adds(&s->text, s->rules.lead);
    label_put(t, json_root(d), s->rules.labels_only ? NULL : reasoning, &s->text);
    question_answer(r, s->text.p, s->text.n);
    json_doc_free(d);
}

bool results_put(struct results *s, struct record *r, const struct ask *asks) {
    int n = s->rules.teachers * s->rules.samples;
    struct err e = ERR_INIT;
    const char *error = load(s, asks, n);
    for (int i = 0; i < n; i++)
        if (asks[i].end == ASK_UNASKED) return fail(s, r, "%s", error);
    put_usage(s, r, asks, n);
    if (s->agree) compare(s);
    vote_count(&s->vote, s->rules.task->labels, s->answers, n);
    if (!s->vote.valid) return fail(s, r, "%s", error ? error : "no answer");
    int least = put_confidence(s, r);
    double share = (double)s->vote.votes[least] / n;
    if (share < s->rules.min_confidence - 1e-12)
        return fail(s, r, "confidence %.3g in %s, below %.3g", share, schema_field(s->rules.task->labels, least), s->rules.min_confidence);
    bool partly = s->rules.task->reasoning && s->vote.agreeing < s->vote.n_fields;
    if (partly && !s->rules.most)
        return fail(s, r, "no answer agrees with the vote in all fields: the nearest in %d of %d", s->vote.agreeing, s->vote.n_fields);
    if (vote_labels(s, &e) < 0) return fail(s, r, "%s", e.msg);
    put_completion(s, r);
    s->partly += partly;
    s->answered++;
    s->confidence += share;
    return true;
}

/* ---- agreement ---- */
void results_agreement_json(const struct results *s, struct buf *b) {
    int64_t rows;
    buf_addc(b, '[');
    for (int f = 0; s->agree && f < s->vote.n_fields; f++) {
        const char *name = schema_field(s->rules.task->labels, f);
        buf_adds(b, f ? ",{\"field\":" : "{\"field\":");
        json_put_string(b, name, strlen(name));
        buf_adds(b, ",\"alpha\":");
        json_put_number(b, agree_alpha(&s->agree[f]));
        buf_adds(b, ",\"kappa\":[");
        for (int t = 0, first = 1; t < s->rules.teachers; t++)
            for (int u = t + 1; u < s->rules.teachers; u++, first = 0) {
                double kappa = agree_kappa(&s->agree[f], t, u, &rows);
                buf_addf(b, "%s{\"teachers\":[%d,%d],\"rows\":%lld,\"kappa\":", first ? "" : ",", t, u, (long long)rows);
                json_put_number(b, kappa);
                buf_addc(b, '}');
            }
        buf_adds(b, "]}");
    }
    buf_addc(b, ']');
}

static void put_figure(struct buf *b, double x) {
    if (isfinite(x))
        buf_addf(b, " %.3f", x);
    else
        buf_adds(b, " undefined");
}

void results_agreement_text(const struct results *s, struct buf *b) {
    int64_t rows;
    for (int f = 0; s->agree && f < s->vote.n_fields; f++) {
        buf_addf(b, "%sagreement in %s: alpha", f ? "\n" : "", schema_field(s->rules.task->labels, f));
        put_figure(b, agree_alpha(&s->agree[f]));
        for (int t = 0; t < s->rules.teachers; t++)
            for (int u = t + 1; u < s->rules.teachers; u++) {
                buf_addf(b, ", kappa of teachers %d and %d", t + 1, u + 1);
                put_figure(b, agree_kappa(&s->agree[f], t, u, &rows));
            }
    }
}
