# coador: make, make demo, make check, make install. Knobs in config.mk. Targets are listed by `make help`.
include config.mk

PKGS     = yaml-0.1 libzstd libpcre2-8 libcrypto
# libcurl stays shared: Debian has no static archives of the libraries behind it. --as-needed: only what uses it is linked with it.
CURL     = $(shell pkg-config --libs libcurl)
PKGCFG   = pkg-config $(if $(filter 1,$(STATIC)),--static)
CPPFLAGS_ALL = -I. -D_GNU_SOURCE -DCOADOR_VERSION='"$(VERSION)"' -DCOADOR_LIBEXEC='"$(libexecdir)/coador"' -DCOADOR_DATA='"$(datadir)"' $(CPPFLAGS)
CFLAGS_ALL   = -std=c11 $(O) -g $(WARN) $(ARCH) -fopenmp $(SANITIZE) $(CFLAGS)
# STATIC=1: the libraries of PKGS from their archives; the C library, libgomp and libcurl stay shared.
ARCHIVES     = $(if $(filter 1,$(STATIC)),-Wl$(comma)-B$(1))
comma       := ,
LDLIBS_ALL   = -Wl,--as-needed $(call ARCHIVES,static) $(shell $(PKGCFG) --libs $(PKGS)) $(call ARCHIVES,dynamic) $(CURL) -lm -ldl -lpthread $(LDLIBS)
LDFLAGS_ALL  = -fopenmp $(SANITIZE) $(LDFLAGS) $(if $(filter 1,$(STATIC)),-static-libgcc)

LIB_SRC  = $(sort $(wildcard common/*/*.c kernels/*.c kernels/cpu/*.c))
TOOL_SRC = $(sort $(wildcard tools/*.c))
TEST_SRC = $(sort $(wildcard tests/kernels/test_*.c tests/common/test_*.c tests/model/test_*.c))
LIB_OBJ  = $(LIB_SRC:%.c=$(BUILD)/%.o)
TOOLS    = $(filter-out $(BUILD)/libexec/coador/coador,$(TOOL_SRC:tools/%.c=$(BUILD)/libexec/coador/%))
TESTS    = $(TEST_SRC:%.c=$(BUILD)/%)

# The CUDA part: CUDA=1 with the toolkit (nvcc, cuBLAS) of 12.8 or later.
CUDA_HOME ?= /usr/local/cuda
CUDA_ARCH ?= $(foreach a,80 89 90a,-gencode arch=compute_$(a),code=sm_$(a)) -gencode arch=compute_90,code=compute_90
NVCC       = $(CUDA_HOME)/bin/nvcc
CUDA_SRC   = $(sort $(wildcard kernels/cuda/*.cu))
# A second library of the same sources, for cards that compute no bf16; what is for Hopper alone is not in it. Whoever names CUDA_ARCH
# builds for one card and asks for it by CUDA_FP16=1.
FP16_ARCH ?= -gencode arch=compute_75,code=[compute_75,sm_75]
FP16_SRC   = $(filter-out $(addprefix kernels/cuda/,attention_wide.cu e4m3.cu e4m3_rows.cu entropy.cu narrow.cu product.cu thin.cu thin_mlp.cu),$(CUDA_SRC))
CUDA_FP16 ?= $(if $(filter file,$(origin CUDA_ARCH)),1)
CUDA_LIB   = $(if $(filter 1,$(CUDA)),$(BUILD)/libexec/coador/libcoador-cuda.so $(if $(filter 1,$(CUDA_FP16)),$(BUILD)/libexec/coador/libcoador-cuda-fp16.so))

all: $(BUILD)/bin/coador $(TOOLS) $(CUDA_LIB)

help:
	@sed -n 's/^## //p' Makefile
## make            build the programs (after make deps)
## make demo       set up and run the main job: SmolLM2 learns the polarity of news sentences; prints the scores
## make check      set up and run every test; make check-NAME: one, by the end of its name (check-t3-eval)
## make run P=pipelines/NAME [SET="var=value"]   run a pipeline (-j2, N=1: only say what would run and why)
## make dag P=pipelines/NAME    its stages in the language of Graphviz's dot
## make deps       install the Debian packages that are missing
## make model      fetch SmolLM2-135M-Instruct (GGUF, 98 MB); make nyt-data: the rated news sentences
## make install    programs and pages under prefix=/usr/local (DESTDIR obeyed); make uninstall; make clean: what was built goes
## make check-asan | check-ubsan | check-tsan   the tests under sanitizers; make fuzz: every fuzz target for FUZZ_SECONDS
## make check-server    distill-label against a real server, llama-cpp-python (ROWS=500; installed outside the tree)
## make bench      our figures beside the peers'
## make CUDA=1     also the libraries for NVIDIA cards, bf16 from Ampere on and fp16 for Turing; on such a machine: tests/bench/cuda.sh
tests: $(TESTS)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<
$(BUILD)/libcoador.a: $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^
$(BUILD)/bin/coador: $(BUILD)/tools/coador.o $(BUILD)/libcoador.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LDLIBS_ALL)
$(BUILD)/libexec/coador/%: $(BUILD)/tools/%.o $(BUILD)/libcoador.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LDLIBS_ALL)
$(BUILD)/tests/%: $(BUILD)/tests/%.o $(BUILD)/libcoador.a
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LDLIBS_ALL) -lcmocka

$(BUILD)/%.cu.o: %.cu
	@mkdir -p $(@D)
	$(NVCC) -std=c++20 -O3 -I. $(CUDA_ARCH) -Xcompiler -fPIC,-fvisibility=hidden -MMD -MP -MF $(@:.o=.d) -c -o $@ $<
$(BUILD)/libexec/coador/libcoador-cuda.so: $(CUDA_SRC:%=$(BUILD)/%.o)
	@mkdir -p $(@D)
	$(NVCC) -shared -o $@ $^ $(CUDA_LINK)
CUDA_LINK = -lcublasLt -Xlinker -z,defs,-rpath,$(CUDA_HOME)/lib64
$(BUILD)/%.cu.fp16.o: %.cu
	@mkdir -p $(@D)
	$(NVCC) -std=c++20 -O3 -I. -DCOADOR_FP16 $(FP16_ARCH) -Xcompiler -fPIC,-fvisibility=hidden -MMD -MP -MF $(@:.o=.d) -c -o $@ $<
$(BUILD)/libexec/coador/libcoador-cuda-fp16.so: $(FP16_SRC:%=$(BUILD)/%.fp16.o)
	@mkdir -p $(@D)
	$(NVCC) -shared -o $@ $^ $(CUDA_LINK)

# ---- setting up ----
deps:
	@CC="$(CC)" sh tools/setup/deps.sh
model: deps
	@sh tools/setup/fetch.sh model $(FETCHED)
nyt-data: deps
	@sh tools/setup/fetch.sh nyt $(FETCHED)
# deps comes first and alone: pkg-config must be there before anything is compiled.
setup: deps
	@$(MAKE) --no-print-directory all model nyt-data
demo: setup
	@$(MAKE) --no-print-directory run P=pipelines/demo
	@echo; cat pipelines/demo/scores.txt
	@echo; echo "All of it is in pipelines/demo: the adapter in adapter/ (PEFT's format), every answer in tuned-answers.jsonl and"
	@echo "base-answers.jsonl, the table in scores.txt, the loss curve and confusion matrices in pictures/*.svg."

# ---- tests ----
# Tests with slow or parity in their name run the real model; the sanitizer targets leave them out. SUITES=DIR: JSONTestSuite, csv-spectrum, … fetched by hand.
SH_TESTS   = $(sort $(wildcard tests/tools/t*.sh tests/pipelines/t*.sh))
FAST_TESTS = $(foreach t,$(TESTS) $(SH_TESTS),$(if $(or $(findstring slow,$(notdir $(t))),$(findstring parity,$(notdir $(t)))),,$(t)))
COADOR_DEVICE ?= cpu
TEST_ENV   = COADOR_DEVICE="$(COADOR_DEVICE)" SRC="$(CURDIR)" FETCHED="$(abspath $(FETCHED))" BUILD="$(abspath $(BUILD))" COADOR="$(abspath $(BUILD))/bin/coador" \
             SUITES="$(SUITES)" CMOCKA_MESSAGE_OUTPUT=TAP
PROVE      = prove -j$(JOBS) $(PROVEFLAGS) --exec tests/exec.sh
JOBS      ?= 2
check: setup
	@$(MAKE) --no-print-directory run-tests
run-tests: all tests
	$(TEST_ENV) $(PROVE) $(TESTS) $(SH_TESTS)
run-fast-tests: all tests
	$(TEST_ENV) COADOR_FAST=1 $(PROVE) $(FAST_TESTS)
# One test by the tail of its name: make check-rmsnorm, make check-t3-eval
check-%: all tests
	$(TEST_ENV) $(PROVE) -v $(filter %$* %$*.sh,$(TESTS) $(SH_TESTS))
check-asan: deps
	@$(MAKE) --no-print-directory run-fast-tests BUILD=$(BUILD)/asan SANITIZE="-fsanitize=address -fno-omit-frame-pointer"
check-ubsan: deps
	@$(MAKE) --no-print-directory run-fast-tests BUILD=$(BUILD)/ubsan SANITIZE="-fsanitize=undefined -fno-sanitize-recover=all"
# clang with libomp: gcc's libgomp is not instrumented (Debian: clang libomp-dev libclang-rt-dev)
check-tsan: deps
	@$(MAKE) --no-print-directory run-fast-tests CC=clang BUILD=$(BUILD)/tsan SANITIZE="-fsanitize=thread"
# The server goes into SERVER_ENV (~/.cache/coador/...) on first use.
check-server: setup
	@$(TEST_ENV) ROWS="$(ROWS)" SERVER_ENV="$(SERVER_ENV)" bash tests/servers/llama-cpp.sh
FUZZ_SECONDS ?= 60
FUZZERS = $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
fuzz:
	@$(MAKE) --no-print-directory run-fuzzers CC=clang BUILD=$(BUILD)/fuzzing SANITIZE="-fsanitize=fuzzer-no-link,address"
run-fuzzers: $(FUZZERS)
	@set -e; for f in $(FUZZERS); do echo "$$f"; mkdir -p $$f.corpus; $$f -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=4096 -close_fd_mask=3 -artifact_prefix=$$f. $$f.corpus; done
$(BUILD)/fuzz/%: $(BUILD)/tests/fuzz/%.o $(BUILD)/libcoador.a
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $^ $(LDLIBS_ALL)

bench: setup
	-@$(MAKE) -s $(BUILD)/tests/bench/gemm # for the floor of training
	@bash tests/bench/bench.sh "$(abspath $(BUILD))" "$(abspath $(FETCHED))"

# ---- installing ----
install: all
	install -d $(DESTDIR)$(bindir) $(DESTDIR)$(libexecdir)/coador $(DESTDIR)$(datadir)
	install -m 755 $(BUILD)/bin/coador $(DESTDIR)$(bindir)/coador
	install -m 755 $(TOOLS) $(CUDA_LIB) $(DESTDIR)$(libexecdir)/coador
	for s in 1 5 7; do install -d $(DESTDIR)$(mandir)/man$$s; install -m 644 man/*.$$s $(DESTDIR)$(mandir)/man$$s; done
uninstall:
	rm -rf $(DESTDIR)$(bindir)/coador $(DESTDIR)$(libexecdir)/coador $(DESTDIR)$(datadir)
	rm -f $(foreach p,$(notdir $(wildcard man/*.[157])),$(DESTDIR)$(mandir)/man$(lastword $(subst ., ,$(p)))/$(p))

# Timings: make BUILD=build build/tests/bench/gemm. Only they link OpenBLAS, to compare with it.
OPENBLAS ?= $(firstword $(wildcard /usr/lib/*/openblas-serial/libopenblas.a) -lopenblas)
$(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o $(BUILD)/libcoador.a
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(OPENBLAS) $(LDLIBS_ALL)

clean:
	rm -rf $(BUILD)

-include common/flow/run.mk
include $(wildcard $(BUILD)/*/*.d $(BUILD)/*/*/*.d)
.PHONY: all tests help deps model nyt-data setup demo check run-tests run-fast-tests check-server check-asan check-ubsan check-tsan fuzz run-fuzzers bench install uninstall clean
.SECONDARY:
