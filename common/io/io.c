/* Files in, and folders: see io.h. */
#include "common/io/io_impl.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- input ---- */
static int take_stdin(struct err *e) {
    static bool taken;
    if (taken) return err_set(e, RC_USAGE, "standard input (-) is named twice: at most one input may be -");
    taken = true;
    return 0;
}

static char stdin_buffer[STREAM_BUFFER];

int in_open(struct in *i, const char *path, struct err *e) {
    *i = (struct in){.name = io_is_std(path) ? "stdin" : path};
    if (io_is_std(path)) {
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
    i->buffer = io_widen(i->f);
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
    if (io_is_std(path) || map_open(&m, path, &e) < 0) return 0;
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
