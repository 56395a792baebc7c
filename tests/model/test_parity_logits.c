/* Logits of SmolLM2 against transformers in fp32 (tests/oracle/logits.py), packed and through the cache. */
#include "tests/model/parity.h"
#include "common/model/decode.h"
#include <stdio.h>

/* Of the largest magnitude of a row: the bound; fp32 itself differs from fp64 by a few 1e-6. */
#define TOLERANCE 1e-4
#define MAX_ROWS 200

struct worst {
    double error; /* of the row's largest magnitude */
    int at;
};

static void compare(struct worst *w, const struct json *row, const float *logits, int V) {
    double max = parity_number(row, "max"), most = 0;
    int v = (int)parity_number(row, "first"), step = (int)parity_number(row, "step");
    const struct json *id = parity_get(row, "top_ids")->first, *x = parity_get(row, "top")->first;
    for (int i = 0; i < V; i++) most = fmax(most, fabs(logits[i]));
    double e = fabs(most - max) / max, worst = e;
    for (; id && x; id = id->next, x = x->next) {
        e = fabs(logits[(int)id->number] - x->number) / max;
        if (!(e <= worst)) worst = e;
    }
    for (x = parity_get(row, "samples")->first; x; x = x->next, v += step) {
        e = fabs(logits[v] - x->number) / max;
        if (!(e <= worst)) worst = e;
    }
    if (!(worst <= w->error)) *w = (struct worst){worst, (int)parity_number(row, "at")};
    if (!(worst <= TOLERANCE)) fail_msg("position %d: logits differ by %.3g of the largest, at most %g", (int)parity_number(row, "at"), worst, TOLERANCE);
}

/* All prompts packed in one pass, and the rows that the golden data has. */
static void test_packed(void **state) {
    struct parity p = parity_open("logits.json");
    struct err e = ERR_INIT;
    static int32_t ids[MAX_ROWS], pos[MAX_ROWS], seq[MAX_ROWS], cu[16], sel[64];
    struct packed b = {.ids = ids, .pos = pos, .seq = seq, .cu = cu, .sel = sel};
    const struct json *prompts = parity_get(p.data, "prompts");
    for (const struct json *x = prompts->first; x; x = x->next) {
        for (const struct json *r = parity_get(x, "rows")->first; r; r = r->next) sel[b.M++] = b.R + (int)parity_number(r, "at");
        for (const struct json *i = parity_get(x, "ids")->first; i; i = i->next) {
            assert_true(b.R < MAX_ROWS);
            ids[b.R] = (int32_t)i->number, pos[b.R] = b.R - cu[b.S], seq[b.R++] = b.S;
        }
        cu[++b.S] = b.R;
    }
    int V = p.m->cfg.V, row = 0;
    float *logits = xcalloc((size_t)b.M * (size_t)V, sizeof *logits);
    struct llama_pass *pass = llama_pass_new(p.m, NULL, b.R, b.S, false, 0, &e);
    if (!pass || llama_logits(pass, NULL, 0, &b, logits, &e) < 0) fail_msg("%s", e.msg);
    struct worst w = {0};
    for (const struct json *x = prompts->first; x; x = x->next)
        for (const struct json *r = parity_get(x, "rows")->first; r; r = r->next) compare(&w, r, logits + (size_t)row++ * (size_t)V, V);
    assert_true(row == b.M && row > 5);
    print_message("# %d rows of %d prompts: at most %.2g of the largest logit, at position %d\n", row, b.S, w.error, w.at);
    llama_pass_free(pass);
    free(logits);
    parity_close(&p);
}

/* The same prompts through the cache, a few tokens a call. */
static void test_cached(void **state) {
    struct parity p = parity_open("logits.json");
    struct err e = ERR_INIT;
    struct decoder *d = decoder_new(p.m, NULL, 0, 1, MAX_ROWS, 7, &e);
    if (!d) fail_msg("%s", e.msg);
    int V = p.m->cfg.V, n;
    float *logits = xcalloc(7 * (size_t)V, sizeof *logits);
    struct worst w = {0};
    for (const struct json *x = parity_get(p.data, "prompts")->first; x; x = x->next) {
        int32_t *ids = parity_ids(parity_get(x, "ids"), &n), slot[7] = {0}, all[7] = {0, 1, 2, 3, 4, 5, 6};
        const struct json *r = parity_get(x, "rows")->first;
        for (int at = 0; at < n; at += 7) {
            int rows = n - at < 7 ? n - at : 7;
            if (decoder_feed(d, ids + at, slot, rows, all, rows, logits, &e) < 0) fail_msg("%s", e.msg);
            for (; r && (int)parity_number(r, "at") < at + rows; r = r->next) compare(&w, r, logits + (size_t)((int)parity_number(r, "at") - at) * (size_t)V, V);
        }
        assert_null(r);
        decoder_reset(d, 0);
        free(ids);
    }
    print_message("# cached: at most %.2g of the largest logit\n", w.error);
    decoder_free(d);
    free(logits);
    parity_close(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_packed), cmocka_unit_test(test_cached)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
