// Parses queries with Prometheus' own parser, for comparison with what the server makes of them.
//
// Reads lines with one JSON string each, and answers each with one line of JSON: the matchers of every vector selector,
// or the error.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/prometheus/prometheus/promql/parser"
)

type answer struct {
	Error string `json:"error,omitempty"`
	// Selectors has name, operator and value of each matcher, with the name of the series as a matcher.
	Selectors [][][3]string `json:"selectors"`
}

func answerTo(promql parser.Parser, query string) answer {
	expr, err := promql.ParseExpr(query)
	if err != nil {
		return answer{Error: err.Error()}
	}
	selectors := [][][3]string{}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok {
			matchers := [][3]string{}
			for _, m := range selector.LabelMatchers {
				matchers = append(matchers, [3]string{m.Name, m.Type.String(), m.Value})
			}
			selectors = append(selectors, matchers)
		}
		return nil
	})
	return answer{Selectors: selectors}
}

func main() {
	promql := parser.NewParser(parser.Options{
		EnableExperimentalFunctions: true,
		EnableBinopFillModifiers:    true,
	})
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<24)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for in.Scan() {
		var query string
		if err := json.Unmarshal(in.Bytes(), &query); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		line, err := json.Marshal(answerTo(promql, query))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Fprintln(out, string(line))
	}
}
