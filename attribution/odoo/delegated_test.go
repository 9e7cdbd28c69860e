package odoo

import "testing"

func TestStackOfDelegatedWorkSaysSo(t *testing.T) {
	lookup := Frame{Module: "socket", Function: "getaddrinfo"}
	thread := []Frame{{Module: "threading", Function: "Thread.run"}, {Module: "threading", Function: "Thread._bootstrap_inner"}, {Module: "threading", Function: "Thread._bootstrap"}}
	for _, c := range []struct {
		inner []Frame
		want  string
	}{
		{[]Frame{lookup, {Module: "concurrent.futures.thread", Function: "_WorkItem.run"}, {Module: "concurrent.futures.thread", Function: "_worker"}}, ByPool},
		{[]Frame{lookup, {Module: "multiprocessing.pool", Function: "worker"}}, ByPool},
		{[]Frame{lookup, {Module: "gevent.threadpool", Function: "_WorkerGreenlet.run"}}, ByPool},
		{[]Frame{lookup, {Module: "gevent.threadpool", Function: "ThreadPool.spawn"}}, ByThread}, // those are the ones who give work
		{[]Frame{lookup, {Module: "concurrent.futures.thread", Function: "ThreadPoolExecutor.submit"}}, ByThread},
		{[]Frame{lookup, {Module: "multiprocessing.pool", Function: "Pool.apply"}}, ByThread},
		{[]Frame{lookup}, ByThread},
		{[]Frame{lookup, {Module: "odoo.http", Function: "Application.__call__"}}, ""},
		{[]Frame{lookup, {Module: "socketserver", Function: "ThreadingMixIn.process_request_thread"}}, ""},
		{[]Frame{lookup, {Module: "odoo.service.server", Function: "ThreadedServer.cron_thread"}}, ""},
	} {
		if got := Delegated(append(c.inner, thread...)); got != c.want {
			t.Errorf("%v: %q, want %q", c.inner, got, c.want)
		}
	}
	if got := Delegated([]Frame{lookup, {Module: "__main__", Function: "<module>"}}); got != "" {
		t.Errorf("a main thread: %q", got)
	}
	if got := Delegated(nil); got != "" {
		t.Errorf("no frames: %q", got)
	}
}
