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
        let columns: Vec<String> = reader.headers()?.iter().map(|column| column.to_lowercase()).collect();
        let mut rows = Vec::new();
        for (index, record) in reader.records().enumerate() {
            let record = record?;
            let filled = columns.iter().zip(record.iter()).filter(|(_, cell)| !cell.is_empty());
            let cells = filled.map(|(column, cell)| (column.clone(), cell.to_owned())).collect();
            rows.push(Row { table: name.to_owned(), line: index + 2, cells });
        }
        Ok(Self { name: name.to_owned(), rows })
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

    /// The cell as a number, with the suffixes k, M, B and T of published tables; `None` when empty.
    ///
    /// # Errors
    /// When the cell is no finite number.
    pub fn number(&self, column: &'static str) -> Result<Option<f64>, CellError> {
        let Some(text) = self.text(column) else { return Ok(None) };
        let malformed = || CellError::Malformed { column, value: text.to_owned() };
        let scales = [('k', 1e3), ('K', 1e3), ('M', 1e6), ('B', 1e9), ('G', 1e9), ('T', 1e12)];
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
