/* Choosing rows: copies only. */
#include "kernels/cpu/cpu.h"
#include <string.h>

void gather_rows_ref(struct kctx *k, void *y, const void *x, const int32_t *idx, int M, int C) {
    size_t row = (size_t)C * sizeof(float);
    for (int i = 0; i < M; i++) memcpy((char *)y + (size_t)i * row, (const char *)x + (size_t)idx[i] * row, row);
}

void scatter_rows_ref(struct kctx *k, void *dx, const void *dy, const int32_t *idx, int M, int R, int C) {
    size_t row = (size_t)C * sizeof(float);
    for (int i = 0, m = 0; i < R; i++) {
        char *to = (char *)dx + (size_t)i * row;
        if (m < M && idx[m] == i)
            memcpy(to, (const char *)dy + (size_t)m++ * row, row);
        else
            memset(to, 0, row);
    }
}

struct job {
    char *to;
    const char *from;
    const int32_t *idx;
    size_t row; /* bytes */
};

static void gather(void *arg, int64_t i, int64_t end, int thread) {
    const struct job *j = arg;
    for (; i < end; i++) memcpy(j->to + (size_t)i * j->row, j->from + (size_t)j->idx[i] * j->row, j->row);
}

void gather_rows_cpu(struct kctx *k, void *y, const void *x, const int32_t *idx, int M, int C) {
    pool_run(k->pool, M, cpu_rows(C), gather, &(struct job){y, x, idx, (size_t)C * sizeof(float)});
}

void scatter_rows_cpu(struct kctx *k, void *dx, const void *dy, const int32_t *idx, int M, int R, int C) { scatter_rows_ref(k, dx, dy, idx, M, R, C); }
