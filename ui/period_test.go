package ui

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"netaudit/ledger/report"
)

func TestReadersChooseTheTime(t *testing.T) {
	base, client := site(t)
	for query, want := range map[string]string{
		"?range=custom&from=2026-11-01T00:00&to=2026-11-02T12:30": `value="2026-11-02T12:30"`,
		"?range=custom&from=2026-11-02T00:00&to=2026-11-01T00:00": "The begin must lie before the end.",
		"?range=custom&from=2020-11-02T00:00&to=2026-11-01T00:00": "longer than 400 days",
		"?range=custom&from=yesterday":                            "Write both ends like",
		"?range=7d":                                               `<a href="/?range=7d" aria-current="true">`,
		"?range=nonsense":                                         `<a href="/?range=24h" aria-current="true">`,
	} {
		if status, page := get(t, client, base+"/"+query); status != http.StatusOK || !strings.Contains(page, want) {
			t.Errorf("%s: status %d without %s", query, status, want)
		}
	}
}

func TestVisitsAreToldApartByAPause(t *testing.T) {
	now := time.Now()
	old, recent := visit{5, now.Add(-time.Hour)}, visit{9, now.Add(-time.Minute)}
	before, last := readVisits(old.text()+"."+recent.text(), 10, now)
	if before.Rows != 5 || last.Rows != 9 || last.At.Unix() != recent.At.Unix() {
		t.Errorf("%+v, %+v", before, last)
	}
	for _, text := range []string{"", "1.2", "x.y.z.w", "-1.5.-1.5", "11.5.11.5", strings.Repeat("9", 4000), "1.99999999999999.1.99999999999999"} {
		if before, last := readVisits(text, 10, now); before.Rows != 0 || last.Rows != 0 {
			t.Errorf("%.30q was read as %+v, %+v", text, before, last)
		}
	}
	base, client := site(t)
	if _, page := get(t, client, base+"/"); strings.Contains(page, "last visit") {
		t.Error("the first visit has one before")
	}
	if _, page := get(t, client, base+"/"); strings.Contains(page, "last visit") {
		t.Error("a reload counts as another visit")
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range client.Jar.Cookies(request.URL) {
		if c.Name == visitCookie {
			client.Jar.SetCookies(request.URL, []*http.Cookie{{Name: visitCookie, Path: "/", Value: "0.0." + visit{1, now.Add(-2 * time.Hour)}.text()}})
		}
	}
	if _, page := get(t, client, base+"/"); !strings.Contains(page, "Since your last visit <bdi>2 h ago</bdi>:") || !strings.Contains(page, "1 new call") {
		t.Error("what is new since the last visit is not said")
	}
}

func TestTimelineDrawsGapsWhereTheyWere(t *testing.T) {
	w := newTestPages(t).catalogue.Languages[0]
	from := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	at := func(hours float64) time.Time { return from.Add(time.Duration(hours * float64(time.Hour))) }
	r := report.Report{From: from, To: at(24), Generated: at(18), Coverage: report.Coverage{Known: true, Awake: []report.Span{{From: at(6), To: at(9)}, {From: at(9.001), To: at(18)}}}}
	r.Coverage.Percent = 66
	line := drawTimeline(w, &r, at(6))
	if len(line.Absent) != 2 || line.Absent[0].X != 0 || line.Absent[0].Width != timelineWidth/4 || line.Absent[1].X != timelineWidth*3/4 || line.Absent[1].Width != timelineWidth/4 {
		t.Errorf("no log: %+v", line.Absent)
	}
	if len(line.Blind) != 1 || line.Blind[0].X != timelineWidth*9/24 || line.Blind[0].Width != narrowestGap { // seconds, and still there
		t.Errorf("not watched: %+v", line.Blind)
	}
	r.Coverage.Awake = nil
	if line := drawTimeline(w, &r, from); len(line.Blind) != 1 || line.Blind[0].Width != timelineWidth*3/4 {
		t.Errorf("nobody watched: %+v", line.Blind)
	}
	r.Coverage.Known = false // rows from capture files: nothing is claimed
	if line := drawTimeline(w, &r, from); len(line.Blind) != 0 {
		t.Errorf("of capture files: %+v", line.Blind)
	}
	if line := drawTimeline(w, &r, time.Time{}); len(line.Absent) == 0 || line.Absent[0].Width != timelineWidth {
		t.Errorf("an empty log: %+v", line.Absent)
	}
}

func TestLicenseIsMeasuredByItsLargestDay(t *testing.T) {
	l := license(report.License{Budget: 1000, Use: []report.LicenseUse{
		{Day: "2026-11-02", Module: "mit_license", Declared: true, Volume: report.Volume{Calls: 2, Out: 900}},
		{Day: "2026-11-01", Module: "mit_license", Declared: true, Volume: report.Volume{Calls: 1, Out: 100}},
		{Day: "2026-11-01", Module: "mit_maildesk", Volume: report.Volume{Calls: 1, Out: 50_000}},
	}})
	a, b := l.Components[0], l.Components[1]
	if a.Module != "mit_maildesk" || a.Declared || !a.Over || a.Percent != 100 || a.Times != "50 ×" {
		t.Errorf("%+v", a)
	}
	if b.Calls != 3 || b.Out != 1000 || b.Largest != 900 || b.Percent != 90 || b.Over || !b.Declared || b.Times != "90 %" {
		t.Errorf("%+v", b)
	}
	if none := license(report.License{Use: []report.LicenseUse{{Day: "2026-11-01", Module: "x", Volume: report.Volume{Out: 5}}}}); none.Components[0].Over || none.Components[0].Times != "" {
		t.Errorf("without a budget: %+v", none.Components[0])
	}
}
