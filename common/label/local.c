/* A teacher in process: see local.h. */
#include "common/label/local.h"
#include "common/io/io.h"
#include "common/io/json.h"
#include "common/io/opt.h"
#include "common/io/sha256.h"
#include "common/label/openai.h"
#include "common/model/generate.h"
#include "common/text/chat.h"
#include "common/text/constraint.h"
#include "common/text/mask.h"
#include <stdlib.h>
#include <string.h>

struct local {
    struct dev *d;
    struct model *m;
    struct lora *lora;
    struct chat *chat;
    struct vocab *vocab;
    struct constraint *constraint;
    struct generator *gen;
    char *adapter;
    int32_t eos[9];
};

void local_free(struct local *l) {
    if (!l) return;
    generator_free(l->gen);
    constraint_free(l->constraint);
    vocab_free(l->vocab);
    chat_free(l->chat);
    lora_free(l->lora);
    if (l->m) model_close(l->m);
    if (l->d) l->d->close(l->d);
    free(l->adapter);
    free(l);
}

static int open_parts(struct local *l, const char *model, const struct local_options *o, struct err *e) {
    const char *why = NULL, *name = o->device && strcmp(o->device, "auto") ? o->device : "cpu";
    if (dev_open(&l->d, name, o->threads, &why) != K_OK) return err_set(e, RC_DEVICE, "device %s: %s", name, why);
    if (*why) warn("%s", why);
    if (!(l->m = model_open(model, l->d, BASE_KEEP, e))) return -1;
    if (o->chat && !(l->chat = chat_open(l->m->tok, e))) return -1;
    if (!l->adapter) return 0;
    if (!(l->lora = lora_read(l->m, l->adapter, false, e))) return -1;
    return lora_check_template(l->adapter, l->chat ? chat_name(l->chat) : NULL, e);
}

static int open_constraint(struct local *l, const struct local_options *o, struct err *e) {
    if (!o->schema) return 0;
    l->vocab = vocab_new(l->m->tok);
    const struct grammar_options g = {.space = GRAMMAR_BOUNDED, .bytes = vocab_bytes(l->vocab)};
    struct grammar *grammar = grammar_from_schema(o->schema, &g, e);
    if (!grammar) return err_prefix(e, "the teacher's answers cannot be held to the schema (--response-format none leaves them free): ");
    l->constraint = constraint_new(grammar, l->vocab, l->m->tok);
    uint32_t least = constraint_shortest(l->constraint);
    return least > (uint32_t)o->max_new ? err_set(e, RC_INPUT, "--max-tokens %d is too few: the shortest answer takes %u", o->max_new, least) : 0;
}

struct local *local_open(const char *model, const char *adapter, const struct local_options *o, struct err *e) {
    struct local *l = xcalloc(1, sizeof *l);
    l->adapter = adapter ? xstrdup(adapter) : NULL;
    if (open_parts(l, model, o, e) < 0 || open_constraint(l, o, e) < 0) {
        local_free(l);
        return NULL;
    }
    memcpy(l->eos, l->m->cfg.eos, sizeof l->m->cfg.eos);
    int64_t each = l->m->cfg.context < 2048 ? l->m->cfg.context : 2048;
    struct gen_options g = {.slots = o->batch, .max_cached = o->max_cached ? o->max_cached : o->batch * each, .max_new = o->max_new,
                            .eos = l->eos, .n_eos = l->m->cfg.n_eos, .constraint = l->constraint, .sampling = {o->temperature, 0, 1, 1, o->seed}};
    if (l->chat) l->eos[g.n_eos++] = chat_end(l->chat);
    l->gen = generator_new(l->m, (const struct lora *const *)&l->lora, l->lora ? 1 : 0, &g, e);
    if (l->gen) return l;
    local_free(l);
    return NULL;
}

char *local_identity(const struct local *l, struct err *e) {
    struct buf b = BUF_INIT;
    char hex[SHA256_HEX] = "none", *path = l->adapter ? io_join(l->adapter, "adapter_model.safetensors") : NULL;
    int rc = path ? sha256_file(path, hex, e) : 0;
    free(path);
    if (rc < 0) return NULL;
    buf_addf(&b, "local %s adapter %s scale %.9g template %s", model_hash(l->m), hex, l->lora ? (double)l->lora->scale : 0.0, l->chat ? chat_name(l->chat) : "none");
    return buf_detach(&b);
}

static int encode_plain(const struct local *l, const struct json *messages, struct ids *out, struct err *e) {
    const struct json *first = messages->first, *content = first ? json_get(first, "content") : NULL;
    if (messages->count != 1 || !content || content->type != JSON_STRING)
        return err_set(e, RC_INPUT, "a conversation needs --chat: without it the teacher takes one text");
    if (tokenizer_bos(l->m->tok) >= 0) ids_add(out, tokenizer_bos(l->m->tok));
    return tokenizer_encode(l->m->tok, content->str, content->len, out, e);
}

int local_encode(const struct local *l, const char *messages, size_t n, struct ids *out, struct err *e) {
    struct json_doc *d = json_parse(messages, n, e);
    if (!d) return -1;
    int rc = l->chat ? chat_encode(l->chat, json_root(d), true, out, e) : encode_plain(l, json_root(d), out, e);
    json_doc_free(d);
    return rc < 0 ? rc : generator_fits(l->gen, out->n, e);
}

bool local_ready(struct local *l, const struct ids *ids) { return generator_ready(l->gen, ids->v, ids->n); }

int local_submit(struct local *l, const struct ids *ids, uint64_t number, struct err *e) { return generator_submit(l->gen, ids->v, ids->n, number, e); }

int local_active(const struct local *l) { return generator_active(l->gen); }

int local_step(struct local *l, struct err *e) { return generator_step(l->gen, e); }

int local_take(struct local *l, uint64_t *number, struct buf *answer, const char **why) {
    static const char *const reasons[] = {"stop", "length", "schema"};
    struct gen_answer *a = generator_take(l->gen);
    if (!a) return 0;
    *number = a->number;
    buf_clear(answer);
    *why = a->finish == FINISH_FAILED ? a->why : NULL;
    if (!*why)
        answer_put_saved(answer, a->text.p ? a->text.p : "", a->text.n, reasons[a->finish], (int64_t)a->n_prompt, (int64_t)a->ids.n);
    gen_answer_free(a);
    return 1;
}
