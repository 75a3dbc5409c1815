# Covey's tasks. `make help` lists them. Nothing but Go, git, make and a C
# compiler has to be installed: tools are pinned in tools/go.mod, and the stock
# NATS programs that judge us in tools/judges/go.mod.

GO       ?= go
TOOL     := $(GO) tool -modfile=tools/go.mod
BIN      := $(CURDIR)/bin
DATA     ?=
FUZZTIME ?= 10s
COUNT    ?= 10
ROUNDS   ?= 5
SECONDS_EACH ?= 1
SECONDS  ?= 600
SCHEDULES ?= 200
SEED     ?=
PKG      ?= ./...
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT   ?= $(shell git rev-parse HEAD 2>/dev/null)
TESTENV  := COVEY_BIN=$(BIN) COVEY_JUDGE_SERVER=$(BIN)/nats-server COVEY_CONFORMANCE_SUBJECT=$(BIN)/covey-broker
RERUNS   ?= 0
LDFLAGS  := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
PLATFORMS ?= linux/amd64 linux/arm64 darwin/arm64

# gotest runs the tests with the flags that it is given. With RERUNS=1 a test that
# failed is run once more by itself, and named in bin/unstable-*.txt; after a data
# race, a panic or more than six failures nothing is run again.
gotest = $(if $(filter-out 0,$(RERUNS)),$(TOOL) gotestsum --format standard-quiet --rerun-fails=$(RERUNS) --rerun-fails-max-failures=6 \
	--rerun-fails-run-root-test --rerun-fails-abort-on-data-race --rerun-fails-report=$(BIN)/unstable-$@.txt \
	--packages='$(PKG)' -- $(1),$(GO) test $(1) $(PKG))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## List the tasks
	@awk -F ':.*## ' '/^[a-z][a-zA-Z0-9_-]*:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: up
up: build ## Run a whole Covey on this machine (DATA=dir to keep it elsewhere)
	$(BIN)/covey up $(if $(DATA),--data $(DATA))

.PHONY: build
build: ## Build the programs into bin/
	@mkdir -p $(BIN)
	CGO_ENABLED=0 $(GO) build -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/...

.PHONY: test
test: build judges ## The whole suite, end-to-end tests included
	$(TESTENV) $(call gotest,-timeout 20m)

.PHONY: check
check: check-format check-generated check-proto vet lint archtest check-short ## The one gate before a push: 8 minutes on two cores

.PHONY: race
race: build judges ## The whole suite under the race detector
	$(TESTENV) $(call gotest,-race -timeout 30m)

.PHONY: fuzz
fuzz: ## Every fuzz target for FUZZTIME (default 10s)
	@git grep --untracked -hn -o '^func Fuzz[A-Za-z0-9_]*' -- '*_test.go' >/dev/null || { echo 'no fuzz targets'; exit 0; }; \
	git grep --untracked -n -o '^func Fuzz[A-Za-z0-9_]*' -- '*_test.go' | \
	sed -E 's#^(.*)/[^/]*:[0-9]+:func (.*)$$#\1 \2#' | \
	while read -r dir name; do \
		echo "fuzz ./$$dir $$name"; \
		$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "./$$dir" </dev/null || exit 1; \
	done

.PHONY: bench
bench: build judges ## The broker beside stock nats-server: ROUNDS=5 SECONDS_EACH=1 ONLY=names ACCOUNTS=5000 BENCHFLAGS='-sections tls,controlplane'
	$(GO) run ./test/bench -subject $(BIN)/covey-broker -judge $(BIN)/nats-server -rounds $(ROUNDS) -seconds $(SECONDS_EACH) $(if $(ONLY),-only '$(ONLY)') $(if $(ACCOUNTS),-accounts $(ACCOUNTS)) $(BENCHFLAGS)

.PHONY: microbench
microbench: ## Every Go benchmark COUNT times; BASE=old.txt compares with an earlier run
	@mkdir -p $(BIN)
	$(GO) test -run '^$$' -bench . -benchmem -count $(COUNT) $(PKG) | tee $(BIN)/bench.txt
	$(if $(BASE),$(TOOL) benchstat $(BASE) $(BIN)/bench.txt)

.PHONY: generate
generate: ## Make the code that comes from proto/ anew
	$(TOOL) buf generate

.PHONY: lint
lint: ## golangci-lint, as .golangci.yml says
	$(TOOL) golangci-lint run $(PKG)

.PHONY: format
format: ## Format the code
	$(TOOL) gofumpt -l -w .

.PHONY: e2e
e2e: build judges ## Only the end-to-end tests
	$(TESTENV) $(GO) test -count=1 -timeout 15m -v ./test/e2e/...

.PHONY: chaos
chaos: build judges ## Meshes under SCHEDULES=200 random fault schedules; SEED=n plays one again
	$(TESTENV) COVEY_CHAOS_SCHEDULES=$(SCHEDULES) COVEY_CHAOS_SEED=$(SEED) $(GO) test -count=1 -timeout 60m -v ./test/chaos

.PHONY: conformance-random
conformance-random: build judges ## Sessions drawn at random, judged by nats-server: SEEDS=1-20 SESSIONS=400 FOUND=file
	$(TESTENV) COVEY_RANDOM_SEEDS=$(or $(SEEDS),1-20) COVEY_RANDOM_SESSIONS=$(or $(SESSIONS),400) COVEY_RANDOM_FOUND=$(abspath $(FOUND)) \
		$(GO) test -count=1 -timeout 0 -v ./test/conformance/random -run TestRandomSessions

.PHONY: soak
soak: build ## Wear the broker out for SECONDS (default 600) and look at what is left
	$(TESTENV) $(GO) test -count=1 -timeout 0 -v ./test/soak -run TestSoak -soak $(SECONDS)s

.PHONY: collector-test
collector-test: $(BIN)/collector ## Metrics and usage through a real OpenTelemetry Collector (building it takes minutes)
	COVEY_COLLECTOR=$(BIN)/collector $(GO) test -count=1 -v -run Collector ./dataplane/internal/telemetry ./dataplane/internal/meter/export ./test/e2e

.PHONY: release
release: ## Static programs for PLATFORMS and their checksums into dist/
	@rm -rf dist && mkdir -p dist
	@for p in $(PLATFORMS); do \
		os=$${p%/*}; arch=$${p#*/}; out="dist/covey-$(VERSION)-$$os-$$arch"; \
		echo "$$out"; mkdir -p "$$out"; \
		CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o "$$out/" ./cmd/... || exit 1; \
		cp LICENSE README.md "$$out/"; \
		tar -C dist -czf "$$out.tar.gz" "covey-$(VERSION)-$$os-$$arch" && rm -rf "$$out" || exit 1; \
	done
	@cd dist && sha256sum *.tar.gz > SHA256SUMS

.PHONY: clean
clean: ## Remove what was built
	rm -rf $(BIN) dist

# The parts of `make check`. None of them writes into the tree.

.PHONY: check-format
check-format:
	@out=$$($(TOOL) gofumpt -l .); if [ -n "$$out" ]; then echo "not formatted (make format):"; echo "$$out"; exit 1; fi

.PHONY: check-generated
check-generated:
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && mkdir -p "$$tmp/docs/api" && \
	$(TOOL) buf generate -o "$$tmp" && \
	(cd "$$tmp" && find . -type f) | while read -r f; do \
		cmp -s "$$tmp/$$f" "$$f" || { echo "$$f is not what proto/ makes (make generate)"; exit 1; }; \
	done

.PHONY: check-proto
check-proto:
	$(TOOL) buf lint

.PHONY: vet
vet:
	$(GO) vet $(PKG)

.PHONY: archtest
archtest: ## Only the architecture test
	$(GO) test ./internal/archtest

.PHONY: check-short
check-short:
	@mkdir -p $(BIN)
	$(call gotest,-race -short -timeout 20m)

# The stock programs that our tests take as judges.

.PHONY: judges
judges: $(BIN)/nats-server $(BIN)/nats-server-2.10 $(BIN)/nats ## Build the stock nats-server, an older one, and nats CLI into bin/

$(BIN)/nats-server: tools/judges/go.mod
	@mkdir -p $(BIN)
	CGO_ENABLED=0 $(GO) build -C tools/judges -o $@ github.com/nats-io/nats-server/v2

$(BIN)/nats-server-2.10: tools/judges/v2.10/go.mod
	@mkdir -p $(BIN)
	CGO_ENABLED=0 $(GO) build -C tools/judges/v2.10 -o $@ github.com/nats-io/nats-server/v2

$(BIN)/nats: tools/judges/go.mod
	@mkdir -p $(BIN)
	CGO_ENABLED=0 $(GO) build -C tools/judges -o $@ github.com/nats-io/natscli/nats

$(BIN)/collector: tools/judges/collector/go.mod tools/judges/collector/main.go
	@mkdir -p $(BIN)
	CGO_ENABLED=0 $(GO) build -C tools/judges/collector -o $@ .
