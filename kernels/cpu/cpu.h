/* Inside the CPU backend: the context and what its files share. Not for layers above. */
#ifndef COADOR_CPU_H
#define COADOR_CPU_H
#include "kernels/cpu/pool.h"
#include "kernels/device.h"

struct cpu_block { /* one piece of memory that the device gave */
    void *p;
    size_t bytes;
    bool mapped; /* by mmap */
};

struct kctx {
    struct dev *dev;
    int threads;
    bool avx2; /* AVX2, FMA and F16C are there */
    bool vnni; /* and AVX-512 VNNI for 256 bits */
    bool poison;
    enum kerr status; /* first failure since the last sync */
    const char *error;
    struct cpu_block *blocks;
    int n_blocks, cap_blocks;
    struct pool *pool;
    char *shared;       /* CPU_SHARED_BYTES for all threads of an op */
    char *local;        /* threads × CPU_LOCAL_BYTES */
};
#define CPU_SHARED_BYTES ((size_t)4 << 20)
#define CPU_LOCAL_BYTES ((size_t)1 << 20)

/* Memory of thread i, 64-byte aligned. */
static inline void *cpu_local(const struct kctx *k, int i) { return k->local + (size_t)i * CPU_LOCAL_BYTES; }
/* Keeps the first failure of an op for sync; text is static. */
void cpu_fail(struct kctx *k, enum kerr status, const char *text);
bool cpu_has_avx2(void), cpu_has_vnni(void);
void cpu_set_verbs(struct dev *d);
enum kerr cpu_open(struct dev **d, const char *name, int threads, const char **why);
/* Elementwise work is cut in pieces of about this many values. */
#define CPU_SPAN 8192
/* Rows of C values in such a piece */
static inline int64_t cpu_rows(int64_t C) { return C < CPU_SPAN ? CPU_SPAN / C : 1; }
/* kernels/cpu/poison.c: the cpu table whose memory is closed to everyone outside ops and verbs. */
enum kerr poison_block(struct kctx *k, void **p, size_t bytes);
void poison_gate(struct kctx *k, bool open);
void poison_set_ops(struct dev *d);

/* Functions for AVX2 machines: called only where kctx.avx2 is set. */
#if defined(__x86_64__)
#define CPU_X86 1
#define AVX2 __attribute__((target("avx2,fma,f16c")))
#else
#define CPU_X86 0
#endif
#endif
