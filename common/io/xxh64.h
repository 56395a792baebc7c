/* XXH64, the 64-bit hash behind zstd's content checksums (its lower 32 bits). Cyan4973/xxHash, doc/xxhash_spec.md. */
#ifndef COADOR_XXH64_H
#define COADOR_XXH64_H
#include <stddef.h>
#include <stdint.h>
uint64_t xxh64(const void *p, size_t n); /* seed 0 */
#endif
