/* Any bytes as a safetensors file: refused with a message, or its tensors tile the data exactly and each is sized as its
   shape says. */
#include "common/io/safetensors.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct err e = ERR_INIT;
    struct safetensors *s = safetensors_over(data, n, "fuzz", &e);
    if (!s != (e.code == RC_INPUT && e.msg[0])) abort();
    if (!s) return 0;
    const uint8_t *at = NULL;
    for (int i = 0; i < safetensors_count(s); i++) {
        const struct tensor *t = safetensors_at(s, i);
        int64_t count = 1;
        for (int k = 0; k < t->dims; k++) count *= t->shape[k];
        if (count < 0 || dtype_bytes(t->type, count) != t->bytes || safetensors_get(s, t->name) != t) abort();
        if (at && (const uint8_t *)t->data != at) abort();
        at = (const uint8_t *)t->data + t->bytes;
    }
    if (at && at != data + n) abort();
    safetensors_meta(s, "format");
    safetensors_close(s);
    return 0;
}
