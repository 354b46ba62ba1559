//! A tar archive in memory, of files that are small enough for that.

/// Files one after another, each behind a header block.
#[derive(Debug, Default)]
pub(super) struct Archive(Vec<u8>);

const BLOCK: usize = 512;
/// Longest name of the format's first version.
pub(super) const LONGEST_NAME: usize = 100;

impl Archive {
    /// Adds an executable file. The name is cut at [`LONGEST_NAME`] bytes.
    pub(super) fn file(&mut self, name: &str, content: &[u8]) {
        self.0.extend_from_slice(&header(name, content.len()));
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
    }

    /// The archive's bytes, ended as the format asks.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 2 * BLOCK, 0);
        self.0
    }
}

/// POSIX ustar. Owner and time are zero, so that equal content gives equal bytes.
fn header(name: &str, size: usize) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &str| {
        for (byte, value) in block.iter_mut().skip(at).zip(text.bytes()) {
            *byte = value;
        }
    };
    put(0, name.get(..LONGEST_NAME).unwrap_or(name));
    put(100, "0000755");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, "00000000000");
    put(148, "        "); // counted as spaces in the sum
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    for (byte, value) in block.iter_mut().skip(148).zip(format!("{sum:06o}\0 ").bytes()) {
        *byte = value;
    }
    block
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn tar_reads_what_was_written() {
        let mut archive = Archive::default();
        archive.file("bin/a", &[7; 600]);
        archive.file("b", b"");
        let mut tar = Command::new("tar").arg("-tv").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        tar.stdin.take().unwrap().write_all(&archive.finish()).unwrap();
        let output = tar.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success());
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!((lines[0][0], lines[0][2], lines[0][5]), ("-rwxr-xr-x", "600", "bin/a"));
        assert_eq!((lines[1][2], lines[1][5]), ("0", "b"));
    }
}
