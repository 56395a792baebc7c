/* Running one stage: see run.h. */
#include "common/flow/run.h"
#include "common/flow/exec.h"
#include "common/flow/place.h"
#include "common/flow/state.h"
#include "common/io/io.h"
#include "common/io/progress.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

/* One runner a stage. The lock file stays: removing it would let two runners lock two files of one name. */
static int lock_stage(struct flow_run *r, const struct flow_stage *s, struct err *e) {
    char *dir = state_path(r->f, "", ""), *path = state_path(r->f, s->name, ".lock");
    int fd = io_mkdirs(dir, e) < 0 ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) {
        err_sys(e, "cannot open %s", path);
    } else if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        r->say("%s: waiting for another run of this stage", s->name);
        while (flock(fd, LOCK_EX) < 0)
            if (errno != EINTR) {
                err_sys(e, "cannot lock %s", path);
                close(fd);
                fd = -1;
                break;
            }
    }
    free(dir);
    free(path);
    return fd;
}

/* An out without its provenance counts as absent, so the makers of our dependencies must have theirs. */
static int check_makers(const struct flow *f, const struct flow_stage *s, struct err *e) {
    for (int i = 0; i < s->n_needs; i++) {
        const char *maker = f->stages[s->needs[i]].name;
        char *path = state_path(f, maker, ".json");
        bool there = io_exists(path);
        free(path);
        if (!there) return err_set(e, RC_INPUT, "stage %s: stage %s must run first, it makes a dependency", s->name, maker);
    }
    return 0;
}

/* What commands find: our front end first; nothing of make's own, nor a start-up file of the user's. */
static void set_environment(const char *front) {
    static const char *const drop[] = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "BASH_ENV", "ENV", "CDPATH"};
    for (size_t i = 0; i < sizeof drop / sizeof *drop; i++) unsetenv(drop[i]);
    const char *path = getenv("PATH");
    struct buf b = BUF_INIT;
    buf_addf(&b, "%s%s%s", front, path && *path ? ":" : "", path ? path : "");
    setenv("PATH", b.p, 1);
    buf_release(&b);
}

/* The last lines of text, at most ten. */
static const char *last_lines(const char *text) {
    const char *s = text + strlen(text);
    for (int lines = 0; s > text; s--)
        if (s[-1] == '\n' && s[0] && ++lines == 10) break;
    return s;
}

static int failed(struct flow_run *r, const struct flow_stage *s, const struct exec_result *x, struct err *e) {
    r->status = x->status;
    const char *tail = last_lines(x->tail);
    if (*tail) r->say("%s: last lines of its standard error:\n%.*s", s->name, (int)(strlen(tail) - (tail[strlen(tail) - 1] == '\n')), tail);
    return err_set(e, RC_NEGATIVE, "%s:%d: stage %s failed: exit status %d", s->file, s->line, s->name, x->status);
}

/* All commands in the scratch; *peak is the largest process of all. */
static int run_commands(struct flow_run *r, const struct flow_stage *s, const char *scratch, int64_t *peak, struct err *e) {
    struct guard g;
    struct exec_result x = {0};
    int rc = 0;
    if (guard_start(&g, e) < 0) return -1;
    for (int i = 0; i < s->n_cmd && !rc; i++) {
        rc = exec_command(&g, s->cmd[i], scratch, &x, e);
        if (!rc && x.status) rc = -2;
        if (x.peak > *peak) *peak = x.peak;
    }
    r->signal = guard_stop(&g);
    if (r->signal) return err_set(e, RC_NEGATIVE, "stage %s was broken off by signal %d", s->name, r->signal);
    return rc == -2 ? failed(r, s, &x, e) : rc;
}

static bool same_facts(const struct facts *a, const struct facts *b, const char **which) {
    for (int i = 0; i < a->n; i++)
        if (strcmp(a->v[i].hex, b->v[i].hex)) return *which = a->v[i].name, false;
    return true;
}

/* What went in is what is there now: else the provenance would tell a lie. */
static int check_unchanged(struct flow_run *r, const struct flow_stage *s, const struct state *was, struct hashes *h, struct err *e) {
    struct state now;
    const char *which = NULL;
    if (state_take(r->f, s, r->programs, h, &now, e) < 0) return -1;
    bool same = now.deps.n == was->deps.n && same_facts(&was->deps, &now.deps, &which);
    state_release(&now);
    return same ? 0 : err_set(e, RC_INPUT, "stage %s: dependency %s changed while the stage ran", s->name, which);
}

static void put_size(struct buf *b, int64_t bytes) {
    double mib = (double)bytes / (1 << 20);
    buf_addf(b, mib < 1024 ? "%.0f MiB" : "%.1f GiB", mib < 1024 ? mib : mib / 1024);
}

static int make_outs(struct flow_run *r, const struct flow_stage *s, const struct state *was, const char *scratch, struct hashes *h, struct err *e) {
    struct run_facts facts = {0};
    char started[32];
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", &tm);
    double t0 = now_seconds();
    if (place_prepare(r->f, s, scratch, e) < 0 || run_commands(r, s, scratch, &facts.peak, e) < 0) return -1;
    facts.wall = now_seconds() - t0;
    facts.started = started;
    if (check_unchanged(r, s, was, h, e) < 0 || place_check(s, scratch, e) < 0 || place_finish(r->f, s, scratch, false, e) < 0) return -1;
    if (state_record(r->f, s, was, &facts, h, e) < 0) return -1;
    struct buf b = BUF_INIT;
    put_size(&b, facts.peak);
    r->say("%s: done in %.1f s, largest process %s", s->name, facts.wall, b.p);
    buf_release(&b);
    return 0;
}

static int run_now(struct flow_run *r, const struct flow_stage *s, const struct state *was, struct hashes *h, struct err *e) {
    struct err ignored;
    char *scratch = place_scratch(r->f, s);
    set_environment(r->front);
    int rc = place_clear(r->f, s, scratch, e);
    if (!rc && (rc = make_outs(r, s, was, scratch, h, e)) < 0) place_finish(r->f, s, scratch, true, &ignored);
    free(scratch);
    return rc;
}

int flow_run_stage(struct flow_run *r, int i, struct err *e) {
    const struct flow_stage *s = &r->f->stages[i];
    struct buf why = BUF_INIT;
    struct state now = {0};
    r->status = r->signal = 0;
    int lock = lock_stage(r, s, e);
    if (lock < 0) return -1;
    char *memory = state_path(r->f, "hashes", "");
    struct hashes *h = hashes_open(memory);
    int rc = check_makers(r->f, s, e);
    if (!rc) rc = state_take(r->f, s, r->programs, h, &now, e);
    if (!rc) rc = state_judge(r->f, s, &now, h, &why, e);
    if (rc > 0) {
        r->say("%s: running, because %s", s->name, why.p);
        rc = run_now(r, s, &now, h, e);
    } else if (!rc) {
        r->say("%s: up to date", s->name);
    }
    hashes_close(h);
    state_release(&now);
    buf_release(&why);
    free(memory);
    close(lock);
    return rc;
}

int flow_foresee(const struct flow *f, int i, const char *programs, bool *pending, char **why, struct err *e) {
    const struct flow_stage *s = &f->stages[i];
    struct buf b = BUF_INIT;
    struct state now = {0};
    *why = NULL;
    for (int k = 0; k < s->n_needs && !pending[i]; k++)
        if (pending[s->needs[k]]) {
            buf_addf(&b, "stage %s, which makes a dependency, runs", f->stages[s->needs[k]].name);
            *why = buf_detach(&b);
            pending[i] = true;
        }
    if (pending[i]) return 0;
    char *memory = state_path(f, "hashes", "");
    struct hashes *h = hashes_open(memory);
    int rc = state_take(f, s, programs, h, &now, e);
    if (!rc) rc = state_judge(f, s, &now, h, &b, e);
    if (rc > 0) *why = buf_detach(&b);
    pending[i] = rc > 0;
    hashes_close(h);
    free(memory);
    state_release(&now);
    buf_release(&b);
    return rc < 0 ? -1 : 0;
}
