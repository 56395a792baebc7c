/* Provenance of a stage, written and held against the present: see state.h. */
#include "common/flow/state.h"
#include "common/io/io.h"
#include "common/io/json.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void facts_release(struct facts *f) {
    for (int i = 0; i < f->n; i++) free(f->v[i].name);
    free(f->v);
    *f = (struct facts){0};
}

void state_release(struct state *s) {
    facts_release(&s->deps);
    facts_release(&s->programs);
}

char *state_path(const struct flow *f, const char *name, const char *suffix) {
    struct buf b = BUF_INIT;
    buf_addf(&b, "%s/.coador/%s%s", f->dir, name, suffix);
    return buf_detach(&b);
}

static int add_fact(struct facts *to, const char *name, const char *path, struct hashes *h, struct err *e) {
    for (int i = 0; i < to->n; i++)
        if (!strcmp(to->v[i].name, name)) return 0;
    struct fact x = {0};
    if (hashes_path(h, path, x.hex, &x.bytes, e) < 0) return -1;
    x.name = xstrdup(name);
    to->v = xrealloc(to->v, (size_t)to->n + 1, sizeof *to->v);
    to->v[to->n++] = x;
    return 0;
}

/* ---- programs that a command names ---- */
static int add_program(struct facts *to, const char *programs, const char *name, struct hashes *h, struct err *e) {
    struct stat st;
    char *path = io_join(programs, name);
    int rc = 0;
    if (*name != '.' && !strchr(name, '/') && !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK)) rc = add_fact(to, name, path, h, e);
    free(path);
    return rc;
}

static int by_name(const void *a, const void *b) { return strcmp(((const struct fact *)a)->name, ((const struct fact *)b)->name); }

static int add_all_programs(struct facts *to, const char *programs, struct hashes *h, struct err *e) {
    DIR *d = opendir(programs);
    int rc = 0;
    if (!d) return err_sys(e, "cannot read folder %s", programs);
    for (struct dirent *x; !rc && (x = readdir(d));) rc = add_program(to, programs, x->d_name, h, e);
    closedir(d);
    return rc;
}

/* Every "coador WORD" in shell text. */
static int add_programs(struct facts *to, const char *cmd, const char *programs, struct hashes *h, struct err *e) {
    static const char breaks[] = " \t\n|&;()<>`'\"=";
    int rc = 0;
    for (const char *s = cmd; !rc && *(s += strspn(s, breaks));) {
        size_t n = strcspn(s, breaks);
        bool front = n >= 6 && !memcmp(s + n - 6, "coador", 6) && (n == 6 || s[n - 7] == '/');
        s += n;
        if (!front) continue;
        s += strspn(s, " \t\n\"'");
        n = strcspn(s, breaks);
        char *word = xmemdup0(s, n);
        rc = strpbrk(word, "$") || *s == '`' ? add_all_programs(to, programs, h, e) : add_program(to, programs, word, h, e);
        free(word);
    }
    return rc;
}

int state_take(const struct flow *f, const struct flow_stage *s, const char *programs, struct hashes *h, struct state *out, struct err *e) {
    int rc = 0;
    *out = (struct state){0};
    for (int i = 0; i < s->n_deps && !rc; i++) {
        char *path = flow_abs(f, s->deps[i].path);
        rc = add_fact(&out->deps, s->deps[i].path, path, h, e);
        if (rc) err_prefix(e, "%s:%d: stage %s: dependency %s: ", s->file, s->deps[i].line, s->name, s->deps[i].path);
        free(path);
    }
    for (int i = 0; i < s->n_cmd && !rc; i++) rc = add_programs(&out->programs, s->cmd[i], programs, h, e);
    if (out->programs.n) qsort(out->programs.v, (size_t)out->programs.n, sizeof *out->programs.v, by_name);
    if (rc) state_release(out);
    return rc;
}

/* ---- judging ---- */
/* The hash recorded for name in the array `list` of the provenance, NULL if it has none. */
static const char *recorded(const struct json *list, const char *name) {
    for (const struct json *x = list ? list->first : NULL; x; x = x->next) {
        const struct json *hex = json_get(x, "sha256");
        if (json_is_str(json_get(x, "name"), name)) return hex && hex->type == JSON_STRING ? hex->str : "";
    }
    return NULL;
}

/* First difference between recorded facts and those of now, into reason. */
static bool facts_differ(const struct json *list, const struct facts *now, const char *what, struct buf *reason) {
    for (int i = 0; i < now->n; i++) {
        const char *hex = recorded(list, now->v[i].name);
        if (hex && !strcmp(hex, now->v[i].hex)) continue;
        buf_addf(reason, "%s %s %s", what, now->v[i].name, hex ? "changed" : "is new");
        return true;
    }
    for (const struct json *x = list ? list->first : NULL; x; x = x->next) {
        const struct json *name = json_get(x, "name");
        bool kept = false;
        for (int i = 0; i < now->n; i++) kept |= json_is_str(name, now->v[i].name);
        if (kept) continue;
        buf_addf(reason, "%s %s is gone", what, name && name->type == JSON_STRING ? name->str : "?");
        return true;
    }
    return false;
}

static bool command_differs(const struct json *cmd, const struct flow_stage *s) {
    const struct json *x = cmd ? cmd->first : NULL;
    for (int i = 0; i < s->n_cmd; i++, x = x->next)
        if (!x || !json_is_str(x, s->cmd[i])) return true;
    return x != NULL;
}

static int outs_differ(const struct flow *f, const struct flow_stage *s, const struct json *list, struct hashes *h, struct buf *reason, struct err *e) {
    struct facts now = {0};
    int rc = 0;
    for (int i = 0; i < s->n_outs && !rc; i++) {
        char *path = flow_abs(f, s->outs[i].path);
        if (!io_exists(path)) {
            buf_addf(reason, "out %s is missing", s->outs[i].path);
            rc = 1;
        } else if (add_fact(&now, s->outs[i].path, path, h, e) < 0) {
            rc = -1;
        }
        free(path);
    }
    if (!rc) rc = facts_differ(list, &now, "out", reason);
    facts_release(&now);
    return rc;
}

int state_judge(const struct flow *f, const struct flow_stage *s, const struct state *now, struct hashes *h, struct buf *reason, struct err *e) {
    char *path = state_path(f, s->name, ".json");
    struct err unread;
    struct json_doc *doc = io_exists(path) ? json_read_file(path, &unread) : NULL;
    const struct json *p = doc ? json_root(doc) : NULL;
    int rc = 1;
    if (!io_exists(path))
        buf_adds(reason, "it has not run yet");
    else if (!p)
        buf_adds(reason, "its provenance cannot be read");
    else if (command_differs(json_get(p, "cmd"), s))
        buf_adds(reason, "the command changed");
    else if (!facts_differ(json_get(p, "deps"), &now->deps, "dependency", reason) &&
             !facts_differ(json_get(p, "programs"), &now->programs, "program", reason))
        rc = outs_differ(f, s, json_get(p, "outs"), h, reason, e);
    json_doc_free(doc);
    free(path);
    return rc;
}

/* ---- recording ---- */
static void put_str(struct buf *b, const char *s) {
    size_t good = utf8_valid(s, strlen(s));
    json_put_string(b, s, good); /* bytes that are not UTF-8 end it: JSON cannot hold them */
}

static void put_facts(struct buf *b, const char *key, const struct facts *f) {
    buf_addf(b, ",\n \"%s\": [", key);
    for (int i = 0; i < f->n; i++) {
        buf_adds(b, i ? ",\n  {\"name\": " : "\n  {\"name\": ");
        put_str(b, f->v[i].name);
        buf_addf(b, ", \"sha256\": \"%s\", \"bytes\": %lld}", f->v[i].hex, (long long)f->v[i].bytes);
    }
    buf_adds(b, "]");
}

static void put_vars(struct buf *b, const struct var_uses *u) {
    const char *seed = NULL;
    buf_adds(b, ",\n \"vars\": {");
    for (int i = 0; i < u->n; i++) {
        const char *dot = strrchr(u->v[i].name, '.');
        if (!strcmp(dot ? dot + 1 : u->v[i].name, "seed")) seed = u->v[i].value;
        buf_adds(b, i ? ", " : "");
        put_str(b, u->v[i].name);
        buf_adds(b, ": ");
        put_str(b, u->v[i].value);
    }
    buf_adds(b, "}");
    if (!seed) return;
    buf_adds(b, ",\n \"seed\": ");
    put_str(b, seed);
}

/* What the processor calls itself; empty where the system does not say. */
static void put_cpu(struct buf *b) {
    struct in in;
    struct err e;
    char *model = NULL;
    if (in_open(&in, "/proc/cpuinfo", &e) < 0) return;
    while (!model && in_line(&in, &e) >= 0) {
        char *colon = strncmp(in.text, "model name", 10) ? NULL : strchr(in.text, ':');
        if (colon) model = xstrdup(colon + 1 + (colon[1] == ' '));
    }
    in_close(&in);
    if (model) {
        buf_adds(b, ",\n \"cpu\": ");
        put_str(b, model);
    }
    free(model);
}

static void put_all(struct buf *b, const struct flow_stage *s, const struct state *was, const struct facts *outs, const struct run_facts *r) {
    buf_adds(b, "{\"stage\": ");
    put_str(b, s->name);
    buf_addf(b, ",\n \"coador\": \"%s\",\n \"cmd\": [", COADOR_VERSION);
    for (int i = 0; i < s->n_cmd; i++) {
        buf_adds(b, i ? ",\n  " : "");
        put_str(b, s->cmd[i]);
    }
    buf_adds(b, "]");
    put_facts(b, "deps", &was->deps);
    put_facts(b, "programs", &was->programs);
    put_facts(b, "outs", outs);
    put_vars(b, &s->uses);
    buf_addf(b, ",\n \"started\": \"%s\",\n \"wall_s\": %.3f,\n \"peak_rss_bytes\": %lld", r->started, r->wall, (long long)r->peak);
    put_cpu(b);
    buf_adds(b, "}\n");
}

int state_record(const struct flow *f, const struct flow_stage *s, const struct state *was, const struct run_facts *r, struct hashes *h, struct err *e) {
    struct facts outs = {0};
    struct buf b = BUF_INIT;
    int rc = 0;
    for (int i = 0; i < s->n_outs && !rc; i++) {
        char *path = flow_abs(f, s->outs[i].path);
        rc = add_fact(&outs, s->outs[i].path, path, h, e);
        free(path);
    }
    if (!rc) {
        char *path = state_path(f, s->name, ".json");
        put_all(&b, s, was, &outs, r);
        rc = io_write_file(path, b.p, b.n, e);
        free(path);
    }
    buf_release(&b);
    facts_release(&outs);
    return rc;
}
