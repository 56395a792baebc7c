/* Asks on their way out: keyed, queued, taken from the cache, sent to servers and local teachers; see ask.h. */
#include "common/io/progress.h"
#include "common/label/ask_impl.h"
#include <string.h>

static void make_key(struct asker *a, struct ask *q) {
    const struct teacher *t = &a->teachers[q->teacher];
    buf_clear(&q->body);
    openai_body(&q->body, t->is_local ? "" : t->name, q->messages, q->n_messages, &a->o.params, q->sample, q->attempt);
    buf_clear(&a->scratch);
    buf_addf(&a->scratch, "answer 1\n%s\n%d %d\n", t->identity, q->sample, q->attempt);
    buf_add(&a->scratch, q->body.p, q->body.n);
    sha256_hex(a->scratch.p, a->scratch.n, q->key);
}

void ask_again(struct asker *a, struct ask *q) {
    q->end = ASK_OPEN;
    make_key(a, q);
    q->state = ASK_QUEUED;
    q->next = a->queue;
    if (!a->queue) a->queue_end = &q->next;
    a->queue = q;
}

static void enter(struct asker *a, struct ask *q) {
    GROW(a->live, a->n_live, a->cap_live);
    a->live[a->n_live++] = q;
    if (!a->teachers[q->teacher].is_local) a->n_served++;
}

void asker_submit(struct asker *a, struct ask *q) {
    make_key(a, q);
    q->state = ASK_QUEUED;
    q->next = NULL;
    *a->queue_end = q;
    a->queue_end = &q->next;
}

int ask_fly(struct asker *a, struct ask *q, struct err *e) {
    struct teacher *t = &a->teachers[q->teacher];
    char idempotency[100];
    int n = 2;
    snprintf(idempotency, sizeof idempotency, "Idempotency-Key: %s", q->key);
    a->headers[0] = "Content-Type: application/json";
    a->headers[1] = idempotency;
    if (t->authorization) a->headers[n++] = t->authorization;
    /* as OpenAI counts before it knows: four bytes a token, and all that may be answered; then what answers took so far */
    q->guessed = t->answers ? t->mean_tokens : (double)q->body.n / 4 + (double)a->o.params.max_tokens;
    pace_start(&t->pace, now_seconds(), q->guessed);
    q->state = ASK_FLYING;
    q->number = ++a->serial;
    return http_post(a->http, q->number, t->url, a->headers, n, q->body.p, q->body.n, e);
}

/* 1: it is under way or has ended; 0: not now. */
static int start_served(struct asker *a, struct ask *q, struct err *e) {
    struct teacher *t = &a->teachers[q->teacher];
    double spent = a->counts.cost;
    if (a->o.budget > 0 && spent >= a->o.budget) a->counts.stopped = true;
    if (a->counts.stopped) {
        q->end = ASK_UNASKED;
        return 1;
    }
    if (a->n_served >= a->o.concurrency || pace_wait(&t->pace, now_seconds()) > 0) return 0;
    /* a request may go out as long as those under way, at the mean price, leave something of the budget */
    if (a->o.budget > 0 && a->n_served > 0 && spent + (a->n_served + 1) * t->mean_cost > a->o.budget) return 0;
    if (a->o.budget > 0 && a->n_served > 0 && !t->answers) return 0; /* the first answer tells the price */
    enter(a, q);
    return ask_fly(a, q, e) < 0 ? -1 : 1;
}

static int start_local(struct asker *a, struct ask *q, struct err *e) {
    struct local *l = a->teachers[q->teacher].local;
    struct err why = ERR_INIT;
    if (!q->ids.n && local_encode(l, q->messages, q->n_messages, &q->ids, &why) < 0) {
        ask_fail(q, "%s: %s", a->teachers[q->teacher].spec, why.msg);
        return 1;
    }
    if (!local_ready(l, &q->ids)) return 0;
    q->number = sha256_u64(q->key, sizeof q->key - 1); /* keys its random numbers: the same wherever the record stands */
    q->state = ASK_FLYING;
    enter(a, q);
    return local_submit(l, &q->ids, q->number, e) < 0 ? -1 : 1;
}

static int start(struct asker *a, struct ask *q, struct err *e) {
    struct buf *found = &q->raw;
    buf_clear(found);
    int rc = cache_find(a->cache, q->key, found, e);
    if (rc < 0) return -1;
    if (rc) return ask_deliver(a, q, found->p, found->n, true, e) < 0 ? -1 : 1;
    const char *failed = a->o.batches ? batchfile_error(a->o.batches, q->key) : NULL;
    if (a->o.offline) {
        ask_fail(q, "%s: %s", a->teachers[q->teacher].spec, failed ? failed : "no answer in the batch");
        return 1;
    }
    if (a->o.export) {
        int is_new = 0;
        q->end = ASK_EXPORTED;
        intern_add(&a->exported, q->key, SHA256_HEX - 1, &is_new);
        if (!is_new) return 1;
        buf_clear(&a->scratch);
        batchfile_put(&a->scratch, q->key, q->body.p, q->body.n);
        fwrite(a->scratch.p, 1, a->scratch.n, a->o.export);
        a->counts.asked++;
        return 1;
    }
    return a->teachers[q->teacher].is_local ? start_local(a, q, e) : start_served(a, q, e);
}

/* The same question to the same teacher is under way: it waits for that answer. */
static bool has_twin(const struct asker *a, const struct ask *q) {
    for (int i = 0; i < a->n_live; i++)
        if (!memcmp(a->live[i]->key, q->key, sizeof q->key)) return true;
    return false;
}

int ask_start_queued(struct asker *a, struct err *e) {
    int open = a->n;
    for (int i = 0; i < a->n; i++) a->blocked[i] = false;
    for (struct ask **p = &a->queue; *p && open;) {
        struct ask *q = *p, *after = q->next;
        if (a->blocked[q->teacher] || has_twin(a, q)) {
            p = &q->next;
            continue;
        }
        *p = after; /* out of the queue: an answer that does not fit may put it in again */
        if (!after) a->queue_end = p;
        int rc = start(a, q, e);
        if (rc < 0) return -1;
        if (rc) continue;
        q->next = after;
        *p = q;
        if (!after) a->queue_end = &q->next;
        a->blocked[q->teacher] = true;
        open--;
        p = &q->next;
    }
    return 0;
}
