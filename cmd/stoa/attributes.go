package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/engine/span"
)

// The attributes that are there, asked for on the admin port:
//
//	GET /attributes?level=span                {"keys":[{"level":"span","key":"db","type":"string","values":7,...}],"cut":false}
//	GET /attributes/KEY?level=span&limit=100  {"key":"db","values":[{"level":"span","type":"string","value":"pg","count":7}],...}
//
// KEY is escaped as a segment of a path. level and limit may be left out. A server with tenants
// wants tenant=NAME too, here and of all questions about data. What has no answer within the time that the
// server gives it is 504.

const attributesLong = `Lists the attribute keys of every level with their types: how many values there are, how
many of them differ, and the bytes of their text. With KEY it lists the values of that key,
most frequent first, spelled as find compares them.

Counts are of values stored. A value of a resource or a scope counts once for each of its
spans; a span that was received twice, and not merged yet, counts twice. How many values
differ is exact up to about a thousand; where segments cannot tell which of their values are
the same, it is given as a range. At most 100,000 distinct values are kept while counting,
and the answer says where there are more.`

func newAttributes() *cobra.Command {
	var target targetFlags
	var output outputFlags
	var limit int
	var level string
	cmd := &cobra.Command{
		Use:   "attributes [KEY]",
		Short: "List the attribute keys, or the values of one with their counts",
		Long:  attributesLong,
		Example: `  stoa attributes
  stoa attributes http.response.status_code --limit 5
  stoa attributes service.name --level resource --json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("want at most one key, got %d arguments", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := parseLevels(level); err != nil {
				return usageError{fmt.Errorf("--level %w", err)}
			}
			if limit < 1 || limit > attributesLimitMax {
				return usagef("--limit %d: want 1 to %d", limit, attributesLimitMax)
			}
			return withStore(cmd, target, func(ctx context.Context, s asked) error {
				if len(args) == 0 {
					keys, err := askKeys(ctx, s, level)
					if err != nil {
						return err
					}
					return printKeys(cmd.OutOrStdout(), output.form, keys)
				}
				values, err := askValues(ctx, s, args[0], level, limit)
				if err != nil {
					return err
				}
				return printValues(cmd.OutOrStdout(), output.form, values)
			})
		},
	}
	target.add(cmd)
	cmd.Flags().StringVar(&target.admin, "admin", "", "admin port of the server, HOST:PORT (default: one below the port of --addr)")
	output.add(cmd, "table", "json", "jsonl", "csv")
	cmd.Flags().IntVarP(&limit, "limit", "n", 20, "with KEY: at most this many values")
	cmd.Flags().StringVar(&level, "level", "", "only of this level: "+strings.Join(span.LevelNames(), ", "))
	return cmd
}

// parseLevels reads a level's name; none is all levels.
func parseLevels(name string) ([]span.Level, error) {
	if name == "" {
		return nil, nil
	}
	level, ok := span.LevelOf(name)
	if !ok {
		return nil, fmt.Errorf("%q: want %s", name, strings.Join(span.LevelNames(), ", "))
	}
	return []span.Level{level}, nil
}

// keysJSON and valuesJSON are the answers of the admin port and of --output json.
type keysJSON struct {
	Keys []keyJSON `json:"keys"`
	Cut  bool      `json:"cut"`
}

type keyJSON struct {
	Level       string `json:"level"`
	Key         string `json:"key"`
	Type        string `json:"type"`
	Values      uint64 `json:"values"`
	DistinctMin uint64 `json:"distinctMin"`
	DistinctMax uint64 `json:"distinctMax"`
	TextBytes   uint64 `json:"textBytes"`
}

type valuesJSON struct {
	Key      string      `json:"key"`
	Values   []valueJSON `json:"values"`
	Distinct uint64      `json:"distinct"`
	Total    uint64      `json:"total"`
	Cut      bool        `json:"cut"`
}

type valueJSON struct {
	Level string `json:"level"`
	Type  string `json:"type"`
	Value string `json:"value"`
	Count uint64 `json:"count"`
}

// keysToJSON keeps the keys of some levels, of all where none is given.
func keysToJSON(all span.AttributeKeys, levels []span.Level) keysJSON {
	out := keysJSON{Keys: []keyJSON{}, Cut: all.Cut}
	for _, k := range all.Keys {
		if len(levels) == 0 || levels[0] == k.Level {
			out.Keys = append(out.Keys, keyJSON{k.Level.String(), k.Key, k.Type.String(), k.Values, k.DistinctMin, k.DistinctMax, k.TextBytes})
		}
	}
	return out
}

func valuesToJSON(key string, all span.AttributeValues) valuesJSON {
	out := valuesJSON{Key: key, Values: []valueJSON{}, Distinct: all.Distinct, Total: all.Total, Cut: all.Cut}
	for _, v := range all.Values {
		out.Values = append(out.Values, valueJSON{v.Level.String(), v.Type.String(), v.Text, v.Count})
	}
	return out
}

// attributesHandler serves them from the store.
func attributesHandler(store *cluster.Store) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /attributes", func(w http.ResponseWriter, r *http.Request) {
		levels, err := parseLevels(r.URL.Query().Get("level"))
		if err != nil {
			http.Error(w, "level "+err.Error(), http.StatusBadRequest)
			return
		}
		keys, err := store.Keys(r.Context())
		answerJSON(w, r, keysToJSON(keys, levels), err)
	})
	mux.HandleFunc("GET /attributes/{key...}", func(w http.ResponseWriter, r *http.Request) {
		levels, err := parseLevels(r.URL.Query().Get("level"))
		if err != nil {
			http.Error(w, "level "+err.Error(), http.StatusBadRequest)
			return
		}
		limit := attributesLimit
		if text := r.URL.Query().Get("limit"); text != "" {
			if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > attributesLimitMax {
				http.Error(w, fmt.Sprintf("limit %q: want 1 to %d", text, attributesLimitMax), http.StatusBadRequest)
				return
			}
		}
		key := r.PathValue("key")
		values, err := store.Values(r.Context(), key, levels, limit)
		answerJSON(w, r, valuesToJSON(key, values), err)
	})
	return mux
}

// answerJSON answers with JSON, or tells an error to who is still there.
func answerJSON(w http.ResponseWriter, r *http.Request, answer any, err error) {
	switch {
	case errors.Is(err, span.ErrTooMuch):
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	case errors.Is(err, span.ErrUnavailable):
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	case err != nil && errors.Is(r.Context().Err(), context.DeadlineExceeded):
		http.Error(w, context.Cause(r.Context()).Error(), http.StatusGatewayTimeout)
		return
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// Where nobody is left to read the answer, nothing is lost.
	_ = json.NewEncoder(w).Encode(answer)
}

func askKeys(ctx context.Context, s asked, level string) (keys keysJSON, err error) {
	return keys, askAdmin(ctx, s, "/attributes", url.Values{"level": {level}}, &keys)
}

func askValues(ctx context.Context, s asked, key, level string, limit int) (values valuesJSON, err error) {
	// A key of dots would be taken for a step to another folder.
	path := "/attributes/" + strings.ReplaceAll(url.PathEscape(key), ".", "%2E")
	return values, askAdmin(ctx, s, path, url.Values{"level": {level}, "limit": {strconv.Itoa(limit)}}, &values)
}

// askAdmin asks the admin port for a JSON document. A question may take as long as the server lets
// it: it ends with ctx.
func askAdmin(ctx context.Context, s asked, path string, query url.Values, answer any) error {
	if s.tenant != "" {
		query.Set("tenant", s.tenant)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("the admin port does not answer (name it with --admin): %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		reason, _ := io.ReadAll(io.LimitReader(response.Body, adminReasonBytesMax)) // what came of it says what there is to say
		return fmt.Errorf("GET %s: %s: %s", request.URL, response.Status, strings.TrimSpace(string(reason)))
	}
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		return fmt.Errorf("GET %s: %w", request.URL, err)
	}
	return nil
}

func printKeys(w io.Writer, form string, keys keysJSON) error {
	exact := func(n uint64) string { return strconv.FormatUint(n, 10) }
	switch form {
	case "json":
		return printJSON(w, keys)
	case "jsonl":
		return printJSONLines(w, keys.Keys)
	case "csv":
		rows := make([][]string, len(keys.Keys))
		for i, k := range keys.Keys {
			rows[i] = []string{k.Level, k.Key, k.Type, exact(k.Values), exact(k.DistinctMin), exact(k.DistinctMax), exact(k.TextBytes)}
		}
		return printCSV(w, []string{"level", "key", "type", "values", "distinct_min", "distinct_max", "text_bytes"}, rows)
	}
	if len(keys.Keys) == 0 {
		_, err := fmt.Fprintln(w, "no attribute found")
		return err
	}
	rows := make([][]string, len(keys.Keys))
	for i, k := range keys.Keys {
		rows[i] = []string{k.Level, k.Key, k.Type, exact(k.Values), distinctText(k.DistinctMin, k.DistinctMax), exact(k.TextBytes)}
	}
	if err := printTable(w, []string{"LEVEL", "KEY", "TYPE", "VALUES", "DISTINCT", "TEXT BYTES"}, rows); err != nil || !keys.Cut {
		return err
	}
	_, err := fmt.Fprintln(w, "There are more keys: these are as many as are kept while counting.")
	return err
}

// distinctText is a number, or the range that it lies in.
func distinctText(least, most uint64) string {
	if least == most {
		return strconv.FormatUint(least, 10)
	}
	return fmt.Sprintf("%d to %d", least, most)
}

func printValues(w io.Writer, form string, values valuesJSON) error {
	rows := make([][]string, len(values.Values))
	for i, v := range values.Values {
		rows[i] = []string{v.Level, v.Type, strconv.FormatUint(v.Count, 10), v.Value}
	}
	switch form {
	case "json":
		return printJSON(w, values)
	case "jsonl":
		return printJSONLines(w, values.Values)
	case "csv":
		return printCSV(w, []string{"level", "type", "count", "value"}, rows)
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintf(w, "no value of %s found\n", printable(values.Key))
		return err
	}
	if err := printTable(w, []string{"LEVEL", "TYPE", "COUNT", "VALUE"}, rows); err != nil {
		return err
	}
	if values.Cut {
		_, err := fmt.Fprintf(w, "%d values in all. More differ than the %d that are kept while counting: more frequent ones may be missing.\n",
			values.Total, values.Distinct)
		return err
	}
	if uint64(len(rows)) == values.Distinct {
		return nil
	}
	_, err := fmt.Fprintf(w, "%d of %d distinct values; %d values in all\n", len(rows), values.Distinct, values.Total)
	return err
}
