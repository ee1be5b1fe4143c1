// Package tidy is the test that keeps the house in order. It reads the project's own
// source and fails on an import that does not go strictly down, on a third-party module
// used outside its door, on files over 500 lines and functions over 70, on a package
// that does not introduce itself, and on clocks, disks and panics where none belong.
// It holds no code of its own: the rules are tables at the head of the test.
package tidy
