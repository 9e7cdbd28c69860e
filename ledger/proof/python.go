package proof

import _ "embed"

// PythonProgram checks a bundle with Python's standard library alone: for those who would rather read two hundred lines than run somebody's program.
//
//go:embed verify_bundle.py
var PythonProgram []byte
