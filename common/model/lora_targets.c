/* target_modules: which linears carry an adapter. See lora.h. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "common/model/lora.h"
#include <pcre2.h>
#include <stdio.h>
#include <string.h>

typedef bool match_fn(const void *how, const char *module);

/* PEFT's rule for a list: the whole name, or its end after a dot. */
static bool match_name(const void *how, const char *module) {
    const char *want = how;
    size_t n = strlen(want), len = strlen(module);
    if (n > len || strcmp(module + len - n, want)) return false;
    return n == len || module[len - n - 1] == '.';
}

struct regex {
    pcre2_code *code;
    pcre2_match_data *data;
};

static bool match_regex(const void *how, const char *module) {
    const struct regex *r = how;
    return pcre2_match(r->code, (PCRE2_SPTR)module, strlen(module), 0, 0, r->data, NULL) >= 0;
}

/* Modules of a Llama model that are no linear of a layer. */
static int check_others(match_fn *match, const void *how, const char *what, struct err *e) {
    static const char *const others[] = {"lm_head", "model", "model.embed_tokens", "model.norm", "model.layers", "model.layers.0", "model.layers.0.self_attn",
                                         "model.layers.0.mlp", "model.layers.0.mlp.act_fn", "model.layers.0.input_layernorm",
                                         "model.layers.0.post_attention_layernorm", "model.rotary_emb"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (match(how, others[i])) return err_set(e, RC_INPUT, "target_modules \"%s\" matches %s, which cannot carry an adapter", what, others[i]);
    return 0;
}

/* Adds the sites that match in every layer. */
static int match_sites(bool sites[N_SITES], int L, match_fn *match, const void *how, const char *what, struct err *e) {
    bool any = false;
    if (check_others(match, how, what, e) < 0) return -1;
    for (int s = 0; s < N_SITES; s++) {
        int layers = 0;
        for (int l = 0; l < L; l++) layers += match(how, lora_module_name(l, (enum site)s));
        if (layers && layers < L)
            return err_set(e, RC_INPUT, "target_modules \"%s\" matches %s in %d of %d layers, expected all or none", what, site_names[s], layers, L);
        if (layers) any = sites[s] = true;
    }
    if (any) return 0;
    return err_set(e, RC_INPUT, "target_modules \"%s\" matches no module, expected one of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj", what);
}

int lora_match_names(bool sites[N_SITES], int L, const char *const *names, int n, struct err *e) {
    memset(sites, 0, N_SITES * sizeof *sites);
    if (n < 1) return err_set(e, RC_INPUT, "target_modules is empty, expected at least one module");
    for (int i = 0; i < n; i++)
        if (match_sites(sites, L, match_name, names[i], names[i], e) < 0) return -1;
    return 0;
}

int lora_match_regex(bool sites[N_SITES], int L, const char *regex, struct err *e) {
    int code;
    PCRE2_SIZE at;
    for (int s = 0; s < N_SITES; s++) sites[s] = !strcmp(regex, "all-linear");
    if (sites[0]) return 0;
    struct regex r = {.code = pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED, PCRE2_ANCHORED | PCRE2_ENDANCHORED, &code, &at, NULL)};
    if (!r.code) {
        PCRE2_UCHAR why[200];
        pcre2_get_error_message(code, why, sizeof why);
        return err_set(e, RC_INPUT, "target_modules \"%s\" is not a regular expression: %s at character %zu", regex, (char *)why, (size_t)at);
    }
    r.data = pcre2_match_data_create_from_pattern(r.code, NULL);
    int rc = match_sites(sites, L, match_regex, &r, regex, e);
    pcre2_match_data_free(r.data);
    pcre2_code_free(r.code);
    return rc;
}
