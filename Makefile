# The habits of make, in front of CMake: `make help` lists them.
#
# Everything that builds goes through a preset of CMakePresets.json: release
# in build/, the others in out/<preset>/. What these rules print goes to
# stderr, and none of them reads stdin but the program that `make run` starts.

ADDR ?=
PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 60
PROGRAMS ?= 10000
SEED ?=
CTEST_FLAGS ?=
BENCH_FLAGS ?=
CONNECTIONS ?=

MAKEFLAGS += --no-print-directory

PRESETS = debug asan ubsan tsan valgrind portable aarch64 coverage clang

# A jobserver above us (make -j) is passed on; otherwise all cores are used.
cores := $(shell nproc)
parallel = $(if $(findstring -j,$(MAKEFLAGS)),,--parallel $(cores))
build = cmake --build $(1) $(parallel) $(if $(2),--target $(2)) </dev/null >&2

all: product

help:
	@echo 'make                 build/krait, build/libkrait.a, build/libkrait.so'
	@echo 'make run             the demo: a server, and you at its client'
	@echo '  ADDR=HOST:PORT       somewhere else than 127.0.0.1:8001'
	@echo 'make test            the tests (what is missing is installed)'
	@echo '  CTEST_FLAGS=...      more for ctest, such as "-R address -V"'
	@echo 'make test-PRESET     the same in another build:'
	@echo '                       $(PRESETS)'
	@echo 'make torture         each allocation and system call fails once'
	@echo 'make differential    random programs, on libc and on each engine alike'
	@echo '  PROGRAMS=$(PROGRAMS)      so many; SEED=... replays and shows one'
	@echo 'make fuzz            every fuzz target, FUZZ_SECONDS=$(FUZZ_SECONDS) each'
	@echo 'make bench           speed, beside others; writes docs/benchmarks.md'
	@echo 'make bench-quick     a part of it, in two minutes'
	@echo 'make bench-profile   where the time of a request goes'
	@echo 'make bench-micro     a switch, a fiber, a timer, a call: ns each'
	@echo '  BENCH_FLAGS=...      more for any of these'
	@echo 'make test-bench      that the benchmark measures what it says'
	@echo 'make bench-million   a million connections at once: 17 GiB, 2 minutes'
	@echo '  CONNECTIONS=...      so many'
	@echo 'make check           layers, raw calls, format, static analysis'
	@echo 'make format          clang-format, in place'
	@echo 'make coverage        the lines that the tests reach'
	@echo 'make install         PREFIX=$(PREFIX) DESTDIR='
	@echo 'make clean           removes build/ and out/'
	@echo 'NO_INSTALL=1 with any of them: install nothing, say what is missing'

# --- what must be there --------------------------------------------------

DEPS = build test valgrind aarch64 clang check coverage bench profile

$(DEPS:%=deps-%): deps-%:
	@tools/install-deps $* </dev/null

# --- building --------------------------------------------------------------

# A changed preset is taken up by configuring again; of everything else CMake
# itself takes care.
build/Makefile: CMakePresets.json | deps-build
	@echo 'configuring build/' >&2
	@cmake --preset release -DBUILD_TESTING=OFF </dev/null >/dev/null
	@touch $@

$(PRESETS:%=out/%/Makefile): out/%/Makefile: CMakePresets.json | \
		deps-build deps-test
	@echo 'configuring $(@D)/' >&2
	@cmake --preset $* </dev/null >/dev/null
	@touch $@
out/valgrind/Makefile: | deps-valgrind
out/aarch64/Makefile: | deps-aarch64
out/clang/Makefile: | deps-clang

out/fuzz/Makefile: CMakePresets.json | deps-build deps-clang
	@echo 'configuring $(@D)/' >&2
	@cmake --preset fuzz </dev/null >/dev/null
	@touch $@

product: build/Makefile | deps-build
	@+$(call build,build,product)

# --- running ---------------------------------------------------------------

# Ctrl-C is a way to leave, and no error of make's.
run: product
	@trap : INT; build/krait demo $(if $(ADDR),'$(ADDR)') || \
		{ rc=$$?; [ $$rc -eq 130 ] || exit $$rc; }

# --- testing ---------------------------------------------------------------

ctest = ctest --test-dir $(1) --output-on-failure --no-tests=error \
	--parallel $(cores) $(2) $(CTEST_FLAGS) </dev/null; rc=$$?; \
	tools/why-skipped $(1)/Testing/Temporary/LastTest.log; exit $$rc

tests: product | deps-test
	@grep -qx 'BUILD_TESTING:[A-Z]*=ON' build/CMakeCache.txt || \
		cmake -DBUILD_TESTING=ON build </dev/null >/dev/null
	@+$(call build,build)

test: tests
	@$(call ctest,build)

torture: tests
	@$(call ctest,build,-L torture)

# Each seed is a program: PROGRAMS of them from 0 on, or one, shown whole.
differential: tests
	@build/tests/differential/differ $(if $(SEED),--seed $(SEED),\
		--programs $(PROGRAMS) --jobs $(cores))

$(PRESETS:%=build-%): build-%: out/%/Makefile
	@+$(call build,out/$*)

$(PRESETS:%=test-%): test-%: build-%
	@$(call ctest,out/$*)

fuzz: out/fuzz/Makefile
	@+$(call build,out/fuzz)
	@tools/fuzz out/fuzz $(FUZZ_SECONDS)

coverage: test-coverage | deps-coverage
	@gcovr --root . --object-directory out/coverage --filter src/ \
		--filter cli/ --txt --html-details out/coverage/index.html
	@echo 'line by line: out/coverage/index.html'

# --- measuring -------------------------------------------------------------

# Configured again each time: a peer's library may have come meanwhile.
configure_bench = cmake -DKRAIT_BENCH=ON $(1) build </dev/null >/dev/null

bench-programs: build/Makefile | deps-build deps-bench
	@$(call configure_bench)
	@+$(call build,build,bench_programs)

# That the benchmark measures what it says, not how fast anything is.
# Of what others use, what is there: nothing is installed for it.
test-bench: build/Makefile | deps-build deps-test
	@$(call configure_bench,-DBUILD_TESTING=ON)
	@+$(call build,build)
	@$(call ctest,build,-R bench)

# A run that is interrupted shows what it has, and is no error of make's.
measure = trap : INT; $(1) $(BENCH_FLAGS) || \
	{ rc=$$?; [ $$rc -eq 130 ] || exit $$rc; }

bench: bench-programs
	@$(call measure,bench/run)

bench-quick: bench-programs
	@$(call measure,bench/run --quick)

bench-profile: bench-programs | deps-profile
	@$(call measure,bench/profile --write)

bench-micro: build/Makefile | deps-build
	@$(call configure_bench)
	@+$(call build,build,bench_micro)
	@$(call measure,build/bench/micro --pin)

bench-million: build/Makefile | deps-build
	@$(call configure_bench)
	@+$(call build,build,bench_million)
	@$(call measure,build/bench/million \
		$(if $(CONNECTIONS),--connections '$(CONNECTIONS)'))

# --- checking --------------------------------------------------------------

check: check-text check-tidy check-cppcheck
	@echo 'make check: clean'

check-text: | deps-check
	@tools/check-layers
	@tools/check-raw-calls
	@tools/format --check

# Both read how each file is compiled from the configuration for clang, which
# is made anew: only a build would notice a new file.
check-list: out/clang/Makefile
	@cmake out/clang </dev/null >/dev/null

check-tidy: check-list | deps-check
	@tools/analyse tidy out/clang

check-cppcheck: check-list | deps-check
	@tools/analyse cppcheck out/clang

format: | deps-check
	@tools/format

# --- installing and clearing away -----------------------------------------

install: product
	@cmake -DCMAKE_INSTALL_PREFIX='$(PREFIX)' build </dev/null >/dev/null
	@+$(call build,build,product)
	@DESTDIR='$(DESTDIR)' cmake --install build
	@[ -n '$(DESTDIR)' ] || [ "$$(id -u)" -ne 0 ] || ldconfig

clean:
	rm -rf build out

.PHONY: all help product run tests test torture differential fuzz coverage \
	bench-programs test-bench bench bench-quick bench-profile bench-micro bench-million \
	check check-text check-list check-tidy check-cppcheck format install clean \
	$(DEPS:%=deps-%) $(PRESETS:%=build-%) $(PRESETS:%=test-%)
