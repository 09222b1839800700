package network

import (
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

// Operator is the id of the first operator of every network.
const Operator = "operator"

// A layout names the files below DIR/ca.
type layout string

func caDir(dir string) layout { return layout(filepath.Join(dir, "ca")) }

func (l layout) path(name ...string) string {
	return filepath.Join(append([]string{string(l)}, name...)...)
}

func (l layout) certificate(name string) string {
	if name == "root" {
		return l.path("root.crt")
	}
	return l.path("issuers", name+".crt")
}

func (l layout) key(name string) string {
	switch name {
	case "root", "log", "token", "status":
		return l.path(name + ".key")
	}
	return l.path("issuers", name+".key")
}

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	return writeNew(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}

// writeNew writes a file that must not exist.
func writeNew(path string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// syncTree waits until everything below dir is on disk.
func syncTree(dir string) error {
	var group errgroup.Group // at once, so that the disk can do them together
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		group.Go(func() error {
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			return errors.Join(f.Sync(), f.Close())
		})
		return nil
	})
	return errors.Join(err, group.Wait())
}
