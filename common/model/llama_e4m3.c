/* Frozen products in e4m3: whether a device, a model and an adapter allow it. */
#include "common/model/llama.h"
#include "common/model/llama_pass.h"

int llama_e4m3_able(const struct dev *d, struct err *e) {
    return d->e4m3 ? 0 : err_set(e, RC_DEVICE, "%s has no products in fp8: a card of compute capability 9.0 has", d->name);
}

int llama_e4m3_fits(const struct model_config *c, const struct lora_config *a, struct err *e) {
    for (int s = 0; s < N_SITES; s++)
        if (!a->sites[s]) return err_set(e, RC_USAGE, "an adapter on every linear is expected (--targets all-linear), %s has none", site_names[s]);
    if (a->per_module && a->dropout > 0) return err_set(e, RC_USAGE, "lora_dropout_per_module is on, expected one mask for the linears of an input");
    for (int in = 0; in < N_INPUTS; in++) {
        int64_t rows[ADAPTED_MOST];
        int N = 0, K = 0;
        for (int j = 0; j < input_sites[in].n; j++) {
            site_shape(c, input_sites[in].first + j, &N, &K);
            rows[j] = N;
        }
        if (adapted_e4m3_shape(a->r, input_sites[in].n, rows, K)) continue;
        return err_set(e, RC_INPUT, "%s of %lld × %d, rank %d: expected are rows and columns that 16 divides, 65,536 an input at most, and a rank that 8 divides",
            site_names[input_sites[in].first], (long long)rows[0], K, a->r);
    }
    return 0;
}
