// Informers follows an APIExportEndpointSlice, or another object whose status lists endpoints, and runs one dynamic
// informer for each URL that it lists, as a controller of a service provider would. It prints one JSON line for each event, and on each line of standard
// input the contents of all caches. With -url it follows one apiserver in place of those of a slice.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"example.org/tenantry/report"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// fleet runs one informer for each URL.
type fleet struct {
	config   *rest.Config
	resource schema.GroupVersionResource
	suffix   string
	field    []string
	printer  *report.Printer

	mu      sync.Mutex
	running map[string]*member
}

type member struct {
	cancel context.CancelFunc
	lister cache.GenericLister
}

// follow starts and stops informers until exactly the given URLs have one.
func (f *fleet) follow(ctx context.Context, urls []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	wanted := map[string]bool{}
	for _, url := range urls {
		wanted[url] = true
		if f.running[url] != nil {
			continue
		}
		m, err := f.start(ctx, url)
		if err != nil {
			return err
		}
		f.running[url] = m
		f.printer.Print(report.Line{Event: "url-added", URL: url})
	}
	for url, m := range f.running {
		if !wanted[url] {
			m.cancel()
			delete(f.running, url)
			f.printer.Print(report.Line{Event: "url-removed", URL: url})
		}
	}
	return nil
}

func (f *fleet) start(parent context.Context, url string) (*member, error) {
	config := rest.CopyConfig(f.config)
	config.Host = strings.TrimSuffix(url, "/") + f.suffix
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return &report.Requests{URL: url, Printer: f.printer, Next: next}
	})
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(parent)
	factory := dynamicinformer.NewDynamicSharedInformerFactory(client, 0)
	informer := factory.ForResource(f.resource)
	told := func(event string) func(any) {
		return func(o any) {
			if tombstone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = tombstone.Obj
			}
			u := o.(*unstructured.Unstructured)
			f.printer.Print(report.Line{Event: event, URL: url, Object: report.Identity(u), Version: u.GetResourceVersion(), Value: f.value(u)})
		}
	}
	// An unmodified informer keys its cache by namespace and name, so the tenants of a test name their objects differently.
	_, err = informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    told("add"),
		UpdateFunc: func(_, o any) { told("update")(o) },
		DeleteFunc: told("delete"),
	})
	if err != nil {
		cancel()
		return nil, err
	}
	go informer.Informer().Run(ctx.Done())
	return &member{cancel, informer.Lister()}, nil
}

func (f *fleet) value(u *unstructured.Unstructured) string {
	value, _, _ := unstructured.NestedFieldNoCopy(u.Object, f.field...)
	return fmt.Sprint(value)
}

// snapshot is what all caches hold: object to value.
func (f *fleet) snapshot() report.Line {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := report.Line{Event: "snapshot", Caches: map[string]string{}}
	for url, m := range f.running {
		out.URLs = append(out.URLs, url)
		objects, _ := m.lister.List(labels.Everything())
		for _, o := range objects {
			u := o.(*unstructured.Unstructured)
			out.Caches[report.Identity(u)] = f.value(u)
		}
	}
	sort.Strings(out.URLs)
	return out
}

// followSlice has an informer for each URL of an endpoint slice, from now on.
func followSlice(ctx context.Context, provider dynamic.Interface, slices schema.GroupVersionResource, slice string, f *fleet) error {
	factory := dynamicinformer.NewDynamicSharedInformerFactory(provider, 0)
	informer := factory.ForResource(slices).Informer()
	changed := func(o any) {
		u := o.(*unstructured.Unstructured)
		if u.GetName() != slice {
			return
		}
		var urls []string
		endpoints, _, _ := unstructured.NestedSlice(u.Object, "status", "endpoints")
		for _, endpoint := range endpoints {
			urls = append(urls, endpoint.(map[string]any)["url"].(string))
		}
		if err := f.follow(ctx, urls); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: changed, UpdateFunc: func(_, o any) { changed(o) }}); err != nil {
		return err
	}
	go informer.Run(ctx.Done())
	synced, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	if !cache.WaitForCacheSync(synced.Done(), informer.HasSynced) {
		return fmt.Errorf("the endpoint slice could not be listed within 30 seconds")
	}
	return nil
}

func run() error {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig whose current context is the provider's workspace")
	slice := flag.String("slice", "", "name of the APIExportEndpointSlice")
	slices := flag.String("slices", "apiexportendpointslices.v1alpha1.apis.kcp.io", "what the slice is: resource, version and group")
	url := flag.String("url", "", "URL of an apiserver, in place of those of a slice")
	group := flag.String("group", "", "group of the followed resource")
	version := flag.String("version", "v1", "its version")
	resource := flag.String("resource", "", "its plural name")
	field := flag.String("field", "spec.value", "path of the value that is reported")
	flag.Parse()

	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 1000, 1000
	provider, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	f := &fleet{
		config:   config,
		resource: schema.GroupVersionResource{Group: *group, Version: *version, Resource: *resource},
		suffix:   "/clusters/*",
		field:    strings.Split(*field, "."),
		printer:  report.NewPrinter(os.Stdout),
		running:  map[string]*member{},
	}
	if *url != "" {
		f.suffix = ""
		err = f.follow(ctx, []string{*url})
	} else {
		kind, _ := schema.ParseResourceArg(*slices)
		err = followSlice(ctx, provider, *kind, *slice, f)
	}
	if err != nil {
		return err
	}
	f.printer.Print(report.Line{Event: "ready"})
	f.printer.Answer(f.snapshot)
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
