/* The metrics file: see metrics.h. */
#include "common/train/metrics.h"
#include "common/io/buf.h"
#include "common/io/io.h"
#include "common/io/json.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static size_t status_bytes(const char *field) {
    char line[256];
    unsigned long long kib = 0;
    size_t n = strlen(field);
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, field, n) && sscanf(line + n, " %llu", &kib) == 1) break;
    if (f) fclose(f);
    return (size_t)kib * 1024;
}

size_t memory_resident(void) { return status_bytes("VmRSS:"); }
size_t memory_peak(void) { return status_bytes("VmHWM:"); }

/* Copies the whole lines of steps up to `done` into b. */
static int keep_lines(const char *path, int64_t done, struct buf *b, struct err *e) {
    struct in in;
    struct json_doc *doc = json_doc_new();
    struct err ignored;
    int64_t n, step;
    if (in_open(&in, path, e) < 0) return json_doc_free(doc), -1;
    while ((n = in_line(&in, e)) >= 0) {
        if (json_reparse(doc, in.text, (size_t)n, &ignored) < 0) break; /* cut off by the kill */
        const struct json *v = json_get(json_root(doc), "step");
        if (!v || !json_int(v, &step) || step > done) break;
        buf_add(b, in.text, (size_t)n);
        buf_addc(b, '\n');
    }
    in_close(&in);
    json_doc_free(doc);
    return n == -2 ? -1 : 0;
}

int metrics_open(struct metrics *m, const char *dir, int64_t done, struct err *e) {
    struct buf b = BUF_INIT;
    *m = (struct metrics){.path = io_join(dir, "metrics.jsonl")};
    int rc = done && io_exists(m->path) ? keep_lines(m->path, done, &b, e) : 0;
    if (!rc) rc = io_write_file(m->path, b.p ? b.p : "", b.n, e);
    buf_release(&b);
    if (!rc && !(m->f = fopen(m->path, "ab"))) rc = err_sys(e, "cannot open %s", m->path);
    if (rc) metrics_close(m, NULL);
    return rc;
}

int metrics_close(struct metrics *m, struct err *e) {
    int rc = m->f && fclose(m->f) ? err_sys(e, "cannot write %s", m->path) : 0;
    free(m->path);
    *m = (struct metrics){0};
    return rc;
}

static int put_line(struct metrics *m, struct buf *b, struct err *e) {
    errno = 0;
    bool bad = fwrite(b->p, 1, b->n, m->f) != b->n || fflush(m->f);
    buf_release(b);
    return bad ? err_sys(e, "cannot write %s", m->path) : 0;
}

static void put_real(struct buf *b, const char *name, double x) {
    buf_addf(b, ",\"%s\":", name);
    json_put_number(b, x);
}

int metrics_step(struct metrics *m, const struct metrics_step *s, struct err *e) {
    struct buf b = BUF_INIT;
    buf_addf(&b, "{\"step\":%lld", (long long)s->step);
    put_real(&b, "epoch", s->epoch);
    put_real(&b, "loss", s->loss);
    put_real(&b, "grad_norm", s->grad_norm);
    put_real(&b, "lr", s->lr);
    if (s->loss_scale > 0) {
        put_real(&b, "loss_scale", s->loss_scale);
        buf_addf(&b, ",\"skipped_steps\":%lld", (long long)s->skipped);
    }
    buf_addf(&b, ",\"tokens\":%lld,\"tok_s\":%.1f,\"rss\":%zu}\n", (long long)s->tokens, s->tok_s, memory_resident());
    return put_line(m, &b, e);
}

int metrics_eval(struct metrics *m, int64_t step, double epoch, double eval_loss, int64_t trained, double seconds, struct err *e) {
    struct buf b = BUF_INIT;
    buf_addf(&b, "{\"step\":%lld", (long long)step);
    put_real(&b, "epoch", epoch);
    put_real(&b, "eval_loss", eval_loss);
    buf_addf(&b, ",\"eval_tokens\":%lld,\"eval_seconds\":%.3f}\n", (long long)trained, seconds);
    return put_line(m, &b, e);
}
