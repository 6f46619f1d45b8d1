# Targets for people: all deps demo check check-full check-fs chaos bench asan tsan lint format install clean. See README.md.
#
# Everything lands under $(BUILD): the command at build/stockade, plugins in build/lib/stockade, helpers in
# build/libexec/stockade, as an install has them below $(PREFIX). SAN=address,undefined or SAN=thread builds
# a sanitized tree beside it (the agent stays as it is: it is static and PID 1 of somebody else's sandbox).

SAN ?=
comma := ,
BUILD ?= build$(if $(SAN),/san-$(firstword $(subst $(comma), ,$(SAN))))
PREFIX ?= /usr/local
DESTDIR ?=
VERSION := 0.1.0

CC ?= cc
MUSL_CC ?= musl-gcc
PKGS := fuse3 libcjson libcurl
# pkg-config runs once, and only when something is compiled: `make deps` must work before the packages are there.
pkg-cflags = $(eval pkg-cflags := $(shell pkg-config --cflags $(PKGS)))$(pkg-cflags)

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wvla -Wundef
HARDEN := -fstack-protector-strong $(if $(SAN),,-D_FORTIFY_SOURCE=2)
# Compiling is a large part of `make check`: sanitized programs and tests are optimized no more than they need.
OPTIMIZE = $(if $(SAN),-O1,-O2)
CFLAGS ?= $(OPTIMIZE) -g
CPPFLAGS_ALL = -D_GNU_SOURCE -DSTOCKADE_VERSION='"$(VERSION)"' -I. -Iplugins -Iplugins/common $(CPPFLAGS)
CFLAGS_ALL = -std=gnu11 $(WARN) $(HARDEN) $(CFLAGS) -fPIC -fvisibility=hidden -pthread -MMD -MP $(pkg-cflags) \
	$(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all)
LDFLAGS_ALL = -pthread -Wl,-z,relro,-z,now -Wl,--as-needed $(LDFLAGS) $(if $(SAN),-fsanitize=$(SAN))
NO_UNDEFINED := $(if $(SAN),,-Wl,--no-undefined)

# V=1 shows the commands themselves.
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-4s %s\n' $(1) $(2))

LIB := $(BUILD)/lib/stockade
LIBEXEC := $(BUILD)/libexec/stockade
obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard $(1)))

COMMON_OBJ := $(call obj,plugins/common/*.c)
RULES_OBJ := $(call obj,plugins/permfs/rules*.c)
WIRE_OBJ := $(BUILD)/obj/plugins/common/wire.o $(BUILD)/obj/plugins/common/msg.o \
	$(BUILD)/obj/plugins/common/delta_log.o $(BUILD)/obj/plugins/common/io.o
PERMFS_OBJ := $(filter-out %/main.o,$(call obj,plugins/permfs/*.c))
HOST_OBJ := $(call obj,host/lib/*.c)
CLI_OBJ := $(call obj,host/cli/*.c)
MEASURE_OBJ := $(call obj,host/measure/*.c)
COMPARE_OBJ := $(call obj,host/compare/*.c) $(MEASURE_OBJ)
BACKENDS := bwrap docker
PLUGINS := $(BACKENDS:%=$(LIB)/%.so)

TEST_PLUGINS := $(patsubst tests/plugins/%.c,$(BUILD)/tests/plugins/%.so,$(wildcard tests/plugins/*.c))
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/*.c))
SUPPORT_OBJ := $(call obj,tests/support/*.c)
RUNNER_OBJ := $(patsubst %,$(BUILD)/obj/tests/conformance/%.o,box_ops cgroups fixture host lacks main sweep)
PODMAN_PROFILE := $(LIBEXEC)/podman-seccomp.json
PROGRAMS := $(BUILD)/stockade $(BUILD)/libstockade.so $(BUILD)/libstockade.a $(PLUGINS) $(LIBEXEC)/permfs $(LIBEXEC)/agent \
	$(PODMAN_PROFILE)
SUITES := $(UNIT_TESTS) $(BUILD)/tests/fs $(BUILD)/tests/conformance $(BUILD)/tests/probe $(BUILD)/tests/e2e $(TEST_PLUGINS)
TESTS := $(SUITES) $(BUILD)/tests/engine
JUDGES := $(BUILD)/tests/fsx $(BUILD)/tests/workspace
EXAMPLES := $(patsubst examples/%.c,$(BUILD)/examples/%,$(wildcard examples/*.c))

.PHONY: all unit deps demo check chaos check-full check-fs bench asan tsan fuzz lint format install clean tests suites threads sanitized judges programs
.DELETE_ON_ERROR:
.SECONDARY:

all: deps
	@$(MAKE) --no-print-directory programs $(EXAMPLES)

programs: $(PROGRAMS)

unit: $(UNIT_TESTS) $(TEST_PLUGINS) $(LIBEXEC)/agent

tests: $(TESTS) $(EXAMPLES) $(JUDGES) $(BUILD)/tests/bench $(BUILD)/tests/stress $(BUILD)/tests/chaos

# What sanitized trees are made for, and nothing else: those of suites_sanitized, and of threads.sh.
suites: programs $(SUITES)

threads: $(LIB)/bwrap.so $(LIBEXEC)/permfs $(LIBEXEC)/agent $(BUILD)/tests/stress

sanitized:
	@$(MAKE) --no-print-directory SAN=address,undefined suites
	@$(MAKE) --no-print-directory SAN=thread threads

judges: $(JUDGES)

deps:
	@tests/deps.sh

# ---- programs ----

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -c $< -o $@

$(LIB)/bwrap.so: $(call obj,plugins/bwrap/*.c)
# What sandboxes may call is compiled here and now: bwrap's seccomp filters, and a profile for Podman.
SYSCALLS := $(BUILD)/obj/plugins/syscalls
$(SYSCALLS)/filters: FILTER_LIBS := -lseccomp
$(SYSCALLS)/filters $(SYSCALLS)/profile: $(SYSCALLS)/%: $(wildcard plugins/syscalls/*)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -std=gnu11 $(WARN) -D_GNU_SOURCE plugins/syscalls/$*.c -o $@ $(FILTER_LIBS)
$(SYSCALLS)/filters.h: $(SYSCALLS)/filters
	$(call say,GEN,$@)
	$(Q)$< >$@
$(PODMAN_PROFILE): $(SYSCALLS)/profile
	@mkdir -p $(@D)
	$(call say,GEN,$@)
	$(Q)$< >$@
$(BUILD)/obj/plugins/bwrap/seccomp.o: $(SYSCALLS)/filters.h
$(BUILD)/obj/plugins/bwrap/seccomp.o: CPPFLAGS_ALL += -I$(SYSCALLS)

$(LIB)/docker.so: $(call obj,plugins/docker/*.c)
$(LIB)/docker.so: BACKEND_LIBS := -lcurl
$(PLUGINS): $(COMMON_OBJ) $(RULES_OBJ)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -shared $(NO_UNDEFINED) $(LDFLAGS_ALL) $^ -o $@ -lcjson $(BACKEND_LIBS)

$(LIBEXEC)/permfs: $(BUILD)/obj/plugins/permfs/main.o $(PERMFS_OBJ) $(WIRE_OBJ)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ -o $@ -lfuse3

# Static, so that it runs whatever the sandbox's root holds; with musl, so that 500 of them cost little.
AGENT_SRC := $(wildcard plugins/agent/*.c) $(patsubst %,plugins/common/%.c,wire msg mux)
$(LIBEXEC)/agent: $(AGENT_SRC) $(wildcard plugins/agent/*.h plugins/common/*.h)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(MUSL_CC) -static -Os -g0 -std=gnu11 $(WARN) -D_GNU_SOURCE -Iplugins/common \
		-ffunction-sections -fdata-sections -Wl,--gc-sections -s $(AGENT_SRC) -o $@

$(BUILD)/obj/host/compare/assets.o: vendor/charts/charts.min.js host/compare/report.css

$(BUILD)/libstockade.so: $(HOST_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) -shared $(NO_UNDEFINED) -Wl,-soname,libstockade.so.0 $(LDFLAGS_ALL) $^ -o $@ -lcjson -ldl

$(BUILD)/libstockade.a: $(HOST_OBJ)
	@rm -f $@
	$(call say,AR,$@)
	$(Q)$(AR) rcs $@ $^

$(BUILD)/stockade: $(CLI_OBJ) $(COMPARE_OBJ) $(BUILD)/libstockade.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ -o $@ -lcjson -lm -ldl

$(BUILD)/examples/%: $(BUILD)/obj/examples/%.o $(BUILD)/libstockade.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ -o $@ -lcjson -ldl

# ---- tests ----

$(BUILD)/obj/examples/%.o: CPPFLAGS_ALL += -Ihost
$(BUILD)/obj/tests/%.o: CPPFLAGS_ALL += -Itests/support
$(BUILD)/obj/tests/%.o: OPTIMIZE = $(if $(SAN),-O0,-O1)
$(BUILD)/obj/tests/bench/%.o: OPTIMIZE = -O2
$(BUILD)/obj/tests/engine/%.o $(BUILD)/obj/tests/chaos/%.o: CPPFLAGS_ALL += -Itests/conformance

# Archives, so that a unit test links just what it names.
$(BUILD)/obj/common.a: $(COMMON_OBJ)
$(BUILD)/obj/permfs.a: $(PERMFS_OBJ)
$(BUILD)/obj/support.a: $(SUPPORT_OBJ)
$(BUILD)/obj/docker.a: $(call obj,plugins/docker/*.c)
# Whatever the command is made of, for tests of its parts.
$(BUILD)/obj/cli.a: $(filter-out %/main.o,$(CLI_OBJ)) $(COMPARE_OBJ)
$(BUILD)/obj/%.a:
	$(call say,AR,$@)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

UNIT_LIBS := $(BUILD)/obj/cli.a $(BUILD)/obj/docker.a $(BUILD)/obj/common.a $(BUILD)/obj/permfs.a $(BUILD)/obj/support.a $(BUILD)/libstockade.a
$(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(UNIT_LIBS)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $< -Wl,--start-group $(UNIT_LIBS) -Wl,--end-group -o $@ -lcriterion -lcjson -lcurl -lfuse3 -lm -ldl

$(BUILD)/tests/conformance: $(call obj,tests/conformance/*.c) $(SUPPORT_OBJ) $(BUILD)/libstockade.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ -o $@ -lcriterion -lcjson -ldl

# What only an Engine's containers can have done to them: the same runner.
$(BUILD)/tests/engine: $(call obj,tests/engine/*.c) $(RUNNER_OBJ) $(SUPPORT_OBJ) $(BUILD)/libstockade.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ -o $@ -lcriterion -lcjson -ldl

# Runs inside sandboxes, whatever their root holds.
PROBE_SRC := $(wildcard tests/conformance/probe/*.c)
$(BUILD)/tests/probe: $(PROBE_SRC) tests/conformance/probe/probe.h
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(MUSL_CC) -static -O1 -g0 -std=gnu11 $(WARN) -D_GNU_SOURCE -s $(PROBE_SRC) -o $@

$(BUILD)/tests/fs: $(call obj,tests/fs/*.c) $(WIRE_OBJ) $(SUPPORT_OBJ)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ -o $@ -lcriterion

$(BUILD)/tests/e2e: $(call obj,tests/e2e/*.c) $(SUPPORT_OBJ) $(BUILD)/libstockade.a | $(BUILD)/tests/review
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ -o $@ -lcriterion -lcjson -ldl

# Run by the command's tests.
$(BUILD)/tests/review: $(BUILD)/examples/review
	@mkdir -p $(@D)
	$(Q)cp $< $@

$(BUILD)/tests/stress: $(call obj,tests/stress/*.c) $(BUILD)/libstockade.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ -o $@ -lcjson -ldl

$(BUILD)/tests/chaos: $(call obj,tests/chaos/*.c) $(BUILD)/obj/tests/conformance/host.o $(SUPPORT_OBJ)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ -o $@ -ldl

# The bare Engine that it compares with is spoken to by the docker plugin's own client.
$(BUILD)/tests/bench: $(call obj,tests/bench/*.c) $(BUILD)/obj/host/compare/footprint.o $(MEASURE_OBJ) $(BUILD)/obj/docker.a $(BUILD)/obj/common.a $(RULES_OBJ) $(BUILD)/libstockade.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $(filter-out %.a,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group -o $@ \
		-lcjson -lcurl -lfuse3 -lm -ldl

# What check-fs judges the workspace's filesystem with, beside other people's programs.
$(BUILD)/obj/tests/judges/%.o: CPPFLAGS_ALL += -Itests/bench
$(BUILD)/tests/fsx: $(call obj,tests/judges/fsx.c tests/judges/trees.c)
$(BUILD)/tests/workspace: $(call obj,tests/judges/workspace.c tests/bench/fs_mount.c) $(WIRE_OBJ)
$(JUDGES):
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ -o $@

$(BUILD)/tests/plugins/%.so: $(BUILD)/obj/tests/plugins/%.o
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -shared $(LDFLAGS_ALL) $^ -o $@

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

# ---- for people and CI ----

demo: all
	@BUILD=$(BUILD) examples/demo.sh
	@BUILD=$(BUILD) examples/both.sh

check: deps
	@tests/check.sh

check-full: deps
	@tests/check.sh full

# Half an hour or so; installs fio and stress-ng.
check-fs: deps
	@tests/check_fs.sh

# CHAOS_SECONDS=900 for longer; SEED=... and CHAOS_ROUND=... deal the same again. On docker too, as root.
chaos: programs
	@$(MAKE) --no-print-directory $(BUILD)/tests/chaos
	@STOCKADE_BUILD=$(BUILD) tests/chaos.sh

# BENCH=PATTERN for some of them: exec.bwrap, *.docker*, fs.*, ...
bench: all
	@$(MAKE) --no-print-directory $(BUILD)/tests/bench
	@BUILD=$(BUILD) tests/bench.sh

asan: deps
	@tests/asan.sh

tsan: deps
	@tests/tsan.sh

# One minute a fuzzer; FUZZ_SECONDS=... for more. Needs clang with its runtime (libclang-rt-dev).
FUZZ_SECONDS ?= 60
fuzz: $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/*.c))
	for fuzzer in $(^F); do mkdir -p $(BUILD)/fuzz/$$fuzzer.found && $(BUILD)/fuzz/$$fuzzer \
		-max_total_time=$(FUZZ_SECONDS) $(BUILD)/fuzz/$$fuzzer.found tests/fuzz/$$fuzzer.seeds || exit 1; done

$(BUILD)/fuzz/%: tests/fuzz/%.c tests/support/rules_reference.c $(wildcard plugins/permfs/rules*.c)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)clang -std=gnu11 -D_GNU_SOURCE -O1 -g -fsanitize=fuzzer,address,undefined -Iplugins -Itests/support $^ -o $@

SOURCES := $(shell git ls-files '*.c' '*.h' 2>/dev/null)

format:
	clang-format -i $(SOURCES)

lint:
	clang-format --dry-run --Werror $(SOURCES)
	cppcheck --quiet --error-exitcode=1 --inline-suppr --enable=warning,portability -D_GNU_SOURCE -D__linux__ \
		--suppress=missingIncludeSystem --suppress=varFuncNullUB -I. -Iplugins -Iplugins/common host plugins

install: programs
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/stockade $(DESTDIR)$(PREFIX)/libexec/stockade \
		$(DESTDIR)$(PREFIX)/include
	install -m 0755 $(BUILD)/stockade $(DESTDIR)$(PREFIX)/bin/
	install -m 0755 $(BUILD)/libstockade.so $(DESTDIR)$(PREFIX)/lib/libstockade.so.0
	ln -sf libstockade.so.0 $(DESTDIR)$(PREFIX)/lib/libstockade.so
	install -m 0644 $(BUILD)/libstockade.a $(DESTDIR)$(PREFIX)/lib/
	install -m 0755 $(PLUGINS) $(DESTDIR)$(PREFIX)/lib/stockade/
	install -m 0755 $(LIBEXEC)/permfs $(LIBEXEC)/agent $(DESTDIR)$(PREFIX)/libexec/stockade/
	install -m 0644 $(PODMAN_PROFILE) $(DESTDIR)$(PREFIX)/libexec/stockade/
	# The contract's tests, where `make tests` has built them: `stockade conformance` runs these.
	if [ -x $(BUILD)/tests/conformance ] && [ -x $(BUILD)/tests/probe ]; then \
		install -m 0755 $(BUILD)/tests/conformance $(BUILD)/tests/probe $(DESTDIR)$(PREFIX)/libexec/stockade/; fi
	install -d $(DESTDIR)$(PREFIX)/share/doc/stockade
	install -m 0644 README.md LICENSE docs/*.md $(DESTDIR)$(PREFIX)/share/doc/stockade/
	install -m 0644 runtime_api.h host/stockade.h $(DESTDIR)$(PREFIX)/include/

clean:
	rm -rf build
