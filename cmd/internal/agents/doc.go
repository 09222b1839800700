// Package agents makes a payment agent from its configuration file: identity, status, directory, peers and the
// role's own part.
package agents
