/* Hugging Face directories, written: the files beside the weights, for a directory or to travel along in a stream, and the
   weights themselves in safetensors files. transformers 5 and 4.51 load what stands in such a directory. */
#ifndef COADOR_HFDIR_H
#define COADOR_HFDIR_H
#include "common/io/tstream.h"
#include "common/model/model.h"

struct weights; /* weights.h */

/* ---- the files beside the weights ---- */
struct hf_files {
    struct tstream_file *f; /* config.json first; names and contents are owned */
    int n;
};
#define HF_FILES_INIT {NULL, 0}
/* Makes them for the model w (of any source), whose tensors other than quantised linears are written as `type` (f32, f16 or
   bf16). config.json is the source's own with dtype and quantization_config replaced, or made from GGUF's metadata;
   `quantization` is the JSON of quantization_config, or NULL for none. The tokenizer's files and generation_config.json
   are the source's byte for byte, or made from GGUF. give: hf_files_release. */
int hf_files_make(struct hf_files *x, const struct weights *w, enum dtype type, const char *quantization, struct err *e);
/* The same of an open model. */
int hf_files_of_model(struct hf_files *x, const struct model *m, enum dtype type, const char *quantization, struct err *e);
void hf_files_release(struct hf_files *x);
/* One more: the file at `path` under this name. */
int hf_files_add(struct hf_files *x, const char *name, const char *path, struct err *e);
/* Puts them into an existing directory. */
int hf_files_write(const struct hf_files *x, const char *dir, struct err *e);
/* transformers' name of f32, f16 or bf16: "float32", … */
const char *hf_type_name(enum dtype t);

/* ---- the weights ---- */
#define HF_SHARD ((uint64_t)4 << 30) /* bytes of tensors that a file holds at most, where one tensor is not larger */

struct hf_weights;
/* Announces n tensors in the order in which their bytes will come; only names, types and shapes are looked at, nothing is
   kept. They go into dir/model.safetensors, or where they are more than `shard` bytes into model-00001-of-0000N.safetensors …
   with model.safetensors.index.json. Within a file wide types lie before narrow ones, so that every value is aligned
   whatever the order of coming. The directory exists, and is a temporary one (io_tmpdir): it is committed as a whole.
   give: hf_weights_finish or hf_weights_abort. */
struct hf_weights *hf_weights_create(const char *dir, const struct tensor *t, int n, uint64_t shard, struct err *e);
/* The next n bytes of the tensors' data, in pieces of any size. */
int hf_weights_push(struct hf_weights *h, const void *p, size_t n, struct err *e);
int hf_weights_files(const struct hf_weights *h); /* how many safetensors files */
/* After the last byte (fewer is a BUG). Takes h, whatever comes out. */
int hf_weights_finish(struct hf_weights *h, struct err *e);
void hf_weights_abort(struct hf_weights *h); /* NULL is fine */
#endif
