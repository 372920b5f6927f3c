//! As much of an executable's header as tells whether it runs in an image without libraries.

use anyhow::{Context, Result, ensure};

/// `e_machine` of the two architectures.
pub(crate) const X86_64: u16 = 62;
/// As [`X86_64`].
pub(crate) const AARCH64: u16 = 183;
/// The program header that names the dynamic linker.
const PT_INTERP: u32 = 3;

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) machine: u16,
    /// Whether it needs a dynamic linker.
    pub(crate) is_dynamic: bool,
}

/// Reads the header of a 64-bit little-endian executable.
pub(crate) fn parse(file: &[u8]) -> Result<Header> {
    ensure!(file.starts_with(b"\x7fELF\x02\x01"), "it is not a 64-bit little-endian ELF file");
    let table = usize::try_from(u64::from_le_bytes(bytes(file, 32)?)).context("the table is far out")?;
    let size = usize::from(u16::from_le_bytes(bytes(file, 54)?));
    let count = usize::from(u16::from_le_bytes(bytes(file, 56)?));
    let mut is_dynamic = false;
    for index in 0..count {
        let offset = table.checked_add(index * size).context("the table is far out")?;
        is_dynamic |= u32::from_le_bytes(bytes(file, offset)?) == PT_INTERP;
    }
    Ok(Header { machine: u16::from_le_bytes(bytes(file, 18)?), is_dynamic })
}

fn bytes<const N: usize>(file: &[u8], offset: usize) -> Result<[u8; N]> {
    let found = file.get(offset..).and_then(|rest| rest.first_chunk());
    found.copied().context("the file ends within its header")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_program_is_dynamic() {
        // Tests are linked dynamically.
        let header = parse(&std::fs::read("/proc/self/exe").unwrap()).unwrap();
        assert!(header.is_dynamic);
        assert!([X86_64, AARCH64].contains(&header.machine), "{header:?}");
    }

    #[test]
    fn what_is_cut_off_or_no_program_is_refused() {
        let file = std::fs::read("/proc/self/exe").unwrap();
        for length in [0, 5, 20, 60, 70] {
            parse(&file[..length]).unwrap_err();
        }
        parse(b"#!/bin/sh\n").unwrap_err();
    }
}
