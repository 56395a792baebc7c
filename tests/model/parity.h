/* The real model and the oracles' golden data, for test_parity_*.c. The model is fetched, not committed: without it the
   tests are skipped. */
#ifndef COADOR_TESTS_PARITY_H
#define COADOR_TESTS_PARITY_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "common/io/io.h"
#include "common/io/json.h"
#include "common/model/llama.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct parity {
    struct dev *d;
    struct model *m;
    struct json_doc *doc;
    struct json *data; /* tests/data/model/NAME.json */
};

static inline char *parity_model_path(void) {
    const char *dir = getenv("FETCHED");
    return io_join(dir ? dir : ".fetched", "SmolLM2-135M-Instruct.Q4_1.gguf");
}

static inline struct parity parity_open(const char *name) {
    struct parity p = {0};
    struct err e = ERR_INIT;
    const char *why = "";
    char *path = parity_model_path();
    if (!io_exists(path)) {
        free(path);
        print_message("# SKIP the model is not here: make model\n");
        skip();
    }
    if (dev_open(&p.d, "cpu", 0, &why) != K_OK) fail_msg("cpu: %s", why);
    p.m = model_open(path, p.d, BASE_KEEP, &e);
    free(path);
    if (!p.m) fail_msg("%s", e.msg);
    const char *src = getenv("SRC");
    char *dir = io_join(src ? src : ".", "tests/data/model"), *file = io_join(dir, name);
    p.doc = json_read_file(file, &e);
    if (!p.doc) fail_msg("%s", e.msg);
    p.data = json_root(p.doc);
    free(dir);
    free(file);
    return p;
}

static inline void parity_close(struct parity *p) {
    json_doc_free(p->doc);
    model_close(p->m);
    p->d->close(p->d);
}

/* A member that must be there. */
static inline struct json *parity_get(const struct json *v, const char *key) {
    struct json *x = json_get(v, key);
    if (!x) fail_msg("the golden data has no \"%s\"", key);
    return x;
}
static inline double parity_number(const struct json *v, const char *key) { return parity_get(v, key)->number; }

/* An array of integers, and of reals; give. */
static inline int32_t *parity_ids(const struct json *v, int *n) {
    int32_t *ids = xcalloc(v->count + 1, sizeof *ids);
    *n = 0;
    for (const struct json *x = v->first; x; x = x->next) ids[(*n)++] = (int32_t)x->number;
    return ids;
}
static inline double *parity_reals(const struct json *v, int *n) {
    double *x = xcalloc(v->count + 1, sizeof *x);
    *n = 0;
    for (const struct json *i = v->first; i; i = i->next) x[(*n)++] = i->number;
    return x;
}
#endif
