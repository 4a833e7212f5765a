#!/usr/bin/env bash
# What Kubernetes' CEL writes for numbers with `format`, seen in k8s.io/apiserver v0.37.2 (cel-go v0.29.2) on 2026-11-30.
#
# Kubernetes uses the strings library at version 2, whose `format` prints for readers of English: thousands have commas, infinity
# is a symbol, minus zero has no sign. %e writes its exponent in superscript and always six digits: the library's documentation
# says that a precision changes that, and shows narrow spaces around the sign of multiplication. What a messageExpression, or a
# key that a rule makes, says of a number depends on it.
# Exits with 1 if one of the lines is another one now.
set -euo pipefail
command -v go >/dev/null || { echo "go is needed" >&2; exit 2; }
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
cat > go.mod <<'EOF'
module example.com/format
go 1.26.0
require k8s.io/apiserver v0.37.2
EOF
cat > main.go <<'EOF'
package main

import (
	"fmt"

	"k8s.io/apiserver/pkg/cel/environment"
)

func main() {
	env := environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()).NewExpressionsEnv()
	for _, text := range []string{
		"'%f'.format([1234567.5])",
		"'%.2e'.format([1052.033])",
		"'%f'.format([double('Infinity')])",
		"'%f'.format([-0.0])",
		"'%s'.format([[1.5, 'a']])",
	} {
		checked, issues := env.Compile(text)
		if issues.Err() != nil {
			panic(issues.Err())
		}
		program, err := env.Program(checked)
		if err != nil {
			panic(err)
		}
		value, _, err := program.Eval(map[string]any{})
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s = %v\n", text, value.Value())
	}
}
EOF
GOFLAGS=-mod=mod go run . > seen
cat seen
diff - seen <<'EOF' || { echo "it behaves in another way now" >&2; exit 1; }
'%f'.format([1234567.5]) = 1,234,567.500000
'%.2e'.format([1052.033]) = 1.052033×10⁰³
'%f'.format([double('Infinity')]) = ∞
'%f'.format([-0.0]) = 0.000000
'%s'.format([[1.5, 'a']]) = [1.500000, "a"]
EOF
