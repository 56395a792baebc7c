/* What this build and this machine have, for bug reports and for people whose numbers are slow.
       coador doctor --json | jq .memory
   Facts are gathered as rows of a section, then printed as a table or as JSON. Exit 1 when something will get in the way. */
#include "common/io/buf.h"
#include "common/io/io.h"
#include "common/io/json.h"
#include "common/io/opt.h"
#include "kernels/device.h"
#include <ctype.h>
#include <curl/curl.h>
#include <langinfo.h>
#include <locale.h>
#include <omp.h>
#include <openssl/crypto.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <yaml.h>
#include <zstd.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

static const char usage[] = "coador doctor [--json]";

/* A fact: `number` where it has one (bytes, threads), text for people always. */
struct row {
    const char *section, *name;
    char *text;
    double number;
    bool has_number, bad;
};
struct report {
    struct row *v;
    size_t n, cap;
};

static struct row *add(struct report *r, const char *section, const char *name, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static struct row *add(struct report *r, const char *section, const char *name, const char *fmt, ...) {
    char text[1000];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    GROW(r->v, r->n, r->cap);
    struct row *x = &r->v[r->n++];
    *x = (struct row){.section = section, .name = name, .text = xstrdup(text)};
    return x;
}

static struct row *add_number(struct report *r, const char *section, const char *name, double x) {
    struct row *y = add(r, section, name, "%.0f", x);
    y->number = x;
    y->has_number = true;
    return y;
}

static struct row *add_bytes(struct report *r, const char *section, const char *name, double bytes) {
    struct row *y = add(r, section, name, "%.1f GiB", bytes / (1 << 30));
    y->number = bytes;
    y->has_number = true;
    return y;
}

/* ---- facts ---- */
static void libraries(struct report *r) {
    char pcre[64] = "";
    pcre2_config(PCRE2_CONFIG_VERSION, pcre);
    add(r, "libraries", "libyaml", "%s", yaml_get_version_string());
    add(r, "libraries", "zstd", "%s", ZSTD_versionString());
    add(r, "libraries", "PCRE2", "%s", pcre);
    add(r, "libraries", "libcrypto", "%s", OpenSSL_version(OPENSSL_VERSION));
    add(r, "libraries", "libcurl", "%s", curl_version_info(CURLVERSION_NOW)->version);
    add(r, "libraries", "OpenMP", "%d", _OPENMP);
}

static void processor(struct report *r) {
    cpu_set_t set;
    struct in in;
    struct err e;
    if (in_open(&in, "/proc/cpuinfo", &e) == 0) {
        while (in_line(&in, &e) >= 0) {
            char *colon = strncmp(in.text, "model name", 10) ? NULL : strchr(in.text, ':');
            if (!colon) continue;
            add(r, "processor", "model", "%s", colon + 1 + strspn(colon + 1, " "));
            break;
        }
        in_close(&in);
    }
    add(r, "processor", "kernels use", "%s", dev_cpu_features());
    add_number(r, "processor", "cores", (double)sysconf(_SC_NPROCESSORS_ONLN));
    if (sched_getaffinity(0, sizeof set, &set) == 0) add_number(r, "processor", "cores allowed", CPU_COUNT(&set));
    add_number(r, "processor", "threads by default", omp_get_max_threads());
    const char *given = getenv("OMP_NUM_THREADS");
    if (given) add(r, "processor", "OMP_NUM_THREADS", "%s", given);
}

/* The control group's own limit (version 2), where there is one: containers often have less than the machine. */
static double group_limit(void) {
    char line[64] = "", *end = line;
    FILE *f = fopen("/sys/fs/cgroup/memory.max", "re");
    if (!f) return 0;
    double x = fgets(line, sizeof line, f) ? strtod(line, &end) : 0;
    fclose(f);
    return end > line ? x : 0;
}

static void memory(struct report *r) {
    struct dev *d;
    const char *why;
    size_t left = 0, total = 0;
    if (dev_open(&d, "cpu", 1, &why) == K_OK) {
        if (d->memory_info(d->ctx, &left, &total) == K_OK) {
            add_bytes(r, "memory", "installed", (double)total);
            add_bytes(r, "memory", "available", (double)left)->bad = left < (size_t)1 << 30;
        }
        d->close(d);
    } else {
        add(r, "memory", "device cpu", "cannot be opened: %s", why)->bad = true;
    }
    double limit = group_limit();
    if (limit > 0) add_bytes(r, "memory", "limit of the control group", limit);
}

static void free_space(struct report *r, const char *name, const char *path) {
    struct statvfs s;
    if (statvfs(path, &s) < 0) {
        add(r, "disk", name, "%s: cannot be looked at", path)->bad = true;
        return;
    }
    double bytes = (double)s.f_bavail * (double)s.f_frsize;
    struct row *x = add(r, "disk", name, "%.1f GiB free in %s", bytes / (1 << 30), path);
    x->number = bytes;
    x->has_number = true;
    x->bad = bytes < (1 << 30);
}

static void disk(struct report *r) {
    const char *tmp = getenv("TMPDIR");
    free_space(r, "temporary files", tmp && *tmp ? tmp : "/tmp");
    free_space(r, "working folder", ".");
}

static void language(struct report *r) {
    const char *name = setlocale(LC_CTYPE, "");
    const char *set = nl_langinfo(CODESET);
    bool utf8 = !strcasecmp(set, "UTF-8") || !strcasecmp(set, "utf8");
    add(r, "locale", "LC_CTYPE", "%s", name ? name : "names no locale of this system");
    add(r, "locale", "character set", "%s%s", set, utf8 ? "" : " (the tools read and write UTF-8 whatever it is; this terminal may not show it)");
}

/* The CUDA part is a library of its own beside the programs; a build without it is nothing to look at. */
static void cuda(struct report *r) {
    struct dev *d;
    const char *why;
    size_t left = 0, total = 0;
    if (dev_open(&d, "cuda", 1, &why) == K_OK) {
        add(r, "CUDA", "usable", "yes: %s", d->name);
        add(r, "CUDA", "computes in", "%s, by %s", dtype_name(d->act), d->library);
        if (*why) add(r, "CUDA", "remark", "%s", why);
        if (d->memory_info(d->ctx, &left, &total) == K_OK) {
            add_bytes(r, "CUDA", "memory of the card", (double)total);
            add_bytes(r, "CUDA", "of it free", (double)left);
        }
        d->close(d);
    } else {
        add(r, "CUDA", "usable", "no: %s", why)->bad = !strstr(why, "no CUDA part");
    }
    add(r, "CUDA", "driver", "%s", io_exists("/dev/nvidiactl") ? "loaded (/dev/nvidiactl)" : "none (/dev/nvidiactl is missing)");
}

/* ---- printing ---- */
static void print_table(const struct report *r) {
    const char *section = "";
    printf("coador %s\n", COADOR_VERSION);
    for (size_t i = 0; i < r->n; i++) {
        const struct row *x = &r->v[i];
        if (strcmp(section, x->section)) printf("%s\n", section = x->section);
        printf("  %-26s  %s%s\n", x->name, x->text, x->bad ? "  <- look here" : "");
    }
}

/* A name as a JSON key: lower case, words joined by _. */
static void put_key(struct buf *b, const char *name) {
    buf_addc(b, '"');
    for (; *name; name++) buf_addc(b, *name == ' ' ? '_' : (char)tolower((unsigned char)*name));
    buf_adds(b, "\": ");
}

static void print_json(const struct report *r) {
    struct buf b = BUF_INIT;
    const char *section = "";
    buf_adds(&b, "{\"coador\": \"" COADOR_VERSION "\"");
    for (size_t i = 0; i < r->n; i++) {
        const struct row *x = &r->v[i];
        bool first = strcmp(section, x->section);
        if (first) {
            buf_adds(&b, *section ? "},\n " : ",\n ");
            section = x->section;
            put_key(&b, section);
            buf_addc(&b, '{');
        }
        buf_adds(&b, first ? "" : ", ");
        put_key(&b, x->name);
        if (x->has_number)
            json_put_number(&b, x->number);
        else
            json_put_string(&b, x->text, utf8_valid(x->text, strlen(x->text)));
    }
    bool bad = false;
    for (size_t i = 0; i < r->n; i++) bad |= r->v[i].bad;
    buf_addf(&b, "},\n \"healthy\": %s}\n", bad ? "false" : "true");
    fwrite(b.p, 1, b.n, stdout);
    buf_release(&b);
}

int main(int argc, char **argv) {
    bool json = false;
    struct report r = {0};
    const struct option options[] = {
        {"json", 0, OPT_FLAG, &json, NULL, "print JSON: sizes in bytes", 0, 0},
        OPT_END,
    };
    if (opt_parse(argc, argv, "doctor", usage, options)) die_usage("doctor takes no operands");
    libraries(&r);
    processor(&r);
    memory(&r);
    disk(&r);
    language(&r);
    cuda(&r);
    (json ? print_json : print_table)(&r);
    int rc = RC_DONE;
    for (size_t i = 0; i < r.n; i++) {
        if (r.v[i].bad) rc = RC_NEGATIVE;
        free(r.v[i].text);
    }
    free(r.v);
    io_close_stdout();
    return rc;
}
