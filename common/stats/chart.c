/* Charts: see chart.h. */
#include "common/stats/chart.h"
#include "common/stats/markup.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Hues that differ in lightness too (after Okabe and Ito), and numbers beside them. */
const char chart_css[] =
    ".chart{font:11px system-ui,sans-serif;fill:var(--ink)}.chart .t{font-weight:600}.chart .soft{fill:var(--soft)}"
    ".chart .grid{stroke:var(--line);fill:none}.chart .axis{stroke:var(--soft);fill:none}.chart .no{fill:#fff;font-size:9px;font-weight:700}"
    ".chart .bar{stroke:var(--c);stroke-width:2;fill:none}.chart .dot{fill:var(--c);stroke:var(--paper)}.chart .run{stroke:var(--c);stroke-width:1.5}"
    ".chart .area{fill:var(--c);fill-opacity:.75}"
    ".c0{--c:#0b6fa4}.c1{--c:#c8500a}.c2{--c:#00805d}.c3{--c:#a8518a}.c4{--c:#946200}.c5{--c:#3a7bd5}.c6{--c:#7a5bb0}.c7{--c:#6b6b6b}";

enum { W = 360, H = 250, LEFT = 40, RIGHT = 12, TOP = 26, BOTTOM = 40, DODGE = 15, MOST_TICKS = 12 };

static void text(struct buf *b, double x, double y, const char *anchor, const char *class, const char *s) {
    buf_addf(b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\">", x, y, anchor, class);
    put_escaped(b, s);
    buf_adds(b, "</text>");
}

static void open_chart(struct buf *b, int w, int h, const char *title) {
    buf_addf(b, "<svg class=\"chart\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", w, h);
    put_escaped(b, title);
    buf_adds(b, "\">");
}

void chart_alone(struct buf *b) {
    static const char open[] = "<svg class=\"chart\" ";
    struct buf file = BUF_INIT;
    buf_addf(&file, "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" style=\"--ink:#222;--soft:#666;--line:#ddd;--paper:#fff;background:#fff\" ");
    const char *rest = b->p + strlen(open), *inside = strchr(rest, '>') + 1; /* > in a title is an entity */
    buf_add(&file, rest, (size_t)(inside - rest));
    buf_addf(&file, "<style>%s</style>%s\n", chart_css, inside);
    buf_release(b);
    *b = file;
}

/* ---- axes ---- */
struct range {
    double low, high;
};

static void widen(struct range *r, double v) {
    if (!isfinite(v)) return;
    r->low = fmin(r->low, v);
    r->high = fmax(r->high, v);
}

static struct range padded(struct range r, double share) {
    if (!(r.low <= r.high)) return (struct range){0, 1};
    double pad = r.high > r.low ? share * (r.high - r.low) : r.high != 0 ? 0.1 * fabs(r.high) : 1;
    return (struct range){r.low >= 0 && r.low - pad < 0 ? 0 : r.low - pad, r.high + pad};
}

/* A round step that puts about `ticks` on the range: 1, 2 or 5 times a power of ten. */
static double tick_step(struct range r, int ticks) {
    double raw = (r.high - r.low) / ticks, p = pow(10, floor(log10(raw)));
    return raw / p <= 1 ? p : raw / p <= 2 ? 2 * p : raw / p <= 5 ? 5 * p : 10 * p;
}

/* The k-th tick on the range; counted, since a step can be too small to change a large number. */
static double tick(struct range r, double step, int k) {
    double t = (ceil(r.low / step) + k) * step;
    return fabs(t) < step * 1e-9 ? 0 : t;
}

/* 1200000 as "1.2M". */
static void tick_text(char *s, size_t n, double v) {
    static const struct {
        double unit;
        const char *sign;
    } units[] = {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}};
    for (int i = 0; i < 4; i++)
        if (fabs(v) >= units[i].unit) {
            snprintf(s, n, "%.4g%s", v / units[i].unit, units[i].sign);
            return;
        }
    snprintf(s, n, "%.4g", v);
}

struct frame {
    struct range x, y;
};
static double at_x(const struct frame *f, double x) { return LEFT + (x - f->x.low) / (f->x.high - f->x.low) * (W - LEFT - RIGHT); }
static double at_y(const struct frame *f, double y) { return H - BOTTOM - (y - f->y.low) / (f->y.high - f->y.low) * (H - TOP - BOTTOM); }

static void put_axes(struct buf *b, const struct frame *f, const char *x_label, const char *y_label) {
    char s[32];
    double sx = tick_step(f->x, 4), sy = tick_step(f->y, 5);
    for (int k = 0; k < MOST_TICKS; k++) {
        double t = tick(f->x, sx, k);
        if (t > f->x.high + sx * 1e-9) break;
        tick_text(s, sizeof s, t);
        buf_addf(b, "<path class=\"grid\" d=\"M%.1f %dV%d\"/>", at_x(f, t), TOP, H - BOTTOM);
        text(b, at_x(f, t), H - BOTTOM + 14, "middle", "soft", s);
    }
    for (int k = 0; k < MOST_TICKS; k++) {
        double t = tick(f->y, sy, k);
        if (t > f->y.high + sy * 1e-9) break;
        snprintf(s, sizeof s, "%.4g", t);
        buf_addf(b, "<path class=\"grid\" d=\"M%d %.1fH%d\"/>", LEFT, at_y(f, t), W - RIGHT);
        text(b, LEFT - 5, at_y(f, t) + 4, "end", "soft", s);
    }
    buf_addf(b, "<path class=\"axis\" d=\"M%d %dV%dH%d\"/>", LEFT, TOP, H - BOTTOM, W - RIGHT);
    text(b, W - RIGHT, H - 8, "end", "soft", x_label);
    text(b, 4, 14, "start", "t", y_label);
}

/* ---- points and lines ---- */
static bool drawable(const struct chart_point *p) { return isfinite(p->x) && isfinite(p->y); }

static struct frame frame_of(const struct chart *c) {
    struct frame f = {{INFINITY, -INFINITY}, {INFINITY, -INFINITY}};
    for (int i = 0; i < c->n_points; i++) {
        const struct chart_point *p = &c->points[i];
        if (!drawable(p)) continue;
        widen(&f.x, p->x);
        widen(&f.y, p->y);
        widen(&f.y, p->low);
        widen(&f.y, p->high);
    }
    for (int i = 0; i < c->n_lines; i++)
        for (int k = 0; k < c->lines[i].n; k++) {
            if (!isfinite(c->lines[i].x[k]) || !isfinite(c->lines[i].y[k])) continue;
            widen(&f.x, c->lines[i].x[k]);
            widen(&f.y, c->lines[i].y[k]);
        }
    return (struct frame){padded(f.x, 0.08), padded(f.y, 0.06)};
}

static void put_line(struct buf *b, const struct frame *f, const struct chart_line *l) {
    buf_addf(b, "<polyline class=\"bar c%d\" points=\"", l->colour % CHART_COLOURS);
    for (int k = 0; k < l->n; k++)
        if (isfinite(l->x[k]) && isfinite(l->y[k])) buf_addf(b, "%.1f,%.1f ", at_x(f, l->x[k]), at_y(f, l->y[k]));
    buf_adds(b, "\"/>");
    if (l->n == 1 && isfinite(l->x[0]) && isfinite(l->y[0])) buf_addf(b, "<circle class=\"dot c%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>", l->colour % CHART_COLOURS, at_x(f, l->x[0]), at_y(f, l->y[0]));
}

/* Where point i stands when those that would cover each other are set side by side. */
static double dodged_x(const struct chart *c, const struct frame *f, int i) {
    int before = 0, all = 0;
    double x = at_x(f, c->points[i].x);
    for (int k = 0; k < c->n_points; k++) {
        if (!drawable(&c->points[k]) || fabs(at_x(f, c->points[k].x) - x) >= DODGE / 2.0) continue;
        all++;
        before += k < i;
    }
    double half = (all - 1) / 2.0 * DODGE;
    x = fmin(fmax(x, LEFT + 8 + half), W - RIGHT - half); /* the whole group stays inside */
    return x + before * DODGE - half;
}

static void put_point(struct buf *b, const struct chart *c, const struct frame *f, int i) {
    const struct chart_point *p = &c->points[i];
    char s[16];
    double x = dodged_x(c, f, i), y = at_y(f, p->y);
    snprintf(s, sizeof s, "%d", p->number);
    buf_addf(b, "<g class=\"c%d\">", p->colour % CHART_COLOURS);
    if (isfinite(p->low) && isfinite(p->high)) buf_addf(b, "<path class=\"bar\" d=\"M%.1f %.1fV%.1f\"/>", x, at_y(f, p->low), at_y(f, p->high));
    buf_addf(b, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"7\"/>", x, y);
    text(b, x, y + 3.2, "middle", "no", s);
    buf_adds(b, "</g>");
}

void chart_xy(struct buf *b, const struct chart *c) {
    struct frame f = frame_of(c);
    open_chart(b, W, H, c->title);
    put_axes(b, &f, c->x_label, c->y_label);
    for (int i = 0; i < c->n_lines; i++) put_line(b, &f, &c->lines[i]);
    for (int i = 0; i < c->n_points; i++)
        if (drawable(&c->points[i])) put_point(b, c, &f, i);
    buf_adds(b, "</svg>");
}

/* ---- rows of intervals ---- */
static void put_row(struct buf *b, const struct chart_row *r, double y, struct range x) {
    char s[32];
    double wide = W - 2 * RIGHT, scale = wide / (x.high - x.low), v = RIGHT + (r->value - x.low) * scale;
    snprintf(s, sizeof s, "%.3f", r->value);
    text(b, RIGHT, y, "start", "", r->name);
    text(b, W - RIGHT, y, "end", "t", s);
    buf_addf(b, "<g class=\"c%d\"><path class=\"grid\" d=\"M%d %.1fH%d\"/>", r->colour % CHART_COLOURS, RIGHT, y + 12, W - RIGHT);
    buf_addf(b, "<path class=\"bar\" d=\"M%.1f %.1fH%.1f\"/>", RIGHT + (r->low - x.low) * scale, y + 12, RIGHT + (r->high - x.low) * scale);
    for (int k = 0; k < r->n_runs && r->n_runs > 1; k++)
        buf_addf(b, "<path class=\"run\" d=\"M%.1f %.1fv8\"/>", RIGHT + (r->runs[k] - x.low) * scale, y + 8);
    snprintf(s, sizeof s, "%d", r->number);
    buf_addf(b, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"7\"/>", v, y + 12);
    text(b, v, y + 15.2, "middle", "no", s);
    buf_adds(b, "</g>");
}

void chart_rows(struct buf *b, const char *title, const struct chart_row *rows, int n) {
    struct range x = {INFINITY, -INFINITY};
    char s[32];
    int h = 36 * n + 24;
    for (int i = 0; i < n; i++) {
        widen(&x, rows[i].low);
        widen(&x, rows[i].high);
        for (int k = 0; k < rows[i].n_runs; k++) widen(&x, rows[i].runs[k]);
    }
    x = padded(x, 0.05);
    double step = tick_step(x, 5), scale = (W - 2 * RIGHT) / (x.high - x.low);
    open_chart(b, W, h, title);
    for (int k = 0; k < MOST_TICKS; k++) {
        double t = tick(x, step, k);
        if (t > x.high + step * 1e-9) break;
        snprintf(s, sizeof s, "%.4g", t);
        buf_addf(b, "<path class=\"grid\" d=\"M%.1f 4V%d\"/>", RIGHT + (t - x.low) * scale, h - 18);
        text(b, RIGHT + (t - x.low) * scale, h - 5, "middle", "soft", s);
    }
    for (int i = 0; i < n; i++) put_row(b, &rows[i], 14 + 36 * i, x);
    buf_adds(b, "</svg>");
}

/* ---- reliability ---- */
void chart_reliability(struct buf *b, const char *title, const struct calibration *c, int colour) {
    struct frame f = {{0, 1}, {0, 1}};
    char s[32];
    open_chart(b, W, H, title);
    put_axes(b, &f, "mean confidence of a bin", "accuracy");
    buf_addf(b, "<path class=\"axis\" stroke-dasharray=\"4 3\" d=\"M%.1f %.1fL%.1f %.1f\"/><g class=\"c%d\">", at_x(&f, 0), at_y(&f, 0), at_x(&f, 1), at_y(&f, 1), colour % CHART_COLOURS);
    for (int k = 0; k < CALIBRATION_BINS; k++) {
        if (!c->count[k]) continue;
        double conf = c->sum[k] / (double)c->count[k], right = (double)c->right[k] / (double)c->count[k];
        double r = 3 + 8 * sqrt((double)c->count[k] / (double)c->n), x = at_x(&f, conf), y = at_y(&f, right);
        buf_addf(b, "<path class=\"bar\" d=\"M%.1f %.1fV%.1f\"/><circle class=\"area\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"/>", x, at_y(&f, conf), y, x, y, r);
        snprintf(s, sizeof s, "%lld", (long long)c->count[k]);
        text(b, x - r - 3, y + 4, "end", "soft", s);
    }
    buf_adds(b, "</g></svg>");
}
