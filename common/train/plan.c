/* Passes chosen by memory and time: see plan.h. */
#include "common/train/plan.h"
#include <math.h>
#include <stdio.h>

#define MIB(bytes) ((double)(bytes) / 1048576.0)
enum { PARTS = 16, LEAST_CHUNK = 512 };

/* Time of a token, in that of a large pass that keeps all. Decoding packed weights for a pass takes as long as some 40 rows of
   it on a CPU, as some 430 on a card (NF4 on an H100, small passes among it); of a step, computing gate and up again is 13.5 %, all the
   rest of a layer but the projection down 9 %; moments on the host take as long as 240 tokens a step (kernels/cuda/NOTES.md). Of rows of one length a pass holds a whole number. */
static double cost(const struct estimate_of *of, const struct pass_size *p, int longest) {
    double L = of->c.L, rows = p->R / longest * longest, step = (double)of->seqs * longest;
    double mlp = p->mlp_again > 1 ? p->mlp_again - 1 : 0, rest = p->layers_again > 1 ? p->layers_again - 1 : 0;
    if (rows > step) rows = step;
    return (1 + (of->paged ? 240 : 0) / step) * (1 + (0.135 * mlp + 0.09 * rest) / L) * (1 + (of->d->own_bytes ? 430 : 40) / rows) * (1 + 13.0 / pass_chunk(p, of->d->act));
}

static bool fits(const struct estimate_of *of, const struct pass_size *p, size_t limit) { return estimate_pass(of, p).total <= limit; }

/* The fewest layers_again, from p's to mlp_again, with which p fits; false where it does not even with all. */
static bool fewest_layers(const struct estimate_of *of, struct pass_size *p, size_t limit) {
    int low = p->layers_again, high = p->mlp_again;
    p->layers_again = high;
    if (!fits(of, p, limit)) return false;
    while (low < high) {
        p->layers_again = low + (high - low) / 2;
        if (fits(of, p, limit)) high = p->layers_again;
        else low = p->layers_again + 1;
    }
    p->layers_again = high;
    return true;
}

/* Takes what is better than *best of the passes of p's rows and chunk; best->R 0: none yet. */
static void try_again(const struct estimate_of *of, const struct pass_size *p, size_t limit, int longest, struct pass_size *best) {
    for (int mlp = p->mlp_again; mlp <= of->c.L; mlp++) {
        struct pass_size q = *p;
        q.mlp_again = mlp;
        if (fewest_layers(of, &q, limit) && (!best->R || cost(of, &q, longest) < cost(of, best, longest))) *best = q;
    }
}

/* Half the rows of logits, and so on: where the device takes many. 0: no fewer. */
static int fewer(int chunk) { return chunk / 2 >= LEAST_CHUNK ? chunk / 2 : 0; }

static int nothing_fits(const struct estimate_of *of, int longest, const struct pass_size *asked, struct err *e) {
    struct pass_size p = {.R = longest, .layers_again = of->c.L, .mlp_again = of->c.L, .e4m3 = asked->e4m3};
    for (int chunk = pass_chunk(&p, of->d->act); chunk; chunk = fewer(chunk)) p.chunk = chunk;
    if (asked->chunk) p.chunk = asked->chunk;
    struct estimate x = estimate_pass(of, &p);
    char rows[80] = "however short its rows are";
    if (longest > 1) snprintf(rows, sizeof rows, "with its longest row of %d tokens", longest);
    return err_set(e, RC_IO, "training takes at least %.0f MiB %s (weights %.0f, adapter %.0f, the pass %.0f, the rest %.0f): "
        "a packed base, a smaller rank or shorter rows take less", MIB(x.total), rows, MIB(x.weights), MIB(x.adapter), MIB(x.activations + x.logits + x.scratch),
        MIB(x.saving + x.runtime));
}

static bool fastest(const struct estimate_of *of, size_t limit, int longest, struct pass_size *size) {
    struct pass_size best = {0}, p = *size;
    int most = size->R > longest ? size->R : longest;
    for (int parts = 1;; parts += parts < PARTS ? 1 : parts) { /* then by halves, down to the longest row alone */
        p.R = most / parts > longest ? most / parts : longest;
        p.chunk = size->chunk;
        for (int chunk = pass_chunk(&p, of->d->act); chunk; chunk = fewer(chunk)) {
            try_again(of, &p, limit, longest, &best);
            p.chunk = fewer(chunk);
        }
        if (p.R == longest) break;
    }
    if (best.R) *size = best;
    return best.R;
}

int plan_fit(struct estimate_of *of, size_t limit, int longest, struct pass_size *size, struct err *e) {
    struct estimate_of host = *of;
    struct pass_size here = *size, there = *size;
    bool fits = fastest(of, limit, longest, &here), pages = false;
    host.paged = of->paged || of->d->alloc_paged;
    if (host.paged != of->paged) pages = fastest(&host, limit, longest, &there) && (!fits || cost(&host, &there, longest) < cost(of, &here, longest));
    if (!fits && !pages) return nothing_fits(&host, longest, size, e);
    of->paged |= pages;
    *size = pages ? there : here;
    return 0;
}

int plan_check(const struct estimate_of *of, int longest, const struct pass_size *size, struct err *e) {
    struct pass_size p = *size, other = *size;
    struct estimate_of way_of = *of;
    struct buf way = BUF_INIT;
    if (p.R < longest) p.R = longest;
    struct estimate x = estimate_pass(of, &p);
    if (x.total <= of->room) return 0;
    if (plan_fit(&way_of, of->room, longest, &other, e) == 0) {
        buf_addf(&way, "--memory-limit %.0fM takes ", floor(MIB(of->room)));
        plan_put(&way_of, &other, &way);
    } else
        buf_adds(&way, e->msg);
    err_set(e, RC_IO, "training needs %.0f MiB on %s (weights %.0f, adapter %.0f, activations %.0f, logits %.0f, scratch %.0f, context %.0f), which has %.0f for it: %s",
        MIB(x.total), of->d->name, MIB(x.weights), MIB(x.adapter), MIB(x.activations), MIB(x.logits), MIB(x.scratch), MIB(x.runtime), MIB(of->room), way.p);
    buf_release(&way);
    return -1;
}

void plan_put(const struct estimate_of *of, const struct pass_size *p, struct buf *out) {
    int layers = of->c.L, whole = p->layers_again > 1 ? p->layers_again : 0, mlp = p->mlp_again > 1 ? p->mlp_again : 0;
    buf_addf(out, "passes of %d tokens", p->R);
    if (p->chunk) buf_addf(out, ", logits of %d", p->chunk);
    if (mlp) buf_adds(out, "; not kept for the backward: ");
    if (whole) buf_addf(out, "%d of %d layers", whole, layers);
    if (whole && mlp > whole) buf_addf(out, ", gate and up of %d more", mlp - whole);
    if (!whole && mlp) buf_addf(out, "gate and up of %d of %d layers", mlp, layers);
    if (of->paged) buf_adds(out, "; moments on the host");
}
