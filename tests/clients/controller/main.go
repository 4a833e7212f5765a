// Controller runs an unmodified controller-runtime manager on one URL: its cache, its REST mapper, its client and its
// work queue. It prints one JSON line for each object that it reconciles, copies the value of a field of each object to
// another field through the status subresource or a patch of the object, and prints on each line of standard input what
// its cache holds.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"

	"example.org/tenantry/report"
	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// reconciler copies the field `from` of each object to its field `to`, if that is named.
type reconciler struct {
	client  client.Client
	kind    schema.GroupVersionKind
	from    []string
	to      []string
	status  bool
	printer *report.Printer
}

func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	object := r.empty()
	if err := r.client.Get(ctx, request.NamespacedName, object); err != nil {
		if apierrors.IsNotFound(err) {
			r.printer.Print(report.Line{Event: "gone", Object: request.String()})
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	value := field(object, r.from)
	if len(r.to) > 0 && field(object, r.to) != value {
		changed := object.DeepCopy()
		if err := unstructured.SetNestedField(changed.Object, value, r.to...); err != nil {
			return ctrl.Result{}, err
		}
		patch := client.MergeFromWithOptions(object, client.MergeFromWithOptimisticLock{})
		var err error
		if r.status {
			err = r.client.Status().Patch(ctx, changed, patch)
		} else {
			err = r.client.Patch(ctx, changed, patch)
		}
		if err != nil {
			r.printer.Print(report.Line{Event: "refused", Object: report.Identity(object), Value: err.Error()})
			return ctrl.Result{}, err
		}
	}
	r.printer.Print(report.Line{Event: "reconciled", Object: report.Identity(object), Version: object.GetResourceVersion(), Value: value})
	return ctrl.Result{}, nil
}

func (r *reconciler) empty() *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(r.kind)
	return object
}

// snapshot is what the cache holds: object to value.
func (r *reconciler) snapshot(ctx context.Context) report.Line {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(r.kind)
	out := report.Line{Event: "snapshot", Caches: map[string]string{}}
	if err := r.client.List(ctx, list); err != nil {
		out.Value = err.Error()
	}
	for i := range list.Items {
		out.Caches[report.Identity(&list.Items[i])] = field(&list.Items[i], r.from)
	}
	return out
}

func field(object *unstructured.Unstructured, path []string) string {
	value, found, _ := unstructured.NestedFieldNoCopy(object.Object, path...)
	if !found {
		return ""
	}
	return fmt.Sprint(value)
}

func path(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ".")
}

func run() error {
	// controller-runtime defines a flag of this name in the default set.
	flags := flag.NewFlagSet("controller", flag.ExitOnError)
	kubeconfig := flags.String("kubeconfig", "", "kubeconfig with the credentials")
	url := flags.String("url", "", "URL of the apiserver, in place of that of the kubeconfig")
	group := flags.String("group", "", "group of the reconciled kind")
	version := flags.String("version", "v1", "its version")
	kind := flags.String("kind", "", "the kind")
	from := flags.String("field", "spec.value", "path of the value that is reported")
	to := flags.String("copy-to", "", "path of the field to which it is copied")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}

	ctrl.SetLogger(logr.Discard())
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return err
	}
	if *url != "" {
		config.Host = strings.TrimSuffix(*url, "/")
	}
	config.QPS, config.Burst = 1000, 1000
	out := report.NewPrinter(os.Stdout)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &report.Requests{Printer: out, Next: next} })
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Metrics: server.Options{BindAddress: "0"},
		Client:  client.Options{Cache: &client.CacheOptions{Unstructured: true}},
	})
	if err != nil {
		return err
	}
	r := &reconciler{
		client:  manager.GetClient(),
		kind:    schema.GroupVersionKind{Group: *group, Version: *version, Kind: *kind},
		from:    path(*from),
		to:      path(*to),
		status:  strings.HasPrefix(*to, "status."),
		printer: out,
	}
	if err := ctrl.NewControllerManagedBy(manager).For(r.empty()).Named("copies").Complete(r); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		if manager.GetCache().WaitForCacheSync(ctx) {
			out.Print(report.Line{Event: "ready"})
		}
		out.Answer(func() report.Line { return r.snapshot(ctx) })
		cancel()
	}()
	return manager.Start(ctx)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
