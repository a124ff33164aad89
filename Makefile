# make demo | make test: the two commands of the README. `make help` lists the rest.
# Everything lives in .venv; nothing is installed elsewhere but nginx and test peers by apt, when they are missing.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SETUP  := pyproject.toml setup.py
CSRC   := $(wildcard csrc/*.c)
CFLAGS_LINT := -std=c11 -O2 -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wconversion -Wno-sign-conversion
SUDO   := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: help build test lint demo bench fuzz asan clean
help:
	@echo "make demo         train a small model, start nginx and the sidecar, send real clients (ONCE=1 exits)"
	@echo "make test         build and run every test (XBOT_DATA=DIR adds those on real data)"
	@echo "make build        .venv with xbot in it        make lint    C warnings as errors, ruff, mypy"
	@echo "make bench        what the hop costs           make fuzz    libFuzzer on csrc/ (FUZZ_SECONDS=60)"
	@echo "make asan         tests under the sanitizers   make clean   remove what was built"
