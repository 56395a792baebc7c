/* Opens a device by name and fills its table. */
#include "kernels/cpu/cpu.h"
#include <omp.h>
#include <string.h>
#if CPU_X86
#include <cpuid.h>
#endif

#if CPU_X86
/* The first two include the question whether the system keeps the wide registers; F16C (leaf 1, ecx bit 29) is no name
   that every compiler knows here. */
bool cpu_has_avx2(void) {
    unsigned a, b, c, d;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __get_cpuid(1, &a, &b, &c, &d) && c >> 29 & 1;
}
#else
bool cpu_has_avx2(void) { return false; }
#endif

const char *dev_cpu_features(void) { return cpu_has_avx2() ? "avx2 fma f16c" : "plain C"; }
int dev_threads(const struct dev *d) { return d->ctx->threads; }

#define EACH_OP(X) \
    X(linear) X(linear_dx) X(embed) X(lora_down) X(lora_up) X(lora_up_bwd) X(lora_down_bwd) X(dropout) X(rmsnorm) X(rmsnorm_bwd) \
    X(rope) X(attention) X(attention_bwd) X(kv_store) X(attention_cached) X(swiglu) X(swiglu_bwd) X(add) X(gather_rows) \
    X(scatter_rows) X(cross_entropy) X(sumsq) X(adamw)
#define SET_REF(op) d->op = op##_ref;
#define SET_CPU(op) d->op = op##_cpu;

enum kerr dev_open(struct dev **out, const char *name, int threads, const char **why) {
    static const char *const names[] = {"cpu", "ref", "poison"};
    int kind = 0;
    *out = NULL;
    *why = "";
    while (kind < 3 && strcmp(name, names[kind])) kind++;
    if (kind == 3) {
        *why = "no such device: the devices are cpu and ref";
        return K_DEVICE;
    }
    if (threads <= 0) threads = omp_get_max_threads();
    if (threads > 1024) threads = 1024;
    struct dev *d;
    enum kerr rc = cpu_open(&d, names[kind], threads, why);
    if (rc != K_OK) return rc;
    if (kind == 1) {
        EACH_OP(SET_REF)
    } else {
        EACH_OP(SET_CPU)
    }
    if (kind == 2) {
        d->ctx->poison = true;
        poison_set_ops(d);
    }
    *out = d;
    return K_OK;
}
