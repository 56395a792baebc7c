/* A progress line with rate and ETA on stderr: only on a terminal, silent elsewhere. */
#ifndef COADOR_PROGRESS_H
#define COADOR_PROGRESS_H
#include <stdint.h>
struct progress {
    const char *what, *unit; /* "training", "tokens"; borrowed */
    int64_t total;           /* 0: unknown */
    double t0, shown;        /* seconds */
};
void progress_start(struct progress *p, const char *what, const char *unit, int64_t total);
void progress_at(struct progress *p, int64_t done, const char *extra); /* extra may be NULL: "loss 0.412" */
void progress_end(struct progress *p);
double now_seconds(void); /* monotonic */
#endif
