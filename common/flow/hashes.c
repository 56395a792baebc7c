/* Hashes of files and folders with a memory: see hashes.h. */
#include "common/flow/hashes.h"
#include "common/io/buf.h"
#include "common/io/io.h"
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAX_MEMORY (4 << 20) /* bytes; beyond this the memory starts anew */
#define MAX_DEPTH 64         /* of folders: also stops links that lead in circles */
#define SETTLED 2000000000   /* ns: a file changed less than this ago may change again within one tick of its clock */

/* The change time is part of the key, because a tool can set the modification time back, but not this one. */
struct key {
    uint64_t dev, ino;
    int64_t size, mtime, ctime; /* bytes, ns, ns */
};
struct known {
    struct key key;
    char hex[SHA256_HEX];
};
struct hashes {
    char *path;
    struct known *old; /* sorted by key */
    size_t n_old, cap_old;
    struct known *new;
    size_t n_new, cap_new;
};

static int by_key(const void *a, const void *b) { return memcmp(a, b, sizeof(struct key)); }

static bool parse_line(const char *line, struct known *k) {
    int n = 0;
    memset(k, 0, sizeof *k);
    if (sscanf(line, "%" SCNu64 " %" SCNu64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %64[0-9a-f]%n", &k->key.dev, &k->key.ino, &k->key.size,
               &k->key.mtime, &k->key.ctime, k->hex, &n) != 6)
        return false;
    return strlen(k->hex) == 64 && line[n] == 0;
}

struct hashes *hashes_open(const char *path) {
    struct hashes *h = xcalloc(1, sizeof *h);
    struct stat st;
    struct in in;
    struct err e;
    h->path = xstrdup(path);
    if (stat(path, &st) < 0 || in_open(&in, path, &e) < 0) return h;
    if (st.st_size > MAX_MEMORY) unlink(path);
    while (in_line(&in, &e) >= 0) {
        GROW(h->old, h->n_old, h->cap_old);
        if (parse_line(in.text, &h->old[h->n_old])) h->n_old++;
    }
    in_close(&in);
    if (h->n_old) qsort(h->old, h->n_old, sizeof *h->old, by_key);
    return h;
}

void hashes_close(struct hashes *h) {
    if (!h) return;
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < h->n_new; i++) {
        const struct known *k = &h->new[i];
        buf_addf(&b, "%" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64 " %" PRId64 " %s\n", k->key.dev, k->key.ino, k->key.size, k->key.mtime, k->key.ctime, k->hex);
    }
    int fd = b.n ? open(h->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
    if (fd >= 0) {
        if (write(fd, b.p, b.n) < 0) unlink(h->path);
        close(fd);
    }
    buf_release(&b);
    free(h->old);
    free(h->new);
    free(h->path);
    free(h);
}

static int64_t ns(struct timespec t) { return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec; }

static const struct known *recall(const struct hashes *h, const struct key *k) {
    for (size_t i = h->n_new; i-- > 0;)
        if (!by_key(&h->new[i].key, k)) return &h->new[i];
    return h->n_old ? bsearch(k, h->old, h->n_old, sizeof *h->old, by_key) : NULL;
}

static struct key key_of(const struct stat *st) {
    struct key k;
    memset(&k, 0, sizeof k);
    k.dev = st->st_dev;
    k.ino = st->st_ino;
    k.size = st->st_size;
    k.mtime = ns(st->st_mtim);
    k.ctime = ns(st->st_ctim);
    return k;
}

static int hash_file(struct hashes *h, const char *path, const struct stat *st, char hex[SHA256_HEX], struct err *e) {
    struct key k = key_of(st);
    const struct known *old = recall(h, &k);
    struct timespec now;
    if (old) {
        memcpy(hex, old->hex, SHA256_HEX);
        return 0;
    }
    if (sha256_file(path, hex, e) < 0) return -1;
    clock_gettime(CLOCK_REALTIME, &now);
    if (ns(now) - k.mtime < SETTLED || ns(now) - k.ctime < SETTLED) return 0;
    GROW(h->new, h->n_new, h->cap_new);
    h->new[h->n_new].key = k;
    memcpy(h->new[h->n_new++].hex, hex, SHA256_HEX);
    return 0;
}

static int hash_any(struct hashes *h, const char *path, int depth, char hex[SHA256_HEX], int64_t *bytes, struct err *e);

static int visible(const struct dirent *d) { return strcmp(d->d_name, ".") && strcmp(d->d_name, ".."); }

static int by_bytes(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static int hash_folder(struct hashes *h, const char *path, int depth, char hex[SHA256_HEX], int64_t *bytes, struct err *e) {
    struct dirent **names;
    struct buf b = BUF_INIT;
    if (depth > MAX_DEPTH) return err_set(e, RC_INPUT, "%s: folders nested deeper than %d, or links in a circle", path, MAX_DEPTH);
    int n = scandir(path, &names, visible, by_bytes), rc = 0;
    if (n < 0) return err_sys(e, "cannot read folder %s", path);
    buf_adds(&b, "folder\n");
    for (int i = 0; i < n; i++) {
        char *sub = io_join(path, names[i]->d_name), one[SHA256_HEX];
        if (!rc && (rc = hash_any(h, sub, depth + 1, one, bytes, e)) == 0) {
            buf_add(&b, names[i]->d_name, strlen(names[i]->d_name) + 1);
            buf_addf(&b, "%s\n", one);
        }
        free(sub);
        free(names[i]);
    }
    free(names);
    if (!rc) sha256_hex(b.p, b.n, hex);
    buf_release(&b);
    return rc;
}

static int hash_any(struct hashes *h, const char *path, int depth, char hex[SHA256_HEX], int64_t *bytes, struct err *e) {
    struct stat st;
    if (stat(path, &st) < 0) return err_sys(e, "cannot read %s", path);
    if (S_ISDIR(st.st_mode)) return hash_folder(h, path, depth, hex, bytes, e);
    if (!S_ISREG(st.st_mode)) return err_set(e, RC_IO, "%s is neither a file nor a folder", path);
    *bytes += st.st_size;
    return hash_file(h, path, &st, hex, e);
}

int hashes_path(struct hashes *h, const char *path, char hex[SHA256_HEX], int64_t *bytes, struct err *e) {
    int64_t ignored;
    if (!bytes) bytes = &ignored;
    *bytes = 0;
    return hash_any(h, path, 0, hex, bytes, e);
}
