/* Continuous batching: see generate.h. */
#include "common/model/generate.h"
#include "common/model/choices.h"
#include "common/model/prefixes.h"
#include <stdlib.h>
#include <string.h>

/* Prompt tokens fed a pass, at most: a card needs more of them to be busy. */
#define PREFILL_ROWS 512
#define CARD_PREFILL_ROWS 4096

struct slot {
    bool busy;
    struct ids seen;           /* prompt, then the answer */
    size_t fed;                /* of seen, already in the cache */
    int from, n_shared;        /* waits for the slot that has its prompt's first n_shared tokens, or will have them; or -1 */
    struct constrained bound;  /* with a constraint */
    struct gen_answer *answer;
};

struct generator {
    const struct model *m;
    struct gen_options o;
    struct decoder *d;
    struct sampler *sampler;
    struct slot *slots;
    struct prefixes prefixes;
    int max_rows, prefill;
    bool on_device;                              /* the device chooses the tokens */
    struct choices choices;                      /* for that */
    int32_t *chosen;                             /* (slots) */
    int32_t *ids, *slot_of, *logits_at, *owner; /* one pass: rows, and the slot behind each wanted logit row */
    float *logits;                               /* (slots, V) where the host chooses */
    uint32_t *allowed;                           /* (V + 31) / 32 bits, with a constraint */
    struct gen_answer **done;
    int n_done, n_active;
    size_t cap_done;
};

void gen_answer_free(struct gen_answer *a) {
    if (!a) return;
    ids_release(&a->ids);
    buf_release(&a->text);
    free(a);
}

struct generator *generator_new(const struct model *m, const struct lora *const *a, int n, const struct gen_options *o, struct err *e) {
    struct generator *g = xcalloc(1, sizeof *g);
    int prefill = m->d->act == DT_F32 ? PREFILL_ROWS : CARD_PREFILL_ROWS;
    if (prefill > o->max_cached) prefill = (int)o->max_cached;
    *g = (struct generator){.m = m, .o = *o, .prefill = prefill, .max_rows = prefill + o->slots};
    g->d = decoder_new(m, a, n, o->slots + PREFIXES, o->max_cached, g->max_rows, e);
    if (!g->d || decoder_compute(g->d, o->compute, e) < 0) {
        decoder_free(g->d);
        free(g);
        return NULL;
    }
    prefixes_init(&g->prefixes, g->d, o->slots);
    g->on_device = decoder_chooses(g->d);
    g->chosen = xcalloc((size_t)o->slots, sizeof *g->chosen);
    g->sampler = sampler_new(&o->sampling, m->cfg.V);
    g->slots = xcalloc((size_t)o->slots, sizeof *g->slots);
    g->ids = xcalloc((size_t)g->max_rows, sizeof *g->ids);
    g->slot_of = xcalloc((size_t)g->max_rows, sizeof *g->slot_of);
    g->logits_at = xcalloc((size_t)o->slots, sizeof *g->logits_at);
    g->owner = xcalloc((size_t)o->slots, sizeof *g->owner);
    if (!g->on_device) g->logits = xcalloc((size_t)o->slots * (size_t)m->cfg.V, sizeof *g->logits);
    if (o->constraint) {
        size_t words = ((size_t)m->cfg.V + 31) / 32, theirs = constraint_words(o->constraint);
        g->allowed = xcalloc(words > theirs ? words : theirs, sizeof *g->allowed);
    }
    if (g->on_device && choices_init(&g->choices, m->d, &o->sampling, o->slots, m->cfg.V, o->constraint != NULL, e) < 0) {
        generator_free(g);
        return NULL;
    }
    return g;
}

void generator_free(struct generator *g) {
    if (!g) return;
    for (int i = 0; i < g->o.slots; i++) {
        ids_release(&g->slots[i].seen);
        constrained_end(&g->slots[i].bound);
        gen_answer_free(g->slots[i].answer);
    }
    for (int i = 0; i < g->n_done; i++) gen_answer_free(g->done[i]);
    prefixes_release(&g->prefixes);
    choices_release(&g->choices);
    decoder_free(g->d);
    sampler_free(g->sampler);
    free(g->slots);
    free(g->ids);
    free(g->slot_of);
    free(g->logits_at);
    free(g->owner);
    free(g->logits);
    free(g->chosen);
    free(g->allowed);
    free(g->done);
    free(g);
}

/* Cached tokens one request takes, in whole pages. */
static int64_t need(const struct generator *g, size_t n_prompt) {
    int64_t n = (int64_t)n_prompt + g->o.max_new;
    return (n + KV_BLOCK - 1) / KV_BLOCK * KV_BLOCK;
}

int generator_fits(const struct generator *g, size_t n_prompt, struct err *e) {
    if (!n_prompt) return err_set(e, RC_INPUT, "the prompt has no token");
    if ((int64_t)n_prompt + g->o.max_new > g->m->cfg.context)
        return err_set(e, RC_INPUT, "prompt of %zu tokens and %d new ones do not fit the model's context of %d", n_prompt,
                       g->o.max_new, g->m->cfg.context);
    if (need(g, n_prompt) > g->o.max_cached)
        return err_set(e, RC_INPUT, "prompt of %zu tokens and %d new ones need %lld cached tokens, --max-cached-tokens is %lld",
                       n_prompt, g->o.max_new, (long long)need(g, n_prompt), (long long)g->o.max_cached);
    return 0;
}

static int free_slot(const struct generator *g) {
    for (int i = 0; i < g->o.slots; i++)
        if (!g->slots[i].busy) return i;
    return -1;
}

/* Pages held, or set aside for requests under way. */
static int64_t pages_taken(const struct generator *g) {
    int64_t n = decoder_pages(g->d);
    for (int i = 0; i < g->o.slots; i++) {
        const struct slot *s = &g->slots[i];
        int length = decoder_length(g->d, i);
        if (s->busy) n += need(g, s->answer->n_prompt) / KV_BLOCK - ((length > s->n_shared ? length : s->n_shared) + KV_BLOCK - 1) / KV_BLOCK;
    }
    return n;
}

bool generator_ready(struct generator *g, const int32_t *prompt, size_t n_prompt) {
    if (free_slot(g) < 0) return false;
    int which;
    int shared = prefixes_find(&g->prefixes, prompt, n_prompt, &which);
    int64_t n = need(g, n_prompt), each = g->o.max_cached / g->o.slots;
    prefixes_make_room(&g->prefixes, which, shared, n, n > each ? n : each); /* a limit that is the same for any batch, by default */
    return pages_taken(g) + (n - shared) / KV_BLOCK <= g->o.max_cached / KV_BLOCK;
}

int generator_active(const struct generator *g) { return g->n_active; }

/* Slot i's prompt goes on where the beginning that it shares ends, if that has been fed. */
static bool take_prefix(struct generator *g, int i) {
    struct slot *s = &g->slots[i];
    if (!s->busy || s->from < 0 || decoder_length(g->d, s->from) < s->n_shared) return false;
    decoder_share(g->d, i, s->from, s->n_shared);
    s->fed = (size_t)s->n_shared;
    s->from = -1;
    return true;
}

/* Of all that wait; one that gets its beginning may be what another waits for. */
static void take_prefixes(struct generator *g) {
    for (bool again = true; again;) {
        again = false;
        for (int i = 0; i < g->o.slots; i++) again |= take_prefix(g, i);
    }
}

static void finish(struct generator *g, int i, enum finish how) {
    struct slot *s = &g->slots[i];
    s->answer->finish = how;
    constrained_end(&s->bound);
    take_prefixes(g);
    prefixes_keep(&g->prefixes, i);
    decoder_reset(g->d, i);
    GROW(g->done, g->n_done, g->cap_done);
    g->done[g->n_done++] = s->answer;
    s->answer = NULL;
    s->busy = false;
    g->n_active--;
}

static bool is_eos(const struct generator *g, int32_t id) {
    for (int i = 0; i < g->o.n_eos; i++)
        if (g->o.eos[i] == id) return true;
    return false;
}

/* Where the earliest stop string begins in text, or NULL. */
static const char *find_stop(const struct generator *g, const struct buf *text) {
    const char *first = NULL;
    for (int i = 0; i < g->o.n_stop; i++) {
        size_t n = strlen(g->o.stop[i]);
        const char *at = text->n ? memmem(text->p, text->n, g->o.stop[i], n) : NULL;
        if (at && (!first || at < first)) first = at;
    }
    return first;
}

static void decode_text(const struct generator *g, struct gen_answer *a) {
    buf_clear(&a->text);
    tokenizer_decode(g->m->tok, a->ids.v, a->ids.n, false, &a->text);
}

static bool cut_at_stop(const struct generator *g, struct gen_answer *a) {
    if (!g->o.n_stop) return false;
    decode_text(g, a);
    const char *at = find_stop(g, &a->text);
    if (!at) return false;
    a->text.n = (size_t)(at - a->text.p);
    a->text.p[a->text.n] = 0;
    return true;
}

static void end(struct generator *g, int i, enum finish how) {
    decode_text(g, g->slots[i].answer);
    finish(g, i, how);
}

static void fail(struct generator *g, int i, const char *why) {
    g->slots[i].answer->why = why;
    finish(g, i, FINISH_FAILED);
}

/* With a constraint: appends what must follow, and ends the answer where nothing can. */
static int go_on(struct generator *g, int i, struct err *e) {
    struct slot *s = &g->slots[i];
    struct ids *ids = &s->answer->ids;
    size_t before = ids->n;
    if (!g->o.constraint) return 0;
    if (constrained_force(&s->bound, g->o.constraint, ids, 0, e) < 0) return -1;
    for (size_t k = before; k < ids->n; k++) ids_add(&s->seen, ids->v[k]);
    bool ended = constrained_ended(&s->bound, g->o.constraint);
    if (s->bound.failed) fail(g, i, s->bound.failed);
    else if (ended) end(g, i, s->bound.cut ? FINISH_SCHEMA : FINISH_STOP);
    return 0;
}

/* Takes one more id for the slot; ends the answer where it ends. */
static int accept(struct generator *g, int i, int32_t id, struct err *e) {
    struct slot *s = &g->slots[i];
    struct gen_answer *a = s->answer;
    bool last = is_eos(g, id);
    ids_add(&a->ids, id);
    ids_add(&s->seen, id);
    if (g->o.constraint && !last) {
        constrained_accept(&s->bound, g->o.constraint, id);
        return go_on(g, i, e);
    }
    if (!last && cut_at_stop(g, a)) finish(g, i, FINISH_STOP);
    else if (last) end(g, i, g->o.constraint && s->bound.cut ? FINISH_SCHEMA : FINISH_STOP);
    else if (a->ids.n >= (size_t)g->o.max_new) end(g, i, FINISH_LENGTH);
    return 0;
}

/* The tokens that slot s may take next, ends included; NULL for all. On a CPU made between the steps of the model and not beside them:
   of SmolLM2's answers masks and forced text are 0.04 % of the time under the schema of pipelines/noticias, 4 % under
   one with an email address, whose states cost most where they are met first; no more could be hidden. */
static const uint32_t *allowed(struct generator *g, struct slot *s) {
    struct constraint *c = g->o.constraint;
    if (!c) return NULL;
    constrained_mask(&s->bound, c, g->allowed);
    bool done = constrained_done(&s->bound, c);
    for (int i = 0; i < g->o.n_eos; i++) {
        uint32_t *word = &g->allowed[g->o.eos[i] >> 5], bit = 1u << (g->o.eos[i] & 31);
        *word = done ? *word | bit : *word & ~bit;
    }
    return g->allowed;
}

/* Slot i begins with what an earlier prompt has of its prompt, and is what later ones may share. */
static void share_beginning(struct generator *g, int i, const int32_t *prompt, size_t n_prompt) {
    struct slot *s = &g->slots[i];
    int which;
    s->n_shared = prefixes_find(&g->prefixes, prompt, n_prompt, &which);
    s->answer->n_shared = (size_t)s->n_shared;
    if (s->n_shared) s->from = g->prefixes.v[which].at;
    take_prefix(g, i);
    prefixes_add(&g->prefixes, i, prompt, n_prompt);
}

int generator_submit(struct generator *g, const int32_t *prompt, size_t n_prompt, uint64_t number, struct err *e) {
    int i = free_slot(g);
    if (i < 0) BUG("request submitted without room");
    struct slot *s = &g->slots[i];
    s->busy = true;
    s->fed = 0;
    s->from = -1;
    s->n_shared = 0;
    s->seen.n = 0;
    if (g->on_device) choices_forget(&g->choices, i);
    for (size_t k = 0; k < n_prompt; k++) ids_add(&s->seen, prompt[k]);
    s->answer = xcalloc(1, sizeof *s->answer);
    s->answer->number = number;
    s->answer->n_prompt = n_prompt;
    g->n_active++;
    if (g->o.constraint) constrained_start(&s->bound, g->o.constraint, (uint32_t)g->o.max_new);
    int rc = go_on(g, i, e);
    if (!rc && s->busy) share_beginning(g, i, prompt, n_prompt);
    return rc;
}

/* Rows of slot i into the pass, at most `room`; wants logits when the last token known is fed. */
static int feed_slot(struct generator *g, int i, int R, int *M, int room) {
    struct slot *s = &g->slots[i];
    int n = 0;
    while (n < room && s->fed < s->seen.n) {
        g->ids[R + n] = s->seen.v[s->fed++];
        g->slot_of[R + n++] = i;
    }
    if (n && s->fed == s->seen.n) {
        g->owner[*M] = i;
        g->logits_at[(*M)++] = R + n - 1;
    }
    return n;
}

/* The device chooses; the tokens that it may choose are found while it works. */
static int run_on_device(struct generator *g, int R, int M, struct err *e) {
    struct choices *c = &g->choices;
    for (int k = 0; k < M; k++) {
        const struct slot *s = &g->slots[g->owner[k]];
        choices_set(c, k, g->owner[k], s->seen.v, s->seen.n, s->answer->number, s->answer->ids.n);
    }
    if (decoder_begin(g->d, g->ids, g->slot_of, R, g->logits_at, M, c->rows, e) < 0) return -1;
    for (int k = 0; g->o.constraint && k < M; k++) {
        struct slot *s = &g->slots[g->owner[k]];
        const uint32_t *may = allowed(g, s);
        if (!s->bound.failed) choices_allow(c, g->owner[k], may);
    }
    return choices_send(c, e) < 0 ? -1 : decoder_choose(g->d, c->allowed.dev, c->seen.dev, g->chosen, e);
}

static int run_pass(struct generator *g, int R, int M, struct err *e) {
    return g->on_device ? run_on_device(g, R, M, e) : decoder_feed(g->d, g->ids, g->slot_of, R, g->logits_at, M, g->logits, e);
}

static int32_t next_id(struct generator *g, struct slot *s, int k) {
    const uint32_t *may = g->on_device ? NULL : allowed(g, s);
    if (s->bound.failed) return -1;
    if (g->on_device) return g->chosen[k];
    return sampler_next(g->sampler, g->logits + (size_t)k * (size_t)g->m->cfg.V, may, s->seen.v, s->seen.n, s->answer->number, s->answer->ids.n);
}

int generator_step(struct generator *g, struct err *e) {
    int R = 0, M = 0, room = g->prefill;
    take_prefixes(g);
    for (int i = 0; i < g->o.slots; i++) {
        struct slot *s = &g->slots[i];
        if (!s->busy || s->from >= 0) continue;
        bool answering = s->seen.n - s->fed == 1 && s->answer->calls;
        int n = feed_slot(g, i, R, &M, answering ? 1 : room);
        R += n;
        if (!answering) room -= n;
    }
    if (!R) return 0;
    if (run_pass(g, R, M, e) < 0) return -1;
    for (int k = 0; k < M; k++) {
        struct slot *s = &g->slots[g->owner[k]];
        int32_t id = next_id(g, s, k);
        s->answer->calls++;
        if (id < 0)
            fail(g, g->owner[k], s->bound.failed ? s->bound.failed : "the model gave no finite logit");
        else if (accept(g, g->owner[k], id, e) < 0)
            return -1;
    }
    return 0;
}

struct gen_answer *generator_take(struct generator *g) { return g->n_done ? g->done[--g->n_done] : NULL; }
