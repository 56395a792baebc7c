/* Files in and out: see io.h. */
#include "common/io/io.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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

/* ---- input ---- */
static int take_stdin(struct err *e) {
    static bool taken;
    if (taken) return err_set(e, RC_USAGE, "standard input (-) is named twice: at most one input may be -");
    taken = true;
    return 0;
}

static bool is_std(const char *path) { return !path || !strcmp(path, "-"); }

/* Of streams: stdio's own is a page. Reading a pipe still returns with what is there. */
#define STREAM_BUFFER ((size_t)1 << 16)
static char stdin_buffer[STREAM_BUFFER], stdout_buffer[STREAM_BUFFER];

/* Memory that must stay until f is closed. */
static char *widen(FILE *f) {
    char *p = xmalloc(STREAM_BUFFER);
    setvbuf(f, p, _IOFBF, STREAM_BUFFER);
    return p;
}

int in_open(struct in *i, const char *path, struct err *e) {
    *i = (struct in){.name = is_std(path) ? "stdin" : path};
    if (is_std(path)) {
        i->f = stdin;
        if (take_stdin(e) < 0) return -1;
        setvbuf(stdin, stdin_buffer, _IOFBF, STREAM_BUFFER);
        return 0;
    }
    i->f = fopen(path, "rb");
    if (!i->f) return err_sys(e, "cannot open %s", path);
    struct stat st;
    if (!fstat(fileno(i->f), &st) && S_ISDIR(st.st_mode)) {
        fclose(i->f);
        i->f = NULL;
        return err_set(e, RC_IO, "%s is a directory, expected a file", path);
    }
    i->buffer = widen(i->f);
    return 0;
}

int64_t in_line(struct in *i, struct err *e) {
    errno = 0;
    ssize_t n = getline(&i->text, &i->cap, i->f);
    if (n < 0) {
        if (!ferror(i->f) && feof(i->f)) return -1;
        err_sys(e, "cannot read %s", i->name);
        return -2;
    }
    i->line++;
    if (n && i->text[n - 1] == '\n') i->text[--n] = 0;
    return n;
}

void in_close(struct in *i) {
    if (i->f && i->f != stdin) fclose(i->f);
    free(i->buffer);
    free(i->text);
    *i = (struct in){0};
}

int io_read_all(const char *path, size_t limit, struct buf *b, struct err *e) {
    struct in i;
    char piece[1 << 16];
    size_t n;
    if (in_open(&i, path, e) < 0) return -1;
    int rc = 0;
    while (!rc && (n = fread(piece, 1, sizeof piece, i.f)) > 0) {
        if (limit && b->n + n > limit)
            rc = err_set(e, RC_INPUT, "%s is larger than %zu bytes", i.name, limit);
        else
            buf_add(b, piece, n);
    }
    if (!rc && ferror(i.f)) rc = err_sys(e, "cannot read %s", i.name);
    if (!rc) buf_add(b, "", 0);
    in_close(&i);
    return rc;
}

int map_open(struct map *m, const char *path, struct err *e) {
    struct stat st;
    *m = (struct map){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_sys(e, "cannot open %s", path);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return err_set(e, RC_IO, "%s is not a regular file", path);
    }
    m->n = (size_t)st.st_size;
    void *p = m->n ? mmap(NULL, m->n, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    close(fd);
    if (p == MAP_FAILED) {
        m->n = 0;
        return err_sys(e, "cannot map %s", path);
    }
    m->p = p;
    return 0;
}

void map_close(struct map *m) {
    if (m->p) munmap((void *)m->p, m->n);
    *m = (struct map){0};
}

int64_t io_count_lines(const char *path) {
    struct err e;
    struct map m;
    int64_t n = 0;
    if (is_std(path) || map_open(&m, path, &e) < 0) return 0;
    for (const unsigned char *p = m.p, *end = m.p + m.n; p && p < end; n++) {
        const unsigned char *nl = memchr(p, '\n', (size_t)(end - p));
        p = nl ? nl + 1 : end;
    }
    map_close(&m);
    return n;
}

void map_drop(const void *p, size_t n) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = ((uintptr_t)p + page - 1) / page * page, to = ((uintptr_t)p + n) / page * page;
    if (to > from) madvise((void *)from, to - from, MADV_DONTNEED);
}

/* ---- output ---- */
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
    if (is_std(path)) {
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
    o->buffer = widen(o->f);
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

void out_abort(struct out *o) {
    if (o->path) {
        fclose(o->f);
        if (o->tmp) unlink(o->tmp);
    }
    out_free(o);
}

int io_write_file(const char *path, const void *p, size_t n, struct err *e) {
    struct out o;
    if (out_open(&o, path, e) < 0) return -1;
    fwrite(p, 1, n, o.f);
    return out_commit(&o, e);
}

/* ---- directories ---- */
bool io_exists(const char *path) { return access(path, F_OK) == 0; }

bool io_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

char *io_join(const char *dir, const char *name) {
    struct buf b = BUF_INIT;
    size_t n = strlen(dir);
    buf_addf(&b, "%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);
    return buf_detach(&b);
}

int io_mkdirs(const char *path, struct err *e) {
    char *p = xstrdup(path);
    int rc = 0;
    for (char *s = p + 1; !rc; s++) {
        char c = *s;
        if (c && c != '/') continue;
        *s = 0;
        if (mkdir(p, 0777) < 0 && (errno != EEXIST || !io_is_dir(p))) rc = err_sys(e, "cannot create directory %s", p);
        *s = c;
        if (!c) break;
    }
    free(p);
    return rc;
}

int io_remove_tree(const char *path, struct err *e) {
    struct stat st;
    if (lstat(path, &st) < 0) return errno == ENOENT ? 0 : err_sys(e, "cannot look at %s", path);
    if (!S_ISDIR(st.st_mode)) return unlink(path) < 0 ? err_sys(e, "cannot remove %s", path) : 0;
    DIR *d = opendir(path);
    if (!d) return err_sys(e, "cannot read directory %s", path);
    int rc = 0;
    for (struct dirent *x; !rc && (x = readdir(d));) {
        if (!strcmp(x->d_name, ".") || !strcmp(x->d_name, "..")) continue;
        char *p = io_join(path, x->d_name);
        rc = io_remove_tree(p, e);
        free(p);
    }
    closedir(d);
    return !rc && rmdir(path) < 0 ? err_sys(e, "cannot remove %s", path) : rc;
}

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

void io_close_stdout(void) {
    errno = 0;
    int bad = ferror(stdout);
    if (fclose(stdout) || bad) {
        if (errno == EPIPE) _exit(128 + SIGPIPE);
        fprintf(stderr, "coador: cannot write standard output: %s\n", strerror(errno ? errno : EIO));
        exit(RC_IO);
    }
}
