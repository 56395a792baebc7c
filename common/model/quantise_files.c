/* The files beside the tensors: see quantise.h and hfdir.h. */
#include "common/model/quantise_impl.h"

/* ---- quantization_config ---- */
static void put_bitsandbytes(const struct quantise *q, struct buf *b) {
    bool four = q->o.to != TO_INT8;
    buf_addf(b, "{\"quant_method\": \"bitsandbytes\", \"load_in_4bit\": %s, \"load_in_8bit\": %s, \"_load_in_4bit\": %s, \"_load_in_8bit\": %s, ", four ? "true" : "false",
             four ? "false" : "true", four ? "true" : "false", four ? "false" : "true");
    buf_addf(b, "\"bnb_4bit_quant_type\": \"%s\", \"bnb_4bit_use_double_quant\": %s, \"bnb_4bit_compute_dtype\": \"%s\", \"bnb_4bit_quant_storage\": \"uint8\", ",
             q->o.to == TO_NF4 ? "nf4" : "fp4", q->o.nested ? "true" : "false", hf_type_name(q->rest));
    buf_adds(b, "\"llm_int8_enable_fp32_cpu_offload\": false, \"llm_int8_has_fp16_weight\": false, \"llm_int8_skip_modules\": [\"lm_head\"], \"llm_int8_threshold\": 6.0}");
}

/* Nothing where all tensors are plain. */
static void put_quantization(const struct quantise *q, struct buf *b) {
    if (q->o.to <= TO_BF16) return;
    if (q->o.to == TO_TERNARY)
        buf_adds(b, "{\"quant_method\": \"bitnet\", \"linear_class\": \"autobitlinear\", \"quantization_mode\": \"offline\", \"use_rms_norm\": false, \"rms_norm_eps\": 1e-06, "
                    "\"modules_to_not_convert\": [\"lm_head\"]}");
    else
        put_bitsandbytes(q, b);
}

/* ---- all of them ---- */
const struct hf_files *quantise_files(struct quantise *q, struct err *e) {
    struct buf b = BUF_INIT;
    int rc = 0;
    put_quantization(q, &b);
    if (!q->files.n) rc = hf_files_make(&q->files, q->w, q->rest, b.p, e);
    buf_release(&b);
    return rc ? NULL : &q->files;
}
