// Package network keeps a network on disk and runs it: [Create] makes its
// root, issuing CAs, keys and store in an empty directory, [Open] loads them,
// and [Network.Serve] answers on two listeners.
//
// # The directory
//
//	payca.yaml              configuration
//	ca/root.crt root.key    the root; its key is opened by nothing but the root's own acts
//	ca/root.crl             signed at the ceremony
//	ca/issuers/NAME.crt     one issuing CA per group of roles
//	ca/issuers/NAME.key
//	ca/log.key log.pub      signer and verifier key of the audit log
//	ca/token.key            signs enrollment tokens
//	ca/status.key           signs the checkpoints of the status feed
//	ca/passphrase           opens the keys, where none was given
//	ca/store.db             inventory, parties, tokens, audit log
//	ca/restored.json        there after [Restore], until [Recover]
//	operator/               identity of the first operator
//
// Everything below ca/ appears at once, by a rename: a crash during Create
// leaves no half network.
package network
