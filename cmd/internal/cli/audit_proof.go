package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/cmd/internal/network"
)

func newAuditProveCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "prove SERIAL",
		Short: "Prove that the issuance of a certificate is in the audit log",
		Long: `Write a proof that the issuance of a certificate is in the audit log, as JSON: the
entry, the hashes from it to the root, and the signed head with that root. Whoever has the
CA's ca/log.pub verifies it with payca audit verify-proof, and needs nothing else. Works on
a running server and on a store that is not being served.

  SERIAL  of the certificate, hexadecimal, with or without colons`,
		Example: "  payca audit prove $SERIAL", Args: exactly("SERIAL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			serial, err := ca.ParseSerial(args[0])
			if err != nil {
				return usageErrorf("%w", err)
			}
			return a.withLog(cmd.Context(), func(log *openLog) error {
				record, err := log.issued(cmd.Context(), serial)
				if err != nil {
					return explain(err)
				}
				proof, err := audit.Prove(cmd.Context(), log.Reader, record.Index)
				if err != nil {
					return explainLog(err)
				}
				event, _, err := proof.Verify(log.key)
				if err == nil && (event.Kind != audit.CertificateIssued || event.Serial != serial.String()) {
					err = &audit.Corruption{Index: record.Index, What: fmt.Sprintf("is %s of serial %q, want the issuance of %s", event.Kind, event.Serial, serial)}
				}
				if err != nil {
					return explainLog(err)
				}
				return a.writeIndented(proof)
			})
		},
	}
}

// writeIndented writes the result as JSON for people and programs alike.
func (a *app) writeIndented(v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = a.out.Write(append(raw, '\n'))
	return err
}

// A proofView is what a proof was found to prove.
type proofView struct {
	OK          bool        `json:"ok"`
	Index       uint64      `json:"index"`
	Entries     uint64      `json:"entries"`
	Root        string      `json:"root"`
	Key         string      `json:"key"`
	Certificate bool        `json:"certificate_checked"`
	Event       audit.Event `json:"event"`
}

func newAuditVerifyProofCommand(a *app) *cobra.Command {
	var keyFile, certificate string
	cmd := &cobra.Command{
		Use:   "verify-proof FILE",
		Short: "Verify a proof that the audit log holds an entry",
		Long: `Verify what payca audit prove wrote, with the verifier key of the log and nothing
else: the entry, with the hashes, has to lead to the root that the head signs. With --cert
the entry has to be the issuance of that very certificate.

  FILE  the proof, or - for standard input`,
		Example: "  payca audit verify-proof proof.json --key log.pub --cert cert.pem", Args: exactly("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			key, err := a.logKey(keyFile)
			if err != nil {
				return err
			}
			raw, err := a.readSmall(args[0])
			if err != nil {
				return err
			}
			proof, err := audit.ParseProof(raw)
			if err != nil {
				return fail(ExitInvalid, err, "want what payca audit prove wrote")
			}
			event, head, err := proof.Verify(key)
			if err == nil && certificate != "" {
				err = wantIssuance(event, certificate)
			}
			if err != nil {
				return explainLog(err)
			}
			view := proofView{OK: true, Index: proof.Index, Entries: head.Size, Root: head.Root.String(), Key: key, Certificate: certificate != "", Event: event}
			return a.show(view, func(w io.Writer) {
				fmt.Fprintf(w, "ok   entry %d of %d, root %s, signed by %s\n", proof.Index, head.Size, head.Root, key)
				printEvent(w, eventView{Index: proof.Index, Event: event})
			})
		},
	}
	cmd.Flags().StringVar(&keyFile, "key", "", "`file` with the log's verifier key; the ca/log.pub of --dir if it is not given")
	cmd.Flags().StringVar(&certificate, "cert", "", "certificate `file` that the entry has to be the issuance of")
	return cmd
}

// wantIssuance refuses an event that is not the issuance of the certificate in the file.
func wantIssuance(event audit.Event, path string) error {
	certificates, err := readCertificates(path)
	if err != nil {
		return usageErrorf("--cert: %w", err)
	}
	sum := sha256.Sum256(certificates[0].Raw)
	thumbprint := hex.EncodeToString(sum[:])
	if event.Kind != audit.CertificateIssued || event.Thumbprint != thumbprint {
		what := fmt.Sprintf("the entry is %s of certificate %q, want %s of %s", event.Kind, event.Thumbprint, audit.CertificateIssued, thumbprint)
		return fail(ExitInvalid, &audit.ProofError{What: what}, "ask for the proof of this certificate: payca audit prove "+certificates[0].SerialNumber.Text(16))
	}
	return nil
}

// logKey reads the verifier key in the file, or that of the network in --dir.
func (a *app) logKey(path string) (string, error) {
	if path != "" {
		return readLogKey(path)
	}
	key, err := network.LogKey(a.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", usageErrorf("--key is missing, and no network is in %s: want the CA's ca/log.pub", a.dir)
	}
	return key, err
}

// readSmall reads a small file, or standard input for -.
func (a *app) readSmall(path string) ([]byte, error) {
	in, err := a.openInput(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	return io.ReadAll(io.LimitReader(in, maxFile))
}
