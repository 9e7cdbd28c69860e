package resolve

import (
	"context"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netaudit/attribution"
	"netaudit/attribution/kernel/hook"
)

// BenchmarkTenThousandProcesses fills the host with sleeping programs and prints what they cost: to look at all of them when netaudit starts, in memory, and in an answer about a process that was never seen before, by the
// kernel's record and without it.
func BenchmarkTenThousandProcesses(b *testing.B) {
	needRoot(b)
	sleepers(b, 10000)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	b.Run("recorded", func(b *testing.B) {
		h, err := hook.Open()
		if err != nil {
			b.Fatal(err)
		}
		lookAndAnswer(b, Config{Hook: h}, l)
		if err := h.Close(); err != nil {
			b.Fatal(err)
		}
	})
	b.Run("searched", func(b *testing.B) { lookAndAnswer(b, Config{}, l) })
}

// sleepers starts so many programs that sleep until the benchmark ends.
func sleepers(b *testing.B, n int) {
	b.Helper()
	cmd := exec.Command("sh", "-c", "i=0; while [ $i -lt $0 ]; do sleep 3600 & i=$((i+1)); done; echo; wait", strconv.Itoa(n))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); _ = cmd.Wait() }) // they were killed
	if _, err := out.Read(make([]byte, 1)); err != nil {
		b.Fatal(err)
	}
}

func lookAndAnswer(b *testing.B, c Config, l net.Listener) {
	r, err := New(c)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	before := live()
	begun := time.Now()
	r.announceAll(ctx)
	looked, kept := time.Since(begun), live()-before
	var all time.Duration
	for range b.N {
		all += askedOfCurl(b, r, l)
	}
	b.ReportMetric(float64(looked.Milliseconds()), "first-look-ms")
	b.ReportMetric(float64(kept)/1024, "kept-KiB")
	b.ReportMetric(float64(all.Microseconds())/float64(b.N), "answer-us")
	stop()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}

// askedOfCurl lets a program call and takes the time of the answer about it.
func askedOfCurl(b *testing.B, r *Resolver, l net.Listener) time.Duration {
	b.Helper()
	cmd := exec.Command("curl", "-s", "http://"+l.Addr().String())
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	begun := time.Now()
	answer := make(chan attribution.Owner, 1)
	tuple := attribution.Tuple{Proto: unix.IPPROTO_TCP, Local: netip.MustParseAddrPort(c.RemoteAddr().String()), Remote: netip.MustParseAddrPort(l.Addr().String())}
	if !r.Ask(tuple, func(o attribution.Owner) { answer <- o }) {
		b.Fatal("the question was not taken")
	}
	o := <-answer
	took := time.Since(begun)
	if o.Process == nil || o.Process.PID != cmd.Process.Pid {
		b.Fatalf("process %+v, evidence %+v", o.Process, o.Evidence)
	}
	_ = c.Close()
	_ = cmd.Wait() // it got no answer
	return took
}

// live is how much memory is in use after a collection, in bytes.
func live() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
