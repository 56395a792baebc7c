# coador: make, make demo, make check, make install. Knobs in config.mk. Targets are listed by `make help`.
include config.mk

PKGS     = yaml-0.1 libcjson libzstd libpcre2-8 libcrypto libcurl
PKGCFG   = pkg-config $(if $(filter 1,$(STATIC)),--static)
CPPFLAGS_ALL = -I. -D_GNU_SOURCE -DCOADOR_VERSION='"$(VERSION)"' -DCOADOR_LIBEXEC='"$(libexecdir)/coador"' -DCOADOR_DATA='"$(datadir)"' $(CPPFLAGS)
CFLAGS_ALL   = -std=c11 $(O) -g $(WARN) $(ARCH) -fopenmp $(SANITIZE) $(CFLAGS)
LDLIBS_ALL   = $(shell $(PKGCFG) --libs $(PKGS)) -lm -ldl -lpthread $(LDLIBS)
LDFLAGS_ALL  = -fopenmp $(SANITIZE) $(LDFLAGS) $(if $(filter 1,$(STATIC)),-static-libgcc)

LIB_SRC  = $(sort $(wildcard common/*/*.c kernels/*.c kernels/cpu/*.c))
TOOL_SRC = $(sort $(wildcard tools/*.c))
TEST_SRC = $(sort $(wildcard tests/kernels/test_*.c tests/common/test_*.c tests/model/test_*.c))
LIB_OBJ  = $(LIB_SRC:%.c=$(BUILD)/%.o)
TOOLS    = $(filter-out $(BUILD)/libexec/coador/coador,$(TOOL_SRC:tools/%.c=$(BUILD)/libexec/coador/%))
TESTS    = $(TEST_SRC:%.c=$(BUILD)/%)

all: $(BUILD)/bin/coador $(TOOLS)
tests: all $(TESTS)

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

clean:
	rm -rf $(BUILD)

include $(wildcard $(BUILD)/*/*.d $(BUILD)/*/*/*.d)
.PHONY: all tests clean
.SECONDARY:
