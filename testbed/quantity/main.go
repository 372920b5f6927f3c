// Parses and prints quantities and label selectors with the Kubernetes libraries, for comparison with the server's own.
//
// Reads lines and answers each with one line:
//
//	m <thousandths>  the canonical form of that quantity (DecimalSI) and its thousandths as the HPA reads them
//	n <billionths>   the same (DecimalSI)
//	b <thousandths>  the same (BinarySI)
//	p <text>         its thousandths as the HPA reads them; "error"; or "range" if an int64 cannot hold them
//	s <text>         the canonical form of that label selector in quotes, or "error"
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"

	"gopkg.in/inf.v0"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
)

// The largest number of units whose thousandths an int64 holds.
const maxUnits = 9223372036854775

func main() {
	lines := bufio.NewScanner(os.Stdin)
	answers := bufio.NewWriter(os.Stdout)
	for lines.Scan() {
		kind, text := lines.Text()[:1], lines.Text()[2:]
		fmt.Fprintln(answers, answer(kind, text))
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := answers.Flush(); err != nil {
		os.Exit(1)
	}
}

// thousandths returns MilliValue, which the HPA reads. MilliValue is wrong for negative quantities: it adds one to the
// truncated value, and some large values overflow. For those the exact value is rounded away from zero, too.
func thousandths(quantity resource.Quantity) string {
	if quantity.Sign() >= 0 {
		return strconv.FormatInt(quantity.MilliValue(), 10)
	}
	return new(inf.Dec).Round(quantity.AsDec(), 3, inf.RoundUp).UnscaledBig().String()
}

func canonical(text string, scale resource.Scale, format resource.Format) string {
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return "error"
	}
	quantity := resource.NewScaledQuantity(value, scale)
	quantity.Format = format
	return quantity.String() + " " + thousandths(*quantity)
}

func answer(kind, text string) string {
	switch kind {
	case "m":
		return canonical(text, resource.Milli, resource.DecimalSI)
	case "n":
		return canonical(text, resource.Nano, resource.DecimalSI)
	case "b":
		return canonical(text, resource.Milli, resource.BinarySI)
	case "p":
		quantity, err := resource.ParseQuantity(text)
		if err != nil {
			return "error"
		}
		if quantity.CmpInt64(maxUnits) > 0 || quantity.CmpInt64(-maxUnits) < 0 {
			return "range"
		}
		return thousandths(quantity)
	case "s":
		selector, err := labels.Parse(text)
		if err != nil {
			return "error"
		}
		return strconv.Quote(selector.String())
	}
	return "error"
}
