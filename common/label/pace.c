/* Rate limits and backoff: see pace.h. */
#include "common/label/pace.h"
#include <math.h>

double pace_wait(const struct pace *p, double now) {
    double until = 0;
    if (p->requests > 0) until = p->next_request;
    if (p->tokens > 0 && p->next_tokens > until) until = p->next_tokens;
    return until > now ? until - now : 0;
}

static double advance(double next, double now, double seconds) { return (next > now - PACE_SLACK ? next : now - PACE_SLACK) + seconds; }

void pace_start(struct pace *p, double now, double tokens) {
    if (p->requests > 0) p->next_request = advance(p->next_request, now, 60 / p->requests);
    if (p->tokens > 0) p->next_tokens = advance(p->next_tokens, now, 60 * tokens / p->tokens);
}

void pace_correct(struct pace *p, double more) {
    if (p->tokens > 0) p->next_tokens += 60 * more / p->tokens;
}

double backoff(double base, double longest, int tries, double retry_after, uint64_t seed) {
    double wait = ldexp(base, tries > 60 ? 60 : tries - 1);
    if (!(wait < longest)) wait = longest;
    wait *= 0.5 + 0.5 * (double)(seed >> 11) * 0x1p-53;
    return wait > retry_after ? wait : retry_after;
}
