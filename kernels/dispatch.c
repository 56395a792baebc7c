/* Opens a device by name and fills its table. */
#include "kernels/cpu/cpu.h"
#include "kernels/cuda/open.h"
#include <dlfcn.h>
#include <limits.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
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
bool cpu_has_vnni(void) { return cpu_has_avx2() && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni"); }
#else
bool cpu_has_avx2(void) { return false; }
bool cpu_has_vnni(void) { return false; }
#endif

const char *dev_cpu_features(void) { return cpu_has_vnni() ? "avx2 fma f16c avx512-vnni" : cpu_has_avx2() ? "avx2 fma f16c" : "plain C"; }
int dev_threads(const struct dev *d) { return d->threads; }

#define EACH_OP(X) \
    X(linear) X(linear_int8) X(linear_dx) X(embed) X(lora_down) X(lora_up) X(lora_up_bwd) X(lora_down_bwd) X(dropout) X(rmsnorm) X(rmsnorm_bwd) \
    X(rope) X(attention) X(attention_bwd) X(kv_store) X(attention_cached) X(swiglu) X(swiglu_bwd) X(add) X(gather_rows) \
    X(scatter_rows) X(cross_entropy) X(topk) X(distill) X(sumsq) X(admit) X(adamw)
#define SET_REF(op) d->op = op##_ref;
#define SET_CPU(op) d->op = op##_cpu;

/* N of "cuda:N", 0 of "cuda"; -1 where the name is another. */
static int card_of(const char *name) {
    if (strncmp(name, "cuda", 4)) return -1;
    if (!name[4]) return 0;
    const char *digits = name + 5;
    size_t n = strspn(digits, "0123456789");
    return name[4] == ':' && n && n < 5 && !digits[n] ? atoi(digits) : -1;
}

/* The library stays open: code of a device may run until the program ends. */
static enum kerr open_library(struct dev **d, const char *path, int index, const char **why) {
    static char text[PATH_MAX + 300];
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    cuda_open_fn *open = NULL;
    if (lib) *(void **)&open = dlsym(lib, CUDA_OPEN);
    if (!open) {
        snprintf(text, sizeof text, "%s", dlerror());
        *why = text;
        return K_DEVICE;
    }
    enum kerr rc = open(d, index, why);
    if (rc != K_OK) return rc;
    (*d)->threads = 1;
    (*d)->library = path;
    return rc;
}

/* The file's name in path[PATH_MAX] becomes `name`; false where such a file is not there. */
static bool beside(char *path, const char *name) {
    char *slash = strrchr(path, '/');
    char *at = slash ? slash + 1 : path;
    if ((size_t)(at - path) + strlen(name) >= PATH_MAX) return false;
    strcpy(at, name);
    return access(path, R_OK) == 0;
}

/* Asked before our own library is loaded, and cuBLASLt with it: some 150 MB where no card can use them. */
static bool has_driver(void) {
    void *lib = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (lib) dlclose(lib);
    return lib != NULL;
}

static enum kerr open_card(struct dev **d, int index, const char **why) {
    static char text[PATH_MAX + 300], path[PATH_MAX];
    const char *given = getenv("COADOR_CUDA"), *said = "";
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
    path[n > 0 ? n : 0] = 0;
    bool named = given && *given, there;
    if (named) snprintf(path, sizeof path, "%s", given);
    there = named ? access(path, R_OK) == 0 : beside(path, CUDA_FILE);
    *why = text;
    if (!there) {
        snprintf(text, sizeof text, "this build has no CUDA part (%s is not there)", named ? path : CUDA_FILE " beside the programs");
        return K_DEVICE;
    }
    if (!named && !has_driver()) {
        *why = "no NVIDIA driver is loaded on this machine";
        return K_DEVICE;
    }
    enum kerr rc = open_library(d, path, index, &said);
    *why = said;
    if (rc != K_UNSUPPORTED) return rc;
    if (beside(path, CUDA_FILE_FP16)) return open_library(d, path, index, why);
    snprintf(text, sizeof text, "%s, and %s, which computes in fp16, is not beside the other", said, CUDA_FILE_FP16);
    *why = text;
    return K_DEVICE;
}

static enum kerr open_auto(struct dev **d, int threads, const char **why) {
    const char *given = getenv("COADOR_DEVICE");
    if (given && *given && strcmp(given, "auto")) return dev_open(d, given, threads, why);
    if (open_card(d, 0, why) == K_OK) return K_OK;
    return dev_open(d, "cpu", threads, why);
}

enum kerr dev_open(struct dev **out, const char *name, int threads, const char **why) {
    static const char *const names[] = {"cpu", "ref", "poison"};
    int kind = 0;
    *out = NULL;
    *why = "";
    if (!strcmp(name, "auto")) return open_auto(out, threads, why);
    if (card_of(name) >= 0) return open_card(out, card_of(name), why);
    while (kind < 3 && strcmp(name, names[kind])) kind++;
    if (kind == 3) {
        *why = "no such device: the devices are auto, cpu, cuda and cuda:N";
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
    d->threads = threads;
    *out = d;
    return K_OK;
}
