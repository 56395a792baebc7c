/* Ids to text, whole and streaming. Ill-formed UTF-8 becomes U+FFFD, one for each maximal subpart (Unicode 3.9, table 3-8),
   which is what Rust's from_utf8_lossy and so Hugging Face's ByteLevel decoder do. (Of SentencePiece's kinds it writes one for
   every byte of a run of byte tokens that is ill-formed anywhere; so does nobody else, and it could not be streamed.) */
#include "common/text/tokenizer_impl.h"
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd"

void tokenizer_bytes(const struct tokenizer *t, int32_t id, bool special, struct buf *out) {
    size_t n;
    if (id < 0 || id >= t->n || (t->class[id] == TOKEN_SPECIAL && !special)) return;
    const char *s = bpe_bytes(t->bpe, id, &n);
    if (t->class[id] == TOKEN_BYTE)
        buf_addc(out, (char)spm_byte(s, n));
    else if (t->spm)
        spm_bytes(out, s, n);
    else
        buf_add(out, s, n);
}

/* How s[0..n) starts a character: >0 whole, of so many bytes; 0 a proper beginning; <0 never. n is 1 to 4. */
static int character(const unsigned char *s, int n) {
    unsigned char c = s[0], low = 0x80, high = 0xbf;
    int len = c < 0x80 ? 1 : c < 0xc2 ? -1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : -1;
    if (len < 0) return -1;
    if (c == 0xe0) low = 0xa0;  /* overlong */
    if (c == 0xed) high = 0x9f; /* surrogates */
    if (c == 0xf0) low = 0x90;  /* overlong */
    if (c == 0xf4) high = 0x8f; /* beyond U+10FFFF */
    if (n > 1 && (s[1] < low || s[1] > high)) return -1;
    for (int i = 2; i < n && i < len; i++)
        if ((s[i] & 0xc0) != 0x80) return -1;
    return n >= len ? len : 0;
}

static void feed_byte(struct detok *d, char byte, struct buf *out) {
    d->held[d->n++] = byte;
    int len = character((const unsigned char *)d->held, d->n);
    if (len > 0) {
        buf_add(out, d->held, (size_t)len);
        d->n = 0;
    } else if (len < 0) { /* what was held is a maximal subpart; the byte begins anew, unless it was alone */
        buf_adds(out, REPLACEMENT);
        bool again = d->n > 1;
        d->n = 0;
        if (again) feed_byte(d, byte, out);
    }
}

/* Bytes of s; where the tokenizer puts a space before texts, the first one of all is left out. */
static void feed(struct detok *d, const struct tokenizer *t, const struct buf *s, struct buf *out) {
    size_t i = t->strip && !d->begun && s->n && s->p[0] == ' ';
    d->begun = d->begun || s->n;
    for (; i < s->n; i++) feed_byte(d, s->p[i], out);
}

void detok_feed(struct detok *d, const struct tokenizer *t, int32_t id, struct buf *out) {
    struct buf bytes = BUF_INIT;
    tokenizer_bytes(t, id, false, &bytes);
    feed(d, t, &bytes, out);
    buf_release(&bytes);
}

void detok_flush(struct detok *d, struct buf *out) {
    if (d->n) buf_adds(out, REPLACEMENT);
    d->n = 0;
}

void tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n, bool special, struct buf *out) {
    struct detok d = DETOK_INIT;
    struct buf bytes = BUF_INIT;
    for (size_t i = 0; i < n; i++) tokenizer_bytes(t, ids[i], special, &bytes);
    feed(&d, t, &bytes, out);
    detok_flush(&d, out);
    buf_release(&bytes);
}
