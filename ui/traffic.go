package ui

import "time"

// trafficWindows are whole hours: the pages add up hourly sums.
var trafficWindows = []window{
	{Key: "24h", Label: "Day", Length: 24 * time.Hour},
	{Key: "7d", Label: "Week", Length: 7 * 24 * time.Hour},
	{Key: "30d", Label: "30 days", Length: 30 * 24 * time.Hour},
	{Key: "365d", Label: "Year", Length: 365 * 24 * time.Hour},
}

func chosen(of []window, key string, fallback int) ([]window, time.Duration) {
	list := append([]window(nil), of...)
	at := fallback
	for i := range list {
		if list[i].Key == key {
			at = i
		}
	}
	list[at].Chosen = true
	return list, list[at].Length
}
