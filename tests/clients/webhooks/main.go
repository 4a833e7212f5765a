// Webhooks runs the webhook server of controller-runtime, with a defaulter and a validator for ConfigMaps. It prints a
// line when it is called.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// defaulter fills in data.size.
func defaulter(decoder admission.Decoder) admission.HandlerFunc {
	return func(_ context.Context, request admission.Request) admission.Response {
		fmt.Println("default", request.Operation, request.Name)
		object := &corev1.ConfigMap{}
		if err := decoder.Decode(request, object); err != nil {
			return admission.Errored(http.StatusBadRequest, err)
		}
		if object.Data == nil {
			object.Data = map[string]string{}
		}
		if object.Data["size"] == "" {
			object.Data["size"] = "medium"
		}
		changed, err := json.Marshal(object)
		if err != nil {
			return admission.Errored(http.StatusInternalServerError, err)
		}
		return admission.PatchResponseFromRaw(request.Object.Raw, changed)
	}
}

// validator denies another size than the old one.
func validator(decoder admission.Decoder) admission.HandlerFunc {
	return func(_ context.Context, request admission.Request) admission.Response {
		fmt.Println("validate", request.Operation, request.Name)
		object, old := &corev1.ConfigMap{}, &corev1.ConfigMap{}
		if err := decoder.Decode(request, object); err != nil {
			return admission.Errored(http.StatusBadRequest, err)
		}
		if len(request.OldObject.Raw) > 0 {
			if err := decoder.DecodeRaw(request.OldObject, old); err != nil {
				return admission.Errored(http.StatusBadRequest, err)
			}
			if old.Data["size"] != object.Data["size"] {
				return admission.Denied("the size stays").WithWarnings("sizes are for ever")
			}
		}
		return admission.Allowed("")
	}
}

func main() {
	port := flag.Int("port", 0, "where to listen")
	certificates := flag.String("certificates", "", "the directory of tls.crt and tls.key")
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	server := webhook.NewServer(webhook.Options{Host: "127.0.0.1", Port: *port, CertDir: *certificates})
	decoder := admission.NewDecoder(scheme.Scheme)
	server.Register("/default", &webhook.Admission{Handler: defaulter(decoder)})
	server.Register("/validate", &webhook.Admission{Handler: validator(decoder)})
	running, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := server.Start(running); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
