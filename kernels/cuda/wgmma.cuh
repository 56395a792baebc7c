/* Hopper's product of a warp group (PTX ISA, wgmma.mma_async; sm_90a alone): 64 × 64 × 16 in bf16 with f32 sums. Its factors are tiles
   in shared memory of rows of 64 values (128 bytes) in the hardware's 128-byte swizzle, which is chunk_at's order, from an
   address that 1,024 divides; the left one may also be registers. A warp of the group holds 16 rows of the result in the order of
   mma.m16n8k16. */
#ifndef COADOR_CUDA_WGMMA_CUH
#define COADOR_CUDA_WGMMA_CUH
#include "kernels/cuda/attention.cuh"
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define HAS_WGMMA 1
#endif

/* Descriptor of a tile from address `at` on: eight rows lie 1,024 bytes apart. */
__device__ inline uint64_t tile_at(uint32_t at) { return (uint64_t)((at & 0x3ffff) >> 4) | 1ull << 16 | 64ull << 32 | 1ull << 62; }

__device__ inline void group_begin() {
#ifdef HAS_WGMMA
    asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory");
#endif
}
__device__ inline void group_end() {
#ifdef HAS_WGMMA
    asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory");
#endif
}
/* All but the last N groups have ended. */
template <int N> __device__ inline void group_wait() {
#ifdef HAS_WGMMA
    asm volatile("wgmma.wait_group.sync.aligned %0;\n" ::"n"(N) : "memory");
#endif
}
/* What ordinary stores (cp.async too) put into shared memory becomes visible to wgmma; then a barrier. */
__device__ inline void shared_for_group() {
#ifdef HAS_WGMMA
    asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
#endif
}

#define D4(c, n) "+f"(c[n][0]), "+f"(c[n][1]), "+f"(c[n][2]), "+f"(c[n][3])
#define D32(c) D4(c, 0), D4(c, 1), D4(c, 2), D4(c, 3), D4(c, 4), D4(c, 5), D4(c, 6), D4(c, 7)
#define REGISTERS "{%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31}"

/* c = or += 64 rows at x · (64 rows at y)ᵀ over 16 columns; onto: added. */
__device__ inline void group_rows_by_rows(float (&c)[8][4], uint32_t x, uint32_t y, int onto) {
#ifdef HAS_WGMMA
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %34, 0;\nwgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " REGISTERS ", %32, %33, p, 1, 1, 0, 0;\n}\n"
                 : D32(c) : "l"(tile_at(x)), "l"(tile_at(y)), "r"(onto));
#endif
}
/* The same, c's earlier values being none: products before it may still run. */
#define E4(c, n) "=f"(c[n][0]), "=f"(c[n][1]), "=f"(c[n][2]), "=f"(c[n][3])
__device__ inline void group_first_rows(float (&c)[8][4], uint32_t x, uint32_t y) {
#ifdef HAS_WGMMA
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, 0, 0;\nwgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " REGISTERS ", %32, %33, p, 1, 1, 0, 0;\n}\n"
                 : E4(c, 0), E4(c, 1), E4(c, 2), E4(c, 3), E4(c, 4), E4(c, 5), E4(c, 6), E4(c, 7) : "l"(tile_at(x)), "l"(tile_at(y)));
#endif
}
/* c += a (64 × 16, in registers) · 16 rows at y of 64 columns */
__device__ inline void group_by_tile(float (&c)[8][4], const uint32_t a[4], uint32_t y) {
#ifdef HAS_WGMMA
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 " REGISTERS ", {%32,%33,%34,%35}, %36, 1, 1, 1, 1;\n"
                 : D32(c) : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(tile_at(y)));
#endif
}
/* The same over 64 columns, and over 64 rows of y. */
__device__ inline void group_scores(float (&c)[8][4], uint32_t x, uint32_t y) {
    group_first_rows(c, x, y);
#pragma unroll
    for (int s = 1; s < 4; s++) group_rows_by_rows(c, x + 32 * s, y + 32 * s, 1);
}
__device__ inline void group_apply(float (&c)[8][4], const uint32_t (&a)[4][4], uint32_t y) {
#pragma unroll
    for (int s = 0; s < 4; s++) group_by_tile(c, a[s], y + 2048 * s);
}
__device__ inline void as_left(uint32_t (&a)[4][4], const float (&c)[8][4]) {
#pragma unroll
    for (int s = 0; s < 4; s++) left_of<8>(a[s], c, s);
}
#endif
