/* Shape of a Llama-type model, from GGUF metadata or config.json.
   Letters used everywhere: B batch, T positions, R rows (tokens) of a packed batch, C hidden, F feed-forward, V vocabulary,
   L layers, H query heads, G key/value heads, D head size. */
#ifndef COADOR_CONFIG_H
#define COADOR_CONFIG_H
#include "common/io/err.h"
#include "common/io/gguf.h"
#include <stdbool.h>
#include <stdint.h>

/* How config.json's quantization_config says the linears lie. Each of them may also be plain. */
enum quant_method { QUANT_PLAIN, QUANT_BNB4, QUANT_BNB8, QUANT_BITNET_MUL, QUANT_BITNET_DIV }; /* value = ternary ·, or ÷, weight_scale */
enum rope_kind { ROPE_DEFAULT, ROPE_LLAMA3 };
struct model_config {
    int C, F, V, L, H, G, D;
    int context;             /* positions the model was made for */
    float norm_eps;
    float rope_theta;
    enum rope_kind rope;
    float rope_factor, rope_low_freq, rope_high_freq; /* ROPE_LLAMA3 */
    int rope_original_max;
    bool tied;               /* the head is the embedding */
    int32_t bos;             /* -1: none */
    int32_t eos[8];
    int n_eos;               /* generation stops on any of these */
    enum quant_method quant;
};
/* Refuses other architectures, biases, sliding windows, other activations and RoPE types by name. */
/* `path` is for messages. A tensor rope_freqs.weight (llama.cpp's way to store Llama 3's RoPE scaling) becomes ROPE_LLAMA3. */
int config_from_gguf(struct model_config *c, const struct gguf *g, const char *path, struct err *e);
int config_from_json(struct model_config *c, const char *path, struct err *e); /* config.json, with generation_config.json beside it */
/* inv_freq[D/2] in f32 as transformers computes it, llama3 scaling included. */
void config_inv_freq(const struct model_config *c, float *inv_freq);

/* Shared by the two readers. Every size within its limits, heads that divide, finite epsilon and base. */
int config_check(const struct model_config *c, const char *path, struct err *e);
int config_check_llama3(const struct model_config *c, const char *path, struct err *e);
struct json;
/* quantization_config of root: bitsandbytes' 4 and 8 bits, BitNet's offline; others are refused by name. */
int config_quant(struct model_config *c, const struct json *root, const char *path, struct err *e);
int config_add_eos(struct model_config *c, int64_t id, const char *path, struct err *e); /* once each, at most 8 */
#endif
