//! Listings: columns that fit the terminal.

use std::fmt::Write as _;

use avro_snap::error::Result;

use super::output::{Output, printable};

/// No column is cut to less than this.
const NARROWEST: usize = 6;
/// What stands for the middle of a text that is cut.
const CUT: &str = "..";
/// What is between two columns.
const GAP: usize = 2;

/// Rows whose columns stand below each other.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    /// Columns of numbers, which end below each other.
    right: &'static [usize],
    /// Columns that are cut in the middle where a row would be too wide.
    elastic: &'static [usize],
    /// The last column goes on in further lines.
    wrapped: bool,
}

impl Table {
    pub(crate) fn new(head: &[&str], right: &'static [usize]) -> Self {
        let head = head.iter().map(|title| (*title).to_owned()).collect();
        Self { rows: vec![head], right, ..Self::default() }
    }

    /// Cuts these columns in the middle where a row would be too wide, the widest first.
    pub(crate) fn cutting(self, elastic: &'static [usize]) -> Self {
        Self { elastic, ..self }
    }

    /// Lets the last column go on in further lines where a row would be too wide.
    pub(crate) fn wrapping(self) -> Self {
        Self { wrapped: true, ..self }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells.iter().map(|cell| printable(&cell.replace('\n', " ")).into_owned()).collect());
    }

    pub(crate) fn print(&self, output: &Output) -> Result<()> {
        self.lines(output.width()).into_iter().try_for_each(|line| output.line(line))
    }

    fn lines(&self, width: usize) -> Vec<String> {
        let widths = self.widths(width);
        let before_last: usize = widths.iter().rev().skip(1).map(|width| width + GAP).sum();
        let mut lines = Vec::new();
        for row in &self.rows {
            let mut line = String::new();
            let mut more = Vec::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let is_last = column + 1 == widths.len();
                let shown = match is_last && self.wrapped {
                    true => {
                        more = wrapped(cell, *width);
                        more.remove(0)
                    }
                    false => cut(cell, *width),
                };
                let _ = match self.right.contains(&column) {
                    true => write!(line, "{shown:>width$}  "),
                    false => write!(line, "{shown:<width$}  "),
                };
            }
            lines.push(line.trim_end().to_owned());
            lines.extend(more.into_iter().map(|rest| format!("{:before_last$}{rest}", "")));
        }
        lines
    }

    /// The width of each column.
    fn widths(&self, width: usize) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..columns).map(widest).collect();
        let total = |widths: &[usize]| widths.iter().sum::<usize>() + GAP * columns.saturating_sub(1);
        let mut too_much = total(&widths).saturating_sub(width);
        if let (true, Some(last)) = (self.wrapped, widths.last_mut()) {
            let taken = too_much.min(last.saturating_sub(LEAST_WRAPPED));
            *last -= taken;
            too_much -= taken;
        }
        while too_much > 0 {
            let elastic = self.elastic.iter().copied().filter(|column| widths.get(*column) > Some(&NARROWEST));
            let Some(column) = elastic.max_by_key(|column| widths.get(*column)) else { break };
            if let Some(width) = widths.get_mut(column) {
                *width -= 1;
            }
            too_much -= 1;
        }
        widths
    }
}

/// A column that is wrapped is at least as wide as this.
const LEAST_WRAPPED: usize = 24;

/// A text with its middle cut out if it is too long.
pub(crate) fn cut(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(CUT.len());
    let (head, tail) = (kept.div_ceil(2), kept / 2);
    text.chars().take(head).chain(CUT.chars()).chain(text.chars().skip(length - tail)).collect()
}

/// The line above a table, such as the name of a group. Cut in the middle if it is too wide.
pub(crate) fn heading(title: &str, width: usize) -> String {
    format!("{}:", cut(&printable(title), width.saturating_sub(1)))
}

/// A text in lines of at most this width where its words allow that; at least one line.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        match line.is_empty() || line.chars().count() + 1 + word.chars().count() <= width {
            true if line.is_empty() => line.push_str(word),
            true => {
                line.push(' ');
                line.push_str(word);
            }
            false => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_in_the_middle_and_wrapped_between_words() {
        assert_eq!((cut("abcdef", 6), cut("abcdefghij", 7)), ("abcdef".into(), "abc..ij".into()));
        assert_eq!(cut("äöüäöüäöü", 5), "äö..ü");
        assert_eq!(cut("abc", 0), "..");
        assert_eq!(wrapped("a bc def", 4), ["a bc", "def"]);
        assert_eq!(wrapped("", 4), [""]);
        assert_eq!(wrapped("abcdefgh i", 4), ["abcdefgh", "i"]);
    }

    #[test]
    fn a_table_fits() {
        let mut table = Table::new(&["ID", "Series", "Tags", "Size", "Why"], &[3]).cutting(&[1, 2]).wrapping();
        table.row(vec![
            "12345678".into(),
            format!("host:/{}", "long/".repeat(80)),
            "nightly,production,orders".repeat(9),
            "1023 KiB".into(),
            "daily snapshot, weekly snapshot, monthly snapshot".into(),
        ]);
        table.row(vec!["1".into(), "short".into(), String::new(), "1 B".into(), String::new()]);
        for width in [76, 80, 120] {
            let lines = table.lines(width);
            assert!(lines.iter().all(|line| line.chars().count() <= width), "{lines:#?}");
            assert!(lines[1].contains("host:/") && lines[1].contains(".."), "{lines:#?}");
        }
        let narrow = table.lines(1);
        assert!(narrow[1].starts_with("12345678  ") && narrow[1].contains("1023 KiB"), "numbers are never cut");
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        let mut table = Table::new(&["A", "B"], &[1]).cutting(&[0]);
        table.row(vec!["a".repeat(60), "12".into()]);
        assert_eq!(table.lines(80)[1], format!("{}  12", "a".repeat(60)));
    }
}
