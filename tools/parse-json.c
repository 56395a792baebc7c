/* coador parse-json: the JSON in a model's answers, found, repaired by named rules, checked by a schema.
     coador generate … | coador parse-json --schema polarity.json --rejects bad.jsonl | coador eval …
   Every record that comes in goes out: with `parsed` and `repairs`, or with parsed null and `error`. */
#include "common/io/jsonl.h"
#include "common/io/opt.h"
#include "common/text/repair.h"
#include <string.h>

struct job {
    const char *schema_path, *field, *rejects_path, *out_path, *in_path;
    bool strict;
    int format, unknown;
    int64_t max_rejects;
    struct schema *schema;
    struct repair *repair;
    struct jsonl *in;
    struct out out, rejects;
    struct buf line, value; /* reused */
    int64_t records, valid, repaired, rejected, by_rule[REPAIR_RULES];
};

static const char usage[] = "coador parse-json --schema FILE [--field NAME] [--strict] [--format assert | annotate] [--unknown-keywords error | annotate] [--rejects FILE] [--max-rejects N] [-o FILE] [FILE]";

static void parse_options(struct job *j, int argc, char **argv) {
    const struct option options[] = {
        {"schema", 0, OPT_STR, &j->schema_path, "FILE", "JSON Schema that values must fit", 0, 0},
        {"field", 0, OPT_STR, &j->field, "NAME", "field that holds the answer (default: output)", 0, 0},
        {"strict", 0, OPT_FLAG, &j->strict, NULL, "the whole answer must be JSON: no extraction, no repair", 0, 0},
        {"format", 0, OPT_CHOICE, &j->format, "assert|annotate", "whether format is checked (default: it is)", 0, 0},
        {"unknown-keywords", 0, OPT_CHOICE, &j->unknown, "error|annotate", "of the schema: refuse them (default) or pass over them", 0, 0},
        {"rejects", 0, OPT_STR, &j->rejects_path, "FILE", "copy failed records there", 0, 0},
        {"max-rejects", 0, OPT_INT, &j->max_rejects, "N", "exit 1 when more records fail (default: any number may)", 0, 1e15},
        {"output", 'o', OPT_STR, &j->out_path, "FILE", "write there instead of to standard output", 0, 0},
        OPT_END};
    int n = opt_parse(argc, argv, "parse-json", usage, options);
    if (n > 1) die_usage("%s: one input at most", argv[1]);
    if (!j->schema_path) die_usage("--schema is missing");
    j->in_path = n ? argv[0] : "-";
    if (j->rejects_path && !strcmp(j->rejects_path, "-")) die_usage("--rejects -: standard output carries the records");
    if (j->rejects_path && j->out_path && !strcmp(j->rejects_path, j->out_path)) die_usage("--rejects and -o name the same file");
    if (!strcmp(j->field, "parsed") || !strcmp(j->field, "repairs") || !strcmp(j->field, "error")) die_usage("--field %s: that field is written here", j->field);
}

static void open_job(struct job *j) {
    struct err e = ERR_INIT;
    const struct schema_options o = {.annotate_format = j->format, .annotate_unknown = j->unknown};
    if (!(j->schema = schema_read_file_with(j->schema_path, &o, &e)) || !(j->in = jsonl_open(j->in_path, &e)) || out_open(&j->out, j->out_path, &e) < 0 ||
        (j->rejects_path && out_open(&j->rejects, j->rejects_path, &e) < 0))
        die_err(&e);
    j->repair = repair_new();
}

static void set_repairs(struct job *j, struct record *r, unsigned rules) {
    buf_clear(&j->value);
    buf_addc(&j->value, '[');
    for (int i = 0; i < REPAIR_RULES; i++) {
        if (!(rules >> i & 1)) continue;
        buf_addf(&j->value, "%s\"%s\"", j->value.n > 1 ? "," : "", repair_name(i));
        j->by_rule[i]++;
    }
    buf_addc(&j->value, ']');
    record_set_raw(r, "repairs", j->value.p, j->value.n);
    j->repaired += rules != 0;
}

/* Fills parsed and repairs, or parsed and error; whether the record is good. */
static bool parse_record(struct job *j, struct record *r) {
    struct err e = ERR_INIT;
    const struct json *error = record_get(r, "error"), *field = record_get(r, j->field), *value;
    unsigned rules;
    record_del(r, "repairs"); /* of an earlier run */
    if (error && error->type != JSON_NULL) { /* it failed before: so it stays */
        record_set_null(r, "parsed");
        return false;
    }
    if (!field || field->type != JSON_STRING) {
        record_fail(r, "parsed", field ? "field %s is no string" : "no field %s", j->field);
        return false;
    }
    if (repair_find(j->repair, field->str, field->len, j->schema, j->strict, &value, &rules, &e) < 0) {
        record_fail(r, "parsed", "%s: %s", j->field, e.msg);
        return false;
    }
    buf_clear(&j->value);
    json_put_value(&j->value, value);
    record_set_raw(r, "parsed", j->value.p, j->value.n);
    set_repairs(j, r, rules);
    return true;
}

static void run(struct job *j) {
    struct err e = ERR_INIT;
    struct record *r;
    int rc;
    while ((rc = jsonl_next(j->in, &r, &e)) > 0) {
        bool good = parse_record(j, r);
        j->records++;
        j->valid += good;
        j->rejected += !good;
        buf_clear(&j->line);
        record_put(r, &j->line);
        fwrite(j->line.p, 1, j->line.n, j->out.f);
        if (!good && j->rejects_path) fwrite(j->line.p, 1, j->line.n, j->rejects.f);
        record_free(r);
        if (ferror(j->out.f) || (j->rejects_path && ferror(j->rejects.f))) break; /* told at the close */
    }
    if (rc < 0) die_err(&e);
}

static void summarize(const struct job *j) {
    struct buf b = BUF_INIT;
    buf_addf(&b, "%lld records: %lld valid", (long long)j->records, (long long)j->valid);
    if (j->repaired) {
        buf_addf(&b, " (%lld not as they stood:", (long long)j->repaired);
        for (int i = 0, n = 0; i < REPAIR_RULES; i++)
            if (j->by_rule[i]) buf_addf(&b, "%s %s %lld", n++ ? "," : "", repair_name(i), (long long)j->by_rule[i]);
        buf_addc(&b, ')');
    }
    note("%s, %lld rejected", b.p, (long long)j->rejected);
    buf_release(&b);
}

static void close_job(struct job *j) {
    struct err e = ERR_INIT;
    if ((j->rejects_path && out_commit(&j->rejects, &e) < 0) || out_commit(&j->out, &e) < 0) die_err(&e);
    jsonl_close(j->in);
    repair_free(j->repair);
    schema_free(j->schema);
    buf_release(&j->line);
    buf_release(&j->value);
}

int main(int argc, char **argv) {
    struct job j = {.field = "output", .max_rejects = -1};
    parse_options(&j, argc, argv);
    open_job(&j);
    run(&j);
    close_job(&j);
    summarize(&j);
    io_close_stdout();
    if (j.max_rejects < 0 || j.rejected <= j.max_rejects) return RC_DONE;
    note("more than %lld rejected", (long long)j.max_rejects);
    return RC_NEGATIVE;
}
