/* What --compute int8 changes on the real model: its logits beside those in f32 over the oracle's 25 prompts and their 64
   greedy ids, whether the best id is the same after the same tokens, and how many ids of free running answers are. */
#include "tests/model/parity.h"
#include "common/model/decode.h"
#include <stdio.h>

#define MOST 512    /* tokens of a prompt and its answer */
#define PROMPTS 25
#define SPREAD 0.08 /* most root mean square error of a row's logits, of their standard deviation, averaged over rows */
#define SAME 0.96   /* least share of rows with the same best id */

static int32_t argmax(const float *x, int n) {
    int32_t best = 0;
    for (int i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

struct tally {
    int rows, same, answers, equal, leading;
    double error; /* summed over rows */
};

/* Root mean square difference of two rows over the standard deviation of the first */
static double off(const float *a, const float *b, int V) {
    double mean = 0, var = 0, diff = 0;
    for (int i = 0; i < V; i++) mean += a[i];
    mean /= V;
    for (int i = 0; i < V; i++) var += (a[i] - mean) * (a[i] - mean), diff += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sqrt(diff / var);
}

static void feed(struct decoder *d, const int32_t *ids, int n, int first, float *logits) {
    struct err e = ERR_INIT;
    int32_t zero[MOST] = {0}, at[MOST];
    for (int i = first; i < n; i++) at[i - first] = i;
    if (decoder_feed(d, ids, zero, n, at, n - first, logits, &e) < 0) fail_msg("%s", e.msg);
}

/* The oracle's answer behind its prompt: the row before each of its ids */
static void forced(struct decoder *d[2], const struct json *x, float *logits[2], int V, struct tally *t) {
    int n_prompt, n_want;
    int32_t ids[MOST], *prompt = parity_ids(parity_get(x, "ids"), &n_prompt), *want = parity_ids(parity_get(x, "greedy"), &n_want);
    assert_true(n_prompt + n_want <= MOST);
    memcpy(ids, prompt, (size_t)n_prompt * sizeof *ids);
    memcpy(ids + n_prompt, want, (size_t)n_want * sizeof *ids);
    for (int i = 0; i < 2; i++) feed(d[i], ids, n_prompt + n_want - 1, n_prompt - 1, logits[i]), decoder_reset(d[i], 0);
    for (int r = 0; r < n_want; r++) {
        const float *a = logits[0] + (size_t)r * (size_t)V, *b = logits[1] + (size_t)r * (size_t)V;
        double e = off(a, b, V);
        if (!(e < 1)) fail_msg("row %d: logits are off by %g", r, e);
        t->error += e;
        t->same += argmax(a, V) == argmax(b, V);
        t->rows++;
    }
    free(prompt);
    free(want);
}

/* All prompts answered at once, each going on from its own ids */
static void free_running(const struct model *m, const struct json *prompts, float *logits, struct tally *t) {
    struct err e = ERR_INIT;
    struct decoder *d = decoder_new(m, NULL, 0, PROMPTS, PROMPTS * MOST, MOST, &e);
    int32_t slot[PROMPTS], id[PROMPTS], *want[PROMPTS];
    bool parted[PROMPTS] = {false};
    int n_want = 0, i = 0, V = m->cfg.V;
    if (!d || decoder_compute(d, COMPUTE_INT8, &e) < 0) fail_msg("%s", e.msg);
    for (const struct json *x = prompts->first; i < PROMPTS; x = x->next, i++) {
        int n;
        int32_t *ids = parity_ids(parity_get(x, "ids"), &n), slots[MOST], last = n - 1;
        want[i] = parity_ids(parity_get(x, "greedy"), &n_want);
        slot[i] = i;
        for (int k = 0; k < n; k++) slots[k] = i;
        if (decoder_feed(d, ids, slots, n, &last, 1, logits + (size_t)i * (size_t)V, &e) < 0) fail_msg("%s", e.msg);
        free(ids);
    }
    for (int k = 0; k < n_want; k++) {
        for (i = 0; i < PROMPTS; i++) {
            id[i] = argmax(logits + (size_t)i * (size_t)V, V);
            parted[i] |= id[i] != want[i][k];
            t->equal += id[i] == want[i][k];
            t->leading += !parted[i];
            t->answers++;
        }
        if (decoder_feed(d, id, slot, PROMPTS, slot, PROMPTS, logits, &e) < 0) fail_msg("%s", e.msg);
    }
    for (i = 0; i < PROMPTS; i++) free(want[i]);
    decoder_free(d);
}

static void test_int8(void **state) {
    struct parity p = parity_open("greedy.json");
    struct err e = ERR_INIT;
    struct decoder *d[2];
    float *logits[2];
    struct tally t = {0};
    int V = p.m->cfg.V, prompts = 0;
    for (int i = 0; i < 2; i++) {
        d[i] = decoder_new(p.m, NULL, 0, 1, MOST, MOST, &e);
        if (!d[i] || decoder_compute(d[i], i ? COMPUTE_INT8 : COMPUTE_F32, &e) < 0) fail_msg("%s", e.msg);
        logits[i] = xcalloc(128 * (size_t)V, sizeof *logits[i]);
    }
    for (const struct json *x = parity_get(p.data, "prompts")->first; x; x = x->next, prompts++) forced(d, x, logits, V, &t);
    assert_int_equal(prompts, PROMPTS);
    free_running(p.m, parity_get(p.data, "prompts"), logits[0], &t);
    print_message("# %d prompts, %d rows: logits off by %.4f of their spread, best id the same in %.4f; free running: %.4f of ids equal, %.4f before the first that is not\n", prompts, t.rows,
        t.error / t.rows, (double)t.same / t.rows, (double)t.equal / t.answers, (double)t.leading / t.answers);
    assert_true(t.error / t.rows <= SPREAD && t.same >= SAME * t.rows);
    for (int i = 0; i < 2; i++) decoder_free(d[i]), free(logits[i]);
    parity_close(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_int8)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
