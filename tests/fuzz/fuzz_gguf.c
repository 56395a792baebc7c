/* Any bytes as a GGUF file: refused with a message, or every tensor lies inside, aligned and sized as its shape says,
   names find what they name, and strings lie inside. The shape of a model is read as well. */
#include "common/io/gguf.h"
#include "common/model/config.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void inside(const void *p, size_t bytes, const uint8_t *data, size_t n) {
    const uint8_t *q = p;
    if (q < data || q > data + n || bytes > (size_t)(data + n - q)) abort();
}

static void check_tensor(const struct gguf *g, const struct tensor *t, const uint8_t *data, size_t n) {
    int64_t count = 1;
    for (int i = 0; i < t->dims; i++) count *= t->shape[i];
    if (count < 1 || dtype_bytes(t->type, count) != t->bytes || gguf_tensor(g, t->name) != t) abort();
    if (((const uint8_t *)t->data - data) % 8) abort();
    inside(t->data, t->bytes, data, n);
}

static void check_strings(const struct gguf *g, const uint8_t *data, size_t n) {
    static const char *const keys[] = {"tokenizer.ggml.tokens", "tokenizer.ggml.merges", "general.languages"};
    const char *s;
    size_t len;
    for (int k = 0; k < 3; k++)
        for (int64_t i = 0; i < gguf_arr_strs(g, keys[k]); i++) {
            gguf_arr_str(g, keys[k], i, &s, &len);
            inside(s, len, data, n);
        }
    if (gguf_get_str(g, "general.architecture", &s, &len)) inside(s, len, data, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct err e = ERR_INIT;
    struct model_config c;
    struct gguf *g = gguf_over(data, n, "fuzz", &e);
    if (!g != (e.code == RC_INPUT && e.msg[0])) abort();
    if (!g) return 0;
    for (int i = 0; i < gguf_n_tensors(g); i++) check_tensor(g, gguf_tensor_at(g, i), data, n);
    check_strings(g, data, n);
    int rc = config_from_gguf(&c, g, "fuzz", &e);
    if ((rc < 0) != (e.code == RC_INPUT)) abort();
    gguf_close(g);
    return 0;
}
