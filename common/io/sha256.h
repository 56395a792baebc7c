/* SHA-256 through libcrypto. */
#ifndef COADOR_SHA256_H
#define COADOR_SHA256_H
#include "common/io/err.h"
#include <stddef.h>

#define SHA256_HEX 65 /* 64 digits and a NUL */
/* Lower-case hex digest of n bytes into hex. */
void sha256_hex(const void *p, size_t n, char hex[SHA256_HEX]);
/* Of bytes that come in pieces. sha256_end gives the hex digest and frees. */
struct sha256;
struct sha256 *sha256_new(void);
void sha256_add(struct sha256 *s, const void *p, size_t n);
void sha256_end(struct sha256 *s, char hex[SHA256_HEX]);
/* Of a file's content, read in pieces. */
int sha256_file(const char *path, char hex[SHA256_HEX], struct err *e);
/* First 8 bytes of the digest as a big-endian integer: the base of content-keyed choices (splits, ids). */
unsigned long long sha256_u64(const void *p, size_t n);
#endif
