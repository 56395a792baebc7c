/* SHA-256 through libcrypto: see sha256.h. */
#include "common/io/sha256.h"
#include "common/io/io.h"
#include <openssl/evp.h>
#include <stdio.h>

static void to_hex(const unsigned char *d, char hex[SHA256_HEX]) {
    for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", d[i]);
}

static void digest(const void *p, size_t n, unsigned char d[32]) {
    if (!EVP_Digest(p, n, d, NULL, EVP_sha256(), NULL)) BUG("SHA-256 is not available in libcrypto");
}

void sha256_hex(const void *p, size_t n, char hex[SHA256_HEX]) {
    unsigned char d[32];
    digest(p, n, d);
    to_hex(d, hex);
}

unsigned long long sha256_u64(const void *p, size_t n) {
    unsigned char d[32];
    unsigned long long v = 0;
    digest(p, n, d);
    for (int i = 0; i < 8; i++) v = v << 8 | d[i];
    return v;
}

int sha256_file(const char *path, char hex[SHA256_HEX], struct err *e) {
    FILE *f = fopen(path, "rb");
    if (!f) return err_sys(e, "cannot open %s", path);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    unsigned char d[32], piece[1 << 16];
    size_t n;
    if (!c || !EVP_DigestInit_ex(c, EVP_sha256(), NULL)) BUG("SHA-256 is not available in libcrypto");
    while ((n = fread(piece, 1, sizeof piece, f)) > 0) EVP_DigestUpdate(c, piece, n);
    int bad = ferror(f);
    EVP_DigestFinal_ex(c, d, NULL);
    EVP_MD_CTX_free(c);
    fclose(f);
    if (bad) return err_sys(e, "cannot read %s", path);
    to_hex(d, hex);
    return 0;
}
