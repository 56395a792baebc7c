/* Facts about systems: see facts.h. */
#include "common/stats/facts.h"
#include "common/io/io.h"
#include "common/io/jsonl.h"
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *const fact_keys[N_FACTS] = {"rows", "tokens", "seconds", "bytes", "price"};

struct run_facts {
    double v[N_FACTS];
    double model, adapter;     /* bytes of the base and of what was trained on it */
};
struct facts_reader {
    const struct systems *systems;
    struct run_facts **runs;   /* [systems][runs] */
    const char **notes;        /* [systems] */
};

struct facts_reader *facts_new(const struct systems *s) {
    struct facts_reader *f = xcalloc(1, sizeof *f);
    f->systems = s;
    f->runs = xcalloc((size_t)s->n, sizeof *f->runs);
    f->notes = xcalloc((size_t)s->n, sizeof *f->notes);
    for (int i = 0; i < s->n; i++) {
        f->runs[i] = xcalloc((size_t)s->v[i].n_runs, sizeof **f->runs);
        for (int k = 0; k < s->v[i].n_runs; k++) {
            struct run_facts *r = &f->runs[i][k];
            for (int x = 0; x < N_FACTS; x++) r->v[x] = NAN;
            r->model = r->adapter = NAN;
        }
    }
    return f;
}

void facts_free(struct facts_reader *f) {
    if (!f) return;
    for (int i = 0; i < f->systems->n; i++) free(f->runs[i]);
    free(f->runs);
    free(f->notes);
    free(f);
}

/* ---- what files say ---- */
static int count_rows(const char *path, double *rows, struct err *e) {
    struct jsonl *in = jsonl_open(path, e);
    struct record *r;
    int rc;
    if (!in) return -1;
    for (*rows = 0; (rc = jsonl_next(in, &r, e)) > 0; record_free(r)) {
        const struct json *error = record_get(r, "error");
        *rows += !error || error->type == JSON_NULL;
    }
    jsonl_close(in);
    return rc;
}

/* Bytes of a file, or of the files in a directory. */
static int bytes_of(const char *path, double *bytes, struct err *e) {
    struct stat st;
    if (stat(path, &st)) return err_sys(e, "cannot read %s", path);
    *bytes = (double)st.st_size;
    if (!S_ISDIR(st.st_mode)) return 0;
    DIR *d = opendir(path);
    if (!d) return err_sys(e, "cannot read %s", path);
    *bytes = 0;
    for (struct dirent *x; (x = readdir(d));) {
        char *file = io_join(path, x->d_name);
        if (!stat(file, &st) && S_ISREG(st.st_mode)) *bytes += (double)st.st_size;
        free(file);
    }
    closedir(d);
    return 0;
}

static int summary_cost(const char *path, double *cost, struct err *e) {
    struct json_doc *d = json_read_file(path, e);
    if (!d) return -1;
    const struct json *c = json_get(json_root(d), "cost");
    int rc = c && c->type == JSON_NUMBER && c->number >= 0 ? 0 : err_set(e, RC_INPUT, "%s: no number cost, expected a summary of distill-label", path);
    if (!rc) *cost = c->number;
    json_doc_free(d);
    return rc;
}

/* One line of metrics.jsonl: the tokens since the last one took tokens/tok_s seconds. */
static int add_step(const struct record *r, double *tokens, double *seconds, struct err *e) {
    const struct json *t = record_get(r, "tokens"), *rate = record_get(r, "tok_s");
    if (!t) return 0; /* an evaluation */
    if (t->type != JSON_NUMBER || !(t->number >= *tokens)) return err_set(e, RC_INPUT, "tokens is not a number that grows");
    if (rate && rate->type == JSON_NUMBER && rate->number > 0)
        *seconds += (t->number - *tokens) / rate->number;
    else
        *seconds = NAN;
    *tokens = t->number;
    return 0;
}

static int read_training(const char *dir, struct run_facts *f, struct err *e) {
    char *metrics = io_join(dir, "metrics.jsonl"), *adapter = io_join(dir, "adapter_model.safetensors");
    struct jsonl *in = jsonl_open(metrics, e);
    struct record *r;
    double tokens = 0, seconds = 0;
    int rc = in ? 0 : -1;
    while (in && (rc = jsonl_next(in, &r, e)) > 0) {
        if (add_step(r, &tokens, &seconds, e) < 0) rc = err_prefix(e, "%s:%lld: ", metrics, (long long)record_line(r));
        record_free(r);
        if (rc < 0) break;
    }
    if (!rc && !(tokens > 0)) rc = err_set(e, RC_INPUT, "%s: no line with tokens, expected those of a training", metrics);
    f->v[FACT_TOKENS] = tokens;
    f->v[FACT_SECONDS] = seconds;
    if (!rc) rc = bytes_of(adapter, &f->adapter, e);
    jsonl_close(in);
    free(metrics);
    free(adapter);
    return rc;
}

/* ---- the command line ---- */
static bool is_number(const char *s, double *x) {
    char *end;
    *x = strtod(s, &end);
    return end != s && !*end && isfinite(*x) && *x >= 0;
}

static int set_once(double *to, double x, const char *about, struct err *e) {
    if (!isnan(*to)) return err_set(e, RC_USAGE, "--about %s: that is known already", about);
    *to = x;
    return 0;
}

/* KEY=VALUE as facts of one run in f. */
static int parse_value(const char *about, const char *key, size_t n, const char *value, struct run_facts *f, struct err *e) {
    double x = 0;
    bool number = is_number(value, &x);
    int k = 0;
    while (k < N_FACTS && (strlen(fact_keys[k]) != n || memcmp(fact_keys[k], key, n))) k++;
    if (n == strlen("training") && !memcmp(key, "training", n)) return read_training(value, f, e);
    if (n == strlen("model") && !memcmp(key, "model", n)) return bytes_of(value, &f->model, e);
    if (k == N_FACTS) return err_set(e, RC_USAGE, "--about %s: expected rows, training, tokens, seconds, model, bytes, price or note before =", about);
    if (!number && k == FACT_ROWS) return count_rows(value, &f->v[k], e);
    if (!number && k == FACT_PRICE) return summary_cost(value, &f->v[k], e);
    if (!number) return err_set(e, RC_USAGE, "--about %s: expected a number of at least 0 behind =", about);
    f->v[k] = x;
    return 0;
}

static int merge(struct run_facts *to, const struct run_facts *from, const char *about, struct err *e) {
    for (int k = 0; k < N_FACTS; k++)
        if (!isnan(from->v[k]) && set_once(&to->v[k], from->v[k], about, e) < 0) return -1;
    if (!isnan(from->model) && set_once(&to->model, from->model, about, e) < 0) return -1;
    return isnan(from->adapter) ? 0 : set_once(&to->adapter, from->adapter, about, e);
}

/* The system of "NAME[@SEED]", and its run, -1: all. */
static int find_runs(const struct systems *s, const char *who, size_t n, int *system, int *run) {
    const char *at = memchr(who, '@', n);
    size_t name = at ? (size_t)(at - who) : n;
    *run = -1;
    if ((*system = systems_find(s, who, name)) < 0) return -1;
    for (int k = 0; at && k < s->v[*system].n_runs; k++) {
        const char *seed = s->v[*system].runs[k].seed;
        if (seed && strlen(seed) == n - name - 1 && !memcmp(seed, at + 1, n - name - 1)) *run = k;
    }
    return at && *run < 0 ? -1 : 0;
}

int facts_add(struct facts_reader *f, const char *about, struct err *e) {
    const char *value, *key;
    int64_t n = name_before(about, '=', &value), who = n;
    int system, run;
    struct run_facts got = {{NAN, NAN, NAN, NAN, NAN}, NAN, NAN};
    while (who > 0 && about[who] != ':') who--; /* names may have a : themselves */
    key = about + who + 1;
    if (n < 0 || who <= 0 || !*value) return err_set(e, RC_USAGE, "--about %s: expected NAME[@SEED]:KEY=VALUE", about);
    if (find_runs(f->systems, about, (size_t)who, &system, &run) < 0) return err_set(e, RC_USAGE, "--about %s: no system is called %.*s", about, (int)who, about);
    if (!strncmp(key, "note=", 5)) {
        if (f->notes[system]) return err_set(e, RC_USAGE, "--about %s: the system has a note already", about);
        f->notes[system] = value;
        return 0;
    }
    if (parse_value(about, key, (size_t)(value - 1 - key), value, &got, e) < 0) return -1;
    for (int k = 0; k < f->systems->v[system].n_runs; k++)
        if ((run < 0 || k == run) && merge(&f->runs[system][k], &got, about, e) < 0) return -1;
    return 0;
}

void facts_of(const struct facts_reader *f, int system, struct facts *out) {
    int n = f->systems->v[system].n_runs;
    *out = (struct facts){.note = f->notes[system]};
    for (int k = 0; k < n; k++) {
        const struct run_facts *r = &f->runs[system][k];
        double whole = r->model + (isnan(r->adapter) ? 0 : r->adapter);
        for (int x = 0; x < N_FACTS; x++) out->v[x] += x == FACT_BYTES && isnan(r->v[x]) ? whole : r->v[x];
    }
    for (int x = 0; x < N_FACTS; x++) out->v[x] /= n;
}
