package catest

import (
	"os"
	"os/exec"
	"testing"
)

// NeedTool returns the path of a program that a test needs beyond Go. Without
// it the test is skipped; where PAYCA_REQUIRE_TOOLS is set, as in CI, it fails.
func NeedTool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("PAYCA_REQUIRE_TOOLS") != "" {
		t.Fatalf("%s is not installed, and PAYCA_REQUIRE_TOOLS is set", name)
	}
	t.Skipf("%s is not installed", name)
	return ""
}
