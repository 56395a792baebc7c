/* Soft labels from a stream: see soft.h. The numbers are laid down in a nameless file and mapped, so that training visits them in
   any order and memory holds no more of them than there is room for. */
#include "common/train/soft.h"
#include "common/io/io.h"
#include "common/io/tsource.h"
#include "common/train/rows.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum part { OFFSET, TOKEN, ID, LOGP, TAIL, N_PARTS };
static const struct {
    const char *name;
    enum dtype type;
    int dims;
} parts[N_PARTS] = {{"row_offset", DT_I64, 1}, {"token_id", DT_I32, 1}, {"topk_id", DT_I32, 2}, {"topk_logp", DT_F32, 2}, {"tail_logp", DT_F32, 1}};

struct source {
    struct tsource *src;
    const char *name; /* of the stream */
    int at[N_PARTS];  /* where each part stands there */
    int fd;
    struct sha256 *hash;
};

/* ---- the header ---- */
static int find_parts(struct source *s, struct err *e) {
    for (int p = 0; p < N_PARTS; p++) {
        s->at[p] = tsource_find(s->src, parts[p].name);
        if (s->at[p] < 0) return err_set(e, RC_INPUT, "%s: no tensor %s, expected soft labels (generate --score --top-k makes them)", s->name, parts[p].name);
        const struct tensor *t = tsource_at(s->src, s->at[p]);
        if (t->type != parts[p].type || t->dims != parts[p].dims)
            return err_set(e, RC_INPUT, "%s: %s is %s of %d sizes, expected %s of %d", s->name, t->name, dtype_name(t->type), t->dims, dtype_name(parts[p].type), parts[p].dims);
    }
    if (tsource_count(s->src) != N_PARTS) return err_set(e, RC_INPUT, "%s: %d tensors, expected the %d of soft labels", s->name, tsource_count(s->src), N_PARTS);
    return 0;
}

static int64_t size_of(const struct source *s, enum part p, int dim) { return tsource_at(s->src, s->at[p])->shape[dim]; }

static int read_shape(struct soft_file *f, const struct source *s, int V, struct err *e) {
    int64_t K = size_of(s, ID, 1);
    f->records = size_of(s, OFFSET, 0) - 1;
    f->tokens = size_of(s, TOKEN, 0);
    if (f->records < 0 || size_of(s, ID, 0) != f->tokens || size_of(s, LOGP, 0) != f->tokens || size_of(s, LOGP, 1) != K || size_of(s, TAIL, 0) != f->tokens)
        return err_set(e, RC_INPUT, "%s: the tensors' sizes contradict each other", s->name);
    if (K < 1 || K > TOPK_MAX || K >= V)
        return err_set(e, RC_INPUT, "%s: %lld tokens in each place, expected 1 to %d", s->name, (long long)K, V - 1 < TOPK_MAX ? V - 1 : TOPK_MAX);
    if (f->records > INT64_MAX / 64 || f->tokens > INT64_MAX / 16 / K) return err_set(e, RC_INPUT, "%s: sizes beyond all memory", s->name);
    f->K = (int)K;
    return 0;
}

static const char *meta(const struct source *s, const char *key) {
    const struct safetensors *h = tsource_header(s->src);
    const char *v = h ? safetensors_meta(h, key) : NULL;
    return v ? v : "";
}

static int check_meta(struct soft_file *f, const struct source *s, const struct rows *rows, const char *name, const struct tokenizer *tok, struct err *e) {
    const char *text = meta(s, "temperature");
    char *end;
    double T = strtod(text, &end);
    if (!*text || *end || !(T >= 1e-3 && T <= 1e3)) return err_set(e, RC_INPUT, "%s: temperature is \"%.40s\", expected a number from 0.001 to 1000", s->name, text);
    f->T = (float)T;
    sha256_add(s->hash, text, strlen(text));
    if (strcmp(meta(s, "tokenizer_sha256"), tokenizer_hash(tok)))
        return err_set(e, RC_INPUT, "%s: the teacher has another tokenizer (%.12s, the student's is %.12s)", s->name, meta(s, "tokenizer_sha256"), tokenizer_hash(tok));
    if (f->records != rows->records)
        return err_set(e, RC_INPUT, "%s: made of %lld records, but %s has %lld: expected the same records", s->name, (long long)f->records, name, (long long)rows->records);
    if (strcmp(meta(s, "record_ids_sha256"), rows->ids_hash))
        return err_set(e, RC_INPUT, "%s: made of records with other ids than those of %s, or in another order", s->name, name);
    return 0;
}

/* ---- the numbers ---- */
static int write_all(int fd, const char *p, size_t n, struct err *e) {
    while (n) {
        ssize_t k = write(fd, p, n);
        if (k <= 0) return err_sys(e, "cannot keep the soft labels in TMPDIR");
        p += k;
        n -= (size_t)k;
    }
    return 0;
}

/* Lays down the parts as they come, at[p] where each stands then. Bytes are a multiple of 4, row_offset's of 8. */
static int lay_down(const struct source *s, size_t at[N_PARTS], size_t *bytes, struct err *e) {
    enum { BLOCK = 1 << 20 };
    char *block = xmalloc(BLOCK);
    int rc = 0;
    *bytes = 0;
    for (int i = 0; i < N_PARTS && !rc; i++) {
        int p = 0;
        while (s->at[p] != i) p++;
        size_t n = tsource_at(s->src, i)->bytes, fill = *bytes % 8;
        if (fill) rc = write_all(s->fd, "\0\0\0\0\0\0\0\0", 8 - fill, e), *bytes += 8 - fill;
        at[p] = *bytes;
        for (size_t done = 0; done < n && !rc;) {
            size_t k = n - done < BLOCK ? n - done : BLOCK;
            rc = tsource_read(s->src, i, done, block, k, e);
            if (!rc) rc = write_all(s->fd, block, k, e);
            sha256_add(s->hash, block, k);
            done += k;
        }
        *bytes += n;
    }
    free(block);
    return rc;
}

static int map_parts(struct soft_file *f, const struct source *s, struct err *e) {
    size_t at[N_PARTS];
    if (lay_down(s, at, &f->bytes, e) < 0) return -1;
    void *p = mmap(NULL, f->bytes, PROT_READ, MAP_SHARED, s->fd, 0);
    if (p == MAP_FAILED) return err_sys(e, "cannot map %zu bytes of soft labels", f->bytes);
    const char *base = f->map = p;
    f->offset = (const int64_t *)(const void *)(base + at[OFFSET]);
    f->token = (const int32_t *)(const void *)(base + at[TOKEN]);
    f->id = (const int32_t *)(const void *)(base + at[ID]);
    f->logp = (const float *)(const void *)(base + at[LOGP]);
    f->tail = (const float *)(const void *)(base + at[TAIL]);
    return 0;
}

/* ---- what they must be ---- */
static int check_offsets(const struct soft_file *f, const struct source *s, struct err *e) {
    bool good = f->offset[0] == 0 && f->offset[f->records] == f->tokens;
    for (int64_t i = 0; i < f->records && good; i++) good = f->offset[i] <= f->offset[i + 1];
    return good ? 0 : err_set(e, RC_INPUT, "%s: row_offset does not ascend from 0 to the number of tokens", s->name);
}

/* One place: ids ascend below V, and the probabilities are some that sum to 1. */
static bool good_place(const struct soft_file *f, int64_t t, int V) {
    const int32_t *id = f->id + t * f->K;
    const float *logp = f->logp + t * f->K;
    double sum = exp(f->tail[t]);
    for (int j = 0; j < f->K; j++) {
        if (id[j] < 0 || id[j] >= V || (j && id[j] <= id[j - 1]) || !isfinite(logp[j])) return false;
        sum += exp(logp[j]);
    }
    return fabs(sum - 1) <= 1e-3;
}

static int check_places(const struct soft_file *f, const struct source *s, int V, struct err *e) {
    for (int64_t t = 0; t < f->tokens; t++)
        if (!good_place(f, t, V)) return err_set(e, RC_INPUT, "%s: place %lld has no ascending ids below %d with probabilities that sum to 1", s->name, (long long)t, V);
    return 0;
}

/* The tokens that row i trains are those that the teacher was shown. */
static int check_row(const struct soft_file *f, const struct rows *r, int64_t i, struct err *e) {
    int64_t at = f->offset[r->record[i]], n = f->offset[r->record[i] + 1] - at, seen = 0;
    const int32_t *labels = r->labels + r->start[i];
    if (n != r->trained[i])
        return err_set(e, RC_INPUT, "%d trained tokens, but the teacher scored %lld: expected the same text%s", r->trained[i], (long long)n, n ? "" : " (its record had an error)");
    for (int t = 0; t < r->length[i]; t++) {
        if (labels[t] == LABEL_NONE) continue;
        if (labels[t] != f->token[at + seen])
            return err_set(e, RC_INPUT, "trained token %lld is %d, but the teacher scored %d there", (long long)seen + 1, labels[t], f->token[at + seen]);
        seen++;
    }
    return 0;
}

static int check_rows(const struct soft_file *f, const struct source *s, const struct rows *rows, const char *name, struct err *e) {
    for (int64_t i = 0; i < rows->n; i++)
        if (check_row(f, rows, i, e) < 0) return err_prefix(e, "%s:%lld: %s: ", name, (long long)rows->line[i], s->name);
    return 0;
}

static int read_source(struct soft_file *f, struct source *s, const struct rows *rows, const char *name, const struct tokenizer *tok, int V, struct err *e) {
    if (find_parts(s, e) < 0 || read_shape(f, s, V, e) < 0 || check_meta(f, s, rows, name, tok, e) < 0) return -1;
    if ((s->fd = io_scratch(e)) < 0) return -1;
    int rc = map_parts(f, s, e);
    close(s->fd);
    if (rc < 0 || check_offsets(f, s, e) < 0 || check_places(f, s, V, e) < 0) return -1;
    return check_rows(f, s, rows, name, e);
}

int soft_read(struct soft_file *f, const char *path, const struct rows *rows, const char *name, const struct tokenizer *tok, int V, struct err *e) {
    struct source s = {.src = tsource_open(path, e), .name = strcmp(path, "-") ? path : "stdin", .hash = sha256_new()};
    *f = (struct soft_file){0};
    int rc = s.src ? read_source(f, &s, rows, name, tok, V, e) : -1;
    sha256_end(s.hash, f->hash);
    tsource_close(s.src);
    if (rc < 0) soft_release(f);
    return rc;
}

void soft_release(struct soft_file *f) {
    if (f->map) munmap(f->map, f->bytes);
    *f = (struct soft_file){0};
}
