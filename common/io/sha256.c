/* SHA-256 through libcrypto: see sha256.h. */
#include "common/io/sha256.h"
#include "common/io/io.h"
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>

static void to_hex(const unsigned char *d, char hex[SHA256_HEX]) {
    for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", d[i]);
}

/* One context a thread: making one looks the algorithm up under a lock, which costs more than a short text. */
static pthread_key_t contexts;
static void free_context(void *c) { EVP_MD_CTX_free(c); }
static void make_key(void) {
    if (pthread_key_create(&contexts, free_context)) BUG("no thread-specific memory");
}

static void digest(const void *p, size_t n, unsigned char d[32]) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_key);
    EVP_MD_CTX *c = pthread_getspecific(contexts);
    if (!c)
        pthread_setspecific(contexts, c = (EVP_MD_CTX *)sha256_new());
    else if (!EVP_DigestInit_ex(c, NULL, NULL))
        BUG("SHA-256 cannot be started again");
    if (!EVP_DigestUpdate(c, p, n) || !EVP_DigestFinal_ex(c, d, NULL)) BUG("SHA-256 is not available in libcrypto");
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

/* The struct is OpenSSL's under our name: nothing else is kept. */
struct sha256 *sha256_new(void) {
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    if (!c || !EVP_DigestInit_ex(c, EVP_sha256(), NULL)) BUG("SHA-256 is not available in libcrypto");
    return (struct sha256 *)c;
}

void sha256_add(struct sha256 *s, const void *p, size_t n) { EVP_DigestUpdate((EVP_MD_CTX *)s, p, n); }

void sha256_end(struct sha256 *s, char hex[SHA256_HEX]) {
    unsigned char d[32];
    EVP_DigestFinal_ex((EVP_MD_CTX *)s, d, NULL);
    EVP_MD_CTX_free((EVP_MD_CTX *)s);
    to_hex(d, hex);
}

int sha256_file(const char *path, char hex[SHA256_HEX], struct err *e) {
    FILE *f = fopen(path, "rb");
    if (!f) return err_sys(e, "cannot open %s", path);
    struct sha256 *s = sha256_new();
    unsigned char piece[1 << 16];
    size_t n;
    while ((n = fread(piece, 1, sizeof piece, f)) > 0) sha256_add(s, piece, n);
    int bad = ferror(f);
    sha256_end(s, hex);
    fclose(f);
    return bad ? err_sys(e, "cannot read %s", path) : 0;
}
