/* The append-only cache of answers: see cache.h. */
#include "common/label/cache.h"
#include "common/io/io.h"
#include "common/io/json.h"
#include "common/io/strmap.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define HEAD "{\"key\":\""
#define MIDDLE "\",\"answer\":"
#define KEY 64
#define RAW_AT (sizeof HEAD - 1 + KEY + sizeof MIDDLE - 1) /* where the answer stands in its line */

struct entry {
    char *key;
    int64_t at;  /* of the answer's JSON in the file */
    size_t n;    /* its bytes */
};

struct cache {
    int fd;
    char *name;
    bool nameless;
    struct entry *v;
    size_t n, cap;
    struct strmap index; /* key -> entry */
    int64_t end;         /* bytes of the file once all is written */
    void (*wake)(void *);
    void *arg;
    /* shared with the thread */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    struct buf waiting;   /* lines to write */
    uint64_t added, saved;
    int error;            /* errno of a failed write */
    bool closing;
};

/* ---- reading ---- */
static void index_line(struct cache *c, const char *line, int64_t at, size_t n) {
    if (strmap_get(&c->index, line + sizeof HEAD - 1, KEY) >= 0) return;
    GROW(c->v, c->n, c->cap);
    c->v[c->n] = (struct entry){xmemdup0(line + sizeof HEAD - 1, KEY), at + (int64_t)RAW_AT, n - RAW_AT - 1};
    strmap_put(&c->index, c->v[c->n].key, KEY, (int)c->n);
    c->n++;
}

static bool well_formed(struct json_doc *d, const char *line, size_t n, struct err *e) {
    if (json_reparse(d, line, n, e) < 0) return false;
    if (n > RAW_AT + 1 && !memcmp(line, HEAD, sizeof HEAD - 1) && !memcmp(line + sizeof HEAD - 1 + KEY, MIDDLE, sizeof MIDDLE - 1) &&
        json_root(d)->count == 2 && json_get(json_root(d), "answer")->type == JSON_OBJECT)
        return true;
    err_set(e, RC_INPUT, "not an answer as distill-label saves them");
    return false;
}

/* Indexes every whole line; what stands behind the last newline was cut while it was written. */
static int load(struct cache *c, struct err *e) {
    struct map m;
    if (map_open(&m, c->name, e) < 0) return -1;
    struct json_doc *d = json_doc_new();
    const char *p = (const char *)m.p;
    size_t at = 0;
    int64_t line = 1;
    int rc = 0;
    for (const char *nl; !rc && at < m.n && (nl = memchr(p + at, '\n', m.n - at)); line++) {
        size_t n = (size_t)(nl - p) - at;
        if (well_formed(d, p + at, n, e))
            index_line(c, p + at, (int64_t)at, n);
        else
            rc = err_prefix(e, "%s:%lld: ", c->name, (long long)line), e->code = RC_INPUT;
        at += n + 1;
    }
    c->end = (int64_t)at;
    if (!rc && at < m.n && ftruncate(c->fd, (off_t)at) < 0) rc = err_sys(e, "cannot cut the last line of %s", c->name);
    json_doc_free(d);
    map_close(&m);
    return rc;
}

/* ---- the thread ---- */
static int write_all(int fd, const char *p, size_t n) {
    while (n) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return errno;
        p += k;
        n -= (size_t)k;
    }
    return 0;
}

static void *save_all(void *arg) {
    struct cache *c = arg;
    struct buf lines = BUF_INIT;
    pthread_mutex_lock(&c->lock);
    for (;;) {
        while (!c->waiting.n && !c->closing) pthread_cond_wait(&c->work, &c->lock);
        if (!c->waiting.n || c->error) break;
        struct buf empty = lines;
        lines = c->waiting;
        c->waiting = empty;
        uint64_t upto = c->added;
        pthread_mutex_unlock(&c->lock);
        int bad = write_all(c->fd, lines.p, lines.n);
        if (!bad && !c->nameless && fdatasync(c->fd) < 0) bad = errno;
        buf_clear(&lines);
        pthread_mutex_lock(&c->lock);
        if (bad)
            c->error = bad;
        else
            c->saved = upto;
        pthread_cond_broadcast(&c->done);
        if (c->wake) c->wake(c->arg);
    }
    pthread_mutex_unlock(&c->lock);
    buf_release(&lines);
    return NULL;
}

/* ---- the calls ---- */
static int open_file(struct cache *c, const char *path, struct err *e) {
    if (!path) return (c->fd = io_scratch(e)) < 0 ? -1 : 0;
    c->fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (c->fd < 0) return err_sys(e, "cannot open %s", path);
    if (flock(c->fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? err_set(e, RC_IO, "%s is in use by another run", path) : err_sys(e, "cannot lock %s", path);
    return load(c, e);
}

static void destroy(struct cache *c) {
    if (c->fd >= 0) close(c->fd);
    for (size_t i = 0; i < c->n; i++) free(c->v[i].key);
    free(c->v);
    strmap_release(&c->index);
    buf_release(&c->waiting);
    free(c->name);
    free(c);
}

struct cache *cache_open(const char *path, void (*wake)(void *), void *arg, struct err *e) {
    struct cache *c = xcalloc(1, sizeof *c);
    c->fd = -1;
    c->name = xstrdup(path ? path : "the temporary cache");
    c->nameless = !path;
    c->wake = wake;
    c->arg = arg;
    if (open_file(c, path, e) < 0) {
        destroy(c);
        return NULL;
    }
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->work, NULL);
    pthread_cond_init(&c->done, NULL);
    if (pthread_create(&c->thread, NULL, save_all, c)) {
        destroy(c);
        return err_set(e, RC_IO, "cannot start a thread"), NULL;
    }
    return c;
}

/* Waits until all that was added is in the file: an answer may be asked for right after it came. */
static int settle(struct cache *c, struct err *e) {
    pthread_mutex_lock(&c->lock);
    while (c->saved < c->added && !c->error) pthread_cond_wait(&c->done, &c->lock);
    int bad = c->error;
    pthread_mutex_unlock(&c->lock);
    errno = bad;
    return bad ? err_sys(e, "cannot write %s", c->name) : 0;
}

int cache_find(struct cache *c, const char key[SHA256_HEX], struct buf *out, struct err *e) {
    int i = strmap_get(&c->index, key, KEY);
    if (i < 0) return 0;
    const struct entry *x = &c->v[i];
    char *p = xmalloc(x->n + 1);
    ssize_t got = pread(c->fd, p, x->n, x->at);
    if (got != (ssize_t)x->n && settle(c, e) == 0) got = pread(c->fd, p, x->n, x->at);
    if (got == (ssize_t)x->n) buf_add(out, p, x->n);
    free(p);
    return got == (ssize_t)x->n ? 1 : err_sys(e, "cannot read %s", c->name);
}

uint64_t cache_add(struct cache *c, const char key[SHA256_HEX], const char *raw, size_t n) {
    struct buf line = BUF_INIT;
    buf_addf(&line, HEAD "%.64s" MIDDLE, key);
    buf_add(&line, raw, n);
    buf_addc(&line, '}');
    index_line(c, line.p, c->end, line.n);
    buf_addc(&line, '\n');
    c->end += (int64_t)line.n;
    pthread_mutex_lock(&c->lock);
    buf_add(&c->waiting, line.p, line.n);
    uint64_t number = ++c->added;
    pthread_cond_signal(&c->work);
    pthread_mutex_unlock(&c->lock);
    buf_release(&line);
    return number;
}

int cache_saved(struct cache *c, uint64_t *saved, struct err *e) {
    pthread_mutex_lock(&c->lock);
    *saved = c->saved;
    int bad = c->error;
    pthread_mutex_unlock(&c->lock);
    errno = bad;
    return bad ? err_sys(e, "cannot write %s", c->name) : 0;
}

int64_t cache_count(const struct cache *c) { return (int64_t)c->n; }

int cache_close(struct cache *c, struct err *e) {
    if (!c) return 0;
    pthread_mutex_lock(&c->lock);
    c->closing = true;
    pthread_cond_signal(&c->work);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    errno = c->error;
    int rc = c->error ? err_sys(e, "cannot write %s", c->name) : 0;
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->work);
    pthread_cond_destroy(&c->done);
    destroy(c);
    return rc;
}
