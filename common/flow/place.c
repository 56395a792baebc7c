/* Scratch folder and outs: see place.h. */
#include "common/flow/place.h"
#include "common/flow/state.h"
#include "common/io/buf.h"
#include "common/io/io.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *place_scratch(const struct flow *f, const struct flow_stage *s) {
    struct buf b = BUF_INIT;
    const char *base = strrchr(f->dir, '/') + 1;
    buf_add(&b, f->dir, (size_t)(base - f->dir));
    buf_addf(&b, ".%s@%s.tmp", base, s->name);
    return buf_detach(&b);
}

/* ---- into the folder ---- */
static int sync_path(const char *path, struct err *e) {
    struct stat st;
    if (lstat(path, &st) < 0) return err_sys(e, "cannot read %s", path);
    if (S_ISLNK(st.st_mode)) return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;
    if (fd < 0) return err_sys(e, "cannot open %s", path);
    DIR *d = S_ISDIR(st.st_mode) ? opendir(path) : NULL;
    for (struct dirent *x; d && !rc && (x = readdir(d));) {
        if (!strcmp(x->d_name, ".") || !strcmp(x->d_name, "..")) continue;
        char *sub = io_join(path, x->d_name);
        rc = sync_path(sub, e);
        free(sub);
    }
    if (d) closedir(d);
    if (!rc && fsync(fd) < 0 && errno != EINVAL) rc = err_sys(e, "cannot write %s", path);
    close(fd);
    return rc;
}

/* The folder above path, made; mkdir -p. */
static int make_parent(const char *path, struct err *e) {
    char *parent = xstrdup(path), *slash = strrchr(parent, '/');
    *slash = 0;
    int rc = io_mkdirs(parent, e);
    free(parent);
    return rc;
}

/* One out from the scratch to its place. A persist out may stand there already: the two change places in one step, so
   that a kill finds one or the other, whole. */
static int move_out(const struct flow *f, const struct flow_path *o, const char *scratch, struct err *e) {
    char *from = io_join(scratch, o->path), *to = flow_abs(f, o->path);
    struct stat st;
    int rc = 0;
    if (lstat(from, &st) < 0 || (o->persist && S_ISLNK(st.st_mode))) {
        ; /* not made, or made through its link */
    } else if (sync_path(from, e) < 0 || make_parent(to, e) < 0) {
        rc = -1;
    } else if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) < 0 && rename(from, to) < 0) {
        /* no exchange on this file system, and a folder with content in the way */
        rc = io_remove_tree(to, e);
        if (!rc && rename(from, to) < 0) rc = err_sys(e, "cannot put %s in place", to);
    }
    free(from);
    free(to);
    return rc;
}

int place_finish(const struct flow *f, const struct flow_stage *s, const char *scratch, bool persist_only, struct err *e) {
    for (int i = 0; i < s->n_outs; i++)
        if ((!persist_only || s->outs[i].persist) && move_out(f, &s->outs[i], scratch, e) < 0) return -1;
    return io_remove_tree(scratch, e);
}

int place_check(const struct flow_stage *s, const char *scratch, struct err *e) {
    struct stat st;
    for (int i = 0; i < s->n_outs; i++) {
        const struct flow_path *o = &s->outs[i];
        char *path = io_join(scratch, o->path);
        int rc = lstat(path, &st);
        free(path);
        if (rc < 0) return err_set(e, RC_INPUT, "%s:%d: stage %s: its commands did not make out %s", s->file, o->line, s->name, o->path);
        bool link = S_ISLNK(st.st_mode);
        if (link ? !o->persist : !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
            return err_set(e, RC_INPUT, "%s:%d: stage %s: out %s is %s, expected a file or a folder", s->file, o->line, s->name, o->path,
                           link ? "a symbolic link" : "a special file");
    }
    return 0;
}

/* ---- out of the way ---- */
int place_clear(const struct flow *f, const struct flow_stage *s, const char *scratch, struct err *e) {
    char *provenance = state_path(f, s->name, ".json");
    int rc = io_remove_tree(provenance, e);
    free(provenance);
    if (!rc && io_exists(scratch)) rc = place_finish(f, s, scratch, true, e);
    for (int i = 0; i < s->n_outs && !rc; i++) {
        if (s->outs[i].persist) continue;
        char *path = flow_abs(f, s->outs[i].path);
        rc = io_remove_tree(path, e);
        free(path);
    }
    return rc;
}

/* ---- the scratch ---- */
/* scratch/path as a link to the folder's own. What an earlier link already covers is there. */
static int link_in(const struct flow *f, const char *scratch, const char *path, struct err *e) {
    char *at = io_join(scratch, path), *to = flow_abs(f, path);
    int rc = 0;
    if (!io_exists(at) && (make_parent(at, e) < 0 || symlink(to, at) < 0)) rc = errno == EEXIST ? 0 : err_sys(e, "cannot link %s", at);
    free(at);
    free(to);
    return rc;
}

/* Folders before what lies in them, so that a dependency on both is one link. */
static int by_length(const void *a, const void *b) {
    size_t x = strlen(*(char *const *)a), y = strlen(*(char *const *)b);
    return x < y ? -1 : x > y;
}

static int link_deps(const struct flow *f, const struct flow_stage *s, const char *scratch, struct err *e) {
    char **paths = xcalloc((size_t)s->n_deps + 1, sizeof *paths);
    int n = 0, rc = 0;
    for (int i = 0; i < s->n_deps; i++)
        if (!flow_outside(s->deps[i].path)) paths[n++] = s->deps[i].path;
    qsort(paths, (size_t)n, sizeof *paths, by_length);
    for (int i = 0; i < n && !rc; i++) rc = link_in(f, scratch, paths[i], e);
    free(paths);
    return rc;
}

static int prepare_out(const struct flow *f, const struct flow_path *o, const char *scratch, struct err *e) {
    char *at = io_join(scratch, o->path), *to = flow_abs(f, o->path);
    int rc = make_parent(at, e);
    if (!rc && o->persist && io_exists(to)) rc = link_in(f, scratch, o->path, e);
    free(at);
    free(to);
    return rc;
}

int place_prepare(const struct flow *f, const struct flow_stage *s, const char *scratch, struct err *e) {
    if (io_mkdirs(scratch, e) < 0 || link_deps(f, s, scratch, e) < 0) return -1;
    for (int i = 0; i < s->n_outs; i++)
        if (prepare_out(f, &s->outs[i], scratch, e) < 0) return -1;
    return 0;
}
