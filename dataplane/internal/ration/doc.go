// Package ration divides the rates of an account among the brokers of a cluster
// at which it has connections, so that all of them together admit what one would.
//
// Each broker tells the others what the account asks of it, and computes from what
// all have said which part of each rate is its own: all of them compute the same.
// A part that gets smaller does so at once, one that grows does so a Tick later,
// when the others have heard why. It owns what was said; it neither sends nor
// receives, which is package system's, and knows no clock but its caller's.
//
// A Table has one mutex. Its methods are called a few times a second, and for an
// account that comes or goes, never for a message.
package ration
