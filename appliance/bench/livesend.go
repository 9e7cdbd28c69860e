package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/gopacket/gopacket/afpacket"
	"golang.org/x/sys/unix"

	"netaudit/tap"
)

// sendVariable makes this program a child that sends frames: its value is a sending. What the reader takes of a processor can only be told when it has a process of its own.
const sendVariable = "NETAUDIT_BENCH_SEND"

// sending is what to send, for sendFor.
type sending struct {
	NetNS string // path
	Rate  int    // frames a second
}

// sendElsewhere sends frames from a child, and returns when all are sent.
func sendElsewhere(ctx context.Context, netns string, rate int) error {
	text, err := json.Marshal(sending{netns, rate})
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), sendVariable+"="+string(text))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("send from a process of its own: %w: %s", err, out)
	}
	return nil
}

// maybeSend does the work of the child.
func maybeSend() {
	text := os.Getenv(sendVariable)
	if text == "" {
		return
	}
	var what sending
	err := json.Unmarshal([]byte(text), &what)
	if err == nil {
		err = what.run(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func (what sending) run(ctx context.Context) error {
	frames, err := frameBatch(ctx)
	if err != nil {
		return err
	}
	sender, err := openSender(what.NetNS)
	if err != nil {
		return err
	}
	defer sender.Close()
	_, err = send(sender, frames, what.Rate, sendFor)
	return err
}

// openSender returns a socket that sends on the near end of a wire.
func openSender(netns string) (sender *afpacket.TPacket, err error) {
	err = tap.InNamespace(netns, func() (err error) {
		sender, err = afpacket.NewTPacket(afpacket.OptInterface("va"), afpacket.OptNumBlocks(1), afpacket.OptProtocol(0))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open the sender: %w", err)
	}
	return sender, nil
}

// send sends frames at a rate and returns how many.
func send(sender *afpacket.TPacket, frames [][]byte, rate int, d time.Duration) (int, error) {
	begin := time.Now()
	total := int(float64(rate) * d.Seconds())
	for n := range total {
		if err := sender.WritePacketData(frames[n%len(frames)]); err != nil && !errors.Is(err, unix.ENOBUFS) {
			return n, err
		}
		if n%64 == 0 {
			for time.Since(begin) < time.Duration(n)*time.Second/time.Duration(rate) {
				time.Sleep(50 * time.Microsecond)
			}
		}
		if time.Since(begin) > 2*d { // the machine cannot send faster
			return n, errTooFast
		}
	}
	return total, nil
}

var errTooFast = errors.New("the sender does not reach this rate")
