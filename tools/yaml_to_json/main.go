// YAML to JSON as kube-apiserver converts bodies, on lines of JSON: a body in base64 in, `{"json", "refusal", "strict"}` out.
//
// apimachinery's serializer calls YAMLToJSON, and then YAMLToJSONStrict for what repeats. Go goes through maps in random order, and
// some bodies become sometimes one text and sometimes another, so that each is converted many times: all results are lists.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"os"
	"slices"

	"sigs.k8s.io/yaml"
)

const times = 32

type results struct {
	JSON    []string `json:"json"`
	Refusal []string `json:"refusal"`
	Strict  []string `json:"strict"`
}

func add(list *[]string, text string) {
	if !slices.Contains(*list, text) {
		*list = append(*list, text)
		slices.Sort(*list)
	}
}

func main() {
	lines := bufio.NewReader(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		body, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			panic(err)
		}
		var found results
		for range times {
			converted, err := yaml.YAMLToJSON(body)
			if err != nil {
				add(&found.Refusal, err.Error())
				continue
			}
			add(&found.JSON, string(converted))
			if _, err := yaml.YAMLToJSONStrict(body); err != nil {
				add(&found.Strict, err.Error())
			}
		}
		if err := out.Encode(found); err != nil {
			panic(err)
		}
	}
}
