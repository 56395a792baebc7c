/* A model with random weights, written: see random_model.h. */
#ifndef COADOR_RANDOM_WRITE_H
#define COADOR_RANDOM_WRITE_H
#include "common/model/hfdir.h"
#include "common/model/random_model.h"
#include <stdio.h>

/* The files beside the weights: `config` itself, first, and as far as they are there generation_config.json beside it and the
   tokenizer's files: `tokenizer` (NULL: the tokenizer.json beside config) and those beside it. give either way:
   hf_files_release. */
int random_files(struct hf_files *x, const char *config, const char *tokenizer, struct err *e);
/* initializer_range of config.json, which is x's first file and called `name` in messages; transformers' default without it. */
int random_spread(const struct hf_files *x, const char *name, float *std, struct err *e);
/* A tensor stream onto f, which stays the caller's. level: as of tstream_spec. */
int random_write_stream(const struct random_model *r, const struct hf_files *x, int level, FILE *f, struct err *e);
/* A Hugging Face directory with one model.safetensors, put in place when it is whole. */
int random_write_dir(const struct random_model *r, const struct hf_files *x, const char *path, struct err *e);
#endif
