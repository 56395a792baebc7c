/* A progress line on a terminal: see progress.h. */
#include "common/io/progress.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define REFRESH 0.1 /* seconds between two drawings */

double now_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int on_terminal(void) {
    const char *term = getenv("TERM");
    return isatty(STDERR_FILENO) && term && strcmp(term, "dumb");
}

static int columns(void) {
    struct winsize w;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0) return w.ws_col;
    return 80;
}

void progress_start(struct progress *p, const char *what, const char *unit, int64_t total) {
    /* "shown" in the far future keeps the line from ever being due. */
    *p = (struct progress){.what = what, .unit = unit, .total = total, .t0 = now_seconds(),
                           .shown = on_terminal() ? 0 : HUGE_VAL};
}

/* "1:02:03" or "2:03" */
static void put_clock(char *s, size_t size, double seconds) {
    long t = seconds < 0 ? 0 : seconds > 3.6e6 ? 3600000 : (long)(seconds + 0.5);
    if (t >= 3600)
        snprintf(s, size, "%ld:%02ld:%02ld", t / 3600, t / 60 % 60, t % 60);
    else
        snprintf(s, size, "%ld:%02ld", t / 60, t % 60);
}

void progress_at(struct progress *p, int64_t done, const char *extra) {
    if (p->shown == HUGE_VAL) return;
    double now = now_seconds(), took = now - p->t0;
    if (!(now - p->shown >= REFRESH)) return;
    p->shown = now;
    double rate = took > 0 ? (double)done / took : 0;
    char line[512], clock[32], of[32] = "", share[64] = "";
    put_clock(clock, sizeof clock, took);
    if (p->total > 0) {
        snprintf(of, sizeof of, "/%lld", (long long)p->total);
        if (rate > 0) put_clock(clock, sizeof clock, (double)(p->total - done) / rate);
        snprintf(share, sizeof share, " %3.0f%%", 100.0 * (double)done / (double)p->total);
    }
    snprintf(line, sizeof line, "%s%s %lld%s %s  %.*f/s  %s %s%s%s", p->what, share, (long long)done, of, p->unit, rate < 100, rate,
             p->total > 0 && rate > 0 ? "ETA" : "took", clock, extra ? "  " : "", extra ? extra : "");
    fprintf(stderr, "\r%.*s\033[K", columns() - 1, line);
}

void progress_end(struct progress *p) {
    if (isfinite(p->shown) && p->shown > 0) fputs("\r\033[K", stderr);
    p->shown = HUGE_VAL;
}
