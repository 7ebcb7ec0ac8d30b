# fakedirty: see, and skip, the fake dirty pages of QEMU live migration
#
#   make lint unit        check style, types and unit tests: any Linux, no root, no Debian packages
#   make demo             install, build, and show a real migration, observed and with fake pages skipped
#   make demo QEMU=stock  the same on Debian's own QEMU: it only observes, and builds no QEMU
#   make test             install the same and run every check
#   make setup            install and build only; the command is then .venv/bin/fakedirty
#   make help             list all targets
#
# Builds are cached in the user's cache directory, so the second run starts at once.
# FAKEDIRTY_QEMU=binary uses that QEMU; FAKEDIRTY_QEMU_SOURCE=directory-or-tarball builds from that source.
# VERSION=10.2 selects QEMU 10.2 instead of 10.0, for `make qemu`, `qemu-check`, `qemu-sanitizers` and `fuzz-broken`.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.NOTPARALLEL:
.DEFAULT_GOAL := help

VENV := .venv
FAKEDIRTY := $(VENV)/bin/fakedirty
QEMU ?= patched
# a QEMU release that has a directory in qemu-patches/; empty means the default release
VERSION :=
RELEASE = $(if $(VERSION),--version $(VERSION))

# by line: to run, to build guests, to build QEMU
PACKAGES := python3-venv python3-bpfcc linux-headers-cloud-amd64 qemu-system-x86 iproute2 \
            gcc libc6-dev busybox-static cpio \
            dpkg-dev ninja-build pkg-config bison flex patch systemtap-sdt-dev \
            libglib2.0-dev libpixman-1-dev libfdt-dev libxxhash-dev libmurmurhash-dev libgcrypt20-dev zlib1g-dev libzstd-dev
# what the tests start
TEST_PACKAGES := openssl prometheus docker-compose systemd util-linux strace \
                 libvirt-daemon libvirt-daemon-driver-qemu python3-libvirt spin
# Debian's npm is left out where another npm is installed already
LONG_PACKAGES := git debootstrap docker.io docker-compose chromium fonts-dejavu-core $(if $(shell command -v npm),,nodejs npm)

# to build QEMU's own tests of TLS
QEMU_PACKAGES := git libgnutls28-dev libtasn1-6-dev

# where `make install` puts the service
PREFIX ?= /opt/fakedirty
SYSCONFDIR ?= /etc
UNITDIR ?= /etc/systemd/system
STATEDIR ?= /var/lib/fakedirty

.PHONY: install uninstall
.PHONY: help setup packages test-packages long-packages qemu-packages qemu guests demo documents fuzz fuzz-broken bench-convergence bench-compression bench-hybrid bench-downtime bench-cost bench-scaling bench-overhead bench-scrape bench-verdict bench-what-if campaign-quick qemu-check qemu-sanitizers dashboards test lint unit integration mutation check-long clean

help:  ## list all targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' Makefile

define install-packages
	installed=$$(dpkg-query -W -f '$${Package} $${db:Status-Status}\n' $(1) 2>/dev/null || true)
	missing=$$(comm -23 <(printf '%s\n' $(1) | sort) <(awk '$$2 == "installed" {print $$1}' <<<"$$installed" | sort) | xargs)
	if [[ -n $$missing ]]; then
	    echo "installing Debian packages: $$missing"
	    ((EUID == 0)) || { echo "not root: run 'apt-get install $$missing' as root, then make again" >&2; exit 1; }
	    export DEBIAN_FRONTEND=noninteractive
	    apt-get update -qq
	    apt-get install -y -qq --no-install-recommends $$missing >/dev/null
	fi
endef

packages:  ## install the Debian packages that are missing (as root)
	@$(call install-packages,$(PACKAGES))

test-packages: packages
	@$(call install-packages,$(TEST_PACKAGES))

long-packages: packages
	@$(call install-packages,$(LONG_PACKAGES))

qemu-packages: packages
	@$(call install-packages,$(QEMU_PACKAGES))

# bcc is a Debian package and not on PyPI. Where Debian's Python has it, the venv is made of that Python and sees its
# packages. Elsewhere the venv is made of `python3` and of what pip installs: enough for `make lint unit`.
$(VENV)/ready: pyproject.toml
	@python=$$(type -P python3 || true) options=
	if /usr/bin/python3 -c 'from bcc import BPF; import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
	    python=/usr/bin/python3 options=--system-site-packages
	fi
	if ! [[ $$python ]] || ! "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
	    echo "make: python3 has to be Python 3.11 or newer; found: $$("$${python:-false}" --version 2>&1 || echo none)" >&2
	    exit 1
	fi
	echo "installing Python packages into $(VENV), which is made of $$python: 1 GB, a minute or more"
	"$$python" -m venv $$options $(VENV)
	$(VENV)/bin/pip install -q --disable-pip-version-check -e '.[test,dashboards]'
	touch $@

# a venv that sees bcc: one that was made before bcc was installed is made again
$(VENV)/with-bcc: pyproject.toml | packages
	@if ! $(VENV)/bin/python -c 'from bcc import BPF' 2>/dev/null; then rm -rf $(VENV); fi
	$(MAKE) --no-print-directory $(VENV)/ready
	$(VENV)/bin/python -c 'from bcc import BPF'
	touch $@

qemu: $(VENV)/with-bcc  ## find or build the patched QEMU (about 5 minutes)
	@$(FAKEDIRTY) qemu path $(RELEASE) 2>/dev/null || $(FAKEDIRTY) qemu build $(RELEASE)

guests: $(VENV)/with-bcc  ## build the ground-truth guests
	@$(FAKEDIRTY) guest build

setup: packages $(VENV)/with-bcc $(if $(filter stock,$(QEMU)),,qemu) guests  ## install and build everything that the demo needs

demo: setup  ## migrate a guest twice, without and with skipping, and compare
	@$(FAKEDIRTY) demo --out runs/demo $(if $(filter stock,$(QEMU)),--stock)

# setuptools builds in the tree, and the next wheel would contain what it leaves there: so install from a copy
install: packages  ## install the service: a venv in PREFIX (/opt/fakedirty), a systemd unit, a first configuration
	@copy=$$(mktemp -d); trap 'rm -rf "$$copy"' EXIT
	cp -r $(filter-out build dist runs,$(wildcard *)) "$$copy"
	/usr/bin/python3 -m venv --system-site-packages "$(PREFIX)"
	"$(PREFIX)/bin/pip" install -q --disable-pip-version-check "$$copy"
	install -D -m 644 README.md "$(PREFIX)/share/doc/fakedirty/README.md"
	mkdir -p "$(SYSCONFDIR)" "$(UNITDIR)"
	if [[ ! -e "$(SYSCONFDIR)/fakedirty.toml" ]]; then
	    "$(PREFIX)/bin/fakedirty" config example |
	        sed -e 's|^directory = .*|directory = "$(STATEDIR)"|' -e 's|^keep_days = .*|keep_days = 30|' \
	            -e 's|^keep_gib = .*|keep_gib = 10|' >"$(SYSCONFDIR)/fakedirty.toml"
	fi
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@SYSCONFDIR@|$(SYSCONFDIR)|' packaging/fakedirty.service \
	    >"$(UNITDIR)/fakedirty.service"
	echo "installed; edit $(SYSCONFDIR)/fakedirty.toml, then: systemctl daemon-reload && systemctl enable --now fakedirty"

uninstall:  ## remove the service; configuration and recordings stay
	@if [[ -d /run/systemd/system && $(UNITDIR) == /etc/systemd/system ]]; then
	    systemctl disable --now fakedirty || true
	fi
	rm -rf "$(PREFIX)" "$(UNITDIR)/fakedirty.service"
	echo "removed; $(SYSCONFDIR)/fakedirty.toml and the recordings are still there"

dashboards: $(VENV)/ready  ## generate the JSON of the dashboards
	@$(VENV)/bin/python -m dashboards

documents: $(VENV)/ready  ## generate the documents and the picture of rooms that are made from code
	@for pair in campaign.dictionary:data-dictionary export.dictionary:metrics service.config_reference:configuration; do
	    text=$$($(VENV)/bin/python -m fakedirty.$${pair%:*})
	    printf '%s\n' "$$text" >docs/$${pair#*:}.md
	done
	$(VENV)/bin/python tests/helpers/rooms.py docs/architecture.md

lint: $(VENV)/ready  ## check style (ruff) and types (mypy)
	@$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

unit: $(VENV)/ready  ## run the unit tests; a test that needs more than Python skips and names what it needs
	@$(VENV)/bin/pytest -q tests/unit

integration: setup test-packages  ## run the integration tests: real QEMU, real BPF, real Prometheus (as root)
	@$(VENV)/bin/pytest -q tests/integration

N ?= 20
fuzz: setup  ## run N random migrations and compare every page after each (make fuzz N=300 SEED=1)
	@$(FAKEDIRTY) fuzz --runs $(N) $(if $(SEED),--seed $(SEED))

fuzz-broken: setup  ## remove the rules of safe skipping one by one: the fuzz must find each (about an hour)
	@$(VENV)/bin/python tests/broken/run.py $(if $(VERSION),--release $(VERSION))

bench-convergence: setup  ## measure convergence by treatment and mix of writes, three times (about an hour; resumes)
	@$(FAKEDIRTY) bench convergence --out runs/bench-convergence

bench-compression: setup  ## measure skip, compression with multifd, and both, on pages that compress (about half an hour)
	@$(FAKEDIRTY) bench compression --out runs/bench-compression

bench-hybrid: setup  ## measure how many pages postcopy fetches, with skip and without (about ten minutes)
	@$(FAKEDIRTY) bench hybrid --out runs/bench-hybrid

bench-downtime: setup  ## measure the parts of the downtime, and what the network adds for a client (about ten minutes)
	@$(FAKEDIRTY) bench downtime --out runs/bench-downtime

bench-scaling: setup  ## measure what a second multifd channel adds (about 15 minutes)
	@$(FAKEDIRTY) bench step --out runs/bench-step
	$(FAKEDIRTY) bench scaling --out runs/bench-scaling

bench-cost: setup  ## measure the time a page takes in each mode, and each hash alone (about half an hour)
	@$(FAKEDIRTY) qemu build --unpatched
	$(FAKEDIRTY) bench cost --out runs/bench-cost
	$(FAKEDIRTY) bench hash --out runs/bench-hash

bench-overhead: setup  ## measure what observing costs a migration, at each level (about half an hour)
	@$(FAKEDIRTY) bench overhead --out runs/bench-overhead

bench-scrape: $(VENV)/ready  ## measure a scrape of the metrics of 1 to 500 VMs (about two minutes)
	@$(FAKEDIRTY) bench scrape --out runs/bench-scrape

bench-verdict: setup  ## compare forecasts and recommendations with what happened (more than an hour; resumes)
	@$(FAKEDIRTY) bench verdict --out runs/bench-verdict

bench-what-if: setup  ## compare what page records predict with what happened (about 30 minutes; resumes)
	@$(FAKEDIRTY) bench what-if --out runs/bench-what-if

campaign-quick: setup  ## run the smallest campaign, from its file to its tables (under three minutes; resumes)
	@if [[ -e runs/campaign-quick/campaign.json ]]; then
	    $(FAKEDIRTY) campaign resume runs/campaign-quick
	else
	    $(FAKEDIRTY) campaign run campaigns/quick.toml --out runs/campaign-quick
	fi
	$(FAKEDIRTY) campaign export runs/campaign-quick

WORK ?= $(CURDIR)/build/qemu-check$(if $(VERSION),-$(VERSION))
qemu-check: setup qemu-packages  ## build and test the patch series patch by patch, with QEMU's migration tests (three hours; VERSION=10.2 WORK=directory)
	@qemu-patches/check.sh patches $(WORK) $(VERSION)
	qemu-patches/check.sh suite $(WORK) $(VERSION)
	qemu-patches/check.sh builds $(WORK) $(VERSION)

qemu-sanitizers: setup qemu-packages  ## run the patched QEMU under ASan, UBSan and TSan: no report that a stock QEMU does not give (an hour; the same variables)
	@qemu-patches/check.sh sanitizers $(WORK) $(VERSION)

# integration tests mostly wait for migrations, so the unit tests run at the same time
test: setup test-packages lint  ## run every check: style, types, unit and integration tests (as root)
	@mkdir -p build
	$(VENV)/bin/pytest -q -m "not long" tests/unit tests/protocol >build/unit-tests.log 2>&1 & unit=$$!
	trap 'kill $$unit 2>/dev/null || true' EXIT
	status=0
	$(VENV)/bin/pytest -q --durations=30 -m "not long" tests/integration || status=$$?
	wait $$unit || status=$$?
	trap - EXIT
	cat build/unit-tests.log
	exit $$status

mutation: $(VENV)/ready  ## show that the unit tests can fail: they notice single changes of the code (up to two hours; continues an interrupted run)
	@$(VENV)/bin/python tests/mutation/run.py

check-long: setup test-packages long-packages  ## run the long checks: QEMUs of three Debian releases, 100 random migrations, the web page in a browser, containers (about 75 minutes, and up to two hours for mutations)
	@$(FAKEDIRTY) demo --stock --out runs/check-long
	$(FAKEDIRTY) fuzz --runs 100 --seed 1
	$(VENV)/bin/pytest -q -m long tests/integration tests/protocol
	$(VENV)/bin/pytest -q -rP tests/long
	$(VENV)/bin/python tests/mutation/run.py

clean:  ## remove builds in this checkout; the cache stays
	rm -rf $(VENV) build dist *.egg-info collector/*.egg-info .pytest_cache .mypy_cache .ruff_cache
