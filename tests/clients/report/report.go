// Package report is how the test programs tell what they see: one JSON line for each event, and for each line of
// standard input what their caches hold.
package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
)

const clusterAnnotation = "kcp.io/cluster"

// Line is one event, or one snapshot. Caches: object to value.
type Line struct {
	Event   string            `json:"event"`
	URL     string            `json:"url,omitempty"`
	Object  string            `json:"object,omitempty"`
	Version string            `json:"version,omitempty"`
	Value   string            `json:"value,omitempty"`
	Caches  map[string]string `json:"caches,omitempty"`
	URLs    []string          `json:"urls,omitempty"`
}

// Printer writes lines from many goroutines.
type Printer struct {
	mu  sync.Mutex
	out *json.Encoder
}

func NewPrinter(out io.Writer) *Printer {
	return &Printer{out: json.NewEncoder(out)}
}

func (p *Printer) Print(l Line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.out.Encode(l)
}

// Answer prints a snapshot for each line of standard input, until its end.
func (p *Printer) Answer(snapshot func() Line) {
	for input := bufio.NewScanner(os.Stdin); input.Scan(); {
		p.Print(snapshot())
	}
}

// Requests reports lists and watches, with the version from which on. URL: what it calls the server; the path of each
// request, if it is empty.
type Requests struct {
	URL     string
	Printer *Printer
	Next    http.RoundTripper
}

func (r *Requests) RoundTrip(request *http.Request) (*http.Response, error) {
	answer, err := r.Next.RoundTrip(request)
	if request.Method != http.MethodGet {
		return answer, err
	}
	query := request.URL.Query()
	l := Line{Event: "list", URL: r.URL, Version: query.Get("resourceVersion"), Value: fmt.Sprint(err)}
	if query.Get("watch") != "" {
		l.Event = "watch"
	}
	if r.URL == "" {
		l.URL = request.URL.Path
	}
	if err == nil {
		l.Value = answer.Status
	}
	r.Printer.Print(l)
	return answer, err
}

// Object is what an identity is made of.
type Object interface {
	GetAnnotations() map[string]string
	GetNamespace() string
	GetName() string
}

// Identity is unique over all logical clusters.
func Identity(object Object) string {
	return object.GetAnnotations()[clusterAnnotation] + "|" + object.GetNamespace() + "/" + object.GetName()
}
