// Asks by Go's own client. Argument: the address.
package main

import (
	"crypto/tls"
	"net/http"
	"os"
)

func main() {
	transport := http.DefaultTransport.(*http.Transport)
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	if _, err := http.Get(os.Args[1]); err != nil {
		os.Exit(1)
	}
}
