package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
)

// Measures of the chart, in pixels.
const (
	chartWidth  = 820
	chartLabels = 400
	chartTop    = 56
	rowHeight   = 26
	barHeight   = 14
	// scaleMax is the ratio at the right edge of the bars.
	scaleMax = 1.25
)

// chart draws one bar for each workload: the subject's cost as a share of the
// judge's. A tick marks the target, a line the judge itself.
func (r *Report) chart() []byte {
	var b bytes.Buffer
	var rows []Row // those that compare with nats-server
	for i := range r.Rows {
		if row := &r.Rows[i]; row.Error == "" && !row.Self {
			rows = append(rows, *row)
		}
	}
	height := chartTop + rowHeight*len(rows) + 16
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="12">`+"\n",
		chartWidth, height, chartWidth, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#ffffff"/>`+"\n")
	fmt.Fprintf(&b, `<text x="12" y="22" font-size="15" font-weight="600" fill="#1f2933">Cost of the broker, as a share of stock nats-server</text>`+"\n")
	fmt.Fprintf(&b, `<text x="12" y="40" fill="#52606d">server CPU (or memory) for each unit; shorter is better; tick = target, dot = with metering on, line = nats-server</text>`+"\n")
	for i := range rows {
		rows[i].bar(&b, chartTop+rowHeight*i)
	}
	x := chartX(1)
	fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#1f2933"/>`+"\n", x, chartTop-6, x, height-12)
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func (r *Row) bar(b *bytes.Buffer, y int) {
	colour := "#2f855a"
	if len(r.Unmet) > 0 {
		colour = "#c05621"
	}
	start := chartX(0)
	fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="end" fill="#1f2933">%s</text>`+"\n", start-8, y+12, html.EscapeString(r.Title))
	fmt.Fprintf(b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" rx="2" fill="%s"/>`+"\n", start, y, chartX(r.Ratio)-start, barHeight, colour)
	fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#1f2933" stroke-width="2"/>`+"\n",
		chartX(r.Target), y-2, chartX(r.Target), y+barHeight+2)
	if r.MeteredRatio > 0 {
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%d" r="3" fill="#1f2933"/>`+"\n", chartX(r.MeteredRatio), y+barHeight/2)
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%d" fill="#1f2933">%.2f</text>`+"\n", chartX(max(r.Ratio, r.Target, r.MeteredRatio))+6, y+12, r.Ratio)
}

// chartX maps a ratio to a place; what is beyond the scale is drawn at its end.
func chartX(ratio float64) float64 {
	share := math.Min(math.Max(ratio, 0), scaleMax) / scaleMax
	return chartLabels + share*(chartWidth-chartLabels-48)
}
