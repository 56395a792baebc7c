/* The CPU's device verbs: memory, copies, and a stream on which everything runs at once. */
#include "kernels/cpu/cpu.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_BYTES ((size_t)1 << 20) /* from here on memory is mapped, so that freeing gives it back */

void cpu_fail(struct kctx *k, enum kerr status, const char *text) {
    if (k->status != K_OK) return;
    k->status = status;
    k->error = text;
}

static enum kerr memory_info(struct kctx *k, size_t *free_bytes, size_t *total_bytes) {
    unsigned long long kib, total = 0, avail = 0;
    char line[128];
    FILE *f = fopen("/proc/meminfo", "re");
    if (!f) return K_DEVICE;
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "MemTotal: %llu", &kib) == 1) total = kib;
        if (sscanf(line, "MemAvailable: %llu", &kib) == 1 || sscanf(line, "SwapFree: %llu", &kib) == 1) avail += kib;
    }
    fclose(f);
    *free_bytes = (size_t)avail << 10;
    *total_bytes = (size_t)total << 10;
    return total ? K_OK : K_DEVICE;
}

/* Mapped memory is checked against what the machine has left: the kernel would promise more than that, and kill us later. */
static enum kerr map_block(struct kctx *k, void **p, size_t bytes) {
    size_t left, total;
    if (memory_info(k, &left, &total) == K_OK && bytes > left) return K_NOMEM;
    *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (*p == MAP_FAILED) return K_NOMEM;
    madvise(*p, bytes, MADV_HUGEPAGE);
    return K_OK;
}

static enum kerr plain_block(void **p, size_t bytes) {
    *p = aligned_alloc(64, bytes ? (bytes + 63) & ~(size_t)63 : 64);
    return *p ? K_OK : K_NOMEM;
}

static enum kerr grow(struct kctx *k) {
    if (k->n_blocks < k->cap_blocks) return K_OK;
    int cap = k->cap_blocks ? 2 * k->cap_blocks : 64;
    struct cpu_block *b = realloc(k->blocks, (size_t)cap * sizeof *b);
    if (!b) return K_NOMEM;
    k->blocks = b;
    k->cap_blocks = cap;
    return K_OK;
}

static enum kerr cpu_alloc(struct kctx *k, void **p, size_t bytes) {
    bool mapped = k->poison || bytes >= HUGE_BYTES;
    *p = NULL;
    if (bytes > SIZE_MAX / 2 || grow(k) != K_OK) return K_NOMEM;
    void *q;
    enum kerr rc = k->poison ? poison_block(k, &q, bytes) : mapped ? map_block(k, &q, bytes) : plain_block(&q, bytes);
    if (rc != K_OK) return rc;
    k->blocks[k->n_blocks++] = (struct cpu_block){q, bytes, mapped};
    *p = q;
    return K_OK;
}

static void release(struct cpu_block *b) {
    if (b->mapped)
        munmap(b->p, b->bytes ? b->bytes : 1);
    else
        free(b->p);
}

static void cpu_free(struct kctx *k, void *p) {
    for (int i = k->n_blocks - 1; i >= 0; i--) {
        if (k->blocks[i].p != p) continue;
        release(&k->blocks[i]);
        k->blocks[i] = k->blocks[--k->n_blocks];
        return;
    }
}

static enum kerr cpu_copy(struct kctx *k, void *dst, const void *src, size_t bytes) {
    if (k->poison) poison_gate(k, true);
    if (bytes) memmove(dst, src, bytes);
    if (k->poison) poison_gate(k, false);
    return K_OK;
}

static enum kerr cpu_zero(struct kctx *k, void *dst, size_t bytes) {
    if (k->poison) poison_gate(k, true);
    if (bytes) memset(dst, 0, bytes);
    if (k->poison) poison_gate(k, false);
    return K_OK;
}

static enum kerr host_alloc(struct kctx *k, void **p, size_t bytes) { return plain_block(p, bytes); }
static void host_free(struct kctx *k, void *p) { free(p); }

static enum kerr map_host(struct kctx *k, const void **dev, const void *host, size_t bytes) {
    if (!k->poison) {
        *dev = host;
        return K_OK;
    }
    void *p;
    enum kerr rc = cpu_alloc(k, &p, bytes);
    if (rc == K_OK) cpu_copy(k, p, host, bytes);
    *dev = p;
    return rc;
}

static void unmap_host(struct kctx *k, const void *dev) {
    if (k->poison) cpu_free(k, (void *)(uintptr_t)dev);
}

static enum kerr cpu_sync(struct kctx *k) {
    enum kerr rc = k->status;
    k->status = K_OK;
    return rc;
}

static const char *error_text(struct kctx *k) { return k->error ? k->error : "no error"; }

/* Everything queued has already run, so every event is the same one. */
struct kevent { int unused; };
static struct kevent *event_record(struct kctx *k) {
    static struct kevent done;
    return &done;
}
static enum kerr event_wait(struct kctx *k, struct kevent *e) { return cpu_sync(k); }
static enum kerr graph_begin(struct kctx *k) { return K_UNSUPPORTED; }
static enum kerr graph_end(struct kctx *k, struct kgraph **g) {
    *g = NULL;
    return K_UNSUPPORTED;
}
static enum kerr graph_launch(struct kctx *k, struct kgraph *g) { return K_UNSUPPORTED; }
static bool graph_holds(struct kctx *k, const struct kgraph *g) { return false; }
static void graph_free(struct kctx *k, struct kgraph *g) {}

static void cpu_close(struct dev *d) {
    struct kctx *k = d->ctx;
    for (int i = 0; i < k->n_blocks; i++) release(&k->blocks[i]);
    free(k->blocks);
    pool_free(k->pool);
    if (k->shared) munmap(k->shared, CPU_SHARED_BYTES);
    if (k->local) munmap(k->local, CPU_LOCAL_BYTES * (size_t)k->threads);
    free(k);
    free(d);
}

void cpu_set_verbs(struct dev *d) {
    d->alloc = cpu_alloc;
    d->free = cpu_free;
    d->upload = d->download = d->copy = d->fetch = cpu_copy;
    d->host_alloc = host_alloc;
    d->host_free = host_free;
    d->zero = cpu_zero;
    d->map_host = map_host;
    d->unmap_host = unmap_host;
    d->memory_info = memory_info;
    d->sync = cpu_sync;
    d->error_text = error_text;
    d->event_record = event_record;
    d->event_wait = event_wait;
    d->graph_begin = graph_begin;
    d->graph_end = graph_end;
    d->graph_launch = graph_launch;
    d->graph_holds = graph_holds;
    d->graph_free = graph_free;
    d->close = cpu_close;
}

/* Scratch is address space until an op touches it. */
static char *scratch(size_t bytes) {
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

enum kerr cpu_open(struct dev **out, const char *name, int threads, const char **why) {
    struct dev *d = calloc(1, sizeof *d);
    struct kctx *k = calloc(1, sizeof *k);
    if (!d || !k) {
        free(d);
        free(k);
        *why = "out of memory";
        return K_NOMEM;
    }
    *d = (struct dev){.name = name, .act = DT_F32, .ctx = k};
    cpu_set_verbs(d);
    k->dev = d;
    k->threads = threads;
    k->avx2 = cpu_has_avx2();
    k->vnni = cpu_has_vnni();
    k->shared = scratch(CPU_SHARED_BYTES);
    k->local = scratch(CPU_LOCAL_BYTES * (size_t)threads);
    k->pool = pool_new(threads);
    if (!k->shared || !k->local || !k->pool) {
        cpu_close(d);
        *why = "no memory, or no threads";
        return K_NOMEM;
    }
    *out = d;
    return K_OK;
}
