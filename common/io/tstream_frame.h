/* The frames of a tensor stream, byte by byte: coador-tensors(5); zstd's in facebook/zstd
   doc/zstd_compression_format.md, the seek table in contrib/seekable_format/zstd_seekable_compression_format.md.
   Private to common/io/tstream_*.c. */
#ifndef COADOR_TSTREAM_FRAME_H
#define COADOR_TSTREAM_FRAME_H
#include "common/io/buf.h"
#include "common/io/err.h"
#include "common/io/tstream.h"

#define TS_LEAD 20             /* bytes of the leading frame */
#define TS_LEAD_MAGIC 0x184D2A5Au
#define TS_ZSTD_MAGIC 0xFD2FB528u
#define TS_TABLE_MAGIC 0x184D2A5Eu
#define TS_ENTRY 12            /* bytes of a table entry */
#define TS_FOOTER 9

struct ts_entry { /* of the seek table */
    uint32_t packed, bytes, check; /* bytes of the frame, of its data; lower half of the data's XXH64 */
};

uint32_t ts_get32(const unsigned char *p); /* little-endian */
void ts_put_lead(unsigned char p[TS_LEAD]);
int ts_check_lead(const unsigned char *p, size_t n, struct err *e);
extern const struct ts_entry ts_lead_entry;

/* Appends the table's frame. */
void ts_put_table(struct buf *b, const struct ts_entry *x, size_t n);
uint64_t ts_table_bytes(size_t n); /* of the whole frame with n entries */
/* Parses a table's frame p[0..size), entries into x (n of them, as ts_table_count gave). */
int ts_table_count(const unsigned char footer[TS_FOOTER], size_t *n, struct err *e);
int ts_read_table(const unsigned char *p, size_t size, struct ts_entry *x, size_t n, struct err *e);

/* Finds the end of a zstd frame from its own bytes. Start with {0}: */
struct ts_scan {
    int stage;
    size_t at, need; /* looked at; bytes from the frame's start that are needed next, never beyond the frame's end */
    size_t content;  /* bytes of data, from stage 2 on */
};
/* p: the frame's first s->need bytes. 1: that is all of it; 0: s->need has grown; -1: not a frame of a tensor stream. */
int ts_scan(struct ts_scan *s, const unsigned char *p, struct err *e);
/* Appends a frame of raw blocks around p[0..n). */
void ts_put_stored(struct buf *b, const void *p, size_t n);
#endif
