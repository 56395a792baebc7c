/* Any bytes as a tensor stream: the two readers, of a file and of a pipe, refuse them with a message or give the same
   bytes; what they give is what zstd says is in the frames. The first byte chooses what is made of the rest: 0 is itself;
   else the rest is a safetensors file, put into a stream as the format has it, so that header and names are reached. */
#include "common/io/tstream_frame.h"
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void wrap(struct buf *b, const uint8_t *p, size_t n) {
    struct ts_entry x[64] = {ts_lead_entry};
    unsigned char lead[TS_LEAD];
    size_t count = 1, frame = n / 60 + 1;
    ts_put_lead(lead);
    buf_add(b, lead, TS_LEAD);
    for (size_t at = 0; at < n; at += frame) {
        size_t part = n - at < frame ? n - at : frame, before = b->n;
        ts_put_stored(b, p + at, part);
        x[count++] = (struct ts_entry){(uint32_t)(b->n - before), (uint32_t)part, ts_get32((unsigned char *)b->p + b->n - 4)};
    }
    ts_put_table(b, x, count);
}

/* Reads everything in pieces; false with e when refused. */
static bool read_all(struct tstream *s, struct buf *out, struct err *e) {
    const struct safetensors *h = tstream_header(s);
    uint64_t left = safetensors_begin(h, safetensors_count(h));
    char piece[777];
    for (; left; left -= left < sizeof piece ? left : sizeof piece) {
        size_t n = left < sizeof piece ? (size_t)left : sizeof piece;
        if (tstream_read(s, piece, n, e) < 0) return false;
        buf_add(out, piece, n);
    }
    return true;
}

static void check_names(struct tstream *s, const char *data) {
    const struct safetensors *h = tstream_header(s);
    int n = safetensors_count(h);
    struct tensor *view = calloc((size_t)n + 1, sizeof *view);
    enum tstream_kind *kind = calloc((size_t)n + 1, sizeof *kind);
    struct err e = ERR_INIT;
    int rc = tstream_view(h, view, kind, &e);
    if (rc < 0 && e.code != RC_INPUT) abort();
    for (int i = 0; !rc && i < n; i++) {
        int64_t count = 1;
        for (int k = 0; k < view[i].dims; k++) count *= view[i].shape[k];
        if (view[i].bytes != safetensors_at(h, i)->bytes || dtype_bytes(view[i].type, count) != view[i].bytes) abort();
        if (kind[i] == TSTREAM_PACKED && tstream_file_length(h, &view[i]) > view[i].bytes) abort();
        struct err bad = ERR_INIT;
        if (tstream_check(h, &view[i], kind[i], data + safetensors_begin(h, i), &bad) < 0 && bad.code != RC_INPUT) abort();
    }
    free(view);
    free(kind);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct buf in = BUF_INIT, one = BUF_INIT, two = BUF_INIT;
    struct err e = ERR_INIT, pe = ERR_INIT;
    if (!n) return 0;
    omp_set_num_threads(1);
    if (data[0])
        wrap(&in, data + 1, n - 1);
    else
        buf_add(&in, data + 1, n - 1);
    FILE *f = in.n ? fmemopen(in.p, in.n, "rb") : fopen("/dev/null", "rb");
    struct tstream *file = tstream_over(in.p, in.n, "file", &e), *pipe = tstream_from(f, "pipe", &pe);
    bool a = file && read_all(file, &one, &e), b = pipe && read_all(pipe, &two, &pe);
    if (a != b || (!a && (e.code != RC_INPUT || pe.code != RC_INPUT || strncmp(e.msg, "file: ", 6) || strncmp(pe.msg, "pipe: ", 6)))) abort();
    if (a && (one.n != two.n || (one.n && memcmp(one.p, two.p, one.n)))) abort();
    if (a) check_names(file, one.p ? one.p : "");
    tstream_close(file);
    tstream_close(pipe);
    fclose(f);
    buf_release(&in);
    buf_release(&one);
    buf_release(&two);
    return 0;
}
