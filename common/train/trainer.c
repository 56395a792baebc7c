/* The training loop: see trainer.h. */
#include "common/train/trainer.h"
#include "common/io/io.h"
#include "common/io/json.h"
#include "common/io/progress.h"
#include "common/model/llama.h"
#include "common/train/batch.h"
#include "common/train/metrics.h"
#include "common/train/step.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct run {
    const struct train_job *j;
    const struct settings *s;
    struct dev *d;
    struct training_tensors t;
    struct llama_pass *pass;
    struct feed *feed;
    struct steps *steps;
    bool ahead;         /* a step is queued before the one before it is settled */
    int max_rows, max_seqs; /* of a pass */
    struct batch batch; /* of evaluations, and the losses of its rows, on the host */
    float *losses;
    int64_t per_epoch, total;
    struct schedule schedule;
    struct progress_state at;
    struct metrics metrics;
    char initial[SHA256_HEX];
    struct buf identity;
    double window_t0;
    int64_t window_tokens, tokens0, step0; /* step0, tokens0: where this run began */
    double loss, grad_norm, eval_loss; /* of the last step and evaluation */
    int64_t evaluated;                 /* step of the last evaluation */
};

int64_t train_steps_per_epoch(const struct settings *s, int64_t rows) {
    int64_t step = s->batch * s->accumulation;
    return (rows + step - 1) / step;
}

int64_t train_steps(const struct settings *s, int64_t rows) {
    if (s->max_steps > 0) return s->max_steps;
    return (int64_t)ceil(s->epochs * (double)train_steps_per_epoch(s, rows));
}

static bool keeps_best(const struct settings *s) { return s->load_best || s->patience; }
static double epoch_at(const struct run *r) { return (double)r->at.step / (double)r->per_epoch; }

/* ---- before the first step ---- */
static int alloc_moment(struct run *r, float **p, size_t bytes, struct err *e) {
    enum kerr k = (r->j->paged ? r->d->alloc_paged : r->d->alloc)(r->d->ctx, (void **)p, bytes);
    if (!k) k = r->d->zero(r->d->ctx, *p, bytes);
    return dev_err(r->d, k, e, "moments", bytes);
}

static int alloc_all(struct run *r, struct err *e) {
    const struct train_job *j = r->j;
    size_t bytes = (size_t)j->a->n * sizeof(float);
    int longest = j->eval && j->eval->longest > j->rows->longest ? j->eval->longest : j->rows->longest;
    int R = j->tokens_per_pass > longest ? j->tokens_per_pass : longest, S = (int)(r->s->batch * r->s->accumulation);
    r->max_rows = R;
    r->max_seqs = S < R ? S : R;
    if (j->eval) {
        batch_init(&r->batch, R, r->max_seqs);
        r->losses = xcalloc((size_t)R, sizeof *r->losses);
    }
    if (alloc_moment(r, &r->t.exp_avg, bytes, e) < 0 || alloc_moment(r, &r->t.exp_avg_sq, bytes, e) < 0) return -1;
    const struct pass_size size = {R, r->max_seqs, j->chunk, true, j->layers_again, j->mlp_again, j->e4m3};
    r->pass = llama_pass_sized(j->m, &j->a->cfg, &size, e);
    if (!r->pass) return -1;
    llama_pass_graphs(r->pass, j->pace != PACE_AT_ONCE);
    return j->rows->soft ? llama_pass_soft(r->pass, j->rows->soft->K, e) : 0;
}

/* e of work that only a device's memory can fail with RC_IO. */
static int out_of_room(struct err *e) {
    size_t n = strlen(e->msg);
    if (e->code == RC_IO) snprintf(e->msg + n, sizeof e->msg - n, ": --memory-limit, --recompute, fewer --tokens-per-pass or a smaller rank take less");
    return -1;
}

/* Once it is known where the training begins. */
static int open_steps(struct run *r, struct err *e) {
    const struct settings *s = r->s;
    const struct feed_of feed = {r->j->rows, (enum sampling)s->sampling, (uint64_t)s->seed, s->batch * s->accumulation, r->at.step, r->total, r->max_rows, r->max_seqs,
        s->distill_alpha, r->ahead};
    if (!(r->feed = feed_open(&feed, e))) return -1;
    const struct steps_of steps = {s, &r->schedule, r->t, r->pass, r->feed, r->at.step, &r->at.loss_scale};
    return (r->steps = steps_open(&steps, e)) ? 0 : out_of_room(e);
}

/* All that the trained bytes depend on, for checkpoints to compare. */
static void make_identity(struct run *r) {
    const struct train_job *j = r->j;
    char data[SHA256_HEX], eval[SHA256_HEX] = "none";
    struct buf *b = &r->identity;
    rows_hash(j->rows, data);
    if (j->eval) rows_hash(j->eval, eval);
    buf_addf(b, "{\"rows\":%lld,\"data\":\"%s\",\"eval_data\":\"%s\",\"base\":\"%s\",\"base_dtype\":\"%s\",", (long long)j->rows->n, data, eval, model_hash(j->m), j->base_dtype);
    if (j->rows->soft) {
        buf_addf(b, "\"teacher_logits\":\"%s\",\"distill_alpha\":", j->rows->soft->hash);
        json_put_number(b, r->s->distill_alpha);
        buf_addc(b, ',');
    }
    if (j->e4m3) buf_adds(b, "\"compute\":\"fp8\",");
    settings_put(r->s, j->a->cfg.sites, b);
    buf_addf(b, ",\"initial_adapter\":\"%s\",\"device\":\"%s\",\"tokens_per_pass\":%d%s}", r->initial, r->d->name, j->tokens_per_pass, r->d->act == DT_F16 ? ",\"activations\":\"f16\"" : "");
}

static void say_lines(const struct run *r, struct buf *lines) {
    for (char *s = lines->p, *end; s && (end = strchr(s, '\n')); s = end + 1) {
        *end = 0;
        r->j->say(s);
    }
    buf_release(lines);
}

static int begin(struct run *r, struct err *e) {
    const struct train_job *j = r->j;
    struct buf remarks = BUF_INIT;
    int found = 0;
    if (alloc_all(r, e) < 0) return out_of_room(e);
    if (lora_hash(j->a, r->initial, e) < 0) return -1;
    make_identity(r);
    if (checkpoint_clean(j->dir, e) < 0) return -1;
    if (j->resume) found = checkpoint_resume(j->dir, &r->t, &r->at, r->identity.p, j->or_anew, &remarks, e);
    if (!found) r->at = (struct progress_state){.loss_scale = loss_scale_start(r->d->act)};
    if (found > 0) buf_addf(&remarks, "resumed after step %lld of %lld\n", (long long)r->at.step, (long long)r->total);
    if (j->resume && !found) buf_adds(&remarks, "no checkpoint to resume from: beginning with step 1\n");
    say_lines(r, &remarks);
    if (found < 0 || metrics_open(&r->metrics, j->dir, r->at.step, e) < 0) return -1;
    r->tokens0 = r->at.tokens;
    r->step0 = r->at.step;
    return open_steps(r, e);
}

/* ---- one step ---- */
static int save(struct run *r, struct err *e) {
    if (checkpoint_write(r->j->dir, &r->t, &r->at, r->identity.p, r->j->base_name, e) < 0) return -1;
    return checkpoint_prune(r->j->dir, r->s->save_total_limit, keeps_best(r->s) ? r->at.best_step : 0, e);
}

/* e holds what went wrong in the step after r->at.step: keeps what that step left and names it. */
static int alarmed(struct run *r, struct err *e) {
    struct err saving = ERR_INIT;
    if (!r->at.step) return err_prefix(e, "training alarm: ");
    char *path = checkpoint_path(r->j->dir, r->at.step);
    size_t n = strlen(e->msg);
    if (io_exists(path) || !save(r, &saving))
        snprintf(e->msg + n, sizeof e->msg - n, "; the adapter of step %lld stands in %s", (long long)r->at.step, path);
    else
        snprintf(e->msg + n, sizeof e->msg - n, "; the adapter of step %lld could not be kept: %.200s", (long long)r->at.step, saving.msg);
    free(path);
    return err_prefix(e, "training alarm: ");
}

static int check_norm(struct run *r, struct err *e) {
    long long step = (long long)r->at.step + 1;
    if (!isfinite(r->loss)) return err_set(e, RC_NEGATIVE, "the loss of step %lld is not finite", step);
    if (!isfinite(r->grad_norm)) return err_set(e, RC_NEGATIVE, "the gradient norm of step %lld is not finite", step);
    if (!(r->grad_norm > 0)) return err_set(e, RC_NEGATIVE, "the gradient norm of step %lld is zero: nothing would be learnt", step);
    return 0;
}

/* A gradient that is not finite where the loss is scaled: the device did not update. Else what is wrong is an alarm. */
static int check_step(struct run *r, struct err *e) {
    struct loss_scale s = r->at.loss_scale;
    bool skipped = s.scale > 0 && isfinite(r->loss) && !isfinite(r->grad_norm);
    if (!skipped && check_norm(r, e) < 0) return -1;
    if (s.scale > 0 && loss_scale_after(&s, r->at.step + 1, !skipped, e) < 0) return -1;
    r->at.loss_scale = s;
    return 0;
}

/* The oldest step that is queued becomes the one where the training stands. */
static int settle(struct run *r, struct err *e) {
    struct step_result x;
    if (steps_settle(r->steps, &x, e) < 0) return out_of_room(e);
    r->loss = x.loss;
    r->grad_norm = x.grad_norm;
    if (check_step(r, e) < 0) return alarmed(r, e);
    r->at.step++;
    r->at.tokens += x.tokens;
    r->window_tokens += x.tokens;
    r->at.window_loss += r->loss;
    r->at.window_steps++;
    return 0;
}

/* ---- evaluation ---- */
static int eval_loss(struct run *r, double *loss, struct err *e) {
    const struct rows *rows = r->j->eval;
    const struct lora *adapters[] = {r->t.a};
    int64_t *order = xcalloc((size_t)rows->n, sizeof *order);
    double sum = 0;
    int rc = 0;
    for (int64_t i = 0; i < rows->n; i++) order[i] = i;
    for (int64_t i = 0; i < rows->n && !rc;) {
        int n = (int)(rows->n - i < 1 << 20 ? rows->n - i : 1 << 20);
        i += batch_fill(&r->batch, rows, order + i, 0, n, 1.0);
        rc = llama_score(r->pass, adapters, 1, &r->batch.packed, r->losses, e);
        for (int k = 0; k < r->batch.packed.M && !rc; k++) sum += (double)r->losses[k];
    }
    free(order);
    *loss = sum / (double)rows->all_trained;
    return rc;
}

static bool eval_due(const struct run *r, int64_t step) {
    if (!r->j->eval) return false;
    if (step == r->total) return true;
    return step % (r->s->eval_steps ? r->s->eval_steps : r->per_epoch) == 0;
}

/* Evaluates and keeps count as transformers' EarlyStoppingCallback does; the best adapter becomes a checkpoint. */
static int evaluate(struct run *r, struct err *e) {
    double t0 = now_seconds(), loss;
    if (eval_loss(r, &loss, e) < 0) return -1;
    r->evaluated = r->at.step;
    r->eval_loss = loss;
    if (metrics_eval(&r->metrics, r->at.step, epoch_at(r), loss, r->j->eval->all_trained, now_seconds() - t0, e) < 0) return -1;
    r->window_t0 += now_seconds() - t0; /* tok_s is of training alone */
    if (!isfinite(loss)) return err_set(e, RC_NEGATIVE, "the evaluation loss after step %lld is not finite", (long long)r->at.step), alarmed(r, e);
    bool first = !r->at.best_step, better = first || loss < r->at.best_loss;
    r->at.waited = first || r->at.best_loss - loss > r->s->threshold ? 0 : r->at.waited + 1;
    if (!better) return 0;
    r->at.best_step = r->at.step;
    r->at.best_loss = loss;
    return keeps_best(r->s) ? save(r, e) : 0;
}

static bool stops_early(const struct run *r) { return r->s->patience && r->at.waited >= r->s->patience; }

/* ---- between steps ---- */
static int log_step(struct run *r, struct err *e) {
    if (r->at.step % r->s->logging_steps && r->at.step != r->total) return 0;
    double now = now_seconds(), seconds = now - r->window_t0;
    const struct loss_scale *scale = &r->at.loss_scale;
    int64_t updates = r->at.step - scale->skipped;
    struct metrics_step m = {r->at.step, epoch_at(r), r->at.window_loss / (double)r->at.window_steps, r->grad_norm,
        schedule_lr(&r->schedule, updates ? updates - 1 : 0), r->at.tokens, seconds > 0 ? (double)r->window_tokens / seconds : 0, scale->scale, scale->skipped};
    r->at.window_loss = 0;
    r->at.window_steps = r->window_tokens = 0;
    r->window_t0 = now;
    return metrics_step(&r->metrics, &m, e);
}

static int between(struct run *r, struct err *e) {
    if (log_step(r, e) < 0 || (eval_due(r, r->at.step) && evaluate(r, e) < 0)) return -1;
    bool saved = keeps_best(r->s) && r->at.best_step == r->at.step;
    return !saved && r->at.step % r->s->save_steps == 0 ? save(r, e) : 0;
}

static void show(struct run *r, struct progress *p) {
    char text[120];
    double seconds = now_seconds() - p->t0;
    int n = snprintf(text, sizeof text, "%.0f tokens/s loss %.4f", seconds > 0 ? (double)(r->at.tokens - r->tokens0) / seconds : 0, r->loss);
    if (r->evaluated) n += snprintf(text + n, sizeof text - (size_t)n, " eval %.4f", r->eval_loss);
    if (r->at.loss_scale.skipped) snprintf(text + n, sizeof text - (size_t)n, " skipped %lld", (long long)r->at.loss_scale.skipped);
    progress_at(p, r->at.step, text);
}

/* Whether the adapter that a step leaves is looked at, or the next one's loss scale hangs on it, so that no later one may be queued. */
static bool rests_after(const struct run *r, int64_t step) {
    return !r->ahead || r->at.loss_scale.scale > 0 || step == r->total || step % r->s->save_steps == 0 || eval_due(r, step) || *r->j->stop;
}

static int settle_down_to(struct run *r, int64_t left, struct progress *p, struct err *e) {
    int rc = 0;
    while (!rc && steps_queued(r->steps) - r->at.step > left) {
        rc = settle(r, e);
        if (!rc) rc = between(r, e);
        if (!rc && r->j->progress) show(r, p);
    }
    return rc;
}

/* A step that could not be queued fails behind those that were. */
static int queue(struct run *r, struct progress *p, struct err *e) {
    struct err later = ERR_INIT;
    if (!steps_queue(r->steps, &later)) return 0;
    if (settle_down_to(r, 0, p, e) < 0) return -1;
    *e = later;
    return out_of_room(e);
}

static int loop(struct run *r, struct train_result *out, struct err *e) {
    struct progress p;
    int rc = 0;
    if (r->j->progress) progress_start(&p, "training", "steps", r->total);
    r->window_t0 = now_seconds();
    if (r->j->ready) r->j->ready();
    while (!rc && r->at.step < r->total && !stops_early(r) && out->end == TRAIN_DONE) {
        rc = queue(r, &p, e);
        if (!rc) rc = settle_down_to(r, rests_after(r, steps_queued(r->steps)) ? 0 : 1, &p, e);
        if (!rc && *r->j->stop && r->at.step < r->total && !(rc = settle_down_to(r, 0, &p, e))) {
            out->end = TRAIN_STOPPED;
            rc = save(r, e);
        }
    }
    if (r->j->progress) progress_end(&p);
    return rc;
}

/* ---- after the last step ---- */
static int finish(struct run *r, struct train_result *out, struct err *e) {
    char hash[SHA256_HEX];
    out->kept = r->at.step;
    out->early = r->at.step < r->total;
    if (keeps_best(r->s) && r->at.best_step && r->at.best_step != r->at.step) {
        if (checkpoint_adapter(r->j->dir, r->at.best_step, &r->t, e) < 0) return -1;
        out->kept = r->at.best_step;
    }
    if (out->kept == r->at.best_step) out->eval_loss = r->at.best_loss;
    else if (out->kept == r->evaluated) out->eval_loss = r->eval_loss;
    if (lora_hash(r->t.a, hash, e) < 0) return -1;
    if (!strcmp(hash, r->initial))
        return err_set(e, RC_NEGATIVE, "training alarm: the adapter is unchanged after %lld steps", (long long)r->at.step);
    return 0;
}

static void release(struct run *r) {
    steps_close(r->steps);
    feed_close(r->feed);
    llama_pass_free(r->pass);
    batch_release(&r->batch);
    r->d->free(r->d->ctx, r->t.exp_avg);
    r->d->free(r->d->ctx, r->t.exp_avg_sq);
    metrics_close(&r->metrics, NULL);
    buf_release(&r->identity);
    free(r->losses);
}

int train_run(const struct train_job *j, struct train_result *out, struct err *e) {
    const struct settings *s = j->settings;
    struct run r = {.j = j, .s = s, .d = j->m->d, .t = {.m = j->m, .a = j->a},
        .ahead = j->pace == PACE_AHEAD || (j->pace == PACE_DEVICE && j->m->d->own_bytes), .per_epoch = train_steps_per_epoch(s, j->rows->n), .total = train_steps(s, j->rows->n)};
    double t0 = now_seconds();
    r.schedule = (struct schedule){(enum schedule_kind)s->schedule, s->learning_rate, schedule_warmup(s->warmup_steps, s->warmup_ratio, r.total), r.total};
    *out = (struct train_result){.total = r.total, .eval_loss = NAN};
    size_t total;
    int rc = begin(&r, e);
    if (!rc) rc = loop(&r, out, e);
    if (!rc) rc = dev_err(r.d, r.d->memory_info(r.d->ctx, &out->device_free, &total), e, "the question how much memory is free", 0);
    if (!rc && out->end == TRAIN_DONE) rc = finish(&r, out, e);
    if (!rc) rc = metrics_close(&r.metrics, e);
    out->steps = r.at.step;
    out->ran = r.at.step - r.step0;
    out->tokens = r.at.tokens - r.tokens0;
    out->loss = r.loss;
    out->loss_scale = r.at.loss_scale;
    out->seconds = now_seconds() - t0;
    release(&r);
    return rc;
}
