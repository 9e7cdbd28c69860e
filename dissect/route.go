package dissect

import "strings"

// route is what a path says about the program and not about the record: which controller of Odoo answers, without the numbers, names and tokens of a
// request. "/web/content/17/report.pdf" becomes "/web/content/<int>/<file>"; models and methods of /web/dataset/call_kw stay.
func route(path string) string {
	if path == "" {
		return ""
	}
	parts := strings.Split(path, "/")
	for i, p := range parts {
		parts[i] = routePart(p)
	}
	return strings.Join(parts, "/")
}

const (
	longestWordPart = 40 // bytes of a part that may be a word of the program
	shortestToken   = 20 // bytes of letters and digits mixed that are a token
)

func routePart(p string) string {
	letters, digits, others := 0, 0, 0
	for i := range len(p) {
		switch c := p[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
			letters++
		case c == '_', c == '.', c == '-':
			others++
		default:
			return "<text>"
		}
	}
	slug := p[strings.LastIndexByte(p, '-')+1:]
	switch {
	case digits > 0 && letters+others == 0:
		return "<int>"
	case len(p) >= shortestToken && digits > 0 && letters > 0 && others < len(p)/4:
		return "<token>"
	case len(slug) < len(p) && strings.Trim(slug, "0123456789") == "" && slug != "":
		return "<slug>" // a record's name and number, as Odoo's website builds them
	case len(p) > longestWordPart:
		return "<text>"
	case isFileName(p):
		return "<file>"
	default:
		return p
	}
}

// isFileName tells "invoice 2026.pdf" from "res.partner": a model's last word is no ending of a file.
func isFileName(p string) bool {
	i := strings.LastIndexByte(p, '.')
	if i <= 0 {
		return false
	}
	switch strings.ToLower(p[i+1:]) {
	case "pdf", "png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "js", "css", "map", "woff", "woff2", "ttf", "eot", "xml", "json", "txt", "csv", "xls", "xlsx", "doc", "docx", "zip", "html", "mp4", "webm", "eml", "ics", "vcf", "md", "scss":
		return true
	}
	return false
}
