//! CSV: tables as text, with quotes and headers (RFC 4180).

use super::Array;
use std::{fs::File, io::Read, ops::Range, path::Path};
use wgrad_core::{Error, Result};

/// No file above 2 GiB is read.
const MOST_BYTES: u64 = 1 << 31;

/// A table from a CSV file: rows of cells, and a name for each column.
///
/// ```
/// use wgrad_nn::{Csv, Rows};
/// let file = "length,width,kind\n5.1,3.5,setosa\n7.0,3.2,\"versicolor\"\n4.9,3.0,setosa\n";
/// let table = Csv::from_bytes("flowers", file.as_bytes())?;
/// let x = table.numbers(&["length", "width"])?;
/// let (y, classes) = table.classes("kind")?;
/// assert_eq!((x.shape(), y.as_i32()?), (&[3, 2][..], &[0, 1, 0][..]));
/// assert_eq!(classes, ["setosa", "versicolor"]);
/// let samples = Rows::new(vec![x, y])?;
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Csv {
    file: String,
    text: String,
    columns: Vec<String>,
    /// Cells of all rows, one row after the other, as places in the text; where quotes were doubled the text is
    /// kept apart.
    cells: Vec<Cell>,
    /// The line each row begins in, from 1.
    lines: Vec<usize>,
}

#[derive(Clone, Debug)]
enum Cell {
    Plain(Range<usize>),
    Unquoted(String),
}

/// How a CSV file is written.
///
/// ```
/// use wgrad_nn::CsvOptions;
/// let options = CsvOptions { delimiter: b';', headers: false };
/// let table = options.from_bytes("numbers", b"1;2\n3;4\n")?;
/// assert_eq!(table.columns(), ["0", "1"]);
/// # Ok::<(), wgrad_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CsvOptions {
    /// What separates cells: a comma unless told.
    pub delimiter: u8,
    /// Whether the first row names the columns; without, they are called `0`, `1` and so on. It does unless told.
    pub headers: bool,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self { delimiter: b',', headers: true }
    }
}

impl CsvOptions {
    /// Reads a file.
    #[track_caller]
    pub fn open(self, path: impl AsRef<Path>) -> Result<Csv> {
        let name = path.as_ref().display().to_string();
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|f| f.take(MOST_BYTES + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) => self.from_bytes(&name, &bytes),
            Err(error) => Err(Error::io("csv", format!("{name}: {error}"))),
        }
    }

    /// Reads a file that is in memory; errors call it `name`.
    #[track_caller]
    pub fn from_bytes(self, name: &str, bytes: &[u8]) -> Result<Csv> {
        if bytes.len() as u64 > MOST_BYTES {
            return Err(Error::size("csv", format!("{name}: more than {MOST_BYTES} bytes")));
        }
        if matches!(self.delimiter, b'"' | b'\n' | b'\r') || !self.delimiter.is_ascii() {
            return Err(Error::argument(
                "csv",
                format!(
                    "the delimiter {:?}; it must be an ASCII character, no quote and no line end",
                    self.delimiter as char
                ),
            ));
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(error) => {
                let line =
                    1 + bytes.iter().take(error.valid_up_to()).filter(|&&b| b == b'\n').count();
                return Err(damaged(name, line, "it is not UTF-8"));
            }
        };
        parse(self, name.to_owned(), text)
    }
}

#[track_caller]
fn damaged(file: &str, line: usize, what: impl std::fmt::Display) -> Error {
    Error::format("csv", format!("{file}, line {line}: {what}"))
}

/// Splits text into rows of cells.
#[track_caller]
fn parse(options: CsvOptions, file: String, text: String) -> Result<Csv> {
    let bytes = text.as_bytes();
    let (mut at, mut line) = (0, 1);
    let mut cells = Vec::new();
    let mut lines = Vec::new();
    let mut width = None;
    while at < bytes.len() {
        // Empty lines are no rows.
        match bytes.get(at) {
            Some(b'\n') => {
                (at, line) = (at + 1, line + 1);
                continue;
            }
            Some(b'\r') if matches!(bytes.get(at + 1), Some(b'\n') | None) => {
                at += 1;
                continue;
            }
            _ => {}
        }
        let (first, start) = (cells.len(), line);
        loop {
            let cell = if bytes.get(at) == Some(&b'"') {
                let opened = line;
                let mut content = String::new();
                let mut from = at + 1;
                let mut to = from;
                loop {
                    match bytes.get(to) {
                        None => {
                            return Err(damaged(
                                &file,
                                opened,
                                "a quote is opened and never closed",
                            ));
                        }
                        Some(b'"') if bytes.get(to + 1) == Some(&b'"') => {
                            content.push_str(text.get(from..=to).unwrap_or_default());
                            (from, to) = (to + 2, to + 2);
                        }
                        Some(b'"') => break,
                        Some(b'\n') => (to, line) = (to + 1, line + 1),
                        Some(_) => to += 1,
                    }
                }
                at = to + 1;
                if content.is_empty() {
                    Cell::Plain(from..to)
                } else {
                    content.push_str(text.get(from..to).unwrap_or_default());
                    Cell::Unquoted(content)
                }
            } else {
                let rest = bytes.get(at..).unwrap_or_default();
                let ends =
                    |&b: &u8| b == options.delimiter || b == b'\n' || b == b'\r' || b == b'"';
                let end = at + rest.iter().position(ends).unwrap_or(rest.len());
                if bytes.get(end) == Some(&b'"') {
                    return Err(damaged(
                        &file,
                        line,
                        "a quote within a cell that does not begin with one",
                    ));
                }
                let cell = Cell::Plain(at..end);
                at = end;
                cell
            };
            cells.push(cell);
            match bytes.get(at) {
                Some(&b) if b == options.delimiter => at += 1,
                Some(b'\n') => {
                    (at, line) = (at + 1, line + 1);
                    break;
                }
                Some(b'\r') if matches!(bytes.get(at + 1), Some(b'\n')) => {
                    (at, line) = (at + 2, line + 1);
                    break;
                }
                Some(b'\r') if at + 1 == bytes.len() => {
                    at += 1;
                    break;
                }
                None => break,
                Some(_) => {
                    return Err(damaged(
                        &file,
                        line,
                        "characters follow a closing quote, or a lone CR ends a cell",
                    ));
                }
            }
        }
        let here = cells.len() - first;
        let width = *width.get_or_insert(here);
        if here != width {
            return Err(damaged(&file, start, format!("{here} cells; the first row has {width}")));
        }
        lines.push(start);
    }
    let Some(width) = width else {
        return Err(damaged(&file, 1, "there is no row"));
    };
    let mut csv = Csv { file, text, columns: Vec::new(), cells, lines };
    if options.headers {
        let names: Vec<String> = csv
            .cells
            .drain(..width)
            .collect::<Vec<_>>()
            .iter()
            .map(|c| csv_text(&csv.text, c).trim().to_owned())
            .collect();
        csv.lines.remove(0);
        if let Some((i, name)) =
            names.iter().enumerate().find(|(i, name)| names.iter().take(*i).any(|n| n == *name))
        {
            return Err(damaged(
                &csv.file,
                1,
                format!("column {i} has the name {name:?} of another one"),
            ));
        }
        csv.columns = names;
    } else {
        csv.columns = (0..width).map(|i| i.to_string()).collect();
    }
    Ok(csv)
}

fn csv_text<'t>(text: &'t str, cell: &'t Cell) -> &'t str {
    match cell {
        Cell::Plain(range) => text.get(range.clone()).unwrap_or_default(),
        Cell::Unquoted(text) => text,
    }
}

impl Csv {
    /// Reads a file with commas and headers; [`CsvOptions`] reads others. At most 2 GiB, UTF-8.
    ///
    /// # Errors
    /// `Io` with the path, `Format` with file and line for what is damaged: rows of unequal length, quotes that
    /// do not close.
    #[track_caller]
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        CsvOptions::default().open(path)
    }

    /// Reads a file that is in memory; errors call it `name`.
    #[track_caller]
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self> {
        CsvOptions::default().from_bytes(name, bytes)
    }

    /// How many rows there are, without the headers.
    pub fn rows(&self) -> usize {
        self.lines.len()
    }

    /// The names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// One cell as it is, without its quotes.
    pub fn cell(&self, row: usize, column: usize) -> Option<&str> {
        let at = row.checked_mul(self.columns.len())?.checked_add(column)?;
        (column < self.columns.len()).then_some(())?;
        self.cells.get(at).map(|cell| csv_text(&self.text, cell))
    }

    /// The number of a column.
    #[track_caller]
    pub fn column(&self, name: &str) -> Result<usize> {
        match self.columns.iter().position(|column| column == name) {
            Some(at) => Ok(at),
            None => Err(Error::argument(
                "csv",
                format!("{}: there is no column {name:?}; there are {:?}", self.file, self.columns),
            )),
        }
    }

    /// Columns as numbers `[rows, columns]` (f32), in the given order. A cell that is no number is an error with
    /// file, line and column; `nan` and `inf` are numbers, which a loader refuses unless told.
    #[track_caller]
    pub fn numbers(&self, columns: &[&str]) -> Result<Array> {
        let mut at = Vec::with_capacity(columns.len());
        for name in columns {
            at.push(self.column(name)?);
        }
        let mut values = Vec::with_capacity(self.rows().saturating_mul(at.len()));
        for row in 0..self.rows() {
            for &column in &at {
                let cell = self.cell(row, column).unwrap_or_default();
                match cell.trim().parse::<f32>() {
                    Ok(value) => values.push(value),
                    Err(_) => return Err(self.bad_cell(row, column, cell, "a number")),
                }
            }
        }
        Array::f32([self.rows(), at.len()], values)
    }

    /// All columns but some as numbers `[rows, columns]` (f32): the features beside a target.
    #[track_caller]
    pub fn numbers_without(&self, columns: &[&str]) -> Result<Array> {
        for name in columns {
            self.column(name)?;
        }
        let rest: Vec<&str> = self
            .columns
            .iter()
            .map(String::as_str)
            .filter(|name| !columns.contains(name))
            .collect();
        self.numbers(&rest)
    }

    /// A column of whole numbers `[rows]` (i32), such as labels.
    #[track_caller]
    pub fn labels(&self, column: &str) -> Result<Array> {
        let at = self.column(column)?;
        let mut values = Vec::with_capacity(self.rows());
        for row in 0..self.rows() {
            let cell = self.cell(row, at).unwrap_or_default();
            match cell.trim().parse::<i32>() {
                Ok(value) => values.push(value),
                Err(_) => return Err(self.bad_cell(row, at, cell, "a whole number (i32)")),
            }
        }
        Array::i32([self.rows()], values)
    }

    /// A column of texts as labels `[rows]` (i32), and the texts they stand for in alphabetical order.
    #[track_caller]
    pub fn classes(&self, column: &str) -> Result<(Array, Vec<String>)> {
        let at = self.column(column)?;
        let cells: Vec<&str> =
            (0..self.rows()).map(|row| self.cell(row, at).unwrap_or_default().trim()).collect();
        let mut classes: Vec<&str> = cells.clone();
        classes.sort_unstable();
        classes.dedup();
        let label = |cell: &&str| classes.binary_search(cell).unwrap_or_default() as i32;
        let labels = Array::i32([self.rows()], cells.iter().map(label).collect())?;
        Ok((labels, classes.into_iter().map(str::to_owned).collect()))
    }

    #[track_caller]
    fn bad_cell(&self, row: usize, column: usize, cell: &str, want: &str) -> Error {
        let line = self.lines.get(row).copied().unwrap_or_default();
        let cell: String = cell.chars().take(80).collect();
        let name = self.columns.get(column).map(String::as_str).unwrap_or_default();
        damaged(&self.file, line, format!("{cell:?} in the column {name:?} is not {want}"))
    }
}
