package ocsp

import "time"

// maxSignature is of the signatures that are kept: ECDSA on P-256 or Ed25519. Others are made anew.
const maxSignature = 72

// signatures keeps bare signatures of good statuses: the rest of such an answer is built again in less than a
// microsecond, so that a signature takes a twentieth of the memory of an answer. The caller's lock guards it.
type signatures struct {
	limit int
	kept  map[answerKey]signature
}

// A signature is what an answer that says good needs beside what every answer has. It has no pointers, which spares the
// collector millions of them.
type signature struct {
	produced, this, next uint32 // seconds since 1970
	signer               uint32 // which of the issuer's signers made it
	size                 uint8
	octets               [maxSignature]byte
}

// seconds writes a time after 1970 and before 2106.
func seconds(t time.Time) (uint32, bool) {
	n := t.Unix()
	return uint32(n), n >= 0 && n < 1<<32
}

// put keeps the signature of an answer, if it is of the kind that is kept. A full table loses an arbitrary one.
func (s *signatures) put(k answerKey, signer uint32, produced time.Time, single *SingleResponse, octets []byte) {
	if s.limit == 0 || single.State != Good || len(octets) > maxSignature {
		return
	}
	var fits [3]bool
	sig := signature{signer: signer, size: uint8(len(octets))}
	sig.produced, fits[0] = seconds(produced)
	sig.this, fits[1] = seconds(single.ThisUpdate)
	sig.next, fits[2] = seconds(single.NextUpdate)
	if fits != [3]bool{true, true, true} {
		return
	}
	copy(sig.octets[:], octets)
	if _, replace := s.kept[k]; !replace && len(s.kept) >= s.limit {
		for victim := range s.kept {
			delete(s.kept, victim)
			break
		}
	}
	s.kept[k] = sig
}

// get returns the signature under a key if that signer made it and half of its time is still to come.
func (s *signatures) get(k answerKey, signer uint32, now time.Time) (signature, bool) {
	sig, ok := s.kept[k]
	if !ok || sig.signer != signer {
		return sig, false
	}
	this, produced, next := time.Unix(int64(sig.this), 0), time.Unix(int64(sig.produced), 0), time.Unix(int64(sig.next), 0)
	return sig, !now.Before(this) && now.Before(produced.Add(next.Sub(produced)/2))
}
