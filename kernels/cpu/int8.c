/* The integer product: the reference, the plain path, and how work is shared out. See int8.h. */
#include "kernels/cpu/int8.h"
#include <math.h>
#include <string.h>

const int8_t int8_nf4[16] = {-112, -78, -59, -44, -32, -21, -10, 0, 9, 18, 28, 38, 49, 63, 81, 112};
const int8_t int8_fp4[16] = {0, 1, 80, 120, 40, 60, 20, 30, 0, -1, -80, -120, -40, -60, -20, -30};

static bool four_bits(enum dtype t) { return t == DT_NF4 || t == DT_FP4; }

bool int8_covers(const struct weight *w) {
    if (w->cols % INT8_BLOCK) return false;
    return four_bits(w->type) ? w->block % INT8_BLOCK == 0 : w->type == DT_I8 || w->type == DT_TERNARY || dtype_block(w->type) >= INT8_BLOCK;
}

/* ---- x ---- */
static int place(int i, bool pairs) { return pairs ? i % 2 * 16 + i / 8 * 4 + i % 8 / 2 : i; }

void int8_quantise_plain(const struct int8_rows *to, const float *x, int64_t K, int r, bool pairs) {
    for (int64_t b = 0; b < K / INT8_BLOCK; b++, x += INT8_BLOCK) {
        int8_t *q = to->q + (b * to->R + r) * INT8_BLOCK;
        struct int8_meta *m = to->meta + b * to->R + r;
        float most = 0, odd = 0;
        for (int i = 0; i < INT8_BLOCK; i++) most = fmaxf(most, fabsf(x[i])), odd += x[i] - x[i]; /* NaN for infinity too */
        bool live = most >= 1e-30f && odd == 0;
        *m = (struct int8_meta){.d = odd + (live ? most * (1 / 127.0f) : 0)};
        for (int i = 0; i < INT8_BLOCK; i++) {
            int c = live ? (int)nearbyintf(x[i] * (127 / most)) : 0;
            q[place(i, pairs)] = (int8_t)c;
            m->sum += c;
            if (i < 16) m->low += c;
        }
        m->ds = m->d * (float)m->sum;
    }
}

/* ---- a block of the weight, value by value ---- */
struct codes { /* value i = d[i / 16]·c[i] + m */
    int c[INT8_BLOCK];
    float d[2], m;
};

static float half(const uint8_t *p) { return f16_to_f32((uint16_t)(p[0] | p[1] << 8)); }

static void codes_k(struct codes *o, const struct weight *w, const uint8_t *row, int64_t b) {
    int j = (int)(b % 8);
    if (w->type == DT_Q4_K) {
        const uint8_t *p = row + b / 8 * 144, *s = p + 4, *q = p + 16 + 32 * (j / 2);
        int sc = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6) << 4, mn = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | (s[j] >> 6) << 4;
        o->d[0] = o->d[1] = half(p) * (float)sc;
        o->m = -(half(p + 2) * (float)mn);
        for (int i = 0; i < 32; i++) o->c[i] = j & 1 ? q[i] >> 4 : q[i] & 15;
        return;
    }
    const uint8_t *p = row + b / 8 * 210, *low = p + 64 * (j / 4) + 32 * (j & 1), *high = p + 128 + 32 * (j / 4);
    for (int h = 0; h < 2; h++) o->d[h] = half(p + 208) * (float)(int8_t)p[192 + 2 * j + h];
    for (int i = 0; i < 32; i++) o->c[i] = ((j & 2 ? low[i] >> 4 : low[i] & 15) | (high[i] >> 2 * (j % 4) & 3) << 4) - 32;
}

static void codes_gguf(struct codes *o, const struct weight *w, const uint8_t *p) {
    o->d[0] = o->d[1] = half(p);
    if (w->type == DT_Q4_1) o->m = half(p + 2);
    for (int i = 0; i < 32; i++) {
        if (w->type == DT_Q8_0) {
            o->c[i] = (int8_t)p[2 + i];
        } else {
            uint8_t q = p[(w->type == DT_Q4_1 ? 4 : 2) + i % 16];
            o->c[i] = (i < 16 ? q & 15 : q >> 4) - (w->type == DT_Q4_0 ? 8 : 0);
        }
    }
}

/* Types whose scales lie elsewhere */
static void codes_beside(struct codes *o, const struct weight *w, int64_t n, int64_t b) {
    const uint8_t *p = w->data;
    int64_t at = n * w->cols + b * INT8_BLOCK, quarter = w->rows / 4;
    for (int i = 0; i < 32; i++) {
        int c = four_bits(w->type) ? (i & 1 ? p[(at + i) / 2] & 15 : p[(at + i) / 2] >> 4) : 0;
        o->c[i] = w->type == DT_NF4 ? int8_nf4[c] : w->type == DT_FP4 ? int8_fp4[c] : w->type == DT_I8 ? (int8_t)p[at + i] : (p[n % quarter * w->cols + b * INT8_BLOCK + i] >> n / quarter * 2 & 3) - 1;
    }
    o->d[0] = w->type == DT_I8 ? w->scale[n] * (1 / 127.0f) : w->type == DT_TERNARY ? w->unit : weight_scale(w, at / w->block) * (w->type == DT_NF4 ? INT8_NF4_UNIT : INT8_FP4_UNIT);
    o->d[1] = o->d[0];
}

static void codes(struct codes *o, const struct weight *w, int64_t n, int64_t b) {
    const uint8_t *row = (const uint8_t *)w->data + n * (w->cols / dtype_block(w->type)) * (int64_t)dtype_block_bytes(w->type);
    o->m = 0;
    if (w->type == DT_Q4_K || w->type == DT_Q6_K)
        codes_k(o, w, row, b);
    else if (dtype_block(w->type) == INT8_BLOCK)
        codes_gguf(o, w, row + b * (int64_t)dtype_block_bytes(w->type));
    else
        codes_beside(o, w, n, b);
}

/* Sums of the two halves of a block */
static void dots(int32_t s[2], const struct codes *o, const int8_t *q, bool pairs) {
    s[0] = s[1] = 0;
    for (int i = 0; i < INT8_BLOCK; i++) s[i / 16] += o->c[i] * q[place(i, pairs)];
}

void int8_plain(const struct int8_job *j, int64_t n0, int64_t n1, int r0, int rows) {
    bool pairs = four_bits(j->w->type), halves = j->w->type == DT_Q6_K;
    for (int64_t n = n0; n < n1; n++) {
        float sum[INT8_ROWS] = {0};
        for (int64_t b = 0; b < j->w->cols / INT8_BLOCK; b++) {
            struct codes o;
            codes(&o, j->w, n, b);
            for (int r = 0; r < rows; r++) {
                const struct int8_meta *m = j->x.meta + b * j->x.R + r0 + r;
                int32_t s[2];
                dots(s, &o, j->x.q + (b * j->x.R + r0 + r) * INT8_BLOCK, pairs);
                sum[r] += (float)(halves ? s[0] : s[0] + s[1]) * (o.d[0] * m->d);
                if (halves) sum[r] += (float)s[1] * (o.d[1] * m->d);
                sum[r] += o.m * m->ds;
            }
        }
        for (int r = 0; r < rows; r++) {
            float *y = j->y + (r0 + r) * j->w->rows + n;
            *y = (j->add ? *y : 0) + sum[r];
        }
    }
}

/* ---- the ops ---- */
/* One row of x, quantised; then one output after another in double */
static void ref_row(float beta, float *y, const float *x, const struct weight *w, int8_t *q, struct int8_meta *meta) {
    bool pairs = four_bits(w->type);
    int8_quantise_plain(&(struct int8_rows){q, meta, 1}, x, w->cols, 0, pairs);
    for (int64_t n = 0; n < w->rows; n++) {
        double sum = beta != 0 ? (double)beta * y[n] : 0;
        for (int64_t b = 0; b < w->cols / INT8_BLOCK; b++) {
            struct codes o;
            int32_t s[2];
            codes(&o, w, n, b);
            dots(s, &o, q + b * INT8_BLOCK, pairs);
            sum += (double)meta[b].d * ((double)o.d[0] * s[0] + (double)o.d[1] * s[1] + (double)o.m * meta[b].sum);
        }
        y[n] = (float)sum;
    }
}

/* Where the quantised rows lie in the shared scratch, and how many fit */
static int room(struct kctx *k, struct int8_rows *x, int64_t K, int R) {
    size_t row = (size_t)K + (size_t)(K / INT8_BLOCK) * sizeof(struct int8_meta);
    int most = (int)((CPU_SHARED_BYTES - 64) / row);
    if (most < 1) cpu_fail(k, K_UNSUPPORTED, "linear_int8: a row is too long");
    x->R = R < most ? R : most;
    x->q = (int8_t *)k->shared;
    x->meta = (struct int8_meta *)(k->shared + (size_t)x->R * (size_t)K); /* K is a multiple of 32 */
    return most;
}

void linear_int8_ref(struct kctx *k, float beta, void *const *y, const void *x, const struct weight *w, int n, int R) {
    for (int j = 0; j < n; j++) {
        struct int8_rows one;
        if (!int8_covers(&w[j])) {
            linear_ref(k, beta, y[j], x, &w[j], R);
            continue;
        }
        if (room(k, &one, w[j].cols, 1) < 1) return;
        for (int r = 0; r < R; r++) ref_row(beta, (float *)y[j] + r * w[j].rows, (const float *)x + r * w[j].cols, &w[j], one.q, one.meta);
    }
}

struct quantise {
    const struct int8_rows *to;
    const float *x;
    int64_t K;
    int8_quantise_fn *f;
    bool pairs;
};

static void quantise_rows(void *arg, int64_t r, int64_t end, int thread) {
    const struct quantise *q = arg;
    for (; r < end; r++) q->f(q->to, q->x + r * q->K, q->K, (int)r, q->pairs);
}

/* Weights that share x, one after another in the numbering of panels */
struct product {
    struct int8_job job[8];
    int64_t end[8]; /* panels of this weight and those before it */
    int n;
    int64_t panels, each, lots; /* in all; of a task; tasks a group of rows, a multiple of threads */
    int threads;
    int8_panels_fn *f;
};

/* Panels p..p+count of one weight; the last one may be narrow */
static void some_panels(const struct product *p, const struct int8_job *j, int64_t first, int64_t count, int r0, int rows) {
    int64_t whole = j->w->rows / INT8_NR - first, n0 = first * INT8_NR, n1 = (first + count) * INT8_NR;
    if (whole > count) whole = count;
    if (!p->f) whole = 0;
    if (n1 > j->w->rows) n1 = j->w->rows;
    if (whole > 0) p->f(j, n0, whole, r0, rows);
    if (n0 + whole * INT8_NR < n1) int8_plain(j, n0 + whole * INT8_NR, n1, r0, rows);
}

/* First panel of task i of a group. Threads claim tasks in turn, and what one fetches ahead it should use itself: each begins
   its own stretch, and goes on in it. */
static int64_t first_panel(const struct product *p, int64_t i) { return (i % p->threads * (p->lots / p->threads) + i / p->threads) * p->each; }

static void tasks(void *arg, int64_t t, int64_t end, int thread) {
    const struct product *p = arg;
    for (; t < end; t++) {
        int r0 = (int)(t / p->lots) * INT8_ROWS, left = p->job[0].x.R - r0, rows = left < INT8_ROWS ? left : INT8_ROWS;
        int64_t from = first_panel(p, t % p->lots), to = from + p->each < p->panels ? from + p->each : p->panels, begin = 0;
        for (int j = 0; j < p->n; begin = p->end[j++]) {
            int64_t a = from > begin ? from : begin, b = to < p->end[j] ? to : p->end[j];
            if (a < b) some_panels(p, &p->job[j], a - begin, b - a, r0, rows);
        }
    }
}

/* n weights of the same columns and order of codes, rows `from` on of x and y, as many as fit the scratch */
static int run(struct kctx *k, float beta, void *const *y, const float *x, const struct weight *w, int n, int from, int R) {
    struct product p = {.n = n, .threads = k->threads};
    struct int8_rows q;
    struct quantise job = {&q, x + from * w->cols, w->cols, int8_quantise_plain, four_bits(w->type)};
    if (room(k, &q, w->cols, R - from) < 1) return R;
#if CPU_X86
    if (k->avx2) job.f = int8_quantise_avx2, p.f = k->vnni ? int8_panels_vnni : int8_panels_avx2;
#endif
    pool_run(k->pool, q.R, cpu_rows(w->cols), quantise_rows, &job);
    for (int j = 0; j < n; j++) {
        p.job[j] = (struct int8_job){&w[j], q, (float *)y[j] + from * w[j].rows, beta != 0};
        p.end[j] = p.panels += (w[j].rows + INT8_NR - 1) / INT8_NR;
    }
    int64_t groups = (q.R + INT8_ROWS - 1) / INT8_ROWS;
    p.each = p.panels * groups / (8 * k->threads) + 1; /* some tasks a thread, so that they end together */
    if (p.each > p.panels) p.each = p.panels;
    p.lots = (p.panels + p.each * k->threads - 1) / (p.each * k->threads) * k->threads; /* the last ones may be empty */
    pool_run(k->pool, groups * p.lots, 1, tasks, &p);
    return from + q.R;
}

void linear_int8_cpu(struct kctx *k, float beta, void *const *y, const void *x, const struct weight *w, int n, int R) {
    for (int j = 0, m; j < n; j += m) {
        m = 1;
        if (!int8_covers(&w[j])) {
            linear_cpu(k, beta, y[j], x, &w[j], R);
            continue;
        }
        while (j + m < n && m < 8 && int8_covers(&w[j + m]) && w[j + m].cols == w[j].cols && four_bits(w[j + m].type) == four_bits(w[j].type)) m++;
        for (int r = 0; r < R;) r = run(k, beta, y + j, x, w + j, m, r, R);
    }
}
