package ui

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"netaudit/ledger/report"
	"netaudit/ui/words"
)

// The flow picture shows who talks to whom: modules on the left, destinations on the right, between them bands as thick as their share of the bytes.
const (
	pictureWidth = 1000
	bandLeft     = 300 // where bands begin and end, in units
	bandRight    = 700
	rowHeight    = 34 // the least room of one name
)

// pictureSize is how much a picture shows.
type pictureSize struct {
	ends int // names on each side; the others are one
	room int // units that all bytes together are thick
}

var (
	largePicture = pictureSize{ends: 12, room: 420}
	smallPicture = pictureSize{ends: 7, room: 180}
)

// end is a module or a destination in the picture.
type end struct {
	Name, Short, Class, Link string
	Y, Height, Middle        float64
	Calls, Bytes             int64
	used                     float64
}

// band is the traffic between two ends.
type band struct {
	Class, Title, Path string
	Width              float64
}

type picture struct {
	Left, Right []*end
	Bands       []band
	Height      int
}

type trafficContent struct {
	Windows  []window
	From, To time.Time
	Picture  picture
	Pairs    []report.Group
	MorePair int
	Parties  []groupRow
	Channels []groupRow
}

// mostPairs bounds the table behind the picture.
const mostPairs = 100

func (p *pages) traffic(c *gin.Context) {
	list, length := chosen(trafficWindows, c.Query("range"), 0)
	to := time.Now().UTC()
	from := to.Add(-length).Truncate(time.Hour)
	content := trafficContent{Windows: list, From: from, To: to}
	for by, into := range map[string]func([]report.Group){
		report.ByPair: func(g []report.Group) {
			content.Picture, content.Pairs, content.MorePair = draw(p.words(c), g, largePicture), g[:min(len(g), mostPairs)], max(0, len(g)-mostPairs)
		},
		report.ByParty:   func(g []report.Group) { content.Parties = shareRows(g) },
		report.ByChannel: func(g []report.Group) { content.Channels = shareRows(g) },
	} {
		groups, err := report.Traffic(c.Request.Context(), p.o.Ledger, from, to, by)
		if err != nil {
			p.failed(c, "add up the traffic", err)
			return
		}
		into(groups)
	}
	p.show(c, http.StatusOK, "traffic", "Traffic", "traffic", content)
}

// shareRows are the largest groups with their share of the largest.
func shareRows(groups []report.Group) (rows []groupRow) {
	for _, g := range groups[:min(len(groups), largePicture.ends)] {
		rows = append(rows, groupRow{Group: g, Percent: percent(g.Out+g.In, groups[0].Out+groups[0].In)})
	}
	return rows
}

// draw places ends and bands. Calls without a byte are as thin as a hair, and still there.
func draw(w *words.Words, pairs []report.Group, size pictureSize) picture {
	left := ends(w, size, pairs, func(g *report.Group) (string, string) { return g.Name, "" })
	right := ends(w, size, pairs, func(g *report.Group) (string, string) { return g.To, g.Class })
	pic := picture{Left: place(left), Right: place(right)}
	pic.Height = max(len(pic.Left), len(pic.Right))*rowHeight + size.room
	total := int64(0)
	for _, e := range pic.Left {
		total += e.Bytes
	}
	bottom := max(spread(w, size, pic.Left, total, pic.Height), spread(w, size, pic.Right, total, pic.Height))
	pic.Height = max(pic.Height, int(bottom)+1)
	type between struct{ a, b *end }
	sums := map[between]*report.Group{}
	var order []between
	for i := range pairs {
		g := &pairs[i]
		k := between{left[endKey(g.Name, "")], right[endKey(g.To, g.Class)]}
		if sums[k] == nil {
			sums[k] = &report.Group{}
			order = append(order, k)
		}
		sums[k].Calls, sums[k].Out, sums[k].In = sums[k].Calls+g.Calls, sums[k].Out+g.Out, sums[k].In+g.In
	}
	slices.SortStableFunc(order, func(x, y between) int { return cmp.Or(cmp.Compare(x.a.Y, y.a.Y), cmp.Compare(x.b.Y, y.b.Y)) })
	for _, k := range order {
		pic.Bands = append(pic.Bands, join(w, size, k.a, k.b, sums[k], total))
	}
	return pic
}

// ends adds up one side. The map has every name of the side; names beyond the picture's size share an end.
func ends(w *words.Words, size pictureSize, pairs []report.Group, of func(*report.Group) (name, class string)) map[string]*end {
	all := map[string]*end{}
	var list []*end
	for i := range pairs {
		name, class := of(&pairs[i])
		e := all[endKey(name, class)]
		if e == nil {
			e = &end{Name: name, Class: class}
			all[endKey(name, class)] = e
			list = append(list, e)
		}
		e.Calls += pairs[i].Calls
		e.Bytes += pairs[i].Out + pairs[i].In
	}
	// MIT first whatever its size: that is what the picture is for.
	slices.SortStableFunc(list, func(a, b *end) int {
		return cmp.Or(cmp.Compare(rank(a.Class), rank(b.Class)), cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Name, b.Name))
	})
	if len(list) <= size.ends {
		return all
	}
	others := &end{Name: w.Text("{n} others", len(list)-size.ends+1)}
	folded := map[*end]bool{}
	for _, e := range list[size.ends-1:] {
		others.Calls += e.Calls
		others.Bytes += e.Bytes
		folded[e] = true
	}
	for k, e := range all {
		if folded[e] {
			all[k] = others
		}
	}
	return all
}

// endKey tells ends apart: one name may be of two classes.
func endKey(name, class string) string { return class + "\x00" + name }

func rank(class string) int {
	return slices.Index([]string{"mit_bound", "third_party", "", "internal"}, class)
}

// place puts the ends of a side in order.
func place(side map[string]*end) []*end {
	var list []*end
	for _, e := range side {
		if !slices.Contains(list, e) {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b *end) int {
		return cmp.Or(cmp.Compare(rank(a.Class), rank(b.Class)), cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// thickness is how thick so many bytes are drawn.
func (s pictureSize) thickness(bytes, total int64) float64 {
	if total == 0 {
		return 1.5
	}
	return max(1.5, float64(s.room)*float64(bytes)/float64(total))
}

// spread gives each end its height and place, and returns where the last one ends.
func spread(w *words.Words, size pictureSize, list []*end, total int64, height int) (bottom float64) {
	needed := 0.0
	for _, e := range list {
		e.Height = max(4, size.thickness(e.Bytes, total))
		needed += max(rowHeight-8, e.Height)
	}
	gap := 8.0
	if len(list) > 1 {
		gap = max(8, min(40, (float64(height)-needed)/float64(len(list)-1)))
	}
	y := 0.0
	for _, e := range list {
		room := max(rowHeight-8, e.Height)
		e.Y = y + (room-e.Height)/2
		e.Middle = e.Y + e.Height/2
		e.Short = shortName(w, e.Name)
		bottom = y + room
		y = bottom + gap
	}
	return bottom
}

// longestName is how many characters of a name the picture shows; the whole stands in its title.
const longestName = 30

func shortName(w *words.Words, name string) string {
	if name == "" {
		return w.Text("(unknown)")
	}
	if r := []rune(name); len(r) > longestName {
		return string(r[:longestName-1]) + "…"
	}
	return name
}

// join draws the band between two ends, below those that were drawn before.
func join(w *words.Words, size pictureSize, a, b *end, g *report.Group, total int64) band {
	width := size.thickness(g.Out+g.In, total)
	y1, y2 := a.Y+a.used+width/2, b.Y+b.used+width/2
	a.used, b.used = min(a.used+width, a.Height), min(b.used+width, b.Height)
	middle := (bandLeft + bandRight) / 2
	return band{
		Class: b.Class, Width: width,
		Title: w.Text("{module} to {destination}: {n} calls, {sent} sent, {received} received", a.Short, b.Short, g.Calls, w.Bytes(g.Out), w.Bytes(g.In)),
		Path:  fmt.Sprintf("M%d %.1f C%d %.1f %d %.1f %d %.1f", bandLeft, y1, middle, y1, middle, y2, bandRight, y2),
	}
}

// Room is the height of the drawing with its margins.
func (p picture) Room() int { return p.Height + 24 }
