/* A pass's layers as graphs: the same shape comes again with every few batches, and some thousand launches become two. The head between
   them runs on just the rows that are trained and is a handful of launches; it is never part of a graph. */
#include "common/model/llama_pass.h"
#include <stdlib.h>

struct graph_key { /* all that the launches of a pass depend on but the batch itself */
    struct shape shape; /* but cu */
    bool drops;
    uint64_t seed;
    const struct lora *a;
    const float *grad;
};
struct pass_graph {
    struct graph_key key;
    bool met;      /* it ran, launch by launch: the ops have their scratch */
    uint64_t used; /* when */
    struct kgraph *part[N_PARTS];
};
struct pass_graphs {
    struct pass_graph v[LLAMA_GRAPHS];
    uint64_t clock;
};

static bool same_key(const struct graph_key *a, const struct graph_key *b) {
    return a->shape.R == b->shape.R && a->shape.S == b->shape.S && a->shape.longest == b->shape.longest && a->drops == b->drops && a->seed == b->seed && a->a == b->a && a->grad == b->grad;
}

static void forget(struct dev *d, struct pass_graph *g) {
    for (int i = 0; i < N_PARTS; i++)
        if (g->part[i]) d->graph_free(d->ctx, g->part[i]);
    *g = (struct pass_graph){0};
}

struct pass_graph *graphs_find(struct llama_pass *p, const struct run *r, const float *grad) {
    struct pass_graphs *all = p->graphs;
    struct graph_key key = {p->shape, r->drop != NULL, r->drop ? r->drop->seed : 0, r->a[0], grad};
    if (!all || !p->pads) return NULL;
    struct pass_graph *oldest = &all->v[0];
    for (int i = 0; i < LLAMA_GRAPHS; i++) {
        struct pass_graph *g = &all->v[i];
        if (g->used && same_key(&g->key, &key)) {
            g->used = ++all->clock;
            return g;
        }
        if (g->used < oldest->used) oldest = g;
    }
    forget(p->m->d, oldest);
    *oldest = (struct pass_graph){.key = key, .used = ++all->clock};
    return oldest;
}

int graphs_run(struct llama_pass *p, struct pass_graph *g, enum part part, pass_part_fn *f, const struct run *r, float *grad, struct err *e) {
    struct dev *d = p->m->d;
    if (!g || !g->met) {
        f(p, r, grad);
        if (g) g->met = part == N_PARTS - 1;
        return 0;
    }
    struct kgraph **k = &g->part[part];
    if (*k && !d->graph_holds(d->ctx, *k)) {
        d->graph_free(d->ctx, *k);
        *k = NULL;
    }
    enum kerr rc = K_OK;
    if (!*k) {
        rc = d->graph_begin(d->ctx);
        if (rc == K_OK) {
            f(p, r, grad);
            rc = d->graph_end(d->ctx, k);
        }
    }
    if (rc == K_OK) rc = d->graph_launch(d->ctx, *k);
    return dev_err(d, rc, e, "the graph of a pass", 0);
}

/* Whether the device has graphs: an empty one tells. */
bool graphs_able(struct dev *d) {
    struct kgraph *g = NULL;
    if (d->graph_begin(d->ctx) != K_OK) return false;
    if (d->graph_end(d->ctx, &g) != K_OK) return false;
    d->graph_free(d->ctx, g);
    return true;
}

void llama_pass_graphs(struct llama_pass *p, bool on) {
    if (on && p->pads && !p->graphs) p->graphs = xcalloc(1, sizeof *p->graphs);
    if (on || !p->graphs) return;
    for (int i = 0; i < LLAMA_GRAPHS; i++) forget(p->m->d, &p->graphs->v[i]);
    free(p->graphs);
    p->graphs = NULL;
}
