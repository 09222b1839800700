package backup

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"regexp"
	"slices"
	"time"
)

// The names of members that are treated apart.
const (
	StoreName    = "ca/store.db"
	RootKeyName  = "ca/root.key"
	ManifestName = "manifest.json"
)

// Format is the version of the archive.
const Format = 1

const (
	maxSmall   = 4 << 20 // size of a member that is not the store
	maxMembers = 64
)

// memberName is what a member can be called: nothing that leads out of a directory.
var memberName = regexp.MustCompile(`^(payca\.yaml|ca/(root\.(crt|crl|key)|log\.(key|pub)|token\.key|store\.db|issuers/[a-z]{1,32}\.(crt|key)))$`)

// A Manifest says what a backup holds.
type Manifest struct {
	Format       int               `json:"format"`       // [Format]
	Time         time.Time         `json:"time"`         // when it was made
	Network      string            `json:"network"`      //
	LogSize      uint64            `json:"log_size"`     // entries of the audit log
	LogRoot      string            `json:"log_root"`     // root over them, base64
	CRLNumbers   map[string]uint64 `json:"crl_numbers"`  // by issuer: the number used last
	Certificates uint64            `json:"certificates"` // in the inventory
	Serials      uint64            `json:"serials"`      // used up
	Members      []Member          `json:"members"`      // every other member, in order
}

// A Member is one file of a backup.
type Member struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // hexadecimal
}

// HighestCRL returns the highest of the CRL numbers.
func (m *Manifest) HighestCRL() uint64 {
	var highest uint64
	for _, n := range m.CRLNumbers {
		highest = max(highest, n)
	}
	return highest
}

// A Writer writes an archive, member after member, and the manifest at the end.
type Writer struct {
	tar     *tar.Writer
	members []Member
	hash    hash.Hash // of the member being written, nil for none
}

// NewWriter returns a writer of an archive to w.
func NewWriter(w io.Writer) *Writer { return &Writer{tar: tar.NewWriter(w)} }

// Create begins the next member. It ends with the call of the next method of the writer, and is to have
// exactly the size by then.
func (w *Writer) Create(name string, size int64) (io.Writer, error) {
	if !memberName.MatchString(name) {
		return nil, fmt.Errorf("member %q is none of a backup", name)
	}
	w.end()
	if err := w.header(name, size); err != nil {
		return nil, err
	}
	w.members = append(w.members, Member{Name: name, Size: size})
	w.hash = sha256.New()
	return io.MultiWriter(w.tar, w.hash), nil
}

// Add writes a member.
func (w *Writer) Add(name string, size int64, r io.Reader) error {
	member, err := w.Create(name, size)
	if err != nil {
		return err
	}
	_, err = io.Copy(member, r)
	return err
}

func (w *Writer) header(name string, size int64) error {
	return w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600})
}

// end takes the hash of the member that was written.
func (w *Writer) end() {
	if w.hash != nil {
		w.members[len(w.members)-1].SHA256 = hex.EncodeToString(w.hash.Sum(nil))
		w.hash = nil
	}
}

// Close writes the manifest, with the members that were written, and the end of the archive. It returns the manifest.
func (w *Writer) Close(m Manifest) (*Manifest, error) {
	w.end()
	m.Format, m.Members = Format, w.members
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := w.header(ManifestName, int64(len(text))); err != nil {
		return nil, err
	}
	if _, err := w.tar.Write(text); err != nil {
		return nil, err
	}
	return &m, w.tar.Close()
}

// Read reads an archive to its end and gives every member but the manifest to take, which need not
// read all of it. What take got is to be trusted only once Read has returned the manifest: everything is compared with
// it. A *[DamageError] if something does not fit, a *[FormatError] for another version.
func Read(r io.Reader, take func(name string, size int64, r io.Reader) error) (*Manifest, error) {
	archive := tar.NewReader(r)
	var members []Member
	for {
		header, err := next(archive)
		if err != nil {
			return nil, err
		}
		if header.Name == ManifestName {
			return readManifest(archive, r, members)
		}
		member, err := readMember(archive, header, members, take)
		if err != nil {
			return nil, err
		}
		members = append(members, member)
	}
}

// next reads the header of the next member.
func next(archive *tar.Reader) (*tar.Header, error) {
	header, err := archive.Next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, damaged("the archive ends without a manifest")
	case errors.Is(err, tar.ErrHeader), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, tar.ErrFieldTooLong):
		return nil, damaged("the archive cannot be read: %v", err)
	case err != nil:
		return nil, err
	case header.Typeflag != tar.TypeReg:
		return nil, damaged("member %q is no plain file", header.Name)
	case header.Name != StoreName && header.Size > maxSmall:
		return nil, damaged("member %q has %d octets, want at most %d", header.Name, header.Size, maxSmall)
	}
	return header, nil
}

func readMember(archive io.Reader, header *tar.Header, before []Member, take func(string, int64, io.Reader) error) (Member, error) {
	m := Member{Name: header.Name, Size: header.Size}
	switch {
	case !memberName.MatchString(m.Name):
		return m, damaged("member %q is none of a backup", m.Name)
	case slices.ContainsFunc(before, func(other Member) bool { return other.Name == m.Name }):
		return m, damaged("member %q is there twice", m.Name)
	case len(before) == maxMembers:
		return m, damaged("it has more than %d members", maxMembers)
	}
	sum := sha256.New()
	body := io.TeeReader(archive, sum)
	if err := take(m.Name, m.Size, body); err != nil {
		return m, cut(err)
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return m, cut(err)
	}
	m.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return m, nil
}

// cut says that the archive ends too early, if that is what err is.
func cut(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return damaged("the archive is cut off")
	}
	return err
}

// readManifest reads the manifest and the rest of the stream, and compares the manifest with the members.
func readManifest(archive *tar.Reader, r io.Reader, members []Member) (*Manifest, error) {
	text, err := io.ReadAll(archive)
	if err != nil {
		return nil, cut(err)
	}
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return nil, damaged("the manifest is no JSON: %v", err)
	}
	if version.Format != Format {
		return nil, &FormatError{Got: fmt.Sprintf("holds an archive of format version %d", version.Format)}
	}
	var m Manifest
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&m); err != nil {
		return nil, damaged("the manifest cannot be read: %v", err)
	}
	if !slices.Equal(m.Members, members) {
		return nil, damaged("the members are not those of the manifest, with those sizes and SHA-256")
	}
	_, err = archive.Next()
	if !errors.Is(err, io.EOF) {
		return nil, damaged("something follows the manifest")
	}
	rest, err := io.Copy(io.Discard, r) // so that the end of the stream is authenticated too
	if err == nil && rest > 0 {
		err = damaged("something follows the archive")
	}
	return &m, err
}
