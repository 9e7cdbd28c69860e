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

// TokensPath is the file of an installation's tokens.
func TokensPath(state string) string { return filepath.Join(state, "keys", "tokens.json") }

func shownSettings(c *Config) (list []ui.Setting) {
	for _, s := range c.Settings() {
		list = append(list, ui.Setting{Key: s.Key, Value: s.Value, Origin: s.Origin})
	}
	return list
}

// pages builds the API and the web pages over the sealed rows, and a login that works once.
func (a *Appliance) pages(address net.Addr) (http.Handler, Access, error) {
	tokens, err := api.OpenTokens(TokensPath(a.config.State))
	if err != nil {
		return nil, Access{}, fmt.Errorf("open the tokens: %w", err)
	}
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "unknown host"
	}
	access := api.NewAccessLog(a.ledger, a.config.Redaction != RedactionStrict, a.log)
	engine, err := api.New(api.Options{
		Ledger: a.ledger, Rules: a.rules(), Tokens: tokens, Version: Version, Host: hostname, Logger: a.log, Health: a.health, Verifier: a.verifier, Metrics: a.metrics(), Access: access,
	})
	if err != nil {
		return nil, Access{}, fmt.Errorf("build the API: %w", err)
	}
	err = ui.Mount(engine, ui.Options{
		Ledger: a.ledger, Rules: a.rules(), Tokens: tokens, Version: Version, Host: hostname, Logger: a.log, Verifier: a.verifier,
		Access: access, Settings: shownSettings(&a.config),
	})
	if err != nil {
		return nil, Access{}, fmt.Errorf("build the pages: %w", err)
	}
	code, err := tokens.OneTimeLogin(api.RoleAuditor, api.RoleAdmin) // whoever starts netaudit can read its configuration anyway
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
