# Knobs. Override on the command line or in the environment: make CC=clang O=-O1
CC      ?= cc
ifeq ($(origin CC),default)
CC      = gcc
endif
O       ?= -O2
# Instruction sets beyond the baseline are chosen at run time by CPUID (kernels/cpu).
ARCH    ?=
WARN    = -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings -Wno-unused-parameter
prefix      ?= /usr/local
bindir      ?= $(prefix)/bin
libexecdir  ?= $(prefix)/libexec
mandir      ?= $(prefix)/share/man
datadir     ?= $(prefix)/share/coador
# Everything that is built, and everything that is fetched once (model, data).
BUILD   ?= build
FETCHED ?= .fetched
# STATIC=1 links third-party libraries statically; CUDA=1 builds libcoador-cuda.so and libcoador-cuda-fp16.so.
STATIC  ?= 0
CUDA    ?= 0
VERSION = 0.1.0
