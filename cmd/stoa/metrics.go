package main

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine"
)

// metricsHandler answers /metrics. The rooms count in their own Stats; what Prometheus
// needs to know of them stands here alone.
func metricsHandler(n *node) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), statsCollector{n})
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// statsCollector turns Stats into metrics at each scrape.
type statsCollector struct{ node *node }

// Describe sends nothing: which metrics there are follows from the Stats.
func (statsCollector) Describe(chan<- *prometheus.Desc) {}

// Collect takes one picture and sends all of it.
func (c statsCollector) Collect(out chan<- prometheus.Metric) {
	s := sender(out)
	s.api(c.node.server.Stats())
	stats := c.node.store.Stats()
	s.log(stats)
	quarantined := 0
	for _, shard := range stats.Shards {
		quarantined += shard.QuarantinedSpans
	}
	if c.node.archive != nil {
		archive := c.node.archive.Stats()
		s.archive(archive)
		for _, shard := range archive.Shards {
			quarantined += shard.QuarantinedSpans
		}
	}
	for _, t := range c.node.tenants {
		quarantined += s.tenant(t)
	}
	s.dropped("quarantined", uint64(quarantined))
	for i := range stats.Shards {
		s.shard(strconv.Itoa(i), stats.Groups[i], stats.Shards[i])
	}
}

type sender chan<- prometheus.Metric

// labelled is a label and its value.
type labelled struct{ name, value string }

func (s sender) send(kind prometheus.ValueType, name, help string, value float64, labels ...labelled) {
	names, values := make([]string, len(labels)), make([]string, len(labels))
	for i, l := range labels {
		names[i], values[i] = l.name, l.value
	}
	s <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, value, values...)
}

// total sends what only grows while the process lives.
func (s sender) total(name, help string, value uint64, labels ...labelled) {
	s.send(prometheus.CounterValue, name, help, float64(value), labels...)
}

// level sends what goes up and down.
func (s sender) level(name, help string, value int64, labels ...labelled) {
	s.send(prometheus.GaugeValue, name, help, float64(value), labels...)
}

func (s sender) api(a api.Stats) {
	s.total("stoa_spans_accepted_total", "Spans of acknowledged requests, copies included.", a.SpansAccepted)
	for reason, n := range a.SpansDropped {
		s.dropped(reason, n)
	}
	for change, n := range a.SpansChanged {
		s.total("stoa_values_changed_total", "Parts of spans that met a limit or are odd.", n, labelled{"change", change})
	}
	const exports = "Requests to store spans, by how they ended."
	s.total("stoa_exports_total", exports, a.Exports, labelled{"outcome", "stored"})
	s.total("stoa_exports_total", exports, a.ExportsInvalid, labelled{"outcome", "invalid"})
	s.total("stoa_exports_total", exports, a.ExportsOverload, labelled{"outcome", "overload"})
	s.total("stoa_exports_total", exports, a.ExportsFailed, labelled{"outcome", "failed"})
	s.total("stoa_received_bytes_total", "Bytes of requests to store spans, decompressed.", a.BytesReceived)
	s.level("stoa_in_flight_bytes", "Bytes of requests that are not answered yet.", a.BytesInFlight)
	s.level("stoa_queries_running", "Reading calls under way.", a.QueriesRunning)
	s.total("stoa_peers_cut_total", "Calls ended because the peer stopped.", a.PeersCut)
	s.total("stoa_panics_total", "Calls that ended in a panic.", a.Panics)
	for call, n := range a.Calls {
		s.total("stoa_calls_total", "gRPC calls.", n, labelled{"method", call.Method}, labelled{"code", call.Code})
	}
}

// dropped sends the one metric that tells of every span that no answer will hold.
func (s sender) dropped(reason string, spans uint64) {
	s.total("stoa_spans_dropped_total", "Spans that no answer holds.", spans, labelled{"reason", reason})
}

func (s sender) log(c cluster.Stats) {
	s.level("stoa_log_bytes", "Bytes in the log's files.", c.Log.Bytes)
	s.level("stoa_log_files", "Files of the log.", int64(c.Log.Files))
	s.total("stoa_log_group_commits_total", "Group commits.", c.Log.Groups)
	s.total("stoa_log_entries_total", "Entries written.", c.Log.Entries)
	s.total("stoa_log_syncs_total", "Syncs of the log.", c.Log.Syncs)
	s.level("stoa_log_torn_bytes", "Bytes of a torn tail that the last start cut.", c.Log.TornBytes)
	s.level("stoa_replayed_entries", "Entries that the last start replayed.", c.Recovery.Entries)
	s.level("stoa_replayed_bytes", "Bytes of them.", c.Recovery.Bytes)
	s.level("stoa_disk_free_bytes", "Free bytes of the disk, -1 where unknown.", c.FreeBytes)
}

// archive sends what its store holds; the log and the shards of the other metrics are
// those of the store beside it.
func (s sender) archive(c cluster.Stats) {
	var rows, bytes int64
	for _, shard := range c.Shards {
		rows += int64(shard.MemtableRows) + shard.SegmentRows
		bytes += shard.SegmentBytes
	}
	s.level("stoa_archive_rows", "Spans in the archive; a copy counts until a merge drops it.", rows)
	s.level("stoa_archive_segment_bytes", "Bytes of the archive's segments.", bytes)
	s.level("stoa_archive_log_bytes", "Bytes in the files of the archive's log.", c.Log.Bytes)
}

func (s sender) shard(name string, g cluster.GroupStats, e engine.Stats) {
	shard := labelled{"shard", name}
	s.total("stoa_parts_total", "Parts of requests proposed.", g.Parts, shard)
	s.total("stoa_part_copies_total", "Parts known already: sent again.", g.Copies, shard)
	s.total("stoa_applied_spans_total", "Spans applied, by this process.", g.Spans, shard)
	s.total("stoa_appends_total", "Appends to the log.", g.Appends, shard)
	s.level("stoa_queued_bytes", "Bytes that wait for the log.", int64(g.QueuedBytes), shard)
	s.engine(shard, e)
}

func (s sender) engine(shard labelled, e engine.Stats) {
	s.level("stoa_memtable_rows", "Spans in memory.", int64(e.MemtableRows), shard)
	s.level("stoa_memtable_bytes", "What they took in their requests, or twice what they take in memory where that is more.", int64(e.MemtableBytes), shard)
	s.level("stoa_frozen_memtables", "Memtables that wait for their flush.", int64(e.Frozen), shard)
	s.level("stoa_segments", "Live segments.", int64(e.Segments), shard)
	s.level("stoa_segment_rows", "Spans in them; a copy counts until a merge drops it.", e.SegmentRows, shard)
	s.level("stoa_segment_bytes", "Bytes of them.", e.SegmentBytes, shard)
	s.level("stoa_segment_table_bytes", "Memory that their tables take, about.", e.TableBytes, shard)
	s.level("stoa_damaged_segments", "Segments whose tables cannot be read, or in whose rows a merge met damage: questions that need them fail.", int64(e.Damaged), shard)
	s.total("stoa_flushes_total", "Memtables written to a segment.", uint64(e.Flushes), shard)
	s.total("stoa_flush_failures_total", "Flushes that failed and are tried again.", uint64(e.FlushFailures), shard)
	s.total("stoa_merges_total", "Merges of segments.", uint64(e.Merges), shard)
	s.total("stoa_merge_failures_total", "Merges that failed and are tried again.", uint64(e.MergeFailures), shard)
	s.total("stoa_retention_segments_total", "Segments dropped by retention.", uint64(e.Dropped), shard)
	s.level("stoa_quarantined_parts", "Parts set aside because applying them failed.", int64(e.Quarantined), shard)
	s.level("stoa_applied_seq", "Position in the log up to which entries are visible.", int64(e.Applied), shard)
	s.level("stoa_flushed_seq", "Position in the log up to which segments hold all.", int64(e.Flushed), shard)
}
