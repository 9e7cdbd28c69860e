// Package ui
package ui

import (
	"log/slog"

	"github.com/gin-gonic/gin"

	"netaudit/api"
	"netaudit/ledger"
	"netaudit/ledger/report"
)

type Options struct {
	Ledger  *ledger.Ledger
	Rules   report.Rules
	Tokens  *api.Tokens
	Version string
	Host    string
	Logger  *slog.Logger
}

func Mount(r *gin.Engine, o Options) error { return nil }
