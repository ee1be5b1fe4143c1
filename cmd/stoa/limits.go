package main

import "time"

// The server's process.
const (
	// memoryBytesDefault is the soft limit of the process's own memory, besides the tables of
	// open segments. Memtables, a flush and a merge together need some 260 MiB of it for most of a
	// load at full speed, 400 at times; the rest is what garbage may pile up to between two
	// collections. The process came to 493 MiB at most, tables of 10 M spans and all.
	memoryBytesDefault = 416 << 20

	// hugePagesTimes the limit are the addresses of the heap that huge pages are asked for: it grows
	// beyond its limit with the tables of segments, and where what is in use leaves gaps.
	hugePagesTimes = 2

	// hugePagesBytesMax bounds them: no memory, but addresses that the kernel may count as promised.
	hugePagesBytesMax = 8 << 30

	// hugePagesProbeMore is what the heap may take to grow by so much, in arenas of 64 MiB.
	hugePagesProbeMore = 128 << 20

	// memoryInterval is how often the limit follows those tables: a flush or a merge changes them.
	memoryInterval = time.Second

	// memoryBytesMin is the least that --memory takes: with less than the runtime and the
	// tables of an idle node need, the collector would run without end and free nothing.
	memoryBytesMin = 64 << 20

	// threadsToSpare: as many as flush and merge at once, see cluster.Shared.
	threadsToSpare = 2

	// backgroundNice is the nice value of the threads that flush and merge: a weight of 110 where
	// others have 1,024.
	backgroundNice = 10

	// memoryShare of what the machine or its cgroup has is ours at most: the kernel's part
	// of a process (stacks, page tables, socket buffers) counts too.
	memoryShare = 0.9

	// drainTimeMax is how long calls that are under way may take after SIGTERM: less than
	// the 30 s after which Kubernetes kills, so that the flush still has its turn.
	drainTimeMax = 10 * time.Second
)

// The archive. People fill it by hand, trace by trace: it is given a fraction of what the
// store beside it has, and the process's memory limit stays what it is.
const (
	// archiveLogFileBytes is the preallocated size of a log file: what an archive that
	// nobody uses takes of the disk.
	archiveLogFileBytes = 4 << 20

	// archiveLogBytesMax is how large its log may grow before its memory is flushed.
	archiveLogBytesMax = 64 << 20

	// archiveMemtableBytesMax holds some thousand traces.
	archiveMemtableBytesMax = 8 << 20

	// archivePagesBytesMax keeps the pages of the traces that are looked at now.
	archivePagesBytesMax = 8 << 20

	// archiveSplitCellsBytesMax is enough for the graph of thousands of traces.
	archiveSplitCellsBytesMax = 1 << 20
)

// Tenants. They divide among them what one store has: memtables, opened pages, what is kept of
// split traces, the log and the disk budget.
const (
	// tenantsMax bounds them: with more, a memtable would hold less than 3 MiB before it is
	// flushed. Idle, so many take 200 MiB of the disk, for the log files of stores and archives.
	tenantsMax = 64

	// tenantShards is the number of shards of a new tenant's folder: each shard of each tenant
	// has a memtable and segments of its own, and tenants keep the cores busy beside one another.
	tenantShards = 1
)

// An import.
const (
	// importsAtOnce is how many requests are under way: enough that the log's syncs and the
	// walking of the next request overlap, few enough that memory stays small.
	importsAtOnce = 8

	// ledgerRecordsStep is after how many records the ledger is told: what an interrupted
	// import sends again, which is harmless, only slower.
	ledgerRecordsStep = 256

	// ledgerBodyBytesMax bounds what a PUT may send; it needs a number.
	ledgerBodyBytesMax = 1 << 10

	// ledgerTimeMax bounds one question to the ledger: it answers after one small write.
	ledgerTimeMax = 10 * time.Second
)

// The questions about attributes.
const (
	// attributesLimit is how many values the admin port tells where no limit is given,
	// attributesLimitMax the largest one: as many as are kept while counting.
	attributesLimit    = 100
	attributesLimitMax = 100_000

	// adminReasonBytesMax is how much of a refusal is shown.
	adminReasonBytesMax = 4 << 10
)

// plainInterval is how often long work says where it is when nobody watches a bar.
const plainInterval = 10 * time.Second

// Measuring.
const (
	// amplifyTimesMax is how many copies of a recording are sent at most.
	amplifyTimesMax = 100_000

	// benchClientsMax is how many ask at once at most: each has a connection.
	benchClientsMax = 1024
)
