/* Losses against soft labels, and the gradient in the logits' place. */
#include "kernels/distill.h"
#include "kernels/cpu/tail.h"
#include <math.h>

/* Σ p·(log p − log q) over the named tokens, and their p's sum. q's logarithm: (z − max)/T − log_sum. */
static double divergence(const float *z, const int32_t *id, const float *logp, int K, double T, double max, double log_sum, double *mass) {
    double sum = 0;
    *mass = 0;
    for (int j = 0; j < K; j++) {
        double p = exp(logp[j]);
        sum += p * (logp[j] - ((z[id[j]] - max) / T - log_sum));
        *mass += p;
    }
    return sum;
}

void distill_ref(struct kctx *k, float *loss, void *logits, const int32_t *target, const float *scale, const struct soft_labels *s, int M, int V) {
    double T = s->T, alpha = s->alpha;
    for (int64_t i = 0; i < M; i++) {
        float *z = (float *)logits + i * V;
        const int32_t *id = s->id + i * s->K;
        const float *logp = s->logp + i * s->K;
        double max = z[0], hard = 0, soft = 0, rest = 0, mass;
        for (int v = 1; v < V; v++) max = z[v] > max ? z[v] : max;
        for (int v = 0, j = 0; v < V; v++) {
            hard += exp(z[v] - max);
            soft += exp((z[v] - max) / T);
            if (j < s->K && id[j] == v) j++;
            else rest += exp((z[v] - max) / T);
        }
        double kl = divergence(z, id, logp, s->K, T, max, log(soft), &mass), p_rest = exp(s->tail[i]);
        if (p_rest > 0) kl += p_rest * (s->tail[i] - (log(rest) - log(soft)));
        mass += p_rest;
        loss[i] = (float)(alpha * T * T * kl + (1 - alpha) * (max + log(hard) - z[target[i]]));
        for (int v = 0, j = 0; scale && v < V; v++) {
            double e = exp((z[v] - max) / T), p = e / rest * p_rest;
            if (j < s->K && id[j] == v) p = exp(logp[j++]);
            z[v] = (float)(scale[i] * (alpha * T * (mass * e / soft - p) + (1 - alpha) * (exp(z[v] - max) / hard - (v == target[i]))));
        }
    }
}

struct job {
    const struct kctx *k;
    float *loss, *z;
    const int32_t *target;
    const float *scale;
    const struct soft_labels *s;
    int V;
};

struct sums { /* of one row; max is the row's, rest_max the tail's */
    float max, rest_max;
    double hard, soft; /* Σ e^(z−max), Σ e^((z−max)/T) over all */
    double rest;       /* Σ e^((z−rest_max)/T) over the tail */
};

static struct sums sum_row(const struct job *j, const float *z, const int32_t *id) {
    const struct soft_labels *s = j->s;
    struct sums a = {.rest_max = tail_max(j->k, z, id, s->K, j->V)};
    a.max = a.rest_max;
    for (int t = 0; t < s->K; t++) a.max = z[id[t]] > a.max ? z[id[t]] : a.max;
    double below = (double)a.rest_max - a.max;
    a.rest = tail_exp_sum(j->k, z, id, s->K, j->V, a.rest_max, 1 / s->T);
    a.soft = a.rest * exp(below / s->T);
    a.hard = (s->T == 1 ? a.rest : tail_exp_sum(j->k, z, id, s->K, j->V, a.rest_max, 1)) * exp(below);
    for (int t = 0; t < s->K; t++) {
        double x = (double)z[id[t]] - a.max;
        a.soft += exp(x / s->T);
        a.hard += exp(x);
    }
    return a;
}

/* The gradient in z's place. p_rest: the teacher's tail; mass: the sum of all its p, 1 but for rounding. */
static void gradient(const struct job *j, float *z, const int32_t *id, const float *logp, const struct sums *a, double p_rest, double mass, double scale, int target) {
    const struct soft_labels *s = j->s;
    double T = s->T, soft = scale * s->alpha * T, hard = scale * (1 - (double)s->alpha), below = (double)a->rest_max - a->max;
    double of_soft = soft * (mass * exp(below / T) / a->soft - p_rest / a->rest), of_hard = hard * exp(below) / a->hard;
    float top[TOPK_MAX];
    for (int t = 0; t < s->K; t++) {
        double x = (double)z[id[t]] - a->max;
        top[t] = (float)(soft * (mass * exp(x / T) / a->soft - exp(logp[t])) + hard * exp(x) / a->hard);
    }
    if (T == 1) of_soft += of_hard, of_hard = 0;
    tail_mix(j->k, z, id, s->K, j->V, a->rest_max, 1 / s->T, (float)of_soft, (float)of_hard);
    for (int t = 0; t < s->K; t++) z[id[t]] = top[t];
    z[target] -= (float)hard;
}

static void rows(void *arg, int64_t i, int64_t end, int thread) {
    const struct job *j = arg;
    const struct soft_labels *s = j->s;
    for (; i < end; i++) {
        float *z = j->z + i * j->V;
        const int32_t *id = s->id + i * s->K;
        const float *logp = s->logp + i * s->K;
        double T = s->T, mass, p_rest = exp(s->tail[i]);
        struct sums a = sum_row(j, z, id);
        double kl = divergence(z, id, logp, s->K, T, a.max, log(a.soft), &mass);
        if (p_rest > 0) kl += p_rest * (s->tail[i] - (((double)a.rest_max - a.max) / T + log(a.rest) - log(a.soft)));
        j->loss[i] = (float)(s->alpha * T * T * kl + (1 - (double)s->alpha) * (a.max + log(a.hard) - z[j->target[i]]));
        if (j->scale) gradient(j, z, id, logp, &a, p_rest, mass + p_rest, j->scale[i], j->target[i]);
    }
}

void distill_cpu(struct kctx *k, float *loss, void *logits, const int32_t *target, const float *scale, const struct soft_labels *s, int M, int V) {
    pool_run(k->pool, M, cpu_rows(V), rows, &(struct job){k, loss, logits, target, scale, s, V});
}
