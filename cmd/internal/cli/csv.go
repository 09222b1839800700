package cli

import "strings"

// formulaStarts begin what a spreadsheet takes for a formula or a command, the wide forms too that some of them read alike.
const formulaStarts = "=+-@|%\t\r\n＝＋－＠"

// plainCells keeps a spreadsheet from reading a cell as a formula: an apostrophe before it makes it text. Blanks before
// the sign do not help, for some programs drop them.
func plainCells(cells []string) []string {
	for i, cell := range cells {
		if text := strings.TrimLeft(cell, " \u00a0\ufeff"); strings.ContainsRune(formulaStarts, firstRune(text)) {
			cells[i] = "'" + cell
		}
	}
	return cells
}

func firstRune(text string) rune {
	for _, r := range text {
		return r
	}
	return 'x' // an empty cell is no formula
}
