/* How fast requests may go out, and how long a failed one waits. Times are now_seconds'. */
#ifndef COADOR_PACE_H
#define COADOR_PACE_H
#include <stdint.h>

/* Requests and tokens a minute, evenly spread: a request may start once the one before it has used up its share of the
   minute. Up to PACE_SLACK seconds that were missed are caught up, so any minute sees at most the limit and that share. */
#define PACE_SLACK 0.1
struct pace {
    double requests, tokens;           /* a minute; 0: no limit */
    double next_request, next_tokens;  /* earliest next start */
};
/* Seconds until a request may start: 0 when it may now. */
double pace_wait(const struct pace *p, double now);
/* A request of about `tokens` tokens starts. */
void pace_start(struct pace *p, double now, double tokens);
/* It took `more` tokens than was said then (less: negative). */
void pace_correct(struct pace *p, double more);

/* Before try `tries` + 1 (tries >= 1 have failed): base · 2^(tries-1), at most `longest`, times a number from 0.5 to 1
   drawn from `seed`, and never less than the server asked for (retry_after, seconds). */
double backoff(double base, double longest, int tries, double retry_after, uint64_t seed);
#endif
