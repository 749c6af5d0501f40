//! Tables for people: aligned columns, no frame, a line above the totals.

use comfy_table::{Attribute, Cell, CellAlignment, Color, Table, presets};

use super::screen::{Ink, Screen};

/// Blanks between columns.
const GAP: u16 = 2;

/// One column of a grid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    title: &'static str,
    right: bool,
    /// May be left out on a narrow terminal if it says nothing.
    spare: bool,
}

impl Column {
    /// Text.
    pub(super) const fn text(title: &'static str) -> Self {
        Self { title, right: false, spare: false }
    }

    /// A number.
    pub(super) const fn number(title: &'static str) -> Self {
        Self { title, right: true, spare: false }
    }

    /// May be left out on a narrow terminal if all its cells are zero or empty.
    pub(super) const fn or_drop(self) -> Self {
        Self { spare: true, ..self }
    }
}

/// Rows under columns.
#[derive(Debug)]
pub(super) struct Grid {
    columns: Vec<Column>,
    rows: Vec<Vec<(String, Option<Ink>)>>,
    /// A line stands before this row.
    rule: Option<usize>,
}

impl Grid {
    pub(super) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new(), rule: None }
    }

    /// A row; as many cells as columns.
    pub(super) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.inked_row(cells.map(|cell| (cell.to_owned(), None)));
    }

    /// A row of coloured cells.
    pub(super) fn inked_row(&mut self, cells: impl Into<Vec<(String, Option<Ink>)>>) {
        self.rows.push(cells.into());
    }

    /// What follows are totals.
    pub(super) fn rule(&mut self) {
        self.rule = Some(self.rows.len());
    }

    /// Writes the grid to stdout.
    pub(super) fn print(mut self, screen: &Screen) {
        for line in self.lines(screen.width(), screen.colors_out()) {
            screen.print(line);
        }
    }

    fn lines(&mut self, width: usize, colored: bool) -> Vec<String> {
        while self.width() > width && self.drop_spare() {}
        let mut lines: Vec<String> =
            self.table(colored).lines().map(|line| line.trim_end().to_owned()).collect();
        if let Some(at) = self.rule {
            let rule = "─".repeat(self.width());
            lines.insert(
                (at + 1).min(lines.len()),
                if colored { format!("\u{1b}[2m{rule}\u{1b}[0m") } else { rule },
            );
        }
        lines
    }

    /// Drops the last spare column that says nothing; `false` if there is none.
    fn drop_spare(&mut self) -> bool {
        let says_nothing =
            |at: usize| self.rows.iter().all(|row| matches!(row[at].0.as_str(), "0" | "" | "–"));
        let Some(at) = (0..self.columns.len()).rev().find(|at| self.columns[*at].spare && says_nothing(*at))
        else {
            return false;
        };
        self.columns.remove(at);
        for row in &mut self.rows {
            row.remove(at);
        }
        true
    }

    fn width(&self) -> usize {
        let table = self.table(false);
        let widths = table.column_max_content_widths();
        let gaps = usize::from(GAP) * widths.len().saturating_sub(1);
        widths.into_iter().map(usize::from).sum::<usize>() + gaps
    }

    fn table(&self, colored: bool) -> Table {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if colored {
            table.enforce_styling()
        } else {
            table.force_no_tty()
        };
        table.set_header(
            self.columns.iter().map(|column| Cell::new(column.title).add_attribute(Attribute::Dim)),
        );
        for row in &self.rows {
            table.add_row(row.iter().map(|(text, ink)| inked(Cell::new(text), *ink)));
        }
        for (at, column) in self.columns.iter().enumerate() {
            if let Some(shown) = table.column_mut(at) {
                shown.set_padding((0, GAP));
                shown.set_cell_alignment(if column.right {
                    CellAlignment::Right
                } else {
                    CellAlignment::Left
                });
            }
        }
        table
    }
}

fn inked(cell: Cell, ink: Option<Ink>) -> Cell {
    match ink {
        None => cell,
        Some(Ink::Strong) => cell.add_attribute(Attribute::Bold),
        Some(Ink::Faint) => cell.add_attribute(Attribute::Dim),
        Some(Ink::Good) => cell.fg(Color::DarkGreen),
        Some(Ink::Warn) => cell.fg(Color::DarkYellow),
        Some(Ink::Bad) => cell.fg(Color::DarkRed),
        Some(Ink::Name) => cell.fg(Color::DarkCyan),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_grid_leaves_out_what_says_nothing() {
        let mut grid =
            Grid::new(&[Column::text("table"), Column::number("rows"), Column::number("deleted").or_drop()]);
        grid.row(["orders", "1,000", "0"]);
        grid.rule();
        grid.row(["1 table", "1,000", "0"]);
        assert_eq!(
            grid.lines(80, false).join("\n"),
            "\
table     rows  deleted
orders   1,000        0
───────────────────────
1 table  1,000        0"
        );
        assert_eq!(grid.lines(20, false)[0], "table     rows");
    }
}
