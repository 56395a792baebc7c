/* Private to decode*.c: what a decoder holds, and what runs in a call. */
#ifndef COADOR_DECODE_PASS_H
#define COADOR_DECODE_PASS_H
#include "common/model/decode.h"
#include "common/model/kvcache.h"
#include "common/model/llama_pass.h"

/* Calls of one row a sequence, up to so many, are captured as graphs where the device has them. */
#define GRAPH_ROWS 64

/* Neighbouring rows that attention takes at once: whole beginnings of sequences, or rows whose past lies in the cache. */
struct stretch {
    int from, n;
    int S, cu_at; /* fresh: sequences, and where their starts (S+1) lie in cu; S 0: not fresh */
};

struct decoder {
    const struct model *m;
    const struct lora **a; /* n_a, the array owned */
    int n_a, max_r;        /* largest rank */
    int max_rows, chunk;
    enum compute compute;
    bool packs;            /* fresh sequences by packed attention: on cards, whose results depend on company anyway */
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
    double *u_dev;         /* within rows_dev, as the others: where this call's lie */
    int32_t *ids_dev, *seq_dev, *pos_dev, *sel_dev, *cu_dev;
    int32_t *table_dev, *chosen_dev;
    char *pages;           /* L × {keys, values} (n_pages, G, KV_BLOCK, D) */
    size_t page_bytes;     /* of one layer's keys */
    /* graphs of steps of R rows; made when a size comes the second time */
    struct kgraph *graph[GRAPH_ROWS + 1];
    bool met[GRAPH_ROWS + 1], no_graphs;
    float graph_temperature;
};
size_t decode_rows_bytes(int max_rows); /* of rows_dev */
/* Cuts the call's rows into d->stretch; gives how many starts it wrote to cu. */
int decode_find_stretches(struct decoder *d, const int32_t *slot, const int32_t *pos, int R, int32_t *cu);
/* Uploaded rows through the model: logits of the wanted ones to the host, or their next tokens to d->chosen_dev. */
int decode_run(struct decoder *d, int R, int M, float *logits, struct err *e);
int decode_run_choose(struct decoder *d, int R, int M, float temperature, struct err *e);
void decode_forget_graphs(struct decoder *d);
#endif
