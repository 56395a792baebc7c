/* The K likeliest tokens and the tail. */
#include "kernels/topk.h"
#include "kernels/cpu/tail.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_column(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* Plainly: K times the largest of those that are left. */
void topk_ref(struct kctx *k, int32_t *id, float *logp, float *tail, const void *logits, float T, int M, int V, int K) {
    for (int64_t i = 0; i < M; i++) {
        const float *z = (const float *)logits + i * V;
        int32_t *top = id + i * K;
        double sum = 0, rest = 0;
        for (int j = 0; j < K; j++) {
            int best = -1;
            for (int v = 0; v < V; v++) {
                bool taken = false;
                for (int t = 0; t < j; t++) taken |= top[t] == v;
                if (!taken && (best < 0 || z[v] > z[best])) best = v;
            }
            top[j] = best;
        }
        double max = z[top[0]];
        qsort(top, (size_t)K, sizeof *top, by_column);
        for (int v = 0, j = 0; v < V; v++) {
            double p = exp((z[v] - max) / T);
            sum += p;
            if (j < K && top[j] == v) j++;
            else rest += p;
        }
        for (int j = 0; j < K; j++) logp[i * K + j] = (float)((z[top[j]] - max) / T - log(sum));
        tail[i] = (float)(log(rest) - log(sum));
    }
}

/* Whether column a ranks below b. */
static bool below(const float *z, int32_t a, int32_t b) { return z[a] < z[b] || (z[a] == z[b] && a > b); }

/* Restores a heap whose root, the lowest ranked, was replaced. */
static void sift(const float *z, int32_t *heap, int n, int at) {
    for (;;) {
        int low = at, c = 2 * at + 1;
        if (c < n && below(z, heap[c], heap[low])) low = c;
        if (c + 1 < n && below(z, heap[c + 1], heap[low])) low = c + 1;
        if (low == at) return;
        int32_t t = heap[at];
        heap[at] = heap[low];
        heap[low] = t;
        at = low;
    }
}

static void select_top(const float *z, int32_t *top, int V, int K) {
    for (int j = 0; j < K; j++) top[j] = j;
    for (int j = K / 2; j-- > 0;) sift(z, top, K, j);
    float least = z[top[0]];
    for (int v = K; v < V; v++) {
        if (!(z[v] > least)) continue; /* one that is equal stands behind, and ranks below */
        top[0] = v;
        sift(z, top, K, 0);
        least = z[top[0]];
    }
    qsort(top, (size_t)K, sizeof *top, by_column);
}

struct job {
    const struct kctx *k;
    int32_t *id;
    float *logp, *tail;
    const float *z;
    float T;
    int V, K;
};

static void rows(void *arg, int64_t i, int64_t end, int thread) {
    const struct job *j = arg;
    for (; i < end; i++) {
        const float *z = j->z + i * j->V;
        int32_t *id = j->id + i * j->K;
        select_top(z, id, j->V, j->K);
        float rest = tail_max(j->k, z, id, j->K, j->V), max = rest;
        for (int t = 0; t < j->K; t++) max = z[id[t]] > max ? z[id[t]] : max;
        double sum_rest = tail_exp_sum(j->k, z, id, j->K, j->V, rest, 1 / j->T), log_rest = ((double)rest - max) / j->T + log(sum_rest);
        double sum = exp(log_rest);
        for (int t = 0; t < j->K; t++) sum += exp(((double)z[id[t]] - max) / j->T);
        for (int t = 0; t < j->K; t++) j->logp[i * j->K + t] = (float)(((double)z[id[t]] - max) / j->T - log(sum));
        j->tail[i] = (float)(log_rest - log(sum));
    }
}

void topk_cpu(struct kctx *k, int32_t *id, float *logp, float *tail, const void *logits, float T, int M, int V, int K) {
    pool_run(k->pool, M, cpu_rows(V), rows, &(struct job){k, id, logp, tail, logits, T, V, K});
}
