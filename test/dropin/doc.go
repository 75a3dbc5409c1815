// Package dropin tests that programs which start a nats-server themselves can
// start our broker by that name and not notice: command lines, files, log lines,
// signals and exit codes as client libraries, test harnesses and init systems use
// them. Each test does the same with a stock nats-server first, which shows that
// the test asks for what is there.
package dropin
