package cli

// PlainCells keeps a spreadsheet from reading a cell as a formula.
var PlainCells = plainCells
