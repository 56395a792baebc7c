/* Frames of a tensor stream: see tstream_frame.h. */
#include "common/io/tstream_frame.h"
#include "common/io/xxh64.h"
#include <inttypes.h>
#include <string.h>

#define BLOCK ((size_t)128 << 10) /* zstd's Block_Maximum_Size */
#define SEEKABLE_MAGIC 0x8F92EAB1u
#define HAS_CHECKSUMS 0x80 /* Seek_Table_Descriptor */

static const unsigned char magic[8] = {'c', 'o', 'a', 'd', 'o', 'r', 'T', 'S'};
const struct ts_entry ts_lead_entry = {TS_LEAD, 0, 0x51D8E999u}; /* XXH64 of nothing is EF46DB3751D8E999 */

uint32_t ts_get32(const unsigned char *p) { return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }

static void set32(unsigned char *p, uint32_t x) {
    for (int i = 0; i < 4; i++) p[i] = (unsigned char)(x >> 8 * i);
}

static void put32(struct buf *b, uint32_t x) {
    unsigned char p[4];
    set32(p, x);
    buf_add(b, p, 4);
}

/* ---- the leading frame ---- */
void ts_put_lead(unsigned char p[TS_LEAD]) {
    set32(p, TS_LEAD_MAGIC);
    set32(p + 4, TS_LEAD - 8);
    memcpy(p + 8, magic, 8);
    set32(p + 16, TSTREAM_VERSION);
}

int ts_check_lead(const unsigned char *p, size_t n, struct err *e) {
    unsigned char good[TS_LEAD];
    ts_put_lead(good);
    if (!n) return err_set(e, RC_INPUT, "empty, expected a tensor stream");
    if (memcmp(p, good, n < 16 ? n : 16)) return err_set(e, RC_INPUT, "not a tensor stream: it does not begin with the leading frame");
    if (n < TS_LEAD) return err_set(e, RC_INPUT, "truncated: %zu bytes, the leading frame has %d", n, TS_LEAD);
    if (ts_get32(p + 16) != TSTREAM_VERSION)
        return err_set(e, RC_INPUT, "tensor stream of version %" PRIu32 ", expected %d", ts_get32(p + 16), TSTREAM_VERSION);
    return 0;
}

/* ---- the seek table ---- */
uint64_t ts_table_bytes(size_t n) { return 8 + TS_ENTRY * (uint64_t)n + TS_FOOTER; }

void ts_put_table(struct buf *b, const struct ts_entry *x, size_t n) {
    put32(b, TS_TABLE_MAGIC);
    put32(b, (uint32_t)(ts_table_bytes(n) - 8));
    for (size_t i = 0; i < n; i++) {
        put32(b, x[i].packed);
        put32(b, x[i].bytes);
        put32(b, x[i].check);
    }
    put32(b, (uint32_t)n);
    buf_addc(b, (char)HAS_CHECKSUMS);
    put32(b, SEEKABLE_MAGIC);
}

int ts_table_count(const unsigned char footer[TS_FOOTER], size_t *n, struct err *e) {
    if (ts_get32(footer + 5) != SEEKABLE_MAGIC) return err_set(e, RC_INPUT, "it does not end in a seek table: truncated, or bytes behind it");
    if (footer[4] != HAS_CHECKSUMS) return err_set(e, RC_INPUT, "seek table with descriptor 0x%02x, expected 0x80: checksums, no other bit", footer[4]);
    *n = ts_get32(footer);
    return 0;
}

int ts_read_table(const unsigned char *p, size_t size, struct ts_entry *x, size_t n, struct err *e) {
    if (size != ts_table_bytes(n) || ts_get32(p) != TS_TABLE_MAGIC || ts_get32(p + 4) != size - 8)
        return err_set(e, RC_INPUT, "the seek table is not a frame of %zu entries", n);
    for (size_t i = 0; i < n; i++, p += TS_ENTRY) x[i] = (struct ts_entry){ts_get32(p + 8), ts_get32(p + 12), ts_get32(p + 16)};
    return 0;
}

/* ---- zstd frames ---- */
/* What zstd itself needs for data that does not compress (ZSTD_compressBound), and a little. */
static size_t frame_limit(size_t content) { return content + content / 256 + 1024; }

static int scan_descriptor(struct ts_scan *s, const unsigned char *p, struct err *e) {
    static const int content_bytes[] = {0, 2, 4, 8};
    unsigned d = p[4];
    bool single = d >> 5 & 1;
    if (ts_get32(p) == TS_TABLE_MAGIC) return err_set(e, RC_INPUT, "the seek table stands here, although data is still missing");
    if (ts_get32(p) != TS_ZSTD_MAGIC) return err_set(e, RC_INPUT, "no zstd frame here, expected magic fd2fb528, found %08" PRIx32, ts_get32(p));
    if (d & 0x1b) return err_set(e, RC_INPUT, "frame descriptor 0x%02x: neither dictionaries nor unused bits are allowed", d);
    if (!(d & 4)) return err_set(e, RC_INPUT, "frame without a checksum");
    int size = content_bytes[d >> 6] + (d >> 6 == 0 && single);
    if (!size) return err_set(e, RC_INPUT, "frame without its content size");
    s->need = 5 + (size_t)!single + (size_t)size;
    return 0;
}

static int scan_content(struct ts_scan *s, const unsigned char *p, struct err *e) {
    bool single = p[4] >> 5 & 1;
    size_t at = 5 + (size_t)!single;
    uint64_t content = 0;
    for (size_t i = s->need; i-- > at;) content = content << 8 | p[i];
    if (p[4] >> 6 == 1) content += 256;
    if (!content || content > TSTREAM_MAX_FRAME)
        return err_set(e, RC_INPUT, "frame of %" PRIu64 " bytes of data, expected 1 to %zu", content, TSTREAM_MAX_FRAME);
    s->content = (size_t)content;
    s->at = s->need;
    s->need += 3;
    return 0;
}

static int scan_block(struct ts_scan *s, const unsigned char *p, struct err *e) {
    uint32_t h = p[s->at] | (uint32_t)p[s->at + 1] << 8 | (uint32_t)p[s->at + 2] << 16;
    uint32_t last = h & 1, type = h >> 1 & 3, size = h >> 3;
    if (type == 3 || size > BLOCK) return err_set(e, RC_INPUT, "broken zstd block: type %" PRIu32 ", %" PRIu32 " bytes", type, size);
    s->at += 3 + (type == 1 ? 1 : size);
    s->need = s->at + (last ? 4 : 3);
    if (s->need > frame_limit(s->content)) return err_set(e, RC_INPUT, "frame longer than its %zu bytes of data allow", s->content);
    return (int)last;
}

int ts_scan(struct ts_scan *s, const unsigned char *p, struct err *e) {
    int rc;
    switch (s->stage) {
    case 0: s->need = 5; break;
    case 1:
        if (scan_descriptor(s, p, e) < 0) return -1;
        break;
    case 2:
        if (scan_content(s, p, e) < 0) return -1;
        break;
    case 3:
        if ((rc = scan_block(s, p, e)) < 0) return -1;
        if (!rc) return 0; /* another block */
        break;
    default: return 1;
    }
    s->stage++;
    return 0;
}

void ts_put_stored(struct buf *b, const void *data, size_t n) {
    const unsigned char *p = data;
    put32(b, TS_ZSTD_MAGIC);
    buf_addc(b, (char)0xa4); /* content size of 4 bytes, single segment, checksum */
    put32(b, (uint32_t)n);
    for (size_t at = 0; at < n;) {
        size_t size = n - at < BLOCK ? n - at : BLOCK;
        uint32_t h = (uint32_t)size << 3 | (at + size == n);
        const unsigned char head[3] = {(unsigned char)h, (unsigned char)(h >> 8), (unsigned char)(h >> 16)};
        buf_add(b, head, 3);
        buf_add(b, p + at, size);
        at += size;
    }
    put32(b, (uint32_t)xxh64(data, n));
}
