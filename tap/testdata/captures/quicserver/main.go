// Command quicserver answers HTTP/3 on an address with a certificate. Used by make.sh.
package main

import (
	"log"
	"net/http"
	"os"

	"github.com/quic-go/quic-go/http3"
)

func main() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, err := w.Write([]byte("<p>ok</p>")); err != nil {
			log.Print(err)
		}
	})
	log.Fatal(http3.ListenAndServeQUIC(os.Args[1], os.Args[2], os.Args[3], handler))
}
