// Server-side apply by apimachinery's field manager, on lines of JSON: `[live object or null, configuration]` in, the object out.
// With a number as its argument it measures instead: nanoseconds of an apply to a ConfigMap of so many keys, within this process.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/managedfields/managedfieldstest"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

const manager = "tool"

// The part of Kubernetes' OpenAPI document that the field manager needs.
const document = `{
  "v1.ObjectMeta": {"type": "object", "properties": {
    "name": {"type": "string"},
    "managedFields": {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}, "x-kubernetes-list-type": "atomic"}
  }},
  "v1.ConfigMap": {
    "type": "object",
    "properties": {
      "apiVersion": {"type": "string"},
      "kind": {"type": "string"},
      "metadata": {"$ref": "#/definitions/v1.ObjectMeta"},
      "data": {"type": "object", "additionalProperties": {"type": "string"}}
    },
    "x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": "ConfigMap"}]
  }
}`

var fields = newFieldManager()

func newFieldManager() *managedfields.FieldManager {
	var definitions map[string]*spec.Schema
	if err := json.Unmarshal([]byte(document), &definitions); err != nil {
		panic(err)
	}
	converter, err := managedfields.NewTypeConverter(definitions, false)
	if err != nil {
		panic(err)
	}
	return managedfieldstest.NewFakeFieldManager(converter, schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"})
}

func empty() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap"}}
}

func configMap(keys int, value string) *unstructured.Unstructured {
	data := map[string]any{}
	for number := range keys {
		data[fmt.Sprintf("k%d", number)] = value
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "x"}, "data": data,
	}}
}

func apply(live, config *unstructured.Unstructured) *unstructured.Unstructured {
	result, err := fields.Apply(live, config, manager, false)
	if err != nil {
		panic(err)
	}
	return result.(*unstructured.Unstructured)
}

func measure(keys int) {
	live := apply(empty(), configMap(keys, "old"))
	best := time.Hour
	for range 40 {
		begin := time.Now()
		for range 20 {
			apply(live, configMap(keys, "new"))
		}
		best = min(best, time.Since(begin)/20)
	}
	fmt.Println(best.Nanoseconds())
}

func serve() {
	lines := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var pair [2]map[string]any
		if err := json.Unmarshal(line, &pair); err != nil {
			panic(err)
		}
		if pair[0] == nil {
			pair[0] = empty().Object
		}
		answer, err := json.Marshal(apply(&unstructured.Unstructured{Object: pair[0]}, &unstructured.Unstructured{Object: pair[1]}).Object)
		if err != nil {
			panic(err)
		}
		if _, err := os.Stdout.Write(append(answer, '\n')); err != nil {
			return
		}
	}
}

func main() {
	if len(os.Args) > 1 {
		keys, err := strconv.Atoi(os.Args[1])
		if err != nil {
			panic(err)
		}
		measure(keys)
		return
	}
	serve()
}
