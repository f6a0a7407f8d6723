//! Columns of text. No cell steers the terminal, whoever wrote it.

use super::plain;

/// Rows whose columns begin below each other. The last column is not padded: it may be as long, and as wide, as it is.
#[derive(Debug, Default)]
pub(crate) struct Table {
    indent: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(indent: usize) -> Self {
        Self { indent, rows: Vec::new() }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [impl Into<String>; N]) {
        self.rows.push(cells.into_iter().map(|cell| plain(&cell.into())).collect());
    }

    pub(crate) fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| breadth(cell)).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| cell.clone() + &" ".repeat(width - breadth(cell)));
            let line = cells.collect::<Vec<_>>().join("  ");
            text.push_str(&" ".repeat(self.indent));
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Columns of a terminal that a text takes, roughly: East Asian characters and pictures take two, and marks that belong to
/// the character before them take none.
fn breadth(text: &str) -> usize {
    let columns = text.chars().map(|character| match u32::from(character) {
        0x0300..=0x036f | 0x200b..=0x200d | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1_f300..=0x1_f64f
        | 0x1_f900..=0x1_f9ff
        | 0x2_0000..=0x3_fffd => 2,
        _ => 1,
    });
    columns.sum()
}

#[cfg(test)]
mod tests {
    use super::{Table, breadth};

    #[test]
    fn columns_stand_below_each_other_in_any_script() {
        let mut table = Table::new(1);
        for name in ["Ada", "山田 太郎", "Zoe\u{301}"] {
            table.row([name, "x"]);
        }
        let begins: Vec<_> = table.text().lines().map(|line| breadth(line.trim_end_matches('x'))).collect();
        assert_eq!(begins, [12, 12, 12]);
    }
}
