package notice

import "github.com/payca/payca/ca"

// Text is the mail that is sent for a message.
func Text(t Mail, m ca.Message) []byte { return t.text(m) }
