/* Greedy ids of 25 prompts × 64 tokens against transformers in fp32 (tests/oracle/greedy.py), all prompts decoded
   together. A prompt may part from the oracle only where the oracle's two best logits were closer than CLOSE; its
   comparison ends there. */
#include "tests/model/parity.h"
#include "common/model/decode.h"
#include <stdio.h>

#define CLOSE 1e-3
#define MAX_SEQS 32
#define MAX_ROWS 128

struct seq {
    int32_t *prompt, *want;
    double *gap;
    int n_prompt, fed, n_want, n; /* tokens of the prompt fed; ids compared */
    bool parted;
};

/* The next rows of every sequence: a piece of its prompt, or the id last chosen (which is the oracle's). */
static int fill(struct seq *s, int n, int32_t *ids, int32_t *slot, int32_t *at, int *M, int32_t *who) {
    int R = 0;
    *M = 0;
    for (int i = 0; i < n; i++) {
        if (s[i].parted || s[i].n == s[i].n_want) continue;
        int room = MAX_ROWS - R - (n - 1 - i), left = s[i].n_prompt - s[i].fed;
        if (left == 0) ids[R] = s[i].want[s[i].n - 1], slot[R++] = i;
        for (; left > 0 && room > 0; left--, room--) ids[R] = s[i].prompt[s[i].fed++], slot[R++] = i;
        if (left > 0) continue;
        who[*M] = i;
        at[(*M)++] = R - 1;
    }
    return R;
}

static int32_t argmax(const float *x, int n) {
    int32_t best = 0;
    for (int i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

static void test_greedy(void **state) {
    struct parity p = parity_open("greedy.json");
    struct err e = ERR_INIT;
    static struct seq s[MAX_SEQS];
    int n = 0, unused, R, M, V = p.m->cfg.V, same = 0, parted = 0;
    for (const struct json *x = parity_get(p.data, "prompts")->first; x; x = x->next, n++) {
        assert_true(n < MAX_SEQS);
        s[n] = (struct seq){.gap = parity_reals(parity_get(x, "gap"), &unused)};
        s[n].prompt = parity_ids(parity_get(x, "ids"), &s[n].n_prompt);
        s[n].want = parity_ids(parity_get(x, "greedy"), &s[n].n_want);
    }
    struct decoder *d = decoder_new(p.m, NULL, 0, n, n * 200, MAX_ROWS, &e);
    if (!d) fail_msg("%s", e.msg);
    int32_t ids[MAX_ROWS], slot[MAX_ROWS], at[MAX_ROWS], who[MAX_ROWS];
    float *logits = xcalloc((size_t)MAX_SEQS * (size_t)V, sizeof *logits);
    while ((R = fill(s, n, ids, slot, at, &M, who)) > 0) {
        if (decoder_feed(d, ids, slot, R, at, M, logits, &e) < 0) fail_msg("%s", e.msg);
        for (int i = 0; i < M; i++) {
            struct seq *q = &s[who[i]];
            int32_t got = argmax(logits + (size_t)i * (size_t)V, V);
            double gap = q->gap[q->n];
            q->parted = got != q->want[q->n];
            if (q->parted && !(gap < CLOSE)) fail_msg("prompt %d token %d: id %d, expected %d with a gap of %g", who[i], q->n, (int)got, (int)q->want[q->n], gap);
            parted += q->parted;
            same += !q->parted;
            q->n++;
        }
    }
    print_message("# %d prompts: %d ids the same, %d prompts parted at a gap below %g\n", n, same, parted, CLOSE);
    assert_true(n >= 25 && parted <= 3);
    for (int i = 0; i < n; i++) free(s[i].prompt), free(s[i].want), free(s[i].gap);
    decoder_free(d);
    free(logits);
    parity_close(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_greedy)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
