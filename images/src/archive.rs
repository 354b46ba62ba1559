//! A tar archive in memory, of files that are small enough for that.

/// Files one after another, each behind a header block.
#[derive(Debug, Default)]
pub(crate) struct Archive(Vec<u8>);

/// A name does not fit the format.
#[derive(Debug, thiserror::Error)]
#[error("failed to archive {0:?}: a name may have {LONGEST_NAME} bytes")]
pub struct NameTooLong(String);

const BLOCK: usize = 512;
/// Longest name of the format's first version.
const LONGEST_NAME: usize = 100;

impl Archive {
    /// Adds a file.
    pub(crate) fn file(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<(), NameTooLong> {
        self.0.extend_from_slice(&header(name, mode, content.len(), '0')?);
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        Ok(())
    }

    /// Adds a folder.
    pub(crate) fn folder(&mut self, name: &str, mode: u32) -> Result<(), NameTooLong> {
        self.0.extend_from_slice(&header(&format!("{name}/"), mode, 0, '5')?);
        Ok(())
    }

    /// The archive's bytes, ended as the format asks.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * BLOCK, 0);
        self.0
    }
}

/// POSIX ustar. Owner and time are zero, so that equal content gives equal bytes.
fn header(name: &str, mode: u32, size: usize, kind: char) -> Result<[u8; BLOCK], NameTooLong> {
    if name.len() > LONGEST_NAME {
        return Err(NameTooLong(name.to_owned()));
    }
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &str| {
        for (byte, value) in block.iter_mut().skip(at).zip(text.bytes()) {
            *byte = value;
        }
    };
    put(0, name);
    put(100, &format!("{mode:07o}"));
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, "00000000000");
    put(148, "        "); // counted as spaces in the sum
    put(156, kind.encode_utf8(&mut [0; 4]));
    put(257, "ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    for (byte, value) in block.iter_mut().skip(148).zip(format!("{sum:06o}\0 ").bytes()) {
        *byte = value;
    }
    Ok(block)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn tar_reads_what_was_written() {
        let mut archive = Archive::default();
        archive.folder("tmp", 0o1777).unwrap();
        archive.file("bin/a", 0o755, &[7; 600]).unwrap();
        archive.file("b", 0o644, b"").unwrap();
        assert!(archive.file(&"x".repeat(101), 0o644, b"").is_err());
        let mut tar = Command::new("tar").arg("-tv").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        tar.stdin.take().unwrap().write_all(&archive.finish()).unwrap();
        let output = tar.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success());
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!((lines[0][0], lines[0][5]), ("drwxrwxrwt", "tmp/"));
        assert_eq!((lines[1][0], lines[1][2], lines[1][5]), ("-rwxr-xr-x", "600", "bin/a"));
        assert_eq!((lines[2][0], lines[2][2], lines[2][5]), ("-rw-r--r--", "0", "b"));
    }
}
