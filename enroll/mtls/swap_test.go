package mtls_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/payca/payca/enroll/internal/testca"
	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/policy"
)

// echo answers each line with itself, on every connection.
func echo(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				fmt.Fprintln(conn, lines.Text())
			}
		}()
	}
}

// says sends a line and wants it back.
func says(t *testing.T, conn net.Conn, line string) {
	t.Helper()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := fmt.Fprintln(conn, line); err != nil {
		t.Fatal(err)
	}
	got, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || got != line+"\n" {
		t.Fatalf("got %q, %v, want %q", got, err, line)
	}
}

func TestANewCertificateLeavesOpenConnectionsAlone(t *testing.T) {
	t.Parallel()
	ca := testca.New(t)
	clientSrc, serverSrc := ca.Source(t, shop1), ca.Source(t, gw1)
	server := must(mtls.Server(serverSrc, mtls.AuthorizeRole(policy.Merchant), &testca.Status{}))
	client := must(mtls.Client(clientSrc, mtls.AuthorizeRole(policy.Gateway), &testca.Status{}))
	ln := must(tls.Listen("tcp", "127.0.0.1:0", server))
	defer ln.Close()
	go echo(ln)
	dial := func() *tls.Conn {
		conn := must(tls.Dial("tcp", ln.Addr().String(), client))
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	shows := func(conn *tls.Conn) string { return conn.ConnectionState().PeerCertificates[0].SerialNumber.Text(16) }
	var open []*tls.Conn
	for i := range 5 {
		conn := dial()
		says(t, conn, fmt.Sprint("hello from ", i))
		open = append(open, conn)
		// Each side gets a new certificate, with another key, while the connections before are open.
		if err := serverSrc.Replace(ca.Issue(t, gw1)); err != nil {
			t.Fatal(err)
		}
		if err := clientSrc.Replace(ca.Issue(t, shop1)); err != nil {
			t.Fatal(err)
		}
	}
	serials := map[string]bool{}
	for i, conn := range open {
		says(t, conn, fmt.Sprint("still ", i))
		serials[shows(conn)] = true
	}
	last := dial()
	says(t, last, "new")
	if current := must(serverSrc.Certificate()).Leaf.SerialNumber.Text(16); shows(last) != current {
		t.Errorf("a new connection sees certificate %s, want %s", shows(last), current)
	}
	if serials[shows(last)] = true; len(serials) != 6 {
		t.Errorf("six connections saw %d certificates of the server, want one each", len(serials))
	}
}
