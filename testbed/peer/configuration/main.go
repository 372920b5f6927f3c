// Decodes configuration files with prometheus-adapter's own loader, for comparison with the server's.
//
// The arguments are files. Prints one line for each: the decoded configuration as JSON, or "error".
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"sigs.k8s.io/prometheus-adapter/pkg/config"
)

func main() {
	for _, file := range os.Args[1:] {
		decoded, err := config.FromFile(file)
		if err != nil {
			fmt.Println("error")
			continue
		}
		text, err := json.Marshal(decoded)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(string(text))
	}
}
