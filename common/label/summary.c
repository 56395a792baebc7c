/* What a run of distill-label came to: see summary.h. */
#include "common/label/summary.h"
#include <string.h>

void label_put_faults(struct buf *b, const struct asker_counts *c, const char *before, const char *between) {
    for (int f = 0; f < FAULTS; f++) {
        if (!c->faults[f]) continue;
        buf_addf(b, "%s%s %lld", before, fault_names[f], (long long)c->faults[f]);
        before = between;
    }
}

void label_summary_text(const struct label_summary *s, struct buf *b) {
    const struct asker_counts *c = s->counts;
    const struct results *r = s->results;
    buf_addf(b, "%llu records: %lld labelled, %lld failed", (unsigned long long)s->records, (long long)r->answered, (long long)(r->failed + s->passed));
    if (r->partly) buf_addf(b, "; %lld with reasoning that disagrees with the vote in some field", (long long)r->partly);
    buf_addf(b, "\n%lld answers asked for, %lld from the cache; %lld + %lld tokens, cost %.6g, of which now %.6g", (long long)c->asked,
             (long long)c->cached, (long long)c->tokens_in, (long long)c->tokens_out, c->cost, c->cost_new);
    label_put_faults(b, c, "\nfaults: ", ", ");
    if (s->batches)
        buf_addf(b, "\nbatch: %lld answers, %lld errors, %lld repeated", (long long)s->batches->results, (long long)s->batches->errors,
                 (long long)s->batches->repeated);
    if (r->agree) buf_addc(b, '\n');
    results_agreement_text(r, b);
}

static void put_teachers(struct buf *b, const struct label_summary *s) {
    buf_addc(b, '[');
    for (int i = 0; i < s->results->rules.teachers; i++) {
        if (i) buf_addc(b, ',');
        json_put_string(b, s->teachers[i].spec, strlen(s->teachers[i].spec));
    }
    buf_addc(b, ']');
}

void label_summary_json(const struct label_summary *s, struct buf *b) {
    const struct asker_counts *c = s->counts;
    const struct results *r = s->results;
    buf_addf(b, "{\"records\":%llu,\"labelled\":%lld,\"failed\":%lld,\"partly_agreeing\":%lld,\"mean_confidence\":", (unsigned long long)s->records,
             (long long)r->answered, (long long)(r->failed + s->passed), (long long)r->partly);
    json_put_number(b, r->confidence / (double)r->answered);
    buf_adds(b, ",\"teachers\":");
    put_teachers(b, s);
    buf_addf(b, ",\"samples\":%d,\"asked\":%lld,\"cached\":%lld,\"prompt_tokens\":%lld,\"completion_tokens\":%lld,\"answers_without_tokens\":%lld,\"cost\":",
             r->rules.samples, (long long)c->asked, (long long)c->cached, (long long)c->tokens_in, (long long)c->tokens_out, (long long)c->unknown_tokens);
    json_put_number(b, c->cost);
    buf_adds(b, ",\"cost_now\":");
    json_put_number(b, c->cost_new);
    buf_adds(b, ",\"faults\":{");
    for (int f = 0; f < FAULTS; f++) buf_addf(b, "%s\"%s\":%lld", f ? "," : "", fault_names[f], (long long)c->faults[f]);
    buf_adds(b, "},\"agreement\":");
    results_agreement_json(r, b);
    buf_adds(b, "}\n");
}
