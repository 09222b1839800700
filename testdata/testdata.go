// Package testdata carries the example inputs that payca demo runs on, so that
// it needs no file beside it.
package testdata

import _ "embed" // the example files

// SchoolNetwork is networks/school.yaml.
//
//go:embed networks/school.yaml
var SchoolNetwork []byte

// SchoolOrder is orders/school-computers.json: what the school buys.
//
//go:embed orders/school-computers.json
var SchoolOrder []byte
