package wire

import "bytes"

// CountFrames returns how many whole MSG and HMSG frames are at the beginning
// of b, and their headers and payloads in bytes. It reads what the server
// itself wrote; other lines between the frames are passed over.
func CountFrames(b []byte) (frames, size uint64) {
	for {
		lf := bytes.IndexByte(b, '\n')
		if lf < 1 {
			return frames, size
		}
		line := b[:lf-1]
		b = b[lf+1:]
		if !bytes.HasPrefix(line, []byte("MSG ")) && !bytes.HasPrefix(line, []byte("HMSG ")) {
			continue
		}
		n := parseSize(line[bytes.LastIndexByte(line, ' ')+1:])
		if n < 0 || len(b) < n+2 {
			return frames, size
		}
		frames++
		size += uint64(n)
		b = b[n+2:]
	}
}
