/* How often each 64-bit hash has come, in memory that does not grow: the newest ones stand in a table, the others in sorted
   runs, nameless files in TMPDIR of 16 bytes a hash. A filter (Bloom's, each hash in one cache line: Putze, Sanders, Singler
   2007) says of a new hash that no run has it, wrongly of 2 in 10,000 after a million and of one in four after ten, which
   then cost a few reads each. Hashes must be spread evenly, as those of SHA-256 and XXH64 are. */
#ifndef COADOR_ROWCOUNT_H
#define COADOR_ROWCOUNT_H
#include "common/io/err.h"
#include <stddef.h>
#include <stdint.h>

#define ROWCOUNT_TABLE ((size_t)1 << 17) /* places; three quarters are filled before they go to a run */

struct rowcount;
/* places: of the table, a power of two from 64 on. give: rowcount_free. */
struct rowcount *rowcount_new(size_t places);
void rowcount_free(struct rowcount *c);
/* Fetches what rowcount_add will look at. */
void rowcount_ahead(const struct rowcount *c, uint64_t hash);
/* Counts hash once more: *times is how often it has come, or -1 when a file fails (RC_IO). */
int rowcount_add(struct rowcount *c, uint64_t hash, uint32_t *times, struct err *e);
#endif
