/* Hopper's bulk tensor copies and the barriers that count them (PTX ISA: cp.async.bulk.tensor, mbarrier; sm_90). Addresses are
   those of shared memory, 32 bits. A phase of a barrier ends when all arrivals and all announced bytes have come. */
#ifndef COADOR_CUDA_TMA_CUH
#define COADOR_CUDA_TMA_CUH
#include <cuda.h>
#include <stdint.h>
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
#define HAS_TMA 1
#endif

#ifdef HAS_TMA
__device__ inline void barrier_init(uint32_t bar, int arrivals) { asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(bar), "r"(arrivals)); }
/* One arrival, and as many bytes that copies will bring. */
__device__ inline void barrier_expect(uint32_t bar, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;\n" ::"r"(bar), "r"(bytes) : "memory");
}
/* An arrival at the barrier that lies at the same place in block `rank` of the cluster. It orders no memory beyond the block: for what
   wgmma has read, whose end was waited for (an order of the cluster would be a fence of the whole card, at each step). */
__device__ inline void barrier_arrive_at(uint32_t bar, int rank) {
    asm volatile("{\n.reg .b32 a;\nmapa.shared::cluster.u32 a, %0, %1;\nmbarrier.arrive.shared::cluster.b64 _, [a];\n}\n" ::"r"(bar), "r"(rank) : "memory");
}
__device__ inline void barrier_wait(uint32_t bar, int phase) {
    asm volatile("{\n.reg .pred p;\nWAIT:\nmbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n@!p bra WAIT;\n}\n" ::"r"(bar), "r"(phase) : "memory");
}
/* A box of a matrix at (column, row) to shared memory */
__device__ inline void box_load(uint32_t to, const CUtensorMap *m, int column, int row, uint32_t bar) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];\n" ::"r"(to), "l"(m), "r"(column), "r"(row), "r"(bar) : "memory");
}
/* The same to each block of the cluster in `mask`, and their barriers */
__device__ inline void box_load_all(uint32_t to, const CUtensorMap *m, int column, int row, uint32_t bar, uint16_t mask) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%2, %3}], [%4], %5;\n" ::"r"(to), "l"(m), "r"(column), "r"(row), "r"(bar), "h"(mask)
                 : "memory");
}
__device__ inline void box_store(const CUtensorMap *m, int column, int row, uint32_t from) {
    asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%0, {%1, %2}], [%3];\n" ::"l"(m), "r"(column), "r"(row), "r"(from) : "memory");
}
__device__ inline void stores_issued() { asm volatile("cp.async.bulk.commit_group;\n" ::: "memory"); }
/* This thread's stores no longer read shared memory. */
__device__ inline void stores_read() { asm volatile("cp.async.bulk.wait_group.read 0;\n" ::: "memory"); }
__device__ inline void stores_done() { asm volatile("cp.async.bulk.wait_group 0;\n" ::: "memory"); }
__device__ inline int cluster_rank() {
    int r;
    asm("mov.u32 %0, %%cluster_ctarank;\n" : "=r"(r));
    return r;
}
__device__ inline void cluster_sync() { asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;\n" ::: "memory"); }
__device__ inline void barriers_made() { asm volatile("fence.mbarrier_init.release.cluster;\n" ::: "memory"); }
#endif
#endif
