package mtls_test

import (
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// A gateway that serves merchants, and nobody else.
func ExampleServer() {
	src, err := enroll.OpenSource(enroll.SourceConfig{Dir: "testdata/none"})
	if err != nil {
		fmt.Println("no identity yet: payca enroll TOKEN")
		return
	}
	status, _ := ocsp.NewChecker(ocsp.CheckerConfig{})
	cfg, _ := mtls.Server(src, mtls.AuthorizeRole(policy.Merchant), status)
	(&http.Server{Addr: ":9443", TLSConfig: cfg}).ListenAndServeTLS("", "")
	// Output: no identity yet: payca enroll TOKEN
}

// A merchant that speaks to gateways, and to nobody else.
func ExampleTransport() {
	gateway, shop, status := members()
	ln, _ := net.Listen("tcp", "127.0.0.1:0")
	cfg, _ := mtls.Server(gateway, mtls.AuthorizeRole(policy.Merchant), status)
	srv := &http.Server{TLSConfig: cfg, Handler: mtls.Handler(mtls.HandlerConfig{
		Trust: gateway.Trust(), Authorize: mtls.AuthorizeRole(policy.Merchant), Status: status,
	}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, _, _ := mtls.PeerFrom(r.Context())
		fmt.Fprintf(w, "good day, %s", peer.Identity.Party)
	}))}
	go srv.ServeTLS(ln, "", "")
	defer srv.Close()

	transport, _ := mtls.Transport(shop, mtls.AuthorizeRole(policy.Gateway), status)
	resp, err := (&http.Client{Transport: transport}).Get("https://" + ln.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(string(body))
	// Output: good day, shop1
}
