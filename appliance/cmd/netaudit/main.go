// Command netaudit watches the wire of an Odoo host and answers with evidence whether data leaves to MIT.
//
// Machine output goes to standard output, everything else to standard error. Exit status: 0 ok, 1 the thing that was
// checked is not ok, 2 could not tell or bad use (netaudit report: 0 all-clear, 1 attention, 3 alarm).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	kongcompletion "github.com/jotaen/kong-completion"

	"netaudit/appliance"
	"netaudit/ledger"
)

// commands is the command line. Every command has a Help with an example.
type commands struct {
	Verbose bool `help:"Log what happens in detail (standard error)." short:"v"`

	Run        runCommand                `cmd:"" help:"Watch this host: capture, attribute, seal, serve the Trust Report."`
	Demo       demoCommand               `cmd:"" help:"Watch a built-in sandbox instead of this host: see everything within a minute."`
	Replay     replayCommand             `cmd:"" help:"Turn capture files into events on standard output, or into a ledger."`
	Report     reportCommand             `cmd:"" help:"Show the Trust Report in the terminal."`
	Verify     verifyCommand             `cmd:"" help:"Check a ledger: is every row intact?"`
	Reindex    reindexCommand            `cmd:"" help:"Make the index and the hourly sums of a ledger anew."`
	Export     exportCommand             `cmd:"" help:"Write what others can check without netaudit."`
	Seal       sealCommand               `cmd:"" help:"List and check the daily seals."`
	Stacks     stacksCommand             `cmd:"" help:"Show the Python stacks of a running process, from outside."`
	Who        whoCommand                `cmd:"" help:"Show who stands behind the connections that are open now."`
	Doctor     doctorCommand             `cmd:"" help:"Say what this host offers and what is missing."`
	Token      tokenCommand              `cmd:"" help:"Make, list and take away tokens for the API and the pages."`
	Config     configCommand             `cmd:"" help:"Check a configuration."`
	Version    versionCommand            `cmd:"" help:"Show the version."`
	Completion kongcompletion.Completion `cmd:"" help:"Set up tab completion for your shell."`
}

// exitError carries an exit status other than 2 through kong.
type exitError struct {
	code int
	err  error // nil: the output already says it
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func main() {
	ledger.MaybeProbe() // the ledger opens damaged stores in a child process: a crash there is an answer, not an accident
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	var cli commands
	// -1 tells a call that ended in --help from one that did not.
	exit := -1
	parser, err := kong.New(&cli, kong.Name("netaudit"),
		kong.Description("Is my data leaving to MIT? netaudit watches the wire of the Odoo host and answers with evidence."),
		kong.UsageOnError(), kong.Writers(stdout, stderr), kong.Exit(func(code int) { exit = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.Vars{"default_listen": appliance.DefaultListen})
	if err != nil {
		fmt.Fprintln(stderr, "netaudit:", err)
		return 2
	}
	kongcompletion.Register(parser)
	if len(args) == 0 || args[0] == "help" {
		args = append(args[min(1, len(args)):], "--help")
	}
	ctx, err := parser.Parse(args)
	if exit >= 0 {
		return exit
	}
	if err != nil {
		fmt.Fprintf(stderr, "netaudit: %v\nTry: netaudit --help\n", err)
		return 2
	}
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	level := slog.LevelInfo
	if cli.Verbose {
		level = slog.LevelDebug
	}
	s := &session{ctx: stop, stdout: stdout, stderr: stderr, log: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))}
	return exitCode(ctx.Run(s), stderr)
}

// session is what every command gets: where to write, and when to stop (Ctrl-C, SIGTERM).
type session struct {
	ctx            context.Context
	stdout, stderr io.Writer
	log            *slog.Logger
}

func exitCode(err error, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	code := 2
	var e *exitError
	if errors.As(err, &e) {
		code = e.code
		if e.err == nil {
			return code
		}
	}
	fmt.Fprintln(stderr, "netaudit:", err)
	return code
}
