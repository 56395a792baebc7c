/* Files and folders out, whole or not at all: see io.h. */
#include "common/io/io_impl.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- temporaries that must not outlive the program ---- */
#define MAX_TEMPS 32
static char *temps[MAX_TEMPS]; /* paths; NULL is free */

static void remove_temps(void) {
    struct err e;
    for (int i = 0; i < MAX_TEMPS; i++)
        if (temps[i]) io_remove_tree(temps[i], &e);
}

static void on_signal(int sig) {
    for (int i = 0; i < MAX_TEMPS; i++)
        if (temps[i]) unlink(temps[i]); /* async-signal-safe; directories stay for the next run to replace */
    signal(sig, SIG_DFL);
    raise(sig);
}

static void keep_temp(char *path) {
    static bool ready;
    if (!ready) {
        const int signals[] = {SIGINT, SIGTERM, SIGHUP};
        ready = true;
        atexit(remove_temps);
        for (int i = 0; i < 3; i++)
            if (signal(signals[i], on_signal) == SIG_IGN) signal(signals[i], SIG_IGN);
    }
    for (int i = 0; i < MAX_TEMPS; i++)
        if (!temps[i]) {
            temps[i] = path;
            return;
        }
    BUG("more than %d temporaries open", MAX_TEMPS);
}

static void forget_temp(const char *path) {
    for (int i = 0; i < MAX_TEMPS; i++)
        if (temps[i] == path) temps[i] = NULL;
}

/* ---- output ---- */
static char stdout_buffer[STREAM_BUFFER];

/* A device or a pipe is written in place: renaming a file over it would replace it. */
static int open_special(struct out *o, const char *path, struct err *e) {
    o->f = fopen(path, "wb");
    if (!o->f) return err_sys(e, "cannot open %s", path);
    o->path = xstrdup(path);
    return 0;
}

static bool is_special(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

int out_open(struct out *o, const char *path, struct err *e) {
    *o = (struct out){.f = stdout};
    if (io_is_std(path)) {
        if (!isatty(STDOUT_FILENO)) setvbuf(stdout, stdout_buffer, _IOFBF, STREAM_BUFFER);
        return 0;
    }
    if (is_special(path)) return open_special(o, path, e);
    struct buf b = BUF_INIT;
    buf_addf(&b, "%s.tmp.%ld", path, (long)getpid());
    o->f = fopen(b.p, "wb");
    if (!o->f) {
        err_sys(e, "cannot create %s", b.p);
        buf_release(&b);
        return -1;
    }
    o->buffer = io_widen(o->f);
    o->path = xstrdup(path);
    o->tmp = buf_detach(&b);
    keep_temp(o->tmp);
    return 0;
}

static void out_free(struct out *o) {
    if (o->tmp) forget_temp(o->tmp);
    free(o->buffer);
    free(o->path);
    free(o->tmp);
    *o = (struct out){0};
}

/* After a failed write whose errno is long gone: the next byte fails for the same reason. */
static int why_not(FILE *f) {
    errno = 0;
    return write(fileno(f), "", 1) < 0 && errno ? errno : EIO;
}

int out_put(struct out *o, const void *p, size_t n, struct err *e) {
    fwrite(p, 1, n, o->f);
    return ferror(o->f) ? out_commit(o, e) : 0; /* which fails, and says why */
}

int out_flush(struct out *o, struct err *e) { return fflush(o->f) ? err_sys(e, "cannot write the output") : 0; }

int out_commit(struct out *o, struct err *e) {
    if (!o->path) return fflush(o->f) || ferror(o->f) ? err_sys(e, "cannot write standard output") : 0;
    errno = 0;
    bool bad = ferror(o->f) || fflush(o->f) || (o->tmp && fsync(fileno(o->f)));
    int saved = errno ? errno : bad ? why_not(o->f) : 0;
    if (fclose(o->f) && !bad) bad = true, saved = errno;
    if (!bad && o->tmp && rename(o->tmp, o->path)) bad = true, saved = errno;
    if (bad) {
        errno = saved;
        err_sys(e, "cannot write %s", o->path);
        if (o->tmp) unlink(o->tmp);
    }
    out_free(o);
    return bad ? -1 : 0;
}

int io_write_file(const char *path, const void *p, size_t n, struct err *e) {
    struct out o;
    if (out_open(&o, path, e) < 0) return -1;
    fwrite(p, 1, n, o.f);
    return out_commit(&o, e);
}

/* ---- directories ---- */
char *io_tmpdir(const char *path, struct err *e) {
    struct buf b = BUF_INIT;
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    buf_add(&b, path, n);
    buf_addf(&b, ".tmp.%ld", (long)getpid());
    if (io_remove_tree(b.p, e) < 0 || io_mkdirs(b.p, e) < 0) {
        buf_release(&b);
        return NULL;
    }
    char *p = buf_detach(&b);
    keep_temp(p);
    return p;
}

int io_scratch(struct err *e) {
    const char *dir = getenv("TMPDIR");
    if (!dir || !*dir) dir = "/tmp";
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return fd < 0 ? err_sys(e, "cannot make a temporary file in %s", dir) : fd;
}

static int sync_tree(const char *dir, struct err *e) {
    DIR *d = opendir(dir);
    if (!d) return err_sys(e, "cannot read directory %s", dir);
    int rc = 0;
    for (struct dirent *x; !rc && (x = readdir(d));) {
        if (!strcmp(x->d_name, ".") || !strcmp(x->d_name, "..")) continue;
        char *p = io_join(dir, x->d_name);
        int fd = -1;
        if (io_is_dir(p))
            rc = sync_tree(p, e);
        else if ((fd = open(p, O_RDONLY)) < 0 || fsync(fd) < 0)
            rc = err_sys(e, "cannot write %s", p);
        if (fd >= 0) close(fd);
        free(p);
    }
    closedir(d);
    return rc;
}

int io_commit_dir(char *tmpdir, const char *path, struct err *e) {
    struct buf old = BUF_INIT;
    buf_addf(&old, "%s.old", tmpdir);
    int rc = sync_tree(tmpdir, e);
    bool had = !rc && io_exists(path);
    if (had && rename(path, old.p) < 0) rc = err_sys(e, "cannot replace %s", path);
    if (!rc && rename(tmpdir, path) < 0) {
        rc = err_sys(e, "cannot create %s", path);
        if (had) rename(old.p, path);
    }
    if (rc) {
        struct err ignored;
        io_remove_tree(tmpdir, &ignored);
    } else if (had) {
        rc = io_remove_tree(old.p, e);
    }
    forget_temp(tmpdir);
    free(tmpdir);
    buf_release(&old);
    return rc;
}

void io_abort_dir(char *tmpdir) {
    struct err ignored;
    io_remove_tree(tmpdir, &ignored);
    forget_temp(tmpdir);
    free(tmpdir);
}

void io_close_stdout(void) {
    errno = 0;
    int bad = ferror(stdout);
    if (fclose(stdout) || bad) {
        if (errno == EPIPE) _exit(128 + SIGPIPE);
        fprintf(stderr, "coador: cannot write standard output: %s\n", strerror(errno ? errno : EIO));
        exit(RC_IO);
    }
}
