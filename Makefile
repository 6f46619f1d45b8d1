# Targets for people: all deps demo check bench asan tsan lint format install clean. See README.md.
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
PKGS := fuse3 libcjson libcurl libseccomp
# pkg-config runs once, and only when something is compiled: `make deps` must work before the packages are there.
pkg-cflags = $(eval pkg-cflags := $(shell pkg-config --cflags $(PKGS)))$(pkg-cflags)

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wvla -Wundef
HARDEN := -fstack-protector-strong $(if $(SAN),,-D_FORTIFY_SOURCE=2)
CFLAGS ?= -O2 -g
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
WIRE_OBJ := $(BUILD)/obj/plugins/common/wire.o $(BUILD)/obj/plugins/common/msg.o
PERMFS_OBJ := $(filter-out %/main.o,$(call obj,plugins/permfs/*.c))
HOST_OBJ := $(call obj,host/lib/*.c)
CLI_OBJ := $(call obj,host/cli/*.c)
BACKENDS := bwrap
PLUGINS := $(BACKENDS:%=$(LIB)/%.so)

TEST_PLUGINS := $(patsubst tests/plugins/%.c,$(BUILD)/tests/plugins/%.so,$(wildcard tests/plugins/*.c))
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/*.c))
SUPPORT_OBJ := $(call obj,tests/support/*.c)
PROGRAMS := $(BUILD)/stockade $(BUILD)/libstockade.so $(BUILD)/libstockade.a $(PLUGINS) $(LIBEXEC)/permfs $(LIBEXEC)/agent
TESTS := $(UNIT_TESTS) $(BUILD)/tests/conformance $(BUILD)/tests/e2e $(TEST_PLUGINS)
EXAMPLES := $(patsubst examples/%.c,$(BUILD)/examples/%,$(wildcard examples/*.c))

.PHONY: all deps demo check bench asan tsan lint format install clean tests programs
.DELETE_ON_ERROR:
.SECONDARY:

all: deps
	@$(MAKE) --no-print-directory programs $(EXAMPLES)

programs: $(PROGRAMS)

tests: $(TESTS) $(EXAMPLES) $(BUILD)/tests/bench

deps:
	@tests/deps.sh

# ---- programs ----

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -c $< -o $@

$(LIB)/bwrap.so: $(call obj,plugins/bwrap/*.c) $(COMMON_OBJ) $(RULES_OBJ)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -shared $(NO_UNDEFINED) $(LDFLAGS_ALL) $^ -o $@ -lcjson -lseccomp

$(LIBEXEC)/permfs: $(BUILD)/obj/plugins/permfs/main.o $(PERMFS_OBJ) $(WIRE_OBJ)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ -o $@ -lfuse3

# Static, so that it runs whatever the sandbox's root holds; with musl, so that 500 of them cost little.
AGENT_SRC := $(wildcard plugins/agent/*.c) plugins/common/wire.c plugins/common/msg.c
$(LIBEXEC)/agent: $(AGENT_SRC) $(wildcard plugins/agent/*.h plugins/common/*.h)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(MUSL_CC) -static -Os -g0 -std=gnu11 $(WARN) -D_GNU_SOURCE -Iplugins/common \
		-ffunction-sections -fdata-sections -Wl,--gc-sections -s $(AGENT_SRC) -o $@

$(BUILD)/libstockade.so: $(HOST_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) -shared $(NO_UNDEFINED) -Wl,-soname,libstockade.so.0 $(LDFLAGS_ALL) $^ -o $@ -lcjson -ldl

$(BUILD)/libstockade.a: $(HOST_OBJ)
	@rm -f $@
	$(call say,AR,$@)
	$(Q)$(AR) rcs $@ $^

$(BUILD)/stockade: $(CLI_OBJ) $(BUILD)/libstockade.a
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ -o $@ -lcjson -ldl

$(BUILD)/examples/%: $(BUILD)/obj/examples/%.o $(BUILD)/libstockade.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ -o $@ -lcjson -ldl

# ---- tests ----

$(BUILD)/obj/tests/%.o: CPPFLAGS_ALL += -Itests/support -Ihost/lib -Iplugins/permfs

$(BUILD)/tests/unit/%: $(BUILD)/obj/tests/unit/%.o $(COMMON_OBJ) $(PERMFS_OBJ) $(HOST_OBJ) $(SUPPORT_OBJ)
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ -o $@ -lcriterion -lcjson -lfuse3 -ldl

$(BUILD)/tests/conformance: $(call obj,tests/conformance/*.c) $(SUPPORT_OBJ) $(BUILD)/libstockade.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ -o $@ -lcriterion -lcjson -ldl

$(BUILD)/tests/e2e: $(call obj,tests/e2e/*.c) $(SUPPORT_OBJ) $(BUILD)/libstockade.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ -o $@ -lcriterion -lcjson -ldl

$(BUILD)/tests/bench: $(call obj,tests/bench/*.c) $(BUILD)/libstockade.a
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) $^ -o $@ -lcjson -ldl

$(BUILD)/tests/plugins/%.so: $(BUILD)/obj/tests/plugins/%.o
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) -shared $(LDFLAGS_ALL) $^ -o $@

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

clean:
	rm -rf build
