// Clientsets does with unmodified clients of client-go what programs do with them: the apiextensions clientset installs a definition,
// the typed clientset writes and reads built-in types, informers follow them, and the metadata client lists and follows what both
// have. It prints one JSON line for each step, and ends with status 1 at the first that fails.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apiextensionsinformers "k8s.io/apiextensions-apiserver/pkg/client/informers/externalversions"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	applyappsv1 "k8s.io/client-go/applyconfigurations/apps/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

const protobuf = "application/vnd.kubernetes.protobuf"

var (
	ctx   = context.Background()
	lines = json.NewEncoder(os.Stdout)
	mu    sync.Mutex
)

// step prints what a step found.
func step(name string, found any) {
	mu.Lock()
	defer mu.Unlock()
	_ = lines.Encode(map[string]any{"step": name, "found": found})
}

func must[T any](name string) func(T, error) T {
	return func(value T, err error) T {
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
			os.Exit(1)
		}
		return value
	}
}

func done(name string, err error) {
	must[any](name)(nil, err)
}

// answers notes the media types of bodies and answers.
type answers struct {
	next  http.RoundTripper
	mu    sync.Mutex
	found map[string]int
}

func (a *answers) RoundTrip(request *http.Request) (*http.Response, error) {
	answer, err := a.next.RoundTrip(request)
	if err == nil {
		kind := request.Method
		if request.URL.Query().Get("watch") != "" {
			kind = "WATCH"
		}
		a.mu.Lock()
		a.found[kind+" "+answer.Header.Get("Content-Type")]++
		a.mu.Unlock()
	}
	return answer, err
}

func (a *answers) take() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	kinds := []string{}
	for kind := range a.found {
		kinds = append(kinds, kind)
	}
	a.found = map[string]int{}
	return kinds
}

func until(name string, met func() bool) {
	deadline := time.Now().Add(60 * time.Second)
	for !met() {
		if time.Now().After(deadline) {
			done(name, fmt.Errorf("not in time"))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func main() {
	kubeconfig := flag.String("kubeconfig", "", "")
	host := flag.String("url", "", "the apiserver, in place of that of the kubeconfig")
	flag.Parse()
	config := must[*rest.Config]("kubeconfig")(clientcmd.BuildConfigFromFlags("", *kubeconfig))
	if *host != "" {
		config.Host = *host
	}
	config.QPS, config.Burst = -1, -1
	seen := &answers{found: map[string]int{}}
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { seen.next = next; return seen })
	definitions(config, seen)
	typed := rest.CopyConfig(config)
	typed.ContentType, typed.AcceptContentTypes = protobuf, protobuf+",application/json"
	builtin(typed, seen)
	following(typed, seen)
	partial(config, seen)
	workloads(config, typed, seen)
}

func definition() *apiextensionsv1.CustomResourceDefinition {
	yes, two := true, 2.5
	items := &apiextensionsv1.JSONSchemaPropsOrArray{Schema: &apiextensionsv1.JSONSchemaProps{Type: "string"}}
	spec := apiextensionsv1.JSONSchemaProps{
		Type: "object",
		Properties: map[string]apiextensionsv1.JSONSchemaProps{
			"color": {Type: "string", Enum: []apiextensionsv1.JSON{{Raw: []byte(`"red"`)}, {Raw: []byte(`"blue"`)}},
				Default: &apiextensionsv1.JSON{Raw: []byte(`"red"`)}},
			"size":  {Type: "number", Minimum: &two},
			"names": {Type: "array", Items: items, XListType: new(string)},
			"more": {Type: "object", AdditionalProperties: &apiextensionsv1.JSONSchemaPropsOrBool{
				Allows: true, Schema: &apiextensionsv1.JSONSchemaProps{Type: "integer"}}},
			"free": {Type: "object", XPreserveUnknownFields: &yes},
		},
		XValidations: apiextensionsv1.ValidationRules{{Rule: "self.color != 'blue' || self.size > 3.0", Message: "too small"}},
	}
	*spec.Properties["names"].XListType = "set"
	schema := &apiextensionsv1.JSONSchemaProps{Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{"spec": spec}}
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "things.go.example.com"},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: "go.example.com",
			Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "things", Kind: "Thing", ShortNames: []string{"th"}},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: "v1", Served: true, Storage: true,
				Schema:       &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: schema},
				Subresources: &apiextensionsv1.CustomResourceSubresources{Status: &apiextensionsv1.CustomResourceSubresourceStatus{}},
				AdditionalPrinterColumns: []apiextensionsv1.CustomResourceColumnDefinition{
					{Name: "Color", Type: "string", JSONPath: ".spec.color"}},
			}},
		},
	}
}

// definitions installs a type as every program that brings one does: with no word about media types.
func definitions(config *rest.Config, seen *answers) {
	client := must[*apiextensions.Clientset]("clientset")(apiextensions.NewForConfig(config))
	all := client.ApiextensionsV1().CustomResourceDefinitions()
	made := must[*apiextensionsv1.CustomResourceDefinition]("create a definition")(all.Create(ctx, definition(), metav1.CreateOptions{}))
	step("definition", made.Spec)
	until("established", func() bool {
		got := must[*apiextensionsv1.CustomResourceDefinition]("get a definition")(all.Get(ctx, made.Name, metav1.GetOptions{}))
		for _, condition := range got.Status.Conditions {
			if condition.Type == apiextensionsv1.Established && condition.Status == apiextensionsv1.ConditionTrue {
				made = got
				return true
			}
		}
		return false
	})
	made.Spec.Names.Categories = []string{"all"}
	updated := must[*apiextensionsv1.CustomResourceDefinition]("update a definition")(all.Update(ctx, made, metav1.UpdateOptions{}))
	step("definition updated", updated.Spec.Names)
	patched := must[*apiextensionsv1.CustomResourceDefinition]("patch a definition")(all.Patch(ctx, made.Name, types.MergePatchType,
		[]byte(`{"metadata":{"labels":{"a":"b"}}}`), metav1.PatchOptions{}))
	step("definition patched", patched.Labels)
	found := must[*apiextensionsv1.CustomResourceDefinitionList]("list definitions")(all.List(ctx, metav1.ListOptions{LabelSelector: "a=b"}))
	step("definitions", []any{len(found.Items), found.Items[0].Name, found.Items[0].Spec.Versions[0].Schema.OpenAPIV3Schema})
	_, err := all.Create(ctx, definition(), metav1.CreateOptions{})
	step("definition again", apierrors.IsAlreadyExists(err))
	factory := apiextensionsinformers.NewSharedInformerFactory(client, 0)
	informer := factory.Apiextensions().V1().CustomResourceDefinitions()
	cached := informer.Informer()
	stop := make(chan struct{})
	factory.Start(stop)
	until("the informer of definitions", cached.HasSynced)
	got := must[*apiextensionsv1.CustomResourceDefinition]("the cache of definitions")(informer.Lister().Get(made.Name))
	step("definition followed", got.Spec.Group)
	close(stop)
	step("definition media types", seen.take())
}

func builtin(config *rest.Config, seen *answers) {
	client := must[*kubernetes.Clientset]("clientset")(kubernetes.NewForConfig(config))
	maps := client.CoreV1().ConfigMaps("default")
	yes := true
	made := must[*corev1.ConfigMap]("create")(maps.Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "go", Labels: map[string]string{"by": "go"}, Finalizers: []string{"example.com/hold"}},
		Data:       map[string]string{"a": "ä", "empty": ""}, BinaryData: map[string][]byte{"raw": {0, 255}},
	}, metav1.CreateOptions{}))
	step("created", []any{made.Data, made.BinaryData, made.CreationTimestamp.Year() > 2000, made.UID != "", made.ManagedFields[0].FieldsV1.String()})
	made.Data["b"] = "c"
	made = must[*corev1.ConfigMap]("update")(maps.Update(ctx, made, metav1.UpdateOptions{}))
	step("updated", made.Data)
	found := must[*corev1.ConfigMapList]("list")(maps.List(ctx, metav1.ListOptions{LabelSelector: "by=go", Limit: 1}))
	step("listed", []any{len(found.Items), found.ResourceVersion != "", found.Items[0].Data})
	_, err := maps.Get(ctx, "none", metav1.GetOptions{})
	step("missing", []any{apierrors.IsNotFound(err), err.Error()})
	_, err = maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "Bad_"}}, metav1.CreateOptions{})
	step("invalid", []any{apierrors.IsInvalid(err), err.(apierrors.APIStatus).Status().Details.Causes[0].Field})
	zero := int64(0)
	background := metav1.DeletePropagationBackground
	uid := made.UID
	done("delete", maps.Delete(ctx, "go", metav1.DeleteOptions{GracePeriodSeconds: &zero, PropagationPolicy: &background,
		Preconditions: &metav1.Preconditions{UID: &uid}}))
	made = must[*corev1.ConfigMap]("get")(maps.Get(ctx, "go", metav1.GetOptions{}))
	step("deleting", made.DeletionTimestamp != nil)
	made.Finalizers = nil
	_, err = maps.Update(ctx, made, metav1.UpdateOptions{})
	done("let go", err)
	role := must[*rbacv1.Role]("create a role")(client.RbacV1().Roles("default").Create(ctx, &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "go"},
		Rules:      []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"configmaps"}}},
	}, metav1.CreateOptions{}))
	step("role", role.Rules)
	secret := must[*corev1.Secret]("create a secret")(client.CoreV1().Secrets("default").Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "go"}, Immutable: &yes, StringData: map[string]string{"k": "v"},
	}, metav1.CreateOptions{}))
	step("secret", []any{secret.Type, secret.Data, *secret.Immutable})
	review := must[*authorizationv1.SelfSubjectAccessReview]("review")(client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx,
		&authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "get", Resource: "configmaps"}}}, metav1.CreateOptions{}))
	step("review", review.Status.Allowed)
	groups, resources, err := client.Discovery().ServerGroupsAndResources()
	done("discovery", err)
	step("discovery", []any{len(groups) > 3, len(resources) > 3})
	document, err := client.Discovery().OpenAPISchema()
	done("the document of OpenAPI", err)
	kinds := 0
	for _, definition := range document.GetDefinitions().GetAdditionalProperties() {
		for _, extension := range definition.GetValue().GetVendorExtension() {
			if extension.GetName() == "x-kubernetes-group-version-kind" {
				kinds++
			}
		}
	}
	step("openapi", []any{document.GetSwagger(), len(document.GetPaths().GetPath()) > 50, kinds > 20})
	step("built-in media types", seen.take())
}

// following runs informers of both kinds: one that lists, and one whose watch begins with what is there.
func following(config *rest.Config, seen *answers) {
	client := must[*kubernetes.Clientset]("clientset")(kubernetes.NewForConfig(config))
	maps := client.CoreV1().ConfigMaps("default")
	for _, value := range []string{"first", "second"} {
		_, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: value}, Data: map[string]string{"v": "0"}}, metav1.CreateOptions{})
		done("create", err)
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace("default"))
	informer := factory.Core().V1().ConfigMaps()
	cached := informer.Informer()
	stop := make(chan struct{})
	factory.Start(stop)
	until("the informer", cached.HasSynced)
	value := func(name string) string {
		got, err := informer.Lister().ConfigMaps("default").Get(name)
		if err != nil {
			return ""
		}
		return got.Data["v"]
	}
	step("informer begins", []string{value("first"), value("second")})
	for number := 1; number <= 3; number++ {
		_, err := maps.Patch(ctx, "first", types.StrategicMergePatchType, fmt.Appendf(nil, `{"data":{"v":"%d"}}`, number), metav1.PatchOptions{})
		done("patch", err)
	}
	done("delete", maps.Delete(ctx, "second", metav1.DeleteOptions{}))
	until("the events", func() bool { return value("first") == "3" && value("second") == "" })
	step("informer follows", []string{value("first"), value("second")})
	close(stop)
	step("informer media types", seen.take())
}

func metadataOf(config *rest.Config) (metadata.Interface, error) {
	return metadata.NewForConfig(config)
}

func dynamicOf(config *rest.Config) (dynamic.Interface, error) {
	return dynamic.NewForConfig(config)
}

// partial reads metadata alone, of a built-in type and of a custom one.
func partial(config *rest.Config, seen *answers) {
	client := must[metadata.Interface]("metadata client")(metadataOf(config))
	maps := schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	got := must[*metav1.PartialObjectMetadata]("metadata")(client.Resource(maps).Namespace("default").Get(ctx, "first", metav1.GetOptions{}))
	step("metadata", []any{got.Name, got.Namespace, got.UID != ""})
	found := must[*metav1.PartialObjectMetadataList]("metadata of definitions")(client.Resource(schema.GroupVersionResource{
		Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}).List(ctx, metav1.ListOptions{LabelSelector: "a=b"}))
	step("metadata of definitions", []any{len(found.Items), found.Items[0].Name})
	things := schema.GroupVersionResource{Group: "go.example.com", Version: "v1", Resource: "things"}
	thing := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "go.example.com/v1", "kind": "Thing",
		"metadata": map[string]any{"name": "one"}, "spec": map[string]any{"size": 4.5}}}
	objects := must[dynamic.Interface]("dynamic client")(dynamicOf(config))
	made := must[*unstructured.Unstructured]("create a thing")(objects.Resource(things).Namespace("default").Create(ctx, thing, metav1.CreateOptions{}))
	step("thing", made.Object["spec"])
	factory := metadatainformer.NewSharedInformerFactory(client, 0)
	cached := []cache.SharedIndexInformer{
		factory.ForResource(maps).Informer(),
		factory.ForResource(things).Informer(),
	}
	stop := make(chan struct{})
	factory.Start(stop)
	for _, informer := range cached {
		until("the informers of metadata", informer.HasSynced)
	}
	_, err := client.Resource(maps).Namespace("default").Patch(ctx, "first", types.MergePatchType, []byte(`{"metadata":{"labels":{"seen":"yes"}}}`), metav1.PatchOptions{})
	done("patch metadata", err)
	until("the event", func() bool {
		object, exists, err := cached[0].GetStore().GetByKey("default/first")
		return err == nil && exists && object.(*metav1.PartialObjectMetadata).Labels["seen"] == "yes"
	})
	step("metadata followed", len(cached[1].GetStore().List()))
	done("delete by metadata", client.Resource(maps).Namespace("default").Delete(ctx, "first", metav1.DeleteOptions{}))
	close(stop)
	step("metadata media types", seen.take())
}

// workloads binds the export of Kubernetes' workload types, and does with the typed clientset what controllers do with them.
func workloads(config, typed *rest.Config, seen *answers) {
	objects := must[dynamic.Interface]("dynamic client")(dynamicOf(config))
	bindings := schema.GroupVersionResource{Group: "apis.kcp.io", Version: "v1alpha2", Resource: "apibindings"}
	binding := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIBinding",
		"metadata": map[string]any{"name": "workloads"},
		"spec":     map[string]any{"reference": map[string]any{"export": map[string]any{"path": "root", "name": "kubernetes-workloads"}}}}}
	_, err := objects.Resource(bindings).Create(ctx, binding, metav1.CreateOptions{})
	done("bind the workload types", err)
	client := must[*kubernetes.Clientset]("clientset")(kubernetes.NewForConfig(typed))
	until("the workload types", func() bool {
		_, err := client.AppsV1().Deployments("default").List(ctx, metav1.ListOptions{})
		return err == nil
	})
	seen.take()
	labels := map[string]string{"app": "web"}
	port := intstr.FromString("http")
	made := must[*appsv1.Deployment]("create a deployment")(client.AppsV1().Deployments("default").Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					Volumes: []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{
						ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "config"}}}}},
					Containers: []corev1.Container{{
						Name: "web", Image: "example.com/web:1",
						Ports:         []corev1.ContainerPort{{Name: "http", ContainerPort: 80}},
						LivenessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: port}}},
					}},
				},
			},
		},
	}, metav1.CreateOptions{}))
	container := made.Spec.Template.Spec.Containers[0]
	step("deployment", []any{*made.Spec.Replicas, made.Spec.Strategy.RollingUpdate.MaxSurge.String(), container.LivenessProbe.HTTPGet.Port.String(),
		container.LivenessProbe.PeriodSeconds, *made.Spec.Template.Spec.Volumes[0].ConfigMap.DefaultMode})
	applied := must[*appsv1.Deployment]("apply a deployment")(client.AppsV1().Deployments("default").Apply(ctx,
		applyappsv1.Deployment("web", "default").WithSpec(applyappsv1.DeploymentSpec().
			WithSelector(applymetav1.LabelSelector().WithMatchLabels(labels)).
			WithTemplate(applycorev1.PodTemplateSpec().WithSpec(applycorev1.PodSpec().WithContainers(
				applycorev1.Container().WithName("logs").WithImage("example.com/logs:1"))))),
		metav1.ApplyOptions{FieldManager: "logs"}))
	names := []string{}
	for _, each := range applied.Spec.Template.Spec.Containers {
		names = append(names, each.Name)
	}
	step("deployment applied", names)
	scale, err := client.AppsV1().Deployments("default").GetScale(ctx, "web", metav1.GetOptions{})
	done("get a scale", err)
	scale.Spec.Replicas = 3
	scale, err = client.AppsV1().Deployments("default").UpdateScale(ctx, "web", scale, metav1.UpdateOptions{})
	done("update a scale", err)
	step("scale", []any{scale.Spec.Replicas, scale.Status.Selector})
	applied = must[*appsv1.Deployment]("get a deployment")(client.AppsV1().Deployments("default").Get(ctx, "web", metav1.GetOptions{}))
	applied.Status.Replicas, applied.Status.ReadyReplicas = 3, 2
	updated := must[*appsv1.Deployment]("update a status")(client.AppsV1().Deployments("default").UpdateStatus(ctx, applied, metav1.UpdateOptions{}))
	step("deployment status", []any{updated.Status.ReadyReplicas, *updated.Spec.Replicas})
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace("default"))
	pods := factory.Core().V1().Pods()
	cached := pods.Informer()
	stop := make(chan struct{})
	factory.Start(stop)
	until("the informer of pods", cached.HasSynced)
	_, err = client.CoreV1().Pods("default").Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "one"},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "x"}}}}, metav1.CreateOptions{})
	done("create a pod", err)
	until("the pod", func() bool { _, err := pods.Lister().Pods("default").Get("one"); return err == nil })
	got := must[*corev1.Pod]("the cache of pods")(pods.Lister().Pods("default").Get("one"))
	step("pod followed", []any{got.Status.Phase, got.Status.QOSClass, got.Spec.RestartPolicy})
	close(stop)
	step("workload media types", seen.take())
}
