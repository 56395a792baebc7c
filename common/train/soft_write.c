/* Soft labels into a stream: see soft.h. Ids go out as they come; logarithms lie behind all ids, so they wait in scratch files. */
#include "common/train/soft.h"
#include "common/io/io.h"
#include "common/io/tstream.h"
#include <stdlib.h>

void soft_add_id(struct sha256 *h, const struct record *r) {
    const struct json *id = record_get(r, "id");
    sha256_add(h, id ? id->raw : "null", id ? id->raw_len : 4);
    sha256_add(h, "\n", 1);
}

struct soft_writer {
    struct tstream_writer *out;
    FILE *logp, *tail;
    int K;
};

void soft_abort(struct soft_writer *w) {
    if (!w) return;
    if (w->out) tstream_abort(w->out);
    if (w->logp) fclose(w->logp);
    if (w->tail) fclose(w->tail);
    free(w);
}

static int begin(struct soft_writer *w, FILE *f, const struct soft_spec *s, struct err *e) {
    int64_t N = s->records, T = s->offset[N];
    char *temperature;
    struct buf number = BUF_INIT;
    const struct tensor t[] = {
        {"row_offset", DT_I64, 1, {N + 1}, NULL, (size_t)(N + 1) * 8},
        {"token_id", DT_I32, 1, {T}, NULL, (size_t)T * 4},
        {"topk_id", DT_I32, 2, {T, s->K}, NULL, (size_t)T * (size_t)s->K * 4},
        {"topk_logp", DT_F32, 2, {T, s->K}, NULL, (size_t)T * (size_t)s->K * 4},
        {"tail_logp", DT_F32, 1, {T}, NULL, (size_t)T * 4}};
    json_put_number(&number, s->T);
    temperature = buf_detach(&number);
    const char *const meta[] = {"temperature", temperature, "tokenizer_sha256", s->tokenizer, "record_ids_sha256", s->record_ids, NULL};
    w->out = tstream_create(f, &(struct tstream_spec){.t = t, .n = 5, .meta = meta, .level = TSTREAM_LEVEL}, e);
    free(temperature);
    if (!w->out || tstream_push(w->out, s->offset, t[0].bytes, e) < 0) return -1;
    return tstream_push(w->out, s->token, t[1].bytes, e);
}

static FILE *scratch(struct err *e) {
    int fd = io_scratch(e);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w+");
    if (fd >= 0 && !f) err_sys(e, "cannot open a scratch file");
    return f;
}

struct soft_writer *soft_create(FILE *f, const struct soft_spec *s, struct err *e) {
    struct soft_writer *w = xcalloc(1, sizeof *w);
    w->K = s->K;
    if ((w->logp = scratch(e)) && (w->tail = scratch(e)) && begin(w, f, s, e) == 0) return w;
    soft_abort(w);
    return NULL;
}

static int keep(FILE *f, const float *p, size_t n, struct err *e) {
    return fwrite(p, sizeof *p, n, f) != n ? err_sys(e, "cannot write a scratch file of %zu values more", n) : 0;
}

int soft_put(struct soft_writer *w, int64_t n, const int32_t *id, const float *logp, const float *tail, struct err *e) {
    size_t values = (size_t)n * (size_t)w->K;
    if (keep(w->logp, logp, values, e) < 0 || keep(w->tail, tail, (size_t)n, e) < 0) return -1;
    return tstream_push(w->out, id, values * sizeof *id, e);
}

static int copy(struct soft_writer *w, FILE *f, struct err *e) {
    char *block = xmalloc(1 << 16);
    int rc = fflush(f) || fseek(f, 0, SEEK_SET) ? err_sys(e, "cannot read a scratch file") : 0;
    for (size_t n; !rc && (n = fread(block, 1, 1 << 16, f));) rc = tstream_push(w->out, block, n, e);
    if (!rc && ferror(f)) rc = err_sys(e, "cannot read a scratch file");
    free(block);
    return rc;
}

int soft_finish(struct soft_writer *w, struct err *e) {
    int rc = copy(w, w->logp, e);
    if (!rc) rc = copy(w, w->tail, e);
    if (!rc) {
        rc = tstream_finish(w->out, e);
        w->out = NULL;
    }
    soft_abort(w);
    return rc;
}
