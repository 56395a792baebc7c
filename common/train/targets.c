/* target_modules against the seven linears of each layer, by PEFT's rules: a list holds whole names or their dotted
   endings, a text is a regular expression for the whole name ("model.layers.3.self_attn.q_proj"). */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "common/train/settings.h"
#include <pcre2.h>
#include <stdio.h>
#include <string.h>

#define EXPECTED "expected q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj or down_proj"

static bool ends_with(const char *name, const char *target) {
    size_t n = strlen(name), m = strlen(target);
    return m <= n && !strcmp(name + n - m, target) && (m == n || name[n - m - 1] == '.');
}

static void module_name(char name[80], int layer, int site) {
    snprintf(name, 80, "model.layers.%d.%s", layer, site_paths[site]);
}

/* Counts at each site the layers in which some name matches; a name that never does is an error. */
static int count_names(const struct targets *t, int L, int hits[N_SITES], struct err *e) {
    char name[80];
    for (int i = 0, used = 0; i < t->n; i++, used = 0) {
        for (int l = 0; l < L && !used; l++)
            for (int s = 0; s < N_SITES && !used; s++) {
                module_name(name, l, s);
                used = ends_with(name, t->names[i]);
            }
        if (!used) return err_set(e, RC_INPUT, "target_modules: %s matches no linear of the model, " EXPECTED, t->names[i]);
    }
    for (int l = 0; l < L; l++)
        for (int s = 0; s < N_SITES; s++) {
            int hit = 0;
            module_name(name, l, s);
            for (int i = 0; i < t->n && !hit; i++) hit = ends_with(name, t->names[i]);
            hits[s] += hit;
        }
    return 0;
}

static int count_regex(const char *regex, int L, int hits[N_SITES], struct err *e) {
    int code;
    size_t at;
    char name[80], why[200];
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED, PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_UTF, &code, &at, NULL);
    if (!re) {
        pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        return err_set(e, RC_INPUT, "target_modules: not a regular expression at byte %zu: %s", at, why);
    }
    pcre2_match_data *m = pcre2_match_data_create_from_pattern(re, NULL);
    if (!m) {
        pcre2_code_free(re);
        return err_set(e, RC_IO, "target_modules: out of memory");
    }
    int bad = 0;
    for (int l = 0; l < L && !bad; l++)
        for (int s = 0; s < N_SITES && !bad; s++) {
            module_name(name, l, s);
            int rc = pcre2_match(re, (PCRE2_SPTR)name, strlen(name), 0, 0, m, NULL);
            if (rc > 0) hits[s]++;
            if (rc < 0 && rc != PCRE2_ERROR_NOMATCH) bad = rc;
        }
    pcre2_match_data_free(m);
    pcre2_code_free(re);
    if (!bad) return 0;
    pcre2_get_error_message(bad, (PCRE2_UCHAR *)why, sizeof why);
    return err_set(e, RC_INPUT, "target_modules: cannot be matched: %s", why);
}

int settings_targets(const struct settings *s, int L, bool sites[N_SITES], struct err *e) {
    const struct targets *t = &s->targets;
    int hits[N_SITES] = {0}, any = 0;
    if (t->regex && count_regex(t->regex, L, hits, e) < 0) return -1;
    if (t->n && count_names(t, L, hits, e) < 0) return -1;
    for (int k = 0; k < N_SITES; k++) {
        if (t->all_linear) hits[k] = L;
        if (hits[k] && hits[k] < L)
            return err_set(e, RC_INPUT, "target_modules: matches %s in %d of %d layers, expected all or none", site_names[k], hits[k], L);
        sites[k] = hits[k] > 0;
        any |= sites[k];
    }
    return any ? 0 : err_set(e, RC_INPUT, "target_modules: matches no linear of the model, " EXPECTED);
}
