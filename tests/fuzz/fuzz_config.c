/* Any bytes as config.json of a model: refused with a message, or a shape within its limits whose rotations are finite. */
#include "common/model/config.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(const struct model_config *c, const char *path) {
    struct err e = ERR_INIT;
    if (config_check(c, path, &e) < 0 || c->n_eos < 0 || c->n_eos > 8) abort();
    float *f = malloc(sizeof *f * (size_t)c->D); /* its first half is filled */
    config_inv_freq(c, f);
    for (int i = 0; i < c->D / 2; i++)
        if (!isfinite(f[i])) abort();
    free(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static int fd = -1;
    static char path[40];
    struct err e = ERR_INIT;
    struct model_config c;
    if (fd < 0) {
        fd = memfd_create("config", 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, data, n, 0) != (ssize_t)n) abort();
    if (config_from_json(&c, path, &e) == 0)
        check(&c, path);
    else if (e.code != RC_INPUT || !e.msg[0])
        abort();
    return 0;
}
