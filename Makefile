# The targets a person needs. Each is one small script in scripts/, so that the logic can be read and checked on its own.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

.PHONY: help run test check e2e soak bench fuzz dist

help:
	@echo "make run     build and start the server (ARGS='--http 127.0.0.1:9000' passes flags)"
	@echo "make test    everything that must hold before a commit: units, conformance, one real client per surface"
	@echo "make check   format, lints, import directions, types, licences"
	@echo "make e2e     every browser, player and encoder against a real server"
	@echo "make soak    thousands of simulated calls; kills and losses of power; five minutes of live video, every access unit accounted for"
	@echo "make bench   the figures of docs/performance.md"
	@echo "make fuzz    every parser against hostile bytes (SECONDS_EACH=60)"
	@echo "make dist    a tarball to install from: executable, systemd unit, Dockerfile; and the client library for npm"

run:   ; @scripts/run $(ARGS)
test:  ; @scripts/test
check: ; @scripts/check
e2e:   ; @scripts/e2e $(ARGS)
soak:  ; @scripts/simulate && scripts/lose-power && scripts/e2e soak
bench: ; @scripts/e2e $(or $(ARGS:calls=bench-calls),bench peers bench-conversions bench-latency bench-calls bench-vod)
fuzz:  ; @scripts/fuzz
dist:  ; @scripts/dist
