# make run    install what is missing, build, start the appliance on this host
# make test   run the tests
# make help   the rest
SHELL   := /bin/bash
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -X netaudit/appliance.Version=$(VERSION)
SUDO    := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
export CGO_ENABLED := 1

# Packages of Debian 12 and Ubuntu; what is already there costs nothing.
BUILD_PACKAGES := libpcap-dev gcc libc6-dev
DEMO_PACKAGES  := iproute2 python3 curl
TEST_PACKAGES  := $(DEMO_PACKAGES) tshark tcpdump chromium openssl strace python3-requests python3-dev python3-dbg poppler-utils
BENCH_PACKAGES := libndpi-bin # Suricata is measured too where it is installed: apt-get install -t bookworm-backports suricata
# axe-core judges the pages in tests; it is no part of the program and lies outside the repository.
AXE            := axe-core-4.14.1
AXE_SHA256     := 29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c
AXE_DIR        := $(HOME)/.cache/netaudit/$(AXE)
install = missing=(); for p in $(1); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing+=($$p); done; \
	if [ $${\#missing[@]} -gt 0 ]; then echo "installing $${missing[*]}"; \
	$(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends "$${missing[@]}" >/dev/null; fi

.PHONY: help run demo profile build test lint fuzz soak lab lab-cost bench bench-attribution screenshots vulncheck clean axe deps deps-demo deps-test deps-bench
help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

run: build ## start the appliance on this host
	$(SUDO) bin/netaudit run

demo: build deps-demo ## watch a built-in sandbox: a populated report within a minute
	$(SUDO) bin/netaudit demo

build: deps ## build bin/netaudit and bin/netaudit-verify
	go build -trimpath -pgo=$(PROFILE) -ldflags "$(LDFLAGS)" -o bin/netaudit ./appliance/cmd/netaudit
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o bin/netaudit-verify ./appliance/cmd/netaudit-verify

# What the compiler knows of where a replay spends its time. It changes how fast the program is, not what it does; after large changes of tap, dissect or the recorder make it anew.
PROFILE := appliance/cmd/netaudit/replay.pgo
profile: deps ## let the compiler learn from replays of generated captures (PROFILE)
	@set -e; d=$$(mktemp -d); trap 'rm -rf "$$d"' EXIT; \
	for k in bulk:360 flows:360 dns:36; do go run ./tap/benchcapture -kind $${k%:*} -size $${k#*:} -o $$d/$${k%:*}.pcap; done; \
	NETAUDIT_BENCH_CAPTURES=$$d go test -trimpath -run '^$$' -bench BenchmarkReplay -benchtime 8x -cpu 1 -o $$d/appliance.test -cpuprofile $$d/cpu ./appliance; \
	go tool pprof -proto -output $(PROFILE) $$d/appliance.test $$d/cpu

AS_ROOT := $(SUDO) env "PATH=$$PATH" "HOME=$$HOME" $(if $(CI),CI=$(CI))
# Tests that break a ledger in hundreds of processes, one after the other: the race detector would make each of them start ten times slower.
BREAKING := Killed|PowerLoss|FullDisk|SystemCall|EveryStep|RecoveryTable|Tampering|Flipped|NoChangedByte|BreakIsRecorded|SealsShow
# Packet, namespace and process tests need root: they are built by the caller and run with sudo where that is another user.
test: deps deps-test lint ## run every test but the slow suites
	$(AS_ROOT) go test -race -timeout 20m $$(go list ./... | grep -vx netaudit/ledger)
	$(AS_ROOT) go test -race -timeout 20m -skip '$(BREAKING)' ./ledger
	$(AS_ROOT) go test -timeout 20m -run '$(BREAKING)' ./ledger

lint: deps ## formatting, vet, staticcheck
	@unformatted=$$(go tool gofumpt -l .); if [ -n "$$unformatted" ]; then echo "not formatted (go tool gofumpt -w .):"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go tool staticcheck ./...

FUZZTIME ?= 60s
fuzz: deps ## run every fuzz target for FUZZTIME each (default 60s)
	@set -e; go list ./... | while read -r p; do \
	  for f in $$(go test -list '^Fuzz' $$p | grep ^Fuzz || true); do echo "== $$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 2s $$p; done; done

ROUNDS ?= 1000
soak: deps ## kill the ledger's writer ROUNDS times at random moments (default 1000), let each of its system calls fail, change every byte of a ledger, damage captures, read busy stacks
	NETAUDIT_KILL_ROUNDS=$(ROUNDS) go test -count=1 -v -timeout 2h -run TestKilledWriter ./ledger
	NETAUDIT_FAULTS=100000 go test -count=1 -v -timeout 4h -run 'TestEverySystemCall|TestBreakIsRecorded' ./ledger
	NETAUDIT_MACHINES=300 go test -count=1 -v -timeout 2h -run TestLedgerAgainstASlice ./ledger
	NETAUDIT_POWER_LOSSES=5000 go test -count=1 -v -timeout 2h -run TestPowerLoss ./ledger
	NETAUDIT_TAMPER=all go test -count=1 -v -timeout 2h -run TestNoChangedByte ./ledger
	NETAUDIT_MANGLED=1000 go test -count=1 -v -timeout 4h -run TestDamagedCaptures ./dissect
	NETAUDIT_MANGLED=50 go test -count=1 -v -timeout 4h -run DamagedPackets ./appliance
	NETAUDIT_SAMPLES=10000 go test -count=1 -v -timeout 2h -run TestBusyThreads ./attribution/pystack

LAB_DIR ?= /var/lib/netaudit-lab
lab: build deps-demo ## name the addons of a real Odoo 19 (Debian 12, root; the first time 2 GB and some minutes)
	$(SUDO) env "PATH=$$PATH" "HOME=$$HOME" go run ./appliance/lab -dir $(LAB_DIR)

lab-cost: build deps-demo ## measure what watching costs a real Odoo: the same requests without and with it, in turns
	$(SUDO) env "PATH=$$PATH" "HOME=$$HOME" go run ./appliance/lab -dir $(LAB_DIR) -cost 20

bench-attribution: build deps-demo ## compare answers about thousands of calls with the truth that the callers wrote down
	$(SUDO) env "PATH=$$PATH" "HOME=$$HOME" go run ./appliance/bench -netaudit bin/netaudit -only owner

bench: build deps-test deps-bench ## print every figure beside its rival, measured in the same run
	$(SUDO) env "PATH=$$PATH" "HOME=$$HOME" go run ./appliance/bench -netaudit bin/netaudit

SCREENSHOTS ?= /tmp/netaudit-screenshots
screenshots: deps deps-test ## picture every page, light and dark, 360, 1440 and 3840 px wide, into SCREENSHOTS and the best into docs/images
	@mkdir -p $(SCREENSHOTS)
	NETAUDIT_SCREENSHOTS=$(SCREENSHOTS) go test -count=1 -timeout 30m -run TestScreenshots ./ui/journey
	cp $(SCREENSHOTS)/docs/*.png docs/images/
	@echo "pictures of every page: $(SCREENSHOTS)"

ROWS_OF_LOG ?= 200000
bench-ledger: deps ## write, verify and search a long log (ROWS_OF_LOG=200000) beside Tessera and a plain file
	go run ./appliance/bench -only ledger -rows $(ROWS_OF_LOG) $(if $(JSON),-json $(JSON))

vulncheck: deps ## known vulnerabilities, where the database can be reached
	go tool govulncheck ./...

deps:
	@$(call install,$(BUILD_PACKAGES))
deps-demo:
	@$(call install,$(DEMO_PACKAGES))
deps-bench:
	@$(call install,$(BENCH_PACKAGES))
deps-test:
	@$(call install,$(TEST_PACKAGES))
	@echo "$(AXE_SHA256)  $(AXE_DIR)/axe.min.js" | sha256sum --check --status 2>/dev/null || $(MAKE) --no-print-directory axe
axe:
	@command -v npm >/dev/null || { $(call install,npm); }
	@mkdir -p $(AXE_DIR) && cd $(AXE_DIR) && echo "fetching $(AXE)" && npm pack --silent $(subst core-,core@,$(AXE)) >/dev/null && tar -xzf $(AXE).tgz --strip-components=1 package/axe.min.js package/LICENSE && rm $(AXE).tgz
	@echo "$(AXE_SHA256)  $(AXE_DIR)/axe.min.js" | sha256sum --check --quiet

clean: ## remove what was built
	rm -rf bin
