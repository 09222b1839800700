package config

import (
	"net"
	"strconv"
)

// Loopback is the [Default] configuration of a network on two free ports of loopback, which its certificates then carry for life.
// Somebody else may take a port before the network does.
func Loopback(network string) (Config, error) {
	ports, err := FreePorts(2)
	if err != nil {
		return Config{}, err
	}
	c := Default(network)
	c.Listen = Listen{HTTPS: net.JoinHostPort("127.0.0.1", ports[0]), HTTP: net.JoinHostPort("127.0.0.1", ports[1])}
	c.StatusURL = "http://localhost:" + ports[1]
	return c, nil
}

// FreePorts asks the system for ports of loopback that nobody listens on.
func FreePorts(n int) ([]string, error) {
	var ports []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }() // held until all are known, so that they differ
		ports = append(ports, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	return ports, nil
}
