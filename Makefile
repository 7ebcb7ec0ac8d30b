# fakedirty: see, and skip, the fake dirty pages of QEMU live migration
#
#   make demo             install, build, and show a real migration, observed and with fake pages skipped
#   make demo QEMU=stock  the same on Debian's own QEMU: observing only, nothing to build
#   make test             install the same and run every check
#   make setup            install and build only; the command is then .venv/bin/fakedirty
#   make help             all targets
#
# Everything that is built is cached below the user's cache directory, and the second run starts at once.
# FAKEDIRTY_QEMU=binary uses that QEMU; FAKEDIRTY_QEMU_SOURCE=directory-or-tarball builds from that source.
# VERSION=10.2 with `make qemu`, `make qemu-check`, `make qemu-sanitizers` and `make fuzz-broken`: QEMU 10.2 instead of 10.0.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

VENV := .venv
FAKEDIRTY := $(VENV)/bin/fakedirty
QEMU ?= patched
# a release of QEMU that there is a series for; empty: the one that is the default
VERSION :=
RELEASE = $(if $(VERSION),--version $(VERSION))

# what runs, what guests are built with, what QEMU is built with, what the tests start
PACKAGES := python3-venv python3-bpfcc linux-headers-cloud-amd64 qemu-system-x86 iproute2 \
            gcc libc6-dev busybox-static cpio \
            dpkg-dev ninja-build pkg-config bison flex patch systemtap-sdt-dev \
            libglib2.0-dev libpixman-1-dev libfdt-dev libxxhash-dev libmurmurhash-dev libgcrypt20-dev zlib1g-dev libzstd-dev
TEST_PACKAGES := openssl prometheus docker-compose systemd util-linux strace \
                 libvirt-daemon libvirt-daemon-driver-qemu python3-libvirt spin
# npm is there already where node came with its own
LONG_PACKAGES := git debootstrap docker.io docker-compose chromium fonts-dejavu-core $(if $(shell command -v npm),,nodejs npm)

# what QEMU's tests of TLS are built with
QEMU_PACKAGES := git libgnutls28-dev libtasn1-6-dev

# where `make install` puts the service
PREFIX ?= /opt/fakedirty
SYSCONFDIR ?= /etc
UNITDIR ?= /etc/systemd/system
STATEDIR ?= /var/lib/fakedirty

.PHONY: install uninstall
.PHONY: help setup packages test-packages long-packages qemu-packages qemu guests demo fuzz fuzz-broken bench-convergence bench-compression bench-hybrid bench-cost bench-scaling bench-overhead bench-scrape bench-verdict campaign-quick qemu-check qemu-sanitizers dashboards test lint unit integration check-long clean

help:  ## this list
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

packages:  ## Debian packages, those that are missing
	@$(call install-packages,$(PACKAGES))

test-packages: packages
	@$(call install-packages,$(TEST_PACKAGES))

long-packages: packages
	@$(call install-packages,$(LONG_PACKAGES))

qemu-packages: packages
	@$(call install-packages,$(QEMU_PACKAGES))

# bcc is a Debian package, so the venv is of Debian's Python and sees its packages
$(VENV)/ready: pyproject.toml | packages
	@echo "installing Python packages into $(VENV)"
	/usr/bin/python3 -m venv --system-site-packages $(VENV)
	$(VENV)/bin/pip install -q --disable-pip-version-check -e '.[test,dashboards]'
	touch $@

qemu: $(VENV)/ready  ## the patched QEMU, from the cache or built (about 5 minutes)
	@$(FAKEDIRTY) qemu path $(RELEASE) 2>/dev/null || $(FAKEDIRTY) qemu build $(RELEASE)

guests: $(VENV)/ready  ## the ground-truth guests
	@$(FAKEDIRTY) guest build

setup: packages $(VENV)/ready $(if $(filter stock,$(QEMU)),,qemu) guests  ## install and build everything that the demo needs

demo: setup  ## migrate a real guest twice and compare
	@$(FAKEDIRTY) demo --out runs/demo $(if $(filter stock,$(QEMU)),--stock)

# from a copy: setuptools builds in the tree, and what it leaves there would be in the next wheel
install: packages  ## the service: a venv in PREFIX (/opt/fakedirty), a systemd unit, a configuration to begin with
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

uninstall:  ## the same away again; the configuration and what was recorded stay
	@if [[ -d /run/systemd/system && $(UNITDIR) == /etc/systemd/system ]]; then
	    systemctl disable --now fakedirty || true
	fi
	rm -rf "$(PREFIX)" "$(UNITDIR)/fakedirty.service"
	echo "removed; $(SYSCONFDIR)/fakedirty.toml and what was recorded are still there"

dashboards: $(VENV)/ready  ## write the JSON of the dashboards again
	@$(VENV)/bin/python -m dashboards

lint: $(VENV)/ready
	@$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

unit: $(VENV)/ready
	@$(VENV)/bin/pytest -q tests/unit

integration: setup test-packages
	@$(VENV)/bin/pytest -q tests/integration

N ?= 20
fuzz: setup  ## N random migrations, every page compared after each (make fuzz N=300 SEED=1)
	@$(FAKEDIRTY) fuzz --runs $(N) $(if $(SEED),--seed $(SEED))

fuzz-broken: setup  ## the fuzz finds each rule of safe skipping that is taken out of the series (about an hour)
	@$(VENV)/bin/python tests/broken/run.py $(if $(VERSION),--release $(VERSION))

bench-convergence: setup  ## treatments side by side on mixes of writes, three times (about an hour; goes on where it was)
	@$(FAKEDIRTY) bench convergence --out runs/bench-convergence

bench-compression: setup  ## skip, multifd with compression, and both, of guests whose pages compress (about half an hour)
	@$(FAKEDIRTY) bench compression --out runs/bench-compression

bench-hybrid: setup  ## what postcopy has to fetch with skip and its sweeps, and without (about ten minutes)
	@$(FAKEDIRTY) bench hybrid --out runs/bench-hybrid

bench-scaling: setup  ## what a second channel of multifd adds, and the step that they share, alone (about 15 minutes)
	@$(FAKEDIRTY) bench step --out runs/bench-step
	$(FAKEDIRTY) bench scaling --out runs/bench-scaling

bench-cost: setup  ## what a page costs without the series and in each mode, at full speed, and the hashes alone (about half an hour)
	@$(FAKEDIRTY) qemu build --unpatched
	$(FAKEDIRTY) bench cost --out runs/bench-cost
	$(FAKEDIRTY) bench hash --out runs/bench-hash

bench-overhead: setup  ## what being observed costs at full speed, at each level, and the collector (about half an hour)
	@$(FAKEDIRTY) bench overhead --out runs/bench-overhead

bench-scrape: $(VENV)/ready  ## what a scrape of the metrics of 1 to 500 VMs takes (about two minutes)
	@$(FAKEDIRTY) bench scrape --out runs/bench-scrape

bench-verdict: setup  ## what is predicted after two rounds, and what comes of it (about 50 minutes; goes on where it was)
	@$(FAKEDIRTY) bench verdict --out runs/bench-verdict

campaign-quick: setup  ## the smallest campaign, from its file to its tables (under three minutes; goes on where it was)
	@if [[ -e runs/campaign-quick/campaign.json ]]; then
	    $(FAKEDIRTY) campaign resume runs/campaign-quick
	else
	    $(FAKEDIRTY) campaign run campaigns/quick.toml --out runs/campaign-quick
	fi
	$(FAKEDIRTY) campaign export runs/campaign-quick

WORK ?= $(CURDIR)/build/qemu-check$(if $(VERSION),-$(VERSION))
qemu-check: setup qemu-packages  ## the series patch by patch, all of QEMU's migration tests on it, and builds with the fewest libraries (three hours; VERSION=10.2 WORK=directory)
	@qemu-patches/check.sh patches $(WORK) $(VERSION)
	qemu-patches/check.sh suite $(WORK) $(VERSION)
	qemu-patches/check.sh builds $(WORK) $(VERSION)

qemu-sanitizers: setup qemu-packages  ## QEMU with the series under ASan, UBSan and TSan: nothing that they do not report without it (an hour; the same variables)
	@qemu-patches/check.sh sanitizers $(WORK) $(VERSION)

# what needs no host runs beside what does: most of the time of that is spent in waiting for migrations
test: setup test-packages lint  ## every check: style, types, unit and integration tests
	@mkdir -p build
	$(VENV)/bin/pytest -q -m "not long" tests/unit tests/protocol >build/unit-tests.log 2>&1 & unit=$$!
	trap 'kill $$unit 2>/dev/null || true' EXIT
	status=0
	$(VENV)/bin/pytest -q --durations=30 -m "not long" tests/integration || status=$$?
	wait $$unit || status=$$?
	trap - EXIT
	cat build/unit-tests.log
	exit $$status

check-long: setup test-packages long-packages  ## what takes longer: Debian's QEMUs of three releases, 100 random migrations, guests that come and go, campaigns, the page, the composition (about an hour and a quarter)
	@$(FAKEDIRTY) demo --stock --out runs/check-long
	$(FAKEDIRTY) fuzz --runs 100 --seed 1
	$(VENV)/bin/pytest -q -m long tests/integration tests/protocol
	$(VENV)/bin/pytest -q -rP tests/long

clean:  ## remove what was built in this checkout (not the cache)
	rm -rf $(VENV) build dist *.egg-info collector/*.egg-info .pytest_cache .mypy_cache .ruff_cache
