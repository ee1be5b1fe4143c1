package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stoadb/stoa/api"
	"github.com/stoadb/stoa/api/queryhttp"
	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/wal"
)

// tenantsFolder lies in the data folder and holds a data folder for each tenant, under
// its name.
const tenantsFolder = "tenants"

// tenant is a tenant's stores, open.
type tenant struct {
	name    string
	store   *cluster.Store
	archive *cluster.Store // nil: not open
}

// parseTenants reads --tenants.
func parseTenants(text string) ([]string, error) {
	names := strings.Split(text, ",")
	if len(names) > tenantsMax {
		return nil, usagef("--tenants: %d names, at most %d", len(names), tenantsMax)
	}
	for i, name := range names {
		if err := api.CheckTenantName(name); err != nil {
			return nil, usagef("--tenants: %w", err)
		}
		for _, other := range names[:i] {
			if other == name {
				return nil, usagef("--tenants: %s stands twice", name)
			}
			if strings.EqualFold(other, name) { // one folder, on many systems
				return nil, usagef("--tenants: %s and %s differ in case only", other, name)
			}
		}
	}
	return names, nil
}

// parseTenantHeader reads --tenant-header. Metadata keys have no case: they are lower.
func parseTenantHeader(text string) (string, error) {
	key := strings.ToLower(text)
	if err := api.CheckTenantHeader(key); err != nil {
		return "", usagef("--tenant-header %w", err)
	}
	return key, nil
}

// tenantsIn lists the tenants that have something in a data folder, sorted.
func tenantsIn(data string) (names []string, err error) {
	entries, err := os.ReadDir(filepath.Join(data, tenantsFolder))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for _, entry := range entries {
		inside, err := os.ReadDir(filepath.Join(data, tenantsFolder, entry.Name()))
		if err != nil || api.CheckTenantName(entry.Name()) != nil {
			continue // not a folder, or none of ours
		}
		// A start that was killed early leaves no more than these.
		if slices.ContainsFunc(inside, func(e os.DirEntry) bool { return e.Name() != "lock" && e.Name() != "epoch.new" }) {
			names = append(names, entry.Name())
		}
	}
	return names, err
}

// leftOut are the tenants of a folder that are not among those served.
func leftOut(data string, served []string) ([]string, error) {
	names, err := tenantsIn(data)
	return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(served, name) }), err
}

// checkTenants keeps the data of tenants apart from all else: a folder that holds some is not
// written to without saying whose it is, since a server without tenants takes all spans as
// one's, and shows them to everybody.
func checkTenants(o nodeOptions) error {
	inFolder, err := tenantsIn(o.data)
	if err != nil {
		return fmt.Errorf("data folder %s: %w", o.data, err)
	}
	list := strings.Join(inFolder, ",")
	for _, name := range o.tenants {
		for _, there := range inFolder {
			if name != there && strings.EqualFold(name, there) { // one folder, on many systems
				return fmt.Errorf("data folder %s has a tenant %s: %s differs in case only", o.data, there, name)
			}
		}
	}
	switch {
	case len(o.tenants) > 0 && !o.create:
		for _, name := range o.tenants {
			if !slices.Contains(inFolder, name) {
				return fmt.Errorf("data folder %s has no tenant %s; it has: %s", o.data, name, cmp.Or(list, "none"))
			}
		}
	case len(o.tenants) == 0 && len(inFolder) > 0 && o.create:
		return fmt.Errorf("data folder %s holds the data of tenants (%s), and without tenants all spans would be mixed and shown to everybody: "+
			"serve with --tenants %s, import with --tenant NAME, or take %s out of the folder first", o.data, list, list, filepath.Join(o.data, tenantsFolder))
	case len(o.tenants) == 0 && len(inFolder) > 0:
		o.logger.Warn("the folder holds tenants, whose spans are not in this answer: ask for them with --tenant", "tenants", list)
	}
	return nil
}

// mainOptions are those of the data folder's own store. Beside tenants it is open, so that the
// folder has one owner and retention goes on, but nobody writes to it or reads from it: it
// is given as little as an archive.
func mainOptions(o nodeOptions) cluster.Options {
	options := cluster.Options{
		MustExist: !o.create, Shards: o.shards, Logger: o.logger, Retention: o.retention, ReserveBytes: o.reserve, DiskBudget: o.budget,
		Log: wal.Options{SyncInterval: o.syncInterval}, Progress: replayLog(o.logger),
	}
	if len(o.tenants) == 0 {
		return options
	}
	options.Shards, options.DiskBudget = 0, share64(o.budget, len(o.tenants)+1)
	options.Log.FileBytes, options.LogBytesMax = archiveLogFileBytes, archiveLogBytesMax
	options.MemtableBytes, options.PagesBytesMax = archiveMemtableBytesMax, archivePagesBytesMax
	options.SplitCellsBytesMax = archiveSplitCellsBytesMax
	return options
}

// share64 is an equal part of a bound, where 0 is no bound.
func share64(bound int64, parts int) int64 {
	if bound == 0 {
		return 0
	}
	return max(bound/int64(parts), 1)
}

// openTenants opens the stores of the tenants, in their order, each with a part of what one
// store has. What is open stays in n also where one fails.
func (n *node) openTenants(ctx context.Context, o nodeOptions) error {
	shared := cluster.NewShared()
	for _, name := range o.tenants {
		folder := filepath.Join(o.data, tenantsFolder, name)
		logger := o.logger.With("tenant", name)
		shards := o.shards
		if _, err := os.Stat(filepath.Join(folder, "epoch")); err != nil && shards == 0 {
			shards = tenantShards
		}
		options := cluster.Options{
			MustExist: !o.create, Shards: shards, Logger: logger, Retention: o.retention, ReserveBytes: o.reserve,
			Log: wal.Options{SyncInterval: o.syncInterval}, Progress: replayLog(logger), Shared: shared,
		}.Divided(len(o.tenants))
		options.DiskBudget = share64(o.budget, len(o.tenants)+1)
		store, err := n.openFolder(ctx, folder, options)
		if err != nil {
			return fmt.Errorf("tenant %s: %w", name, err)
		}
		n.tenants = append(n.tenants, tenant{name: name, store: store})
		if !o.archive {
			continue
		}
		part := o
		part.data, part.logger = folder, logger
		archive := archiveOptions(part)
		archive.Shared = shared
		if n.tenants[len(n.tenants)-1].archive, err = n.openFolder(ctx, filepath.Join(folder, archiveFolder), archive.Divided(len(o.tenants))); err != nil {
			return fmt.Errorf("tenant %s: %w", name, err)
		}
	}
	return nil
}

// served says to api what the tenants have.
func (n *node) served(header string) api.Tenants {
	tenants := api.Tenants{Header: header}
	for _, t := range n.tenants {
		one := api.Tenant{
			Name: t.name, Store: t.store,
			Imports: importsHandler(t.store.Imports()), Attributes: attributesHandler(t.store), Rates: ratesHandler(t.store),
			Query: queryhttp.New(t.store, queryhttp.Options{Log: n.log.With("tenant", t.name), HideReasons: true}),
			Edges: edgesHandler(t.store),
		}
		if t.archive != nil {
			one.Archive = t.archive
		}
		tenants.List = append(tenants.List, one)
	}
	return tenants
}

// tenantLines say at the start who is served, and what of the folder is not.
func (n *node) tenantLines(f serveFlags, header string) ([]string, error) {
	if len(n.tenants) == 0 {
		return nil, nil
	}
	var names []string
	for _, t := range n.tenants {
		names = append(names, t.name)
	}
	lines := []string{"  tenants               " + strings.Join(names, ", ") + "  (metadata " + header + " on every call; each in " + tenantsFolder + "/NAME)"}
	others, err := leftOut(f.data, names)
	if err != nil {
		return nil, err
	}
	if len(others) > 0 {
		lines = append(lines, "  NOT SERVED            tenants of this folder that --tenants leaves out: "+strings.Join(others, ", ")+"; their spans stay, no retention runs")
	}
	rows := int64(0)
	for _, shard := range n.store.Stats().Shards {
		rows += int64(shard.MemtableRows) + shard.SegmentRows
	}
	if rows > 0 {
		lines = append(lines, fmt.Sprintf("  NOT SERVED            %d spans that came before there were tenants: they stay, under the same retention; 'stoa find --data %s' "+
			"reads them while no server runs", rows, f.data))
	}
	return lines, nil
}

// recovery sums up what the start of the stores replayed, but for archives.
func (n *node) recovery() cluster.Recovery {
	sum := n.store.Recovery()
	for _, t := range n.tenants {
		one := t.store.Recovery()
		sum.Entries += one.Entries
		sum.Bytes += one.Bytes
		sum.Log.TornBytes += one.Log.TornBytes
		sum.Took += one.Took
	}
	return sum
}

// tenant sends what a tenant's stores hold, and gives how many spans of it stand in quarantine.
// Its name is a label: the admin port is the operator's, who gave the name.
func (s sender) tenant(t tenant) (quarantined int) {
	name := labelled{"tenant", t.name}
	stores := []*cluster.Store{t.store}
	if t.archive != nil {
		stores = append(stores, t.archive)
	}
	for i, store := range stores {
		stats := store.Stats()
		labels := []labelled{name, {"store", []string{"spans", archiveFolder}[i]}}
		var rows, bytes, memory int64
		var applied uint64
		for shard := range stats.Shards {
			rows += int64(stats.Shards[shard].MemtableRows) + stats.Shards[shard].SegmentRows
			bytes += stats.Shards[shard].SegmentBytes
			memory += int64(stats.Shards[shard].MemtableBytes)
			quarantined += stats.Shards[shard].QuarantinedSpans
			applied += stats.Groups[shard].Spans
		}
		s.total("stoa_tenant_applied_spans_total", "Spans of the tenant applied, by this process.", applied, labels...)
		s.level("stoa_tenant_rows", "Spans of the tenant; a copy counts until a merge drops it.", rows, labels...)
		s.level("stoa_tenant_segment_bytes", "Bytes of the tenant's segments.", bytes, labels...)
		s.level("stoa_tenant_memtable_bytes", "What the tenant's spans in memory took in their requests.", memory, labels...)
		s.level("stoa_tenant_log_bytes", "Bytes in the files of the tenant's log.", stats.Log.Bytes, labels...)
	}
	return quarantined
}
