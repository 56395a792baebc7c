/* Paths of dependencies and outs: see flow.h. */
#include "common/flow/flow.h"
#include "common/io/buf.h"
#include <stdlib.h>
#include <string.h>

/* Appends the words of path to the clean path in b, taking ".." back where it can. */
static void push(struct buf *b, const char *path) {
    for (const char *s = path; *s;) {
        size_t n = strcspn(s, "/");
        const char *slash = b->n ? strrchr(b->p, '/') : NULL;
        const char *last = !b->n ? NULL : slash ? slash + 1 : b->p;
        if (n == 2 && !memcmp(s, "..", 2) && last && *last && strcmp(last, "..")) {
            b->n = slash ? (size_t)(slash - b->p) + (slash == b->p) : 0;
            b->p[b->n] = 0;
        } else if (n == 2 && !memcmp(s, "..", 2) && b->n == 1 && *b->p == '/') {
            ; /* above the root is the root */
        } else if (n && !(n == 1 && *s == '.')) {
            if (b->n && b->p[b->n - 1] != '/') buf_addc(b, '/');
            buf_add(b, s, n);
        }
        s += n + (s[n] == '/');
    }
}

bool flow_inside(const char *path, const char *tree) {
    size_t n = strlen(tree);
    return !strncmp(path, tree, n) && (!path[n] || path[n] == '/' || (n && tree[n - 1] == '/'));
}

bool flow_outside(const char *path) { return *path == '/' || !strcmp(path, "..") || !strncmp(path, "../", 3); }

char *flow_clean(const char *dir, const char *path, bool out, struct err *e) {
    struct buf b = BUF_INIT, full = BUF_INIT;
    buf_add(&b, "/", *path == '/');
    push(&b, path);
    if (b.n && flow_outside(b.p)) {
        buf_addc(&full, '/');
        if (*path != '/') push(&full, dir);
        push(&full, b.p);
        if (flow_inside(full.p, dir)) {
            size_t n = strlen(dir);
            buf_clear(&b);
            push(&b, full.p + n + (full.p[n] == '/'));
        } else if (out) {
            err_set(e, RC_INPUT, "out %s lies outside the pipeline's folder", path);
            buf_clear(&b);
            goto bad;
        }
    }
    if (b.n) {
        buf_release(&full);
        return buf_detach(&b);
    }
    err_set(e, RC_INPUT, "%s '%s' is the pipeline's folder itself, expected something in it", out ? "out" : "dependency", path);
bad:
    buf_release(&b);
    buf_release(&full);
    return NULL;
}

char *flow_abs(const struct flow *f, const char *path) {
    struct buf b = BUF_INIT;
    buf_addf(&b, "%s/%s", *path == '/' ? "" : f->dir, *path == '/' ? path + 1 : path);
    return buf_detach(&b);
}
