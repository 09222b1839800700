package keystore_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/ca/catest"
	"github.com/payca/payca/enroll/keystore"
	"github.com/payca/payca/policy"
)

// proxies are the configurations of docs/client.md, with enough around them to run; %[1]s is the address, %[2]s the identity
// directory, which also has the one PEM file.
var proxies = map[string]struct {
	conf string
	args func(conf string) []string
}{
	"haproxy": {`
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend gw
    bind %[1]s ssl crt %[2]s/gw1.pem ca-file %[2]s/ca.pem verify required
    http-request return status 200 content-type text/plain lf-string "good day, %%[ssl_c_s_dn(cn)] of %%[ssl_c_i_dn(cn)]"
`, func(conf string) []string { return []string{"-db", "-f", conf} }},
	"nginx": {`
daemon off;
pid %[2]s/nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path %[2]s/body;
    proxy_temp_path %[2]s/proxy;
    fastcgi_temp_path %[2]s/fastcgi;
    uwsgi_temp_path %[2]s/uwsgi;
    scgi_temp_path %[2]s/scgi;
    map $ssl_client_s_dn $party { ~CN=(?<cn>[^,]+) $cn; }
    map $ssl_client_i_dn $ca { ~CN=(?<cn>[^,]+) $cn; }
    server {
        listen %[1]s ssl;
        ssl_certificate        %[2]s/cert.pem;
        ssl_certificate_key    %[2]s/key.pem;
        ssl_client_certificate %[2]s/ca.pem;
        ssl_verify_client      on;
        ssl_verify_depth       2;
        return 200 "good day, $party of $ca";
    }
}
`, func(conf string) []string { return []string{"-c", conf} }},
}

func TestProxiesServeWithTheFilesOfAnIdentity(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("runs programs of others")
	}
	for name, proxy := range proxies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program := catest.NeedTool(t, name)
			n := catest.New(t)
			dir := t.TempDir()
			gateway := credential(t, n, policy.Identity{Network: n.Name, Role: policy.Gateway, Party: "gw1"}, n.Enroll(t, "gw1", policy.Gateway, "localhost"))
			_, err := gateway.Save(dir)
			must(t, err)
			shop := credential(t, n, policy.Identity{Network: n.Name, Role: policy.Merchant, Party: "shop1"}, n.Enroll(t, "shop1", policy.Merchant))
			client := keystore.File{Form: keystore.PEM, Path: filepath.Join(t.TempDir(), "shop1.pem")}
			_, err = client.Write(shop)
			must(t, err)
			_, err = keystore.File{Form: keystore.PEM, Path: filepath.Join(dir, "gw1.pem")}.Write(gateway)
			must(t, err)
			must(t, os.Chmod(dir, 0o755)) // workers of nginx are another user
			address := start(t, program, dir, proxy.conf, proxy.args)

			url := "https://" + strings.Replace(address, "127.0.0.1", "localhost", 1)
			roots := filepath.Join(dir, "ca.pem")
			if out := tool(t, "curl", "-sS", "--cacert", roots, "--cert", client.Path, url); out != "good day, shop1 of merchant CA" {
				t.Errorf("got %q", out)
			}
			out, _ := exec.CommandContext(t.Context(), "curl", "-sS", "--cacert", roots, url).CombinedOutput()
			if strings.Contains(string(out), "good day") {
				t.Errorf("without a certificate: got %s", out)
			}
		})
	}
}

// start runs a proxy until the test ends, and returns its address once it answers.
func start(t *testing.T, program, dir, conf string, args func(string) []string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := l.Addr().String()
	must(t, l.Close())
	path := filepath.Join(dir, "proxy.conf")
	must(t, os.WriteFile(path, fmt.Appendf(nil, conf, address, dir), 0o600))
	var said strings.Builder
	cmd := exec.Command(program, args(path)...)
	cmd.Stdout, cmd.Stderr = &said, &said
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	for range 200 {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			return address
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("nothing answers after 10 s")
	return ""
}
