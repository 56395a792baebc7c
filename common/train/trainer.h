/* The training loop: steps of AdamW over packed passes, with evaluations, checkpoints and alarms (DESIGN.md, section 5). */
#ifndef COADOR_TRAINER_H
#define COADOR_TRAINER_H
#include "common/model/llama.h"
#include "common/train/checkpoint.h"
#include "common/train/rows.h"
#include "common/train/settings.h"
#include <signal.h>

/* Whether a step is queued, and its rows packed, before the one before it is over; the bytes are the same. */
enum pace {
    PACE_DEVICE, /* on a card, which has work then while the host does what is between steps */
    PACE_AT_ONCE, /* never, and on a card without graphs too: the tests compare */
    PACE_AHEAD
};
struct train_job { /* all borrowed */
    const struct settings *settings;
    const struct model *m;
    struct lora *a;              /* the initial adapter; holds the trained one afterwards */
    const struct rows *rows;
    const struct rows *eval;     /* NULL: none */
    const char *dir;             /* exists; metrics.jsonl and checkpoints/ go there */
    int tokens_per_pass;
    int chunk, layers_again, mlp_again; /* llama.h: memory against time, the same bytes */
    bool paged;                  /* the moments in memory of alloc_paged, which the device must have */
    bool e4m3;                   /* the layers' frozen products in fp8 (llama.h) */
    const char *base_dtype;      /* for the identity of checkpoints */
    const char *base_name;       /* for adapter_config.json */
    bool resume;                 /* from the last whole checkpoint */
    bool or_anew;                /* or from the beginning when the checkpoints are of another training */
    enum pace pace;
    bool progress;               /* a progress line on a terminal */
    void (*ready)(void);         /* called before the first step: from here on an interrupt should set *stop; may be NULL */
    const volatile sig_atomic_t *stop; /* set: finish the step, write a checkpoint, return TRAIN_STOPPED */
    void (*say)(const char *text);     /* remarks on the way */
};

enum train_end { TRAIN_DONE, TRAIN_STOPPED };
struct train_result {
    enum train_end end;
    int64_t steps, total;    /* done, planned */
    int64_t ran;             /* of steps, those of this run */
    bool early;              /* ended by early stopping */
    int64_t kept;            /* step of the adapter in a: the best one's, or `steps` */
    int64_t tokens;          /* seen in this run (a resumed run counts from its checkpoint) */
    double seconds, loss;
    struct loss_scale loss_scale; /* at the end */
    size_t device_free;      /* bytes of device memory free while all of it was held */
    double eval_loss;        /* of the adapter in a; NaN where it was not evaluated */
};
/* 0 and *r, or -1: an alarm is RC_NEGATIVE (gradient norm zero, or not finite where loss_scale.h does not take it for a scale too large, loss not finite, adapter unchanged); what
   was good before it stands as a checkpoint, which the text names. */
int train_run(const struct train_job *j, struct train_result *r, struct err *e);
/* Steps an epoch and in all. */
int64_t train_steps_per_epoch(const struct settings *s, int64_t rows);
int64_t train_steps(const struct settings *s, int64_t rows);
#endif
