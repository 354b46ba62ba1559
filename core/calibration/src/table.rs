//! CSV files by the vocabulary of their columns.
//!
//! A column that nobody asks for is never looked at. A cell that cannot be parsed is an error of its row alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::Published;

/// Why a folder of tables cannot be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The folder cannot be listed.
    #[error("failed to list the tables of {}", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        #[source]
        /// What the file system said.
        source: std::io::Error,
    },
    /// A file is no CSV.
    #[error("failed to read the table {}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        #[source]
        /// What its reader said.
        source: csv::Error,
    },
}

/// Why a cell cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CellError {
    /// The column is not there, or empty.
    #[error("no {column}")]
    Missing {
        /// The column.
        column: &'static str,
    },
    /// The cell is not what the column means.
    #[error("{column} {value:?} cannot be read")]
    Malformed {
        /// The column.
        column: &'static str,
        /// What stands in the cell.
        value: String,
    },
}

/// One CSV file.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The file's name without its ending.
    pub name: String,
    /// Its rows.
    pub rows: Vec<Row>,
}

/// One row: cells by column. A row of [`Published::rows`] knows its table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// The table's name.
    pub table: String,
    /// The line in the file, from 2 on.
    pub line: usize,
    cells: BTreeMap<String, String>,
}

impl Published {
    /// Reads every CSV file of a folder.
    ///
    /// # Errors
    /// When the folder cannot be listed or a file is no CSV.
    pub fn read(folder: &Path) -> Result<Self, ReadError> {
        let listed = std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let listed = listed.map_err(|source| ReadError::Folder { folder: folder.to_owned(), source })?;
        let mut files: Vec<PathBuf> = listed.iter().map(std::fs::DirEntry::path).collect();
        files.retain(|file| file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv")));
        files.sort();
        let tables = files.iter().map(|file| Table::read(file)).collect::<Result<_, _>>()?;
        Ok(Self { tables, folder: folder.to_owned() })
    }
}

impl Table {
    fn read(file: &Path) -> Result<Self, ReadError> {
        let failed = |source| ReadError::File { file: file.to_owned(), source };
        let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_path(file).map_err(failed)?;
        Self::parse(&name, reader).map_err(failed)
    }

    /// Reads a table from its text.
    ///
    /// # Errors
    /// When the text is no CSV.
    pub fn from_text(name: &str, text: &str) -> Result<Self, csv::Error> {
        let reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(text.as_bytes());
        Self::parse(name, reader)
    }

    fn parse<R: std::io::Read>(name: &str, mut reader: csv::Reader<R>) -> Result<Self, csv::Error> {
        // Tables of other encodings lose a letter of a name, not their numbers.
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        let columns: Vec<String> = reader.byte_headers()?.iter().map(|column| column_name(&text(column))).collect();
        let mut rows = Vec::new();
        for (index, record) in reader.byte_records().enumerate() {
            let record = record?;
            let line = record.position().map_or(index + 2, |position| position.line() as usize);
            let cells = columns.iter().cloned().zip(record.iter().map(text));
            let cells = cells.filter(|(column, cell)| !column.is_empty() && !is_blank(cell)).collect();
            rows.push(Row { table: name.to_owned(), line, cells });
        }
        Ok(Self { name: name.to_owned(), rows })
    }
}

/// What the same column is called elsewhere.
const ALSO: &[(&str, &[&str])] = &[
    ("layers", &["num_layers", "n_layers", "num_hidden_layers"]),
    ("hidden", &["hidden_size", "d_model"]),
    ("heads", &["num_heads", "n_heads", "num_attention_heads"]),
    ("kv_heads", &["num_kv_heads", "n_kv_heads", "num_key_value_heads"]),
    ("ffn", &["ffn_hidden_size", "intermediate_size"]),
    ("vocab", &["vocab_size"]),
    ("seq", &["seq_len", "seqlen", "seq_length", "sequence_length", "context_length"]),
    ("gpus", &["n_gpus", "num_gpus", "gpu_count"]),
    ("micro_batch", &["micro_batch_size", "mbs"]),
    ("global_batch", &["global_batch_size", "gbs"]),
    ("tokens_s_gpu", &["tokens_per_second_per_gpu", "tokens_per_sec_per_gpu"]),
];

/// A column as the vocabulary has it: lower case, words joined by `_`, `%` as `pct`.
fn column_name(heading: &str) -> String {
    let words = heading.trim_start_matches('\u{feff}').to_lowercase().replace('%', "pct");
    let words = words.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let name = words.collect::<Vec<_>>().join("_");
    let known = ALSO.iter().find(|(_, others)| others.contains(&name.as_str()));
    known.map_or(name, |(known, _)| (*known).to_owned())
}

/// Whether a cell says that there is nothing to say.
fn is_blank(cell: &str) -> bool {
    ["", "-", "–", "—", "?", "n/a", "na", "nan", "null"].contains(&cell.to_lowercase().as_str())
}

/// A number without the unit that its column's name has already said.
fn without_unit<'a>(column: &str, text: &'a str) -> &'a str {
    let text = text.trim_start_matches(['~', '≈']).trim();
    let unit = match column.rsplit('_').next() {
        Some("pct") => "%",
        Some("gib") => "gib",
        Some("gb") => "gb",
        Some("ms") => "ms",
        Some("s") => "s",
        _ => return text,
    };
    match text.len().checked_sub(unit.len()) {
        Some(at) if text.is_char_boundary(at) && text[at..].eq_ignore_ascii_case(unit) => text[..at].trim_end(),
        _ => text,
    }
}

impl Row {
    /// The row as a report prints it: table, line, model.
    pub fn label(&self) -> String {
        format!("{}:{} {}", self.table, self.line, self.text("model").unwrap_or_default())
    }

    /// Whether the column is there and not empty.
    pub fn has(&self, column: &str) -> bool {
        self.cells.contains_key(column)
    }

    /// The cell as it stands; `None` when empty.
    pub fn text(&self, column: &str) -> Option<&str> {
        self.cells.get(column).map(String::as_str)
    }

    /// The cell as a number, with the suffixes k, M, B and T of published tables (k of a sequence is 1024) and the unit that
    /// its column names; `None` when empty.
    ///
    /// # Errors
    /// When the cell is no finite number.
    pub fn number(&self, column: &'static str) -> Result<Option<f64>, CellError> {
        let Some(text) = self.text(column) else { return Ok(None) };
        let malformed = || CellError::Malformed { column, value: text.to_owned() };
        let text = without_unit(column, text);
        let kilo = if column == "seq" { 1024.0 } else { 1e3 };
        let scales = [('k', kilo), ('K', kilo), ('M', 1e6), ('B', 1e9), ('G', 1e9), ('T', 1e12)];
        let scaled = scales.iter().find_map(|(suffix, scale)| Some((text.strip_suffix(*suffix)?, *scale)));
        let (digits, scale) = scaled.unwrap_or((text, 1.0));
        let value: f64 = digits.trim().replace(',', "").parse().map_err(|_| malformed())?;
        if value.is_finite() { Ok(Some(value * scale)) } else { Err(malformed()) }
    }

    /// A number that the question needs.
    ///
    /// # Errors
    /// When the cell is empty or no finite number.
    pub fn needed(&self, column: &'static str) -> Result<f64, CellError> {
        self.number(column)?.ok_or(CellError::Missing { column })
    }

    /// A number that the question needs, from 0 to `most`: beyond that a column was misread.
    ///
    /// # Errors
    /// When the cell is empty or no such number.
    pub fn needed_within(&self, column: &'static str, most: f64) -> Result<f64, CellError> {
        let value = self.needed(column)?;
        if (0.0..=most).contains(&value) {
            Ok(value)
        } else {
            let value = self.text(column).unwrap_or_default().to_owned();
            Err(CellError::Malformed { column, value })
        }
    }

    /// The cell as a whole number; `None` when empty.
    ///
    /// # Errors
    /// When the cell is no whole number from 0 to 2^32 − 1.
    pub fn count(&self, column: &'static str) -> Result<Option<u32>, CellError> {
        let Some(value) = self.number(column)? else { return Ok(None) };
        if value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value) {
            Ok(Some(value as u32))
        } else {
            let value = self.text(column).unwrap_or_default().to_owned();
            Err(CellError::Malformed { column, value })
        }
    }

    /// A whole number that the question needs.
    ///
    /// # Errors
    /// When the cell is empty or no whole number.
    pub fn needed_count(&self, column: &'static str) -> Result<u32, CellError> {
        self.count(column)?.ok_or(CellError::Missing { column })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_strangers_are_read_as_far_as_they_go() {
        let text = "\u{feff}Model,Num Layers,seq_len,MFU %,memory_gib,step_time_s\r\n\"a, b\",12,8k,45%,60 GiB,8.2s\r\nc,n/a\r\n";
        let table = Table::from_text("strange", text).expect("a table");
        let row = &table.rows[0];
        assert_eq!(row.text("model"), Some("a, b"));
        assert_eq!((row.count("layers"), row.count("seq")), (Ok(Some(12)), Ok(Some(8192))));
        assert_eq!((row.number("mfu_pct"), row.number("memory_gib")), (Ok(Some(45.0)), Ok(Some(60.0))));
        assert_eq!(row.number("step_time_s"), Ok(Some(8.2)));
        assert!(!table.rows[1].has("layers"));
    }

    fn table() -> Table {
        let text = "model,layers,params,odd\na,12,125M,x\nb,,1e9,\nc,1.5,\"6,738,415,616\"\n";
        Table::from_text("small", text).expect("a table")
    }

    #[test]
    fn cells_are_read_by_their_column() {
        let table = table();
        assert_eq!(table.rows[0].count("layers"), Ok(Some(12)));
        assert_eq!(table.rows[0].number("params"), Ok(Some(125e6)));
        assert_eq!(table.rows[1].count("layers"), Ok(None));
        assert_eq!(table.rows[2].number("params"), Ok(Some(6_738_415_616.0)));
        assert_eq!(table.rows[2].label(), "small:4 c");
    }

    #[test]
    fn a_cell_that_cannot_be_read_is_an_error_with_the_columns_name() {
        let table = table();
        assert_eq!(table.rows[0].number("odd").unwrap_err().to_string(), "odd \"x\" cannot be read");
        assert_eq!(table.rows[2].count("layers").unwrap_err().to_string(), "layers \"1.5\" cannot be read");
        assert_eq!(table.rows[1].needed("layers").unwrap_err().to_string(), "no layers");
    }
}
