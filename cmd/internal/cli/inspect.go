package cli

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The most that inspect reads: octets, and blocks in a PEM file.
const (
	maxInspect = 16 << 20
	maxBlocks  = 1000
)

// inspectOptions is payca inspect.
type inspectOptions struct {
	*app
	file string
}

func (a *app) inspectCommand() *cobra.Command {
	return a.newCommand(&cobra.Command{
		Use:   "inspect FILE",
		Short: "Show a certificate, request, CRL, OCSP message, token, key or payment object, readable",
		Long: `Shows what a file holds, without judging it: payca verify does that.

FILE is PEM, DER or base64: a certificate or a chain, a certificate request, a CRL, an OCSP
request or response, an enrollment token, a key, or an object of a payment; "-" is standard input. Of a private key only
its kind and public key are shown, of a token no signature.`,
		Example: "  payca inspect cert.pem",
	}, &inspectOptions{app: a})
}

func (o *inspectOptions) addFlags(*pflag.FlagSet) {}

func (o *inspectOptions) validate(args []string) error {
	if len(args) != 1 {
		return usageErrorf("%d arguments, want one FILE, or - for standard input", len(args))
	}
	o.file = args[0]
	return nil
}

func (o *inspectOptions) run(context.Context) error {
	data, err := o.read()
	if err != nil {
		return err
	}
	found, err := inspect(data)
	if err != nil {
		return fmt.Errorf("%s: %w", o.file, err)
	}
	var text strings.Builder
	for i, one := range found {
		if i > 0 {
			text.WriteByte('\n')
		}
		one.text(&text, "")
	}
	return o.result(struct {
		File    string    `json:"file"`
		Objects []*object `json:"objects"`
	}{o.file, found}, text.String())
}

func (o *inspectOptions) read() ([]byte, error) {
	in := o.in
	if o.file != "-" {
		f, err := os.Open(o.file)
		if err != nil {
			return nil, err // names the file
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxInspect+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxInspect {
		return nil, fmt.Errorf("%s: more than %d MiB", o.file, maxInspect>>20)
	}
	return data, nil
}

// looksLikeToken tells a JSON Web Token: a JSON object in base64 begins with "eyJ".
var looksLikeToken = regexp.MustCompile(`^eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_.-]*$`)

// errNothingKnown says that the bytes are none of what inspect reads.
var errNothingKnown = errors.New("want a certificate, request, CRL, OCSP message, token, key or payment object, in PEM, DER, base64 or compact form")

// inspect finds out what data is. It returns one object or more, or an error.
func inspect(data []byte) ([]*object, error) {
	if bytes.Contains(data, []byte("-----BEGIN ")) {
		return inspectPEM(data)
	}
	text := bytes.TrimSpace(data)
	if looksLikeToken.Match(text) {
		if o, err := inspectPayment(string(text)); o != nil || err != nil {
			return []*object{o}, err
		}
		token, err := inspectToken(string(text))
		if err != nil {
			return nil, err
		}
		return []*object{token}, nil
	}
	if der, err := base64.StdEncoding.DecodeString(string(text)); err == nil && len(der) > 0 {
		data = der
	}
	for _, parse := range []func([]byte) (*object, error){
		inspectCertificate, inspectRequest, inspectCRL, inspectOCSPResponse, inspectOCSPRequest, inspectPrivateKey, inspectPublicKey,
	} {
		if found, err := parse(data); err == nil {
			return []*object{found}, nil
		}
	}
	return nil, errNothingKnown
}

// inspectPEM reads the blocks of a PEM file by their labels.
func inspectPEM(data []byte) ([]*object, error) {
	var found []*object
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if len(found) == maxBlocks {
			return nil, fmt.Errorf("more than %d PEM blocks", maxBlocks)
		}
		one, err := inspectBlock(block)
		if err != nil {
			return nil, fmt.Errorf("PEM block %d, %q: %w", len(found)+1, block.Type, err)
		}
		found = append(found, one)
	}
	if len(found) == 0 {
		return nil, errNothingKnown
	}
	return found, nil
}

func inspectBlock(block *pem.Block) (*object, error) {
	switch block.Type {
	case "CERTIFICATE", "X509 CERTIFICATE":
		return inspectCertificate(block.Bytes)
	case "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST":
		return inspectRequest(block.Bytes)
	case "X509 CRL":
		return inspectCRL(block.Bytes)
	case "OCSP REQUEST":
		return inspectOCSPRequest(block.Bytes)
	case "OCSP RESPONSE":
		return inspectOCSPResponse(block.Bytes)
	case "PUBLIC KEY":
		return inspectPublicKey(block.Bytes)
	case "PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY":
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			o := newObject("private key")
			o.add("encrypted", true)
			return o, nil
		}
		return inspectPrivateKey(block.Bytes)
	}
	return nil, errNothingKnown
}
