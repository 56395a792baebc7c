/* Two sources of tensors compared: see tcompare.h. */
#include "common/io/tcompare.h"
#include <math.h>
#include <string.h>

enum { AT_ONCE = 1 << 17 }; /* values; a multiple of every type's block, and of at most 8 bytes each */

static void diff_values(struct tensor_diff *d, const float *a, const float *b, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double x = a[i], y = b[i], by = x == y ? 0 : fabs(x - y);
        d->nan |= isnan(by);
        if (by > d->max_abs) d->max_abs = by;
        d->dot += x * y;
        d->aa += x * x;
        d->bb += y * y;
    }
}

static void diff_add(struct tensor_diff *sum, const struct tensor_diff *d) {
    sum->nan |= d->nan;
    if (d->max_abs > sum->max_abs) sum->max_abs = d->max_abs;
    sum->dot += d->dot;
    sum->aa += d->aa;
    sum->bb += d->bb;
}

double tensor_diff_max(const struct tensor_diff *d) { return d->nan ? NAN : d->max_abs; }

double tensor_diff_cosine(const struct tensor_diff *d) { return d->aa == 0 && d->bb == 0 ? 1 : d->dot / (sqrt(d->aa) * sqrt(d->bb)); }

/* n values of tensor i from value `at` on as f32. */
static int read_f32(struct tsource *s, int i, int64_t at, int64_t n, float *dst, struct err *e) {
    static char piece[8 * AT_ONCE];
    enum dtype t = tsource_at(s, i)->type;
    if (tsource_read(s, i, dtype_bytes(t, at), piece, dtype_bytes(t, n), e) < 0) return -1;
    dtype_to_f32(dst, t, piece, n);
    return 0;
}

static int diff_tensors(struct tensor_diff *d, struct tsource *a, int i, struct tsource *b, int k, struct err *e) {
    static float x[AT_ONCE], y[AT_ONCE];
    int64_t count = tensor_values(tsource_at(a, i));
    for (int64_t at = 0; at < count; at += AT_ONCE) {
        int64_t n = count - at < AT_ONCE ? count - at : AT_ONCE;
        if (read_f32(a, i, at, n, x, e) < 0 || read_f32(b, k, at, n, y, e) < 0) return -1;
        diff_values(d, x, y, n);
    }
    return 0;
}

static bool same_shape(const struct tensor *a, const struct tensor *b) {
    return a->dims == b->dims && !memcmp(a->shape, b->shape, sizeof *a->shape * (size_t)a->dims);
}

/* Tensors of b that a lacks; how many. */
static int missing(const struct tsource *a, const struct tsource *b, const char *problem, tcompare_fn *told, void *arg) {
    int n = 0;
    for (int k = 0; k < tsource_count(b); k++)
        if (tsource_kind(b, k) == TSTREAM_TENSOR && tsource_find(a, tsource_at(b, k)->name) < 0) {
            told(arg, tsource_at(b, k)->name, NULL, problem);
            n++;
        }
    return n;
}

int tcompare(struct tsource *a, struct tsource *b, tcompare_fn *told, void *arg, struct tensor_diff *all, int *problems, struct err *e) {
    bool pipe = tsource_is_pipe(b);
    struct tsource *lead = pipe ? b : a, *other = pipe ? a : b;
    *all = (struct tensor_diff){0};
    *problems = 0;
    for (int i = 0; i < tsource_count(lead); i++) {
        const struct tensor *t = tsource_at(lead, i);
        int k = tsource_find(other, t->name);
        struct tensor_diff d = {0};
        if (tsource_kind(lead, i) != TSTREAM_TENSOR || k < 0) continue;
        if (!same_shape(t, tsource_at(other, k))) {
            told(arg, t->name, NULL, "the shapes differ");
            ++*problems;
            continue;
        }
        if (diff_tensors(&d, lead, i, other, k, e) < 0) return -1;
        diff_add(all, &d);
        told(arg, t->name, &d, NULL);
    }
    if (tsource_drain(lead, e) < 0) return -1;
    *problems += missing(a, b, "missing in A", told, arg) + missing(b, a, "missing in B", told, arg);
    return 0;
}
