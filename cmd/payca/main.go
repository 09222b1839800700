// Command payca is a certificate authority for electronic-payment networks.
package main

import (
	"os"

	"github.com/payca/payca/cmd/internal/cli"
)

func main() { os.Exit(cli.Main()) }
