package appliance

import (
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Setting is one value of the configuration in effect, for people.
type Setting struct {
	Key    string // as in the file
	Value  string // lists joined by commas; "" for an empty one
	Origin string // file:line, --flag or $VARIABLE; "" for the default
}

// Settings lists every value and where it comes from, in the order of Config. None is secret.
func (c *Config) Settings() []Setting {
	values := reflect.ValueOf(*c)
	list := make([]Setting, 0, values.NumField())
	for i := range values.NumField() {
		key := values.Type().Field(i).Tag.Get("yaml")
		if key == "-" {
			continue
		}
		list = append(list, Setting{key, settingText(values.Field(i).Interface()), c.Origins[key]})
	}
	return list
}

func settingText(v any) string {
	if list, ok := v.([]string); ok {
		return strings.Join(list, ", ")
	}
	return fmt.Sprint(v)
}

// origins notes in which line of a file each value stands.
func (c *Config) origins(path string, text []byte) error {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	whole, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	c.Origins = maps.Clone(c.Origins)
	for _, doc := range file.Docs {
		for _, pair := range pairsOf(doc.Body) {
			if token := pair.Key.GetToken(); token != nil {
				c.Origins[token.Value] = fmt.Sprintf("%s:%d", whole, token.Position.Line)
			}
		}
	}
	return nil
}

// pairsOf are the keys at the top of a document with their values.
func pairsOf(body ast.Node) []*ast.MappingValueNode {
	switch n := body.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	}
	return nil
}
