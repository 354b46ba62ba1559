//! What a program asks the loader for: the loader itself, and libraries by name.
//!
//! Read from the file (System V ABI, chapters 4 and 5) and not by running the loader, so that the program need not run here.

/// Offset, address and size of a part of the file.
#[derive(Clone, Copy)]
struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    size: u64,
}

/// A file is no program of this kind.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// Not ELF, or not of 64 bits with the lowest byte first.
    #[error("it is no 64-bit little-endian ELF file")]
    Format,
    /// It ends early, or points out of itself.
    #[error("it is cut short or damaged")]
    Damaged,
}

/// What a program asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Path of the loader; a static program has none.
    pub(crate) loader: Option<String>,
    /// Names of libraries, in the program's order.
    pub(crate) libraries: Vec<String>,
}

const HEADER: &[u8] = b"\x7fELF\x02\x01";
const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const INTERPRETER: u32 = 3;
const NEEDED: u64 = 1;
const STRINGS: u64 = 5;

/// Reads what a program asks for.
pub(crate) fn needs(file: &[u8]) -> Result<Needs, ElfError> {
    if !file.starts_with(HEADER) {
        return Err(ElfError::Format);
    }
    let segments = segments(file)?;
    let mut needs = Needs::default();
    if let Some(segment) = segments.iter().find(|segment| segment.kind == INTERPRETER) {
        needs.loader = Some(text(file, segment.offset)?);
    }
    let Some(dynamic) = segments.iter().find(|segment| segment.kind == DYNAMIC) else { return Ok(needs) };
    let mut entries = Vec::new();
    for at in (0..dynamic.size).step_by(16) {
        let at = dynamic.offset.checked_add(at).ok_or(ElfError::Damaged)?;
        match (word(file, at)?, word(file, at + 8)?) {
            (0, _) => break,
            entry => entries.push(entry),
        }
    }
    let Some((_, strings)) = entries.iter().find(|(tag, _)| *tag == STRINGS) else { return Ok(needs) };
    let home = segments.iter().find(|s| s.kind == LOAD && s.address <= *strings && strings - s.address < s.size);
    let home = home.ok_or(ElfError::Damaged)?;
    let strings = home.offset.checked_add(strings - home.address).ok_or(ElfError::Damaged)?;
    for (_, at) in entries.iter().filter(|(tag, _)| *tag == NEEDED) {
        needs.libraries.push(text(file, strings.checked_add(*at).ok_or(ElfError::Damaged)?)?);
    }
    Ok(needs)
}

fn segments(file: &[u8]) -> Result<Vec<Segment>, ElfError> {
    let table = word(file, 32)?;
    let (size, count) = (u64::from(half(file, 54)?), u64::from(half(file, 56)?));
    let segment = |index: u64| {
        let at = table.checked_add(index * size).ok_or(ElfError::Damaged)?;
        let kind = u32::from_le_bytes(bytes(file, at)?);
        let [offset, address, size] = [8, 16, 32].map(|field| word(file, at.saturating_add(field)));
        Ok(Segment { kind, offset: offset?, address: address?, size: size? })
    };
    (0..count).map(segment).collect()
}

fn bytes<const N: usize>(file: &[u8], at: u64) -> Result<[u8; N], ElfError> {
    let rest = usize::try_from(at).ok().and_then(|at| file.get(at..)).ok_or(ElfError::Damaged)?;
    rest.first_chunk().copied().ok_or(ElfError::Damaged)
}

fn half(file: &[u8], at: u64) -> Result<u16, ElfError> {
    bytes(file, at).map(u16::from_le_bytes)
}

fn word(file: &[u8], at: u64) -> Result<u64, ElfError> {
    bytes(file, at).map(u64::from_le_bytes)
}

fn text(file: &[u8], at: u64) -> Result<String, ElfError> {
    let rest = usize::try_from(at).ok().and_then(|at| file.get(at..)).ok_or(ElfError::Damaged)?;
    let end = rest.iter().position(|byte| *byte == 0).ok_or(ElfError::Damaged)?;
    Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_test_asks_for_a_loader_and_the_c_library() {
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let needs = needs(&file).unwrap();
        assert!(needs.loader.unwrap().starts_with("/lib"));
        assert!(needs.libraries.contains(&"libc.so.6".to_owned()), "{:?}", needs.libraries);
    }

    #[test]
    fn what_is_no_program_or_cut_short_is_refused() {
        assert!(matches!(needs(b"#!/bin/sh"), Err(ElfError::Format)));
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for length in [6, 40, 60, 100, 300] {
            assert!(matches!(needs(&file[..length]), Err(ElfError::Damaged)), "{length}");
        }
    }
}
