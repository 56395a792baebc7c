/* Records to token rows: see rows.h. */
#include "common/train/rows.h"
#include "common/io/json.h"
#include "common/io/jsonl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A row being made. */
struct draft {
    struct ids ids, labels; /* labels of the same length */
    int n_prompt;           /* tokens that --overlong truncate may take from, behind BOS */
    int keep;               /* tokens at the start that stay (BOS) */
    bool cut_end;           /* text and ready ids lose their end instead */
};

static void put(struct draft *d, int32_t id, bool trained) {
    ids_add(&d->ids, id);
    ids_add(&d->labels, trained ? id : LABEL_NONE);
}

/* Labels for ids appended by an encoder since there were as many ids as labels. */
static void label_rest(struct draft *d, bool trained) {
    while (d->labels.n < d->ids.n) ids_add(&d->labels, trained ? d->ids.v[d->labels.n] : LABEL_NONE);
}

static int put_end(struct draft *d, const struct row_rules *u, struct err *e) {
    if (u->end < 0) return err_set(e, RC_INPUT, "the model names no end token, expected one: completions could not end");
    put(d, u->end, true);
    return 0;
}

static void put_bos(struct draft *d, const struct row_rules *u) {
    if (u->bos >= 0) put(d, u->bos, false), d->keep = 1;
}

static int put_completion(struct draft *d, const struct row_rules *u, const char *s, size_t n, struct err *e) {
    if (!n) return err_set(e, RC_INPUT, "completion is empty, expected text to train on");
    if (tokenizer_encode(u->tok, s, n, &d->ids, e) < 0) return err_prefix(e, "completion: ");
    label_rest(d, true);
    return put_end(d, u, e);
}

/* ---- the kinds of records ---- */
static int from_prompt(struct draft *d, const struct row_rules *u, const struct record *rec, struct err *e) {
    size_t np, nc;
    const char *p = record_str(rec, "prompt", &np), *c = record_str(rec, "completion", &nc);
    if (!p) return err_set(e, RC_INPUT, "prompt is not a string");
    if (!c) return err_set(e, RC_INPUT, "completion is not a string");
    if (!u->chat) put_bos(d, u);
    int rc = u->chat ? chat_encode_user(u->chat, p, np, &d->ids, e) : tokenizer_encode(u->tok, p, np, &d->ids, e);
    if (rc < 0) return err_prefix(e, "prompt: ");
    label_rest(d, u->all);
    d->n_prompt = (int)d->ids.n - d->keep;
    return put_completion(d, u, c, nc, e);
}

/* The messages without the last one, as a document of their own. */
static struct json_doc *but_last(const struct json *m, struct err *e) {
    struct buf b = BUF_INIT;
    buf_addc(&b, '[');
    for (const struct json *x = m->first; x && x->next; x = x->next) {
        if (x != m->first) buf_addc(&b, ',');
        json_put_value(&b, x);
    }
    buf_addc(&b, ']');
    struct json_doc *doc = json_parse(b.p, b.n, e);
    buf_release(&b);
    return doc;
}

static int from_messages(struct draft *d, const struct row_rules *u, const struct json *m, struct err *e) {
    if (!u->chat) return err_set(e, RC_INPUT, "messages need the model's chat template: --chat");
    const struct json *last = m->first;
    while (last && last->next) last = last->next;
    const struct json *text = json_get(last, "content");
    if (m->type != JSON_ARRAY || m->count < 2 || !json_is_str(json_get(last, "role"), "assistant") || !text || text->type != JSON_STRING)
        return err_set(e, RC_INPUT, "messages: expected a list that ends in a message of the assistant");
    struct json_doc *doc = but_last(m, e);
    int rc = doc ? chat_encode(u->chat, json_root(doc), true, &d->ids, e) : -1;
    json_doc_free(doc);
    if (rc < 0) return err_prefix(e, "messages: ");
    label_rest(d, u->all);
    return put_completion(d, u, text->str, text->len, e);
}

static int from_text(struct draft *d, const struct row_rules *u, const struct record *rec, struct err *e) {
    size_t n;
    const char *s = record_str(rec, "text", &n);
    if (!s || !n) return err_set(e, RC_INPUT, "text is %s", s ? "empty" : "not a string");
    put_bos(d, u);
    if (tokenizer_encode(u->tok, s, n, &d->ids, e) < 0) return err_prefix(e, "text: ");
    label_rest(d, true);
    d->cut_end = true;
    return put_end(d, u, e);
}

static int read_ids(const struct json *v, const char *what, int32_t vocab, bool none, struct ids *out, struct err *e) {
    if (!v || v->type != JSON_ARRAY) return err_set(e, RC_INPUT, "%s is %s, expected a list of token ids", what, v ? "not a list" : "missing");
    for (const struct json *x = v->first; x; x = x->next) {
        int64_t id;
        if (!json_int(x, &id) || ((id < 0 || id >= vocab) && !(none && id == LABEL_NONE)))
            return err_set(e, RC_INPUT, "%s: %.*s is not an id below %d%s", what, (int)(x->raw_len < 40 ? x->raw_len : 40), x->raw, vocab, none ? " or -100" : "");
        ids_add(out, (int32_t)id);
    }
    return 0;
}

static int from_ids(struct draft *d, const struct row_rules *u, const struct record *rec, struct err *e) {
    if (read_ids(record_get(rec, "input_ids"), "input_ids", u->vocab, false, &d->ids, e) < 0) return -1;
    if (read_ids(record_get(rec, "labels"), "labels", u->vocab, true, &d->labels, e) < 0) return -1;
    d->cut_end = true;
    if (d->ids.n != d->labels.n) return err_set(e, RC_INPUT, "%zu input_ids but %zu labels, expected one label an id", d->ids.n, d->labels.n);
    return 0;
}

/* ---- one record ---- */
enum { ROW_TAKEN = 0, ROW_LEFT = 1 };

static bool incomplete(const struct record *rec, struct err *e) {
    const struct json *error = record_get(rec, "error"), *c = record_get(rec, "completion");
    if (error && error->type != JSON_NULL) return err_set(e, RC_INPUT, "the record carries an error: %.*s", (int)(error->raw_len < 200 ? error->raw_len : 200), error->raw), true;
    if (record_get(rec, "prompt") && (!c || c->type == JSON_NULL)) return err_set(e, RC_INPUT, "no completion, expected a labelled row"), true;
    return false;
}

static int draft_record(struct draft *d, const struct row_rules *u, const struct record *rec, struct err *e) {
    const char *const kinds[] = {"input_ids", "messages", "prompt", "text"};
    const char *kind = NULL;
    for (int i = 0; i < 4; i++) {
        if (!record_get(rec, kinds[i])) continue;
        if (kind) return err_set(e, RC_INPUT, "both %s and %s, expected one of them to train on", kind, kinds[i]);
        kind = kinds[i];
    }
    if (!kind) return err_set(e, RC_INPUT, "nothing to train on, expected prompt and completion, messages, text, or input_ids and labels");
    switch (*kind) {
    case 'i': return from_ids(d, u, rec, e);
    case 'm': return from_messages(d, u, record_get(rec, "messages"), e);
    case 'p': return from_prompt(d, u, rec, e);
    default: return from_text(d, u, rec, e);
    }
}

static void drop(struct ids *s, size_t at, size_t n) {
    memmove(s->v + at, s->v + at + n, (s->n - at - n) * sizeof *s->v);
    s->n -= n;
}

static int shorten(struct draft *d, const struct row_rules *u, struct rows *r, struct err *e) {
    size_t over = d->ids.n - (size_t)u->max_length;
    if (u->overlong == OVERLONG_SKIP) return r->skipped_overlong++, ROW_LEFT;
    if (u->overlong == OVERLONG_ERROR)
        return err_set(e, RC_INPUT, "%zu tokens, expected at most %d (--max-length; --overlong skip or truncate goes on)", d->ids.n, u->max_length);
    if (!d->cut_end && over > (size_t)d->n_prompt)
        return err_set(e, RC_INPUT, "the completion alone does not fit into %d tokens", u->max_length);
    size_t at = d->cut_end ? (size_t)u->max_length : (size_t)d->keep;
    drop(&d->ids, at, over);
    drop(&d->labels, at, over);
    r->truncated++;
    return ROW_TAKEN;
}

static int take_weight(const struct record *rec, float *weight, struct err *e) {
    const struct json *w = record_get(rec, "weight");
    *weight = 1;
    if (!w) return 0;
    if (w->type != JSON_NUMBER || !(w->number >= 0 && w->number <= 1e6)) return err_set(e, RC_INPUT, "weight: expected a number from 0 to 1e6");
    *weight = (float)w->number;
    return 0;
}

static int keep(struct rows *r, struct draft *d, int64_t line, float weight, struct err *e) {
    int trained = 0;
    size_t n = d->ids.n;
    if (n) d->labels.v[0] = LABEL_NONE; /* nothing stands before it */
    for (size_t i = 0; i < n; i++) trained += d->labels.v[i] != LABEL_NONE;
    if (!trained) return err_set(e, RC_INPUT, "no trained token, expected at least one");
    size_t at = (size_t)r->start[r->n];
    while (at + n >= r->ids_cap) {
        r->ids_cap = r->ids_cap ? r->ids_cap * 2 : 1 << 14;
        r->ids = xrealloc(r->ids, r->ids_cap, sizeof *r->ids);
        r->labels = xrealloc(r->labels, r->ids_cap, sizeof *r->labels);
    }
    memcpy(r->ids + at, d->ids.v, n * sizeof *r->ids);
    memcpy(r->labels + at, d->labels.v, n * sizeof *r->labels);
    if ((size_t)r->n + 1 >= r->rows_cap) {
        r->rows_cap = r->rows_cap * 2;
        r->start = xrealloc(r->start, r->rows_cap, sizeof *r->start);
        r->length = xrealloc(r->length, r->rows_cap, sizeof *r->length);
        r->trained = xrealloc(r->trained, r->rows_cap, sizeof *r->trained);
        r->weight = xrealloc(r->weight, r->rows_cap, sizeof *r->weight);
        r->line = xrealloc(r->line, r->rows_cap, sizeof *r->line);
        r->record = xrealloc(r->record, r->rows_cap, sizeof *r->record);
    }
    r->length[r->n] = (int32_t)n;
    r->trained[r->n] = trained;
    r->weight[r->n] = weight;
    r->line[r->n] = line;
    r->record[r->n] = r->records - 1;
    r->start[++r->n] = (int64_t)(at + n);
    r->all_trained += trained;
    if ((int)n > r->longest) r->longest = (int)n;
    return 0;
}

static void see_space(struct rows *r, const struct record *rec) {
    size_t n;
    const char *p = record_str(rec, "prompt", &n);
    if (p && n && p[n - 1] == ' ' && !r->spaced++) r->first_spaced = record_line(rec);
}

static int take(struct rows *r, const struct row_rules *u, const struct record *rec, struct draft *d, struct err *e) {
    float weight;
    d->ids.n = d->labels.n = 0;
    d->n_prompt = d->keep = 0;
    d->cut_end = false;
    if (incomplete(rec, e)) return u->skip_incomplete ? (r->skipped_incomplete++, 0) : -1;
    if (draft_record(d, u, rec, e) < 0 || take_weight(rec, &weight, e) < 0) return -1;
    if (!u->chat) see_space(r, rec);
    int rc = d->ids.n > (size_t)u->max_length ? shorten(d, u, r, e) : ROW_TAKEN;
    return rc == ROW_LEFT ? 0 : rc < 0 ? -1 : keep(r, d, record_line(rec), weight, e);
}

static void rows_init(struct rows *r) {
    *r = (struct rows){.rows_cap = 64};
    r->start = xcalloc(r->rows_cap, sizeof *r->start);
    r->length = xcalloc(r->rows_cap, sizeof *r->length);
    r->trained = xcalloc(r->rows_cap, sizeof *r->trained);
    r->weight = xcalloc(r->rows_cap, sizeof *r->weight);
    r->line = xcalloc(r->rows_cap, sizeof *r->line);
    r->record = xcalloc(r->rows_cap, sizeof *r->record);
}

int rows_read(struct rows *r, const char *path, const struct row_rules *rules, struct err *e) {
    struct record *rec;
    struct draft d = {0};
    int rc;
    rows_init(r);
    struct jsonl *in = jsonl_open(path, e);
    if (!in) return rows_release(r), -1;
    struct sha256 *ids = sha256_new();
    while ((rc = jsonl_next(in, &rec, e)) > 0) {
        r->records++;
        soft_add_id(ids, rec);
        int bad = take(r, rules, rec, &d, e);
        if (bad) err_prefix(e, "%s:%lld: ", jsonl_name(in), (long long)record_line(rec));
        record_free(rec);
        if (bad) {
            rc = -1;
            break;
        }
    }
    sha256_end(ids, r->ids_hash);
    if (!rc && !r->records) rc = err_set(e, RC_INPUT, "%s: no record, expected at least one", jsonl_name(in));
    if (!rc && !r->n) rc = err_set(e, RC_NEGATIVE, "%s: no trained token: all %lld records were left out", jsonl_name(in), (long long)r->records);
    jsonl_close(in);
    ids_release(&d.ids);
    ids_release(&d.labels);
    if (rc < 0) rows_release(r);
    return rc;
}

void rows_release(struct rows *r) {
    free(r->start);
    free(r->ids);
    free(r->labels);
    free(r->length);
    free(r->trained);
    free(r->weight);
    free(r->line);
    free(r->record);
    *r = (struct rows){0};
}

void rows_hash(const struct rows *r, char hex[SHA256_HEX]) {
    char parts[4][SHA256_HEX];
    size_t n = (size_t)r->start[r->n];
    sha256_hex(r->ids, n * sizeof *r->ids, parts[0]);
    sha256_hex(r->labels, n * sizeof *r->labels, parts[1]);
    sha256_hex(r->length, (size_t)r->n * sizeof *r->length, parts[2]);
    sha256_hex(r->weight, (size_t)r->n * sizeof *r->weight, parts[3]);
    sha256_hex(parts, sizeof parts, hex);
}

int rows_fed(const struct rows *r, int64_t i) {
    int n = r->length[i];
    while (r->labels[r->start[i] + n - 1] == LABEL_NONE) n--;
    return n - 1;
}

void rows_show(const struct rows *r, int64_t i, const char *name, const struct tokenizer *tok, struct buf *out) {
    struct buf text = BUF_INIT;
    buf_addf(out, "%s:%lld: %d tokens, %d trained, weight %g\n", name, (long long)r->line[i], r->length[i], r->trained[i], (double)r->weight[i]);
    for (int k = 0; k < r->length[i]; k++) {
        int32_t id = r->ids[r->start[i] + k], label = r->labels[r->start[i] + k];
        buf_clear(&text);
        tokenizer_decode(tok, &id, 1, true, &text);
        buf_addf(out, "%6d %7d %c ", k, id, label == LABEL_NONE ? ' ' : '*');
        json_put_string(out, text.p ? text.p : "", text.n);
        buf_addc(out, '\n');
    }
    buf_release(&text);
}
