// Package testca is a small network of certificates for the tests of enroll and the packages below it.
package testca
