// Package ca issues and revokes certificates, and can prove afterwards every decision it made.
package ca
