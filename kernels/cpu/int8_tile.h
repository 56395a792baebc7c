/* The product of a panel with rows of x, once for each instruction set. The file that includes it has defined
     ISA                        the functions' attribute
     int8_ready(o, t)           what is left to do for the codes of a panel, once for all rows
     int8_dots(o, t, h, from, n, q, sum)
                                __m256i: sums of products of half h's registers from..from+n with the words of q, whose codes
                                there add up to sum
   and gets int8_panels, an int8_panels_fn. */
#define TINLINE static inline __attribute__((always_inline)) ISA

/* One block of one row: onto the row's 16 sums */
TINLINE void block_row(__m256 s[2], enum dtype t, const struct int8_panel *o, const int8_t *q, const struct int8_meta *m) {
    __m256 d = _mm256_set1_ps(m->d), ds = _mm256_set1_ps(m->ds);
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
        if (t == DT_Q6_K) { /* a scale for each half of the block */
            s[h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(int8_dots(o, t, h, 0, 4, q, m->low)), _mm256_mul_ps(o->d[h][0], d), s[h]);
            s[h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(int8_dots(o, t, h, 4, 4, q, m->sum - m->low)), _mm256_mul_ps(o->d[h][1], d), s[h]);
        } else {
            s[h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(int8_dots(o, t, h, 0, 8, q, m->sum)), _mm256_mul_ps(o->d[h][0], d), s[h]);
        }
        if (int8_has_min(t)) s[h] = _mm256_fmadd_ps(o->m[h], ds, s[h]);
    }
}

/* A panel's 16 rows are too many streams for the hardware to foresee, but panels lie end to end: what is used next comes into
   the first cache, what is used FAR bytes on into the second. With the first alone the few misses that a core may have open at
   once hold a Zen 4 to 12 GB/s; so it reads 16 to 22, as much as a plain sum over small pages. */
#define FAR 32768
TINLINE void fetch_ahead(const char *here, size_t n, size_t panel) {
    for (size_t i = 0; i < n; i += 64) {
        _mm_prefetch(here + FAR + i, _MM_HINT_T1);
        _mm_prefetch(here + panel + i, _MM_HINT_T0);
    }
}

/* t and, where it is 1, rows are constants at every call */
TINLINE void one_panel(enum dtype t, const struct int8_job *j, size_t row, size_t blk, int64_t n0, int r0, const int rows) {
    __m256 s[INT8_ROWS][2];
    int64_t blocks = j->w->cols / INT8_BLOCK;
    const char *here = (const char *)j->w->data + (size_t)n0 * row;
    size_t each = INT8_NR * row / (size_t)blocks;
    for (int r = 0; r < rows; r++) s[r][0] = s[r][1] = _mm256_setzero_ps();
    for (int64_t b = 0; b < blocks; b++) {
        struct int8_panel o;
        const int8_t *q = j->x.q + (b * j->x.R + r0) * INT8_BLOCK;
        const struct int8_meta *m = j->x.meta + b * j->x.R + r0;
        fetch_ahead(here + (size_t)b * each, each, INT8_NR * row);
        int8_unpack(&o, t, j->w, row, blk, n0, b);
        int8_ready(&o, t);
        for (int r = 0; r < rows; r++) block_row(s[r], t, &o, q + r * INT8_BLOCK, m + r);
    }
    for (int r = 0; r < rows; r++)
        for (int h = 0; h < 2; h++) {
            float *y = j->y + (r0 + r) * j->w->rows + n0 + 8 * h;
            _mm256_storeu_ps(y, j->add ? _mm256_add_ps(_mm256_loadu_ps(y), s[r][h]) : s[r][h]);
        }
}

#define PANEL(name, t) \
    ISA static void name##_1(const struct int8_job *j, size_t row, size_t blk, int64_t n0, int r0, int rows) { one_panel(t, j, row, blk, n0, r0, 1); } \
    ISA static void name(const struct int8_job *j, size_t row, size_t blk, int64_t n0, int r0, int rows) { one_panel(t, j, row, blk, n0, r0, rows); }
PANEL(q8_0, DT_Q8_0)
PANEL(q4_0, DT_Q4_0)
PANEL(q4_1, DT_Q4_1)
PANEL(q4_k, DT_Q4_K)
PANEL(q6_k, DT_Q6_K)
PANEL(i8, DT_I8)
PANEL(nf4, DT_NF4)
PANEL(fp4, DT_FP4)
PANEL(ternary, DT_TERNARY)

typedef void panel_fn(const struct int8_job *, size_t, size_t, int64_t, int, int);
static panel_fn *const panel_fns[DT_COUNT][2] = {
    [DT_Q8_0] = {q8_0_1, q8_0}, [DT_Q4_0] = {q4_0_1, q4_0}, [DT_Q4_1] = {q4_1_1, q4_1}, [DT_Q4_K] = {q4_k_1, q4_k}, [DT_Q6_K] = {q6_k_1, q6_k},
    [DT_I8] = {i8_1, i8}, [DT_NF4] = {nf4_1, nf4}, [DT_FP4] = {fp4_1, fp4}, [DT_TERNARY] = {ternary_1, ternary}};

static void int8_panels(const struct int8_job *j, int64_t n0, int64_t panels, int r0, int rows) {
    const struct weight *w = j->w;
    panel_fn *f = panel_fns[w->type][rows > 1];
    size_t row = (size_t)(w->type == DT_TERNARY ? w->cols : w->cols / dtype_block(w->type) * (int64_t)dtype_block_bytes(w->type)), blk = dtype_block_bytes(w->type);
    int64_t quarter = w->type == DT_TERNARY ? w->rows / 4 : w->rows;
    for (int64_t p = 0; p < panels; p++, n0 += INT8_NR) {
        if (n0 / quarter == (n0 + INT8_NR - 1) / quarter)
            f(j, row, blk, n0, r0, rows);
        else
            int8_plain(j, n0, n0 + INT8_NR, r0, rows);
    }
}
