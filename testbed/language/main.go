// Renders templates, searches with regular expressions and quotes strings with Go's standard library, for comparison
// with the server's own.
//
// Reads lines with one JSON object each, and answers each with one line of JSON.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"text/template"
	"unicode/utf8"
)

// question is one of: a template with the fields of a query, one with the fields of a label, an expression, a string.
type question struct {
	Template *string            `json:"template"`
	Query    *queryTemplateArgs `json:"query"`
	Label    *GroupResource     `json:"label"`
	Regex    *string            `json:"regex"`
	Inputs   []string           `json:"inputs"`
	Expand   []string           `json:"expand"`
	Quote    []byte             `json:"quote"`
}

// queryTemplateArgs has the fields that prometheus-adapter gives the template of a query.
type queryTemplateArgs struct {
	Series            string
	LabelMatchers     string
	LabelValuesByName map[string]string
	GroupBy           string
	GroupBySlice      []string
}

// GroupResource has the fields that prometheus-adapter gives the template of a label.
type GroupResource struct {
	Group    string
	Resource string
}

// String makes it print as apimachinery's GroupResource does.
func (r GroupResource) String() string {
	if r.Group == "" {
		return r.Resource
	}
	return r.Resource + "." + r.Group
}

type answer struct {
	// Error is "parse" or "render".
	Error  string     `json:"error,omitempty"`
	Text   string     `json:"text"`
	Groups int        `json:"groups"`
	Names  []string   `json:"names"`
	Found  []bool     `json:"found"`
	Expand [][]string `json:"expand"`
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	answers := json.NewEncoder(os.Stdout)
	answers.SetEscapeHTML(false)
	for lines.Scan() {
		var q question
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if err := answers.Encode(reply(q)); err != nil {
			os.Exit(1)
		}
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func reply(q question) answer {
	switch {
	case q.Template != nil && q.Label != nil:
		return render(*q.Template, *q.Label)
	case q.Template != nil:
		return render(*q.Template, *q.Query)
	case q.Regex != nil:
		return search(*q.Regex, q.Inputs, q.Expand)
	default:
		return answer{Text: strconv.Quote(string(q.Quote))}
	}
}

func render(text string, data any) answer {
	parsed, err := template.New("").Delims("<<", ">>").Parse(text)
	if err != nil {
		return answer{Error: "parse", Text: err.Error()}
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, data); err != nil {
		return answer{Error: "render", Text: err.Error()}
	}
	if !utf8.Valid(out.Bytes()) {
		return answer{Error: "render", Text: "not UTF-8"}
	}
	types := strings.NewReplacer("main.queryTemplateArgs", "naming.queryTemplateArgs", "main.GroupResource", "schema.GroupResource")
	return answer{Text: types.Replace(out.String())}
}

func search(text string, inputs, templates []string) answer {
	expression, err := regexp.Compile(text)
	if err != nil {
		return answer{Error: "parse", Text: err.Error()}
	}
	result := answer{Groups: expression.NumSubexp(), Names: expression.SubexpNames()}
	for _, input := range inputs {
		match := expression.FindStringSubmatchIndex(input)
		result.Found = append(result.Found, match != nil)
		var expanded []string
		for _, template := range templates {
			if match != nil {
				expanded = append(expanded, string(expression.ExpandString(nil, template, input, match)))
			}
		}
		result.Expand = append(result.Expand, expanded)
	}
	return result
}
