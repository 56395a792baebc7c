/* Checkpoints: OUT/checkpoints/step-N, written beside and renamed, so that one that has the name is whole.
   Each holds adapter_model.safetensors and adapter_config.json (usable as an adapter), optimizer.safetensors (exp_avg,
   exp_avg_sq: AdamW's moments) and state.json (below, with the SHA-256 of the two tensor files). Row order and dropout
   are functions of seed, epoch and step, so no generator's state is kept. */
#ifndef COADOR_CHECKPOINT_H
#define COADOR_CHECKPOINT_H
#include "common/io/buf.h"
#include "common/io/sha256.h"
#include "common/model/lora.h"
#include "common/train/loss_scale.h"

struct progress_state {      /* where a training stands */
    int64_t step;            /* steps done */
    int64_t tokens;          /* tokens of all rows seen */
    double window_loss;      /* sum of step losses since the last metrics line, and how many */
    int64_t window_steps;
    int64_t best_step;       /* 0: none yet */
    double best_loss;
    int64_t waited;          /* evaluations since one improved by more than the threshold */
    struct loss_scale loss_scale;
};

/* The adapter and its moments, all (a->n) f32 on the device; exp_avg and exp_avg_sq are the caller's. */
struct training_tensors {
    const struct model *m;
    struct lora *a;
    float *exp_avg, *exp_avg_sq;
};

/* Writes dir/checkpoints/step-N. `identity` is the JSON object that a resumed training must repeat (settings, data, base, …). */
int checkpoint_write(const char *dir, const struct training_tensors *t, const struct progress_state *s, const char *identity, const char *base_name, struct err *e);
/* Removes the oldest beyond `limit`, but never `best_step`'s. */
int checkpoint_prune(const char *dir, int64_t limit, int64_t best_step, struct err *e);
/* Removes temporaries that a killed run left. */
int checkpoint_clean(const char *dir, struct err *e);
/* Steps of the checkpoints there, ascending, give: free(3); *n their number. */
int checkpoint_list(const char *dir, int64_t **steps, int *n, struct err *e);
/* Loads the last whole one: 1, or 0 if there is none. A damaged one is passed over with a line in `remarks`; one whose
   identity differs is RC_INPUT naming the first field that does; or, with or_anew, all are removed, a remark says so, and 0. */
int checkpoint_resume(const char *dir, struct training_tensors *t, struct progress_state *s, const char *identity, bool or_anew, struct buf *remarks, struct err *e);
/* Loads the adapter of one step only (the best one, at the end). */
int checkpoint_adapter(const char *dir, int64_t step, struct training_tensors *t, struct err *e);
/* dir/checkpoints/step-N; give. */
char *checkpoint_path(const char *dir, int64_t step);
/* SHA-256 of the adapter's parameters. */
int lora_hash(const struct lora *a, char hex[SHA256_HEX], struct err *e);
#endif
