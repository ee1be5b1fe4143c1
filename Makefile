# The quick gate is `go test ./...`. The targets below run the same tests with bigger
# numbers, or measure. Every target works on a fresh clone.

.PHONY: test race fuzz model kill e2e bench bench-check bench-baseline amplified peers ci stubs

test:            ## what CI and the README run
	go vet ./...
	go test ./...

race:            ## the whole suite under the race detector (about ten minutes)
	go test -race -timeout 40m ./...

FUZZTIME ?= 2m
fuzz:            ## every fuzz target for FUZZTIME each
	FUZZTIME=$(FUZZTIME) .ci/fuzz

MODEL_SEEDS ?= 2000
model:           ## the model and crash tests of engine, cluster and log, with many seeds
	STOA_TEST_SEEDS=$(MODEL_SEEDS) go test -timeout 4h -run 'Model|Crash|AnySplit|EveryForm|AnyCall|DuringIngest|Acknowledged|EveryCall|EveryNumber' ./engine/... ./cluster/... ./wal/...

KILLS ?= 1000
kill:            ## SIGKILL under load, KILLS times
	STOA_TEST_KILLS=$(KILLS) go test -timeout 4h -run SIGKILL ./cmd/stoa

e2e:             ## real Jaegers 1.76 and 2.13 in front of the binary, all recordings
	cd api/e2e && go vet ./... && go test -count=1 -v -timeout 60m ./...
	STOA_REAL_JAEGERS=1 go test -count=1 -v -timeout 30m -run RealJaegers ./bench

bench:           ## all micro-benchmarks, in a form that benchstat reads; amplified loads small
	STOA_BENCH_SPANS=100000 go test -timeout 2h -run '^$$' -bench . -benchmem -count 6 ./...

bench-baseline:  ## measures the hot loops and stores that in .bench/, for bench-check
	.ci/bench-check store

bench-check:     ## fails where the hot loops became 5 % dearer than the baseline, or than BASE=main in turn
	.ci/bench-check

SPANS ?= 3000000
amplified:       ## SPANS spans into the real binary, every answer compared
	STOA_BENCH_SPANS=$(SPANS) go test ./bench -timeout 4h -run '^$$' -bench 'Amplified|Together' -benchtime 1x

peers:           ## Stoa and Jaeger's stores over the same SPANS spans (200000), one at a time: one table
	@bench/peers/run

stubs:           ## generated gRPC stubs, from the modules' own .proto files
	go generate ./api/...

ci:
	bash .ci/run
