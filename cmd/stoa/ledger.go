package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/stoadb/stoa/cluster"
	"github.com/stoadb/stoa/internal/codec"
)

// The ledger of imported files lies in the data folder, where the data is: a ledger on
// the side of whoever imports would lie as soon as the folder is another. An import
// asks for it on the admin port:
//
//	GET /imports/HASH                  {"records":12}
//	PUT /imports/HASH  {"records":13}  {"records":13}
//
// HASH is the XXH3-128 of the file's bytes, 32 hex digits.

// ledgerEntry is the body both ways.
type ledgerEntry struct {
	Records uint64 `json:"records"`
}

// importsHandler serves the ledger.
func importsHandler(ledger *cluster.Imports) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /imports/{hash}", func(w http.ResponseWriter, r *http.Request) {
		if hash, ok := pathHash(w, r); ok {
			answerEntry(w, ledgerEntry{ledger.Records(hash)})
		}
	})
	mux.HandleFunc("PUT /imports/{hash}", func(w http.ResponseWriter, r *http.Request) {
		hash, ok := pathHash(w, r)
		if !ok {
			return
		}
		var entry ledgerEntry
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, ledgerBodyBytesMax)).Decode(&entry); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		switch err := ledger.SetRecords(hash, entry.Records); {
		case errors.Is(err, cluster.ErrImportsFull):
			http.Error(w, err.Error(), http.StatusInsufficientStorage)
			return
		case err != nil:
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		answerEntry(w, entry)
	})
	return mux
}

func pathHash(w http.ResponseWriter, r *http.Request) (codec.Hash, bool) {
	var hash codec.Hash
	text := r.PathValue("hash")
	if len(text) != 2*len(hash) {
		http.Error(w, "want 32 hex digits", http.StatusBadRequest)
		return hash, false
	}
	if _, err := hex.Decode(hash[:], []byte(text)); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return hash, false
	}
	return hash, true
}

func answerEntry(w http.ResponseWriter, entry ledgerEntry) {
	w.Header().Set("Content-Type", "application/json")
	// Where nobody is left to read the answer, nothing is lost.
	_ = json.NewEncoder(w).Encode(entry)
}

// ledger asks the ledger behind an admin port about one file.
type ledger struct {
	url string
}

func newLedger(s asked, file codec.Hash) ledger {
	at := "http://" + s.admin + "/imports/" + file.String()
	if s.tenant != "" {
		at += "?" + url.Values{"tenant": {s.tenant}}.Encode()
	}
	return ledger{at}
}

// records is how many records of the file the server holds.
func (l ledger) records(ctx context.Context) (uint64, error) {
	return l.ask(ctx, http.MethodGet, nil)
}

// setRecords notes how many it holds now.
func (l ledger) setRecords(ctx context.Context, records uint64) error {
	body, err := json.Marshal(ledgerEntry{records})
	if err != nil {
		return err
	}
	_, err = l.ask(ctx, http.MethodPut, body)
	return err
}

func (l ledger) ask(ctx context.Context, method string, body []byte) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, ledgerTimeMax)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, l.url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s %s: %s", method, l.url, response.Status)
	}
	var entry ledgerEntry
	if err := json.NewDecoder(http.MaxBytesReader(nil, response.Body, ledgerBodyBytesMax)).Decode(&entry); err != nil {
		return 0, fmt.Errorf("%s %s: %w", method, l.url, err)
	}
	return entry.Records, nil
}
