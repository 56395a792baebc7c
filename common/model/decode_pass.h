/* Private to decode*.c: what a decoder holds, and what runs in a call. */
#ifndef COADOR_DECODE_PASS_H
#define COADOR_DECODE_PASS_H
#include "common/model/decode.h"
#include "common/model/kvcache.h"
#include "common/model/llama_pass.h"

/* Calls of one row a sequence, up to so many, are captured as graphs where the device has them, when as many rows have come so often: making
   one takes as long as several calls without. */
#define GRAPH_ROWS 64
#define GRAPH_AFTER 8

/* Neighbouring rows that attention takes at once: with all their past in the cache, one by one or several of each sequence, or beginnings
   of sequences. */
enum stretch_kind { ROW_BY_ROW, CONTINUED, FRESH };
struct stretch {
    enum stretch_kind kind;
    int from, n;
    int S, cu_at; /* not row by row: sequences, and where their starts (S+1) lie in cu */
};

struct decoder {
    const struct model *m;
    const struct lora **a; /* n_a, the array owned */
    int n_a, max_r;        /* largest rank */
    int max_rows, chunk;
    enum compute compute;
    bool packs;            /* fresh and continued sequences by attention of their own: on cards, whose results depend on company anyway */
    struct kvcache kv;
    void *host;            /* a call's rows as they are uploaded */
    int *added;            /* (slots) host: rows of each in this call */
    struct stretch *stretch; /* n_stretches */
    int n_stretches;
    const int32_t *cu;     /* host */
    /* device, one piece of memory */
    void *arena;
    struct acts t;         /* one layer's, used by all */
    void *xn, *xg, *logits, *rows_dev;
    struct choice *how_dev; /* within rows_dev, as the others: where this call's lie */
    int32_t *ids_dev, *seq_dev, *pos_dev, *sel_dev, *cu_dev;
    int32_t *table_dev, *chosen_dev;
    char *pages;           /* L × {keys, values} (n_pages, G, KV_BLOCK, D) */
    size_t page_bytes;     /* of one layer's keys */
    /* graphs of steps of R rows */
    struct kgraph *graph[GRAPH_ROWS + 1];
    unsigned char met[GRAPH_ROWS + 1]; /* calls, up to GRAPH_AFTER */
    bool no_graphs;
    int begun; /* rows whose tokens decoder_choose is to choose */
};
size_t decode_rows_bytes(int max_rows); /* of rows_dev */
/* Cuts the call's rows into d->stretch; gives how many starts it wrote to cu. */
int decode_find_stretches(struct decoder *d, const int32_t *slot, const int32_t *pos, int R, int32_t *cu);
/* Uploaded rows through the model: logits of the wanted ones to the host. */
int decode_run(struct decoder *d, int R, int M, float *logits, struct err *e);
/* The same in two halves, until the first logits are there, and on to the wanted rows' next tokens in d->chosen_dev. */
int decode_begin(struct decoder *d, int R, int M, struct err *e);
void decode_choose(struct decoder *d, int M, const uint32_t *allowed, const uint32_t *seen);
void decode_forget_graphs(struct decoder *d);
#endif
