//! Columns under each other.

use xtask_core::progress::{
    sanitise,
    text::{pad, width},
};

/// The rows as lines, with the cells of a column under each other and two spaces between them.
/// A cell is one line of harmless text, whatever it came from.
pub fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| sanitise(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widest = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(widest).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<_> =
            row.iter().zip(&widths).map(|(cell, width)| pad(cell, *width)).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_under_each_other_and_are_harmless() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
        let rows =
            [row(&["a", "bbb", "c"]), row(&["日本", "b"]), row(&["\u{1b}[31mx\ny", "", "z"])];
        assert_eq!(table(&rows), "a     bbb  c\n日本  b\nx y        z");
        assert_eq!(table(&[]), "");
    }
}
