package appliance

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"netaudit/api"
	"netaudit/ui"
)

// pages builds the API and the web pages over the sealed rows, and a login that works once.
func (a *Appliance) pages(address net.Addr) (http.Handler, Access, error) {
	tokens, err := api.OpenTokens(filepath.Join(a.config.State, "keys", "tokens.json"))
	if err != nil {
		return nil, Access{}, fmt.Errorf("open the tokens: %w", err)
	}
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "unknown host"
	}
	engine, err := api.New(api.Options{
		Ledger: a.ledger, Rules: a.rules(), Tokens: tokens, Version: Version, Host: hostname, Logger: a.log, Health: a.health, Verifier: a.verifier, Metrics: a.metrics(),
	})
	if err != nil {
		return nil, Access{}, fmt.Errorf("build the API: %w", err)
	}
	err = ui.Mount(engine, ui.Options{
		Ledger: a.ledger, Rules: a.rules(), Tokens: tokens, Version: Version, Host: hostname, Logger: a.log, Verifier: a.verifier,
	})
	if err != nil {
		return nil, Access{}, fmt.Errorf("build the pages: %w", err)
	}
	code, err := tokens.OneTimeLogin()
	if err != nil {
		return nil, Access{}, fmt.Errorf("make a one-time login: %w", err)
	}
	url := "http://" + address.String() + "/"
	secret, err := tokens.Passing()
	if err != nil {
		return nil, Access{}, fmt.Errorf("make a token for the commands of this machine: %w", err)
	}
	a.forget, err = announceRunning(a.config.State, Running{URL: url, Token: secret, PID: os.Getpid()})
	if err != nil {
		return nil, Access{}, err
	}
	return engine, Access{URL: url, Login: url + "login?code=" + code, SealKey: a.ledger.Recovery().SealKey}, nil
}
