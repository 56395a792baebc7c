/* SVG pictures: see svg.h. */
#include "common/stats/svg.h"
#include "common/stats/markup.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static void label(struct buf *b, double x, double y, const char *anchor, const char *extra, const char *s) {
    buf_addf(b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\"%s>", x, y, anchor, extra);
    put_escaped(b, s);
    buf_adds(b, "</text>\n");
}

static void open_svg(struct buf *b, int w, int h, const char *title) {
    buf_addf(b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n<title>", w, h, w, h);
    put_escaped(b, title);
    buf_addf(b, "</title>\n<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", w, h);
    label(b, w / 2.0, 24, "middle", " font-size=\"15\" font-weight=\"bold\"", title);
}

static size_t longest(const char *const *labels, int n) {
    size_t m = strlen("unparsed");
    for (int i = 0; i < n; i++) m = strlen(labels[i]) > m ? strlen(labels[i]) : m;
    return m;
}

static void cell(struct buf *b, double x, double y, double w, double h, int64_t count, double share, int diagonal) {
    char n[32];
    buf_addf(b, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\" fill-opacity=\"%.3f\" stroke=\"#bbb\"/>\n", x, y, w, h, diagonal ? "#1b7f4d" : "#c0392b", share);
    buf_adds(b, share > 0.6 ? "<g fill=\"#fff\">" : "<g>");
    struct buf s = BUF_INIT;
    buf_addf(&s, "%lld", (long long)count);
    label(b, x + w / 2, y + h / 2, "middle", "", s.p);
    snprintf(n, sizeof n, "%.0f %%", 100 * share);
    label(b, x + w / 2, y + h / 2 + 14, "middle", " font-size=\"10\"", n);
    buf_adds(b, "</g>");
    buf_release(&s);
}

void svg_confusion(struct buf *b, const char *title, const char *const *labels, int K, const int64_t *counts) {
    double wide = 8.0 * (double)longest(labels, K), cw = wide > 60 ? wide : 60, ch = 44, left = wide + 50, top = 76;
    open_svg(b, (int)(left + cw * (K + 1) + 20), (int)(top + ch * K + 20), title);
    label(b, left + cw * (K + 1) / 2, 46, "middle", " fill=\"#666\"", "predicted");
    label(b, 14, top - 10, "start", " fill=\"#666\"", "true");
    for (int j = 0; j <= K; j++) label(b, left + cw * (j + 0.5), top - 10, "middle", "", j < K ? labels[j] : "unparsed");
    for (int i = 0; i < K; i++) {
        int64_t sum = 0;
        for (int j = 0; j <= K; j++) sum += counts[i * (K + 1) + j];
        label(b, left - 10, top + ch * i + ch / 2 + 5, "end", "", labels[i]);
        for (int j = 0; j <= K; j++) {
            int64_t c = counts[i * (K + 1) + j];
            cell(b, left + cw * j, top + ch * i, cw, ch, c, sum ? (double)c / (double)sum : 0, i == j);
        }
    }
    buf_adds(b, "</svg>\n");
}

struct range {
    double low, high;
};

static struct range range_of(const struct curve *c, int n, int of_y) {
    struct range r = {INFINITY, -INFINITY};
    for (int i = 0; i < n; i++)
        for (int k = 0; k < c[i].n; k++) {
            double v = of_y ? c[i].y[k] : c[i].x[k];
            if (!isfinite(c[i].x[k]) || !isfinite(c[i].y[k])) continue;
            r.low = fmin(r.low, v);
            r.high = fmax(r.high, v);
        }
    if (!(r.low <= r.high)) r = (struct range){0, 1};
    if (r.low == r.high) r.high = r.low + (r.low != 0 ? fabs(r.low) : 1);
    return r;
}

/* A round step that puts about five ticks on the range: 1, 2 or 5 times a power of ten. */
static double tick_step(struct range r) {
    double raw = (r.high - r.low) / 5, p = pow(10, floor(log10(raw)));
    return raw / p <= 1 ? p : raw / p <= 2 ? 2 * p : raw / p <= 5 ? 5 * p : 10 * p;
}

enum { W = 720, H = 380, LEFT = 70, RIGHT = 20, TOP = 44, BOTTOM = 54 };

static double at_x(struct range r, double x) { return LEFT + (x - r.low) / (r.high - r.low) * (W - LEFT - RIGHT); }
static double at_y(struct range r, double y) { return H - BOTTOM - (y - r.low) / (r.high - r.low) * (H - TOP - BOTTOM); }

static void axes(struct buf *b, struct range x, struct range y, const char *x_label, const char *y_label) {
    char s[32];
    double sx = tick_step(x), sy = tick_step(y);
    for (double t = ceil(x.low / sx) * sx; t <= x.high + sx * 1e-9; t += sx) {
        snprintf(s, sizeof s, "%.6g", t);
        label(b, at_x(x, t), H - BOTTOM + 18, "middle", "", s);
    }
    for (double t = ceil(y.low / sy) * sy; t <= y.high + sy * 1e-9; t += sy) {
        buf_addf(b, "<path d=\"M%d %.1fH%d\" stroke=\"#ddd\"/>\n", LEFT, at_y(y, t), W - RIGHT);
        snprintf(s, sizeof s, "%.6g", fabs(t) < sy * 1e-9 ? 0 : t);
        label(b, LEFT - 8, at_y(y, t) + 4, "end", "", s);
    }
    buf_addf(b, "<path d=\"M%d %dV%dH%d\" fill=\"none\" stroke=\"#444\"/>\n", LEFT, TOP, H - BOTTOM, W - RIGHT);
    label(b, (LEFT + W - RIGHT) / 2.0, H - 14, "middle", "", x_label);
    buf_addf(b, "<text transform=\"translate(18 %d) rotate(-90)\" text-anchor=\"middle\">", (TOP + H - BOTTOM) / 2);
    put_escaped(b, y_label);
    buf_adds(b, "</text>\n");
}

void svg_curves(struct buf *b, const char *title, const char *x_label, const char *y_label, const struct curve *c, int n) {
    static const char *const colour[] = {"#1f5fa8", "#c0392b", "#1b7f4d", "#8e44ad", "#d68910", "#555"};
    struct range x = range_of(c, n, 0), y = range_of(c, n, 1);
    if (y.low > 0 && y.low < 0.5 * y.high) y.low = 0;
    open_svg(b, W, H, title);
    axes(b, x, y, x_label, y_label);
    for (int i = 0; i < n; i++) {
        const char *col = colour[i % 6];
        char extra[64];
        buf_addf(b, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.8\" points=\"", col);
        for (int k = 0; k < c[i].n; k++)
            if (isfinite(c[i].x[k]) && isfinite(c[i].y[k])) buf_addf(b, "%.1f,%.1f ", at_x(x, c[i].x[k]), at_y(y, c[i].y[k]));
        buf_adds(b, "\"/>\n");
        snprintf(extra, sizeof extra, " fill=\"%s\"", col);
        label(b, W - RIGHT - 8, TOP + 18 + 18 * i, "end", extra, c[i].name);
    }
    buf_adds(b, "</svg>\n");
}
