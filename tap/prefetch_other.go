//go:build !amd64 && !arm64

package tap

func prefetch(*byte) {}
