# SPDX-License-Identifier: MIT
# A newcomer's two commands are `make run` and `make test`; the build itself is
# Meson's (see docs/HACKING.md).
BUILD ?= build

.PHONY: all run test test-boot test-sanitizers bench clean
all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

# Installs what is missing (as root), or says what to install.
$(BUILD)/build.ninja:
	@tools/setup build
	meson setup $(BUILD)

run: all
	$(BUILD)/umbra demo

test: all
	@tools/setup test
	tests/run --build $(BUILD)

# QEMU with every machine that it is tested with.
test-boot: all
	@tools/setup boot
	tests/boot/run --umbra $(BUILD)/umbra --full

# Every test again, with Umbra built for AddressSanitizer, UndefinedBehaviorSanitizer
# and ThreadSanitizer.
test-sanitizers: all
	@tools/setup test
	tests/run --sanitizers

bench: all
	ninja -C $(BUILD) bench

clean:
	rm -rf $(BUILD)
