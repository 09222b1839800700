package boltstore

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/policy"
)

// recordForm starts a record, after two zero octets: then come serial and validity in seconds since 1970, the shard, the words with
// their lengths before them, the hash of the key and the certificate. Records of layout 3 have recordPlain there, and no
// shard; those of layouts 1 and 2 start with the length of a JSON object instead, which is never zero. They are read all the same.
const (
	recordForm  = 2
	recordPlain = 1
)

// maxWord bounds each word of a record.
const maxWord = 1<<16 - 1

// encodeRecord writes a record. Its index is its key, its revocation is kept apart.
func encodeRecord(r ca.Record) ([]byte, error) {
	from, to := r.NotBefore.Unix(), r.NotAfter.Unix()
	if !time.Unix(from, 0).Equal(r.NotBefore) || !time.Unix(to, 0).Equal(r.NotAfter) {
		return nil, fmt.Errorf("certificate %s is valid from %v to %v, want whole seconds", r.Serial, r.NotBefore, r.NotAfter)
	}
	value := append(make([]byte, 0, 160+len(r.DER)), 0, 0, recordForm)
	value = append(value, r.Serial[:]...)
	value = binary.BigEndian.AppendUint64(value, uint64(from))
	value = binary.BigEndian.AppendUint64(value, uint64(to))
	if r.Shard < 0 || r.Shard > ca.MaxShards {
		return nil, fmt.Errorf("certificate %s is in shard %d, want 0 to %d", r.Serial, r.Shard, ca.MaxShards)
	}
	value = binary.AppendUvarint(value, uint64(r.Shard))
	w := words{value: value}
	w.text(r.Issuer, r.Profile, r.Party, string(r.Role), r.Requester, r.Protocol)
	if w.err != nil {
		return nil, fmt.Errorf("certificate record has %w", w.err)
	}
	return append(append(w.value, r.SPKI[:]...), r.DER...), nil
}

var errShortRecord = errors.New("certificate record is too short")

// parseRecord reads what encodeRecord wrote, now or in an older layout.
func parseRecord(value []byte) (record ca.Record, err error) {
	if len(value) < 3 {
		return record, errShortRecord
	}
	if value[0] != 0 || value[1] != 0 {
		return parseJSONRecord(value)
	}
	if value[2] != recordForm && value[2] != recordPlain {
		return record, fmt.Errorf("certificate record of form %d, want %d", value[2], recordForm)
	}
	rest := value[3:]
	if len(rest) < len(record.Serial)+16 {
		return record, errShortRecord
	}
	rest = rest[copy(record.Serial[:], rest):]
	record.NotBefore = time.Unix(int64(binary.BigEndian.Uint64(rest)), 0).UTC()
	record.NotAfter = time.Unix(int64(binary.BigEndian.Uint64(rest[8:])), 0).UTC()
	rest = rest[16:]
	if value[2] == recordForm {
		shard, size := binary.Uvarint(rest)
		if size <= 0 || shard > ca.MaxShards {
			return record, errShortRecord
		}
		record.Shard, rest = int(shard), rest[size:]
	}
	var role string
	r := reader{rest: rest}
	r.text(&record.Issuer, &record.Profile, &record.Party, &role, &record.Requester, &record.Protocol)
	record.Role = policy.Role(role)
	copy(record.SPKI[:], r.octets(len(record.SPKI)))
	if r.short {
		return record, errShortRecord
	}
	record.DER = bytes.Clone(r.rest)
	return record, nil
}

// parseJSONRecord reads a record of layouts 1 and 2: the length of a JSON object, that, the hash of the key, the certificate.
func parseJSONRecord(value []byte) (record ca.Record, err error) {
	n := int(value[0])<<8 | int(value[1])
	if len(value) < 2+n+len(record.SPKI) {
		return record, errShortRecord
	}
	if err := json.Unmarshal(value[2:2+n], &record); err != nil {
		return record, fmt.Errorf("reading a certificate record: %w", err)
	}
	copy(record.SPKI[:], value[2+n:])
	record.DER = bytes.Clone(value[2+n+len(record.SPKI):])
	return record, nil
}
