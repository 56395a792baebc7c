/* Element types of tensors, as stored. Block types hold values of one row each (GGUF's layouts, ggml-org/ggml docs/gguf.md).
   32 values: Q8_0 f16 scale + 32 i8; Q4_0 f16 scale + 16 bytes; Q4_1 f16 scale, f16 minimum + 16 bytes. 256 values: Q4_K f16
   scale of scales, f16 scale of minima, eight pairs of 6 bits + 128 bytes; Q6_K 128 + 64 bytes (low 4 and high 2 bits),
   16 i8 scales, f16 scale of scales. NF4, FP4 and TERNARY are bits without their scales, which lie elsewhere: weight.h. */
#ifndef COADOR_DTYPE_H
#define COADOR_DTYPE_H
#include <stddef.h>
#include <stdint.h>

enum dtype { DT_F32, DT_F16, DT_BF16, DT_F64, DT_I8, DT_U8, DT_I16, DT_I32, DT_I64, DT_BOOL, DT_Q8_0, DT_Q4_0, DT_Q4_1, DT_Q4_K, DT_Q6_K, DT_NF4, DT_FP4, DT_TERNARY, DT_COUNT };

const char *dtype_name(enum dtype t);          /* "f32", "q4_1", … */
int dtype_block(enum dtype t);                 /* values a block: 1 for plain types, 2 or 4 for bare bits */
size_t dtype_block_bytes(enum dtype t);        /* bytes a block */
/* Bytes of n values (n a multiple of the block). */
size_t dtype_bytes(enum dtype t, int64_t n);
float f16_to_f32(uint16_t h);
uint16_t f32_to_f16(float f);                  /* round to nearest even */
float bf16_to_f32(uint16_t h);
uint16_t f32_to_bf16(float f);                 /* round to nearest even, NaN stays NaN */
/* n values (a multiple of the block) of any type above that holds reals by itself, to f32. The reference decoder. */
void dtype_to_f32(float *dst, enum dtype t, const void *src, int64_t n);
/* 32 values from value 32·part of a run of GGUF blocks at src. */
void dtype_part_to_f32(float dst[32], enum dtype t, const void *src, int64_t part);
/* What the 16 codes of NF4 and FP4 stand for (bitsandbytes' tables, f32). */
extern const float dtype_nf4[16], dtype_fp4[16];
#endif
