//! Which program is started in the root, and what it needs to start.

/// Where a system keeps its first program, in the order in which they are tried: the kernel's own
/// list without the shell, and systemd's place where nothing links to it.
const USUAL: [&str; 4] = ["/sbin/init", "/lib/systemd/systemd", "/etc/init", "/bin/init"];

/// The programs to try, in order. One that is named is the only one: something else would not be
/// what was asked for.
pub fn to_try(asked: Option<&str>) -> Vec<&str> {
    asked.map_or_else(|| USUAL.to_vec(), |asked| vec![asked])
}

/// So much of a file tells what it needs.
pub const HEAD: usize = 4096;

/// What a program needs beside itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing that its head tells.
    Nothing,
    /// Another program that loads or reads it.
    Interpreter(String),
    /// The kernel does not start such a file by itself.
    Unknown,
}

impl Needs {
    /// What the program that begins with these bytes needs: an ELF program its loader, a script
    /// what its first line names.
    pub fn of(head: &[u8]) -> Self {
        if let Some(line) = head.strip_prefix(b"#!") {
            return of_script(line);
        }
        match head.strip_prefix(b"\x7fELF") {
            Some(_) => loader(head).map_or(Self::Nothing, Self::Interpreter),
            None => Self::Unknown,
        }
    }
}

fn of_script(line: &[u8]) -> Needs {
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let interpreter = line.split([' ', '\t']).find(|word| !word.is_empty());
    interpreter.map_or(Needs::Unknown, |word| Needs::Interpreter(word.to_owned()))
}

// elf(5): of a 64-bit program, little-endian as on all that run this one.
const PHOFF: usize = 32;
const PHENTSIZE: usize = 54;
const PHNUM: usize = 56;
const PT_INTERP: u64 = 3;
/// Offset and size of what a program header is about.
const P_OFFSET: usize = 8;
const P_FILESZ: usize = 32;

/// The path in the program header `PT_INTERP`, where there is one within these bytes.
fn loader(head: &[u8]) -> Option<String> {
    const CLASS_64: u8 = 2;
    if *head.get(4)? != CLASS_64 {
        return None;
    }
    let table = usize::try_from(number::<8>(head, PHOFF)?).ok()?;
    let size = usize::try_from(number::<2>(head, PHENTSIZE)?).ok()?;
    let count = usize::try_from(number::<2>(head, PHNUM)?).ok()?;
    let headers = head.get(table..)?.chunks_exact(size.max(1)).take(count);
    let header = headers.into_iter().find(|it| number::<4>(it, 0) == Some(PT_INTERP))?;
    let at = usize::try_from(number::<8>(header, P_OFFSET)?).ok()?;
    let len = usize::try_from(number::<8>(header, P_FILESZ)?).ok()?;
    let path = head.get(at..at.checked_add(len)?)?;
    let path = path.split(|byte| *byte == 0).next()?;
    std::str::from_utf8(path).ok().map(str::to_owned)
}

/// `N` bytes at `at`, little-endian.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let field: &[u8; N] = bytes.get(at..)?.first_chunk()?;
    Some(field.iter().rev().fold(0, |value: u64, byte| value << 8 | u64::from(*byte)))
}

/// True for a program that runs by itself: one with a loader does not in an archive that has no
/// other file.
pub fn is_static(head: &[u8]) -> bool {
    Needs::of(head) == Needs::Nothing
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program with one header of that type, about the path behind it.
    fn elf(kind: u8, path: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        bytes[..5].copy_from_slice(b"\x7fELF\x02");
        bytes[PHOFF] = 64;
        bytes[PHENTSIZE] = 56;
        bytes[PHNUM] = 1;
        bytes[64] = kind;
        bytes[64 + P_OFFSET] = 120;
        bytes[64 + P_FILESZ] = u8::try_from(path.len()).expect("short");
        bytes.extend(path);
        bytes
    }

    #[test]
    fn what_is_named_is_the_only_one() {
        assert_eq!(to_try(Some("/bin/sh")), ["/bin/sh"]);
        assert_eq!(to_try(None).first(), Some(&"/sbin/init"));
    }

    #[test]
    fn a_program_needs_its_loader_and_a_script_its_shell() {
        let loader = |path: &str| Needs::Interpreter(path.to_owned());
        assert_eq!(Needs::of(&elf(3, b"/lib64/ld.so\0")), loader("/lib64/ld.so"));
        assert_eq!(Needs::of(&elf(1, b"/lib64/ld.so\0")), Needs::Nothing);
        assert!(is_static(&elf(1, b"")) && !is_static(&elf(3, b"/lib64/ld.so\0")));
        assert_eq!(Needs::of(b"#!/bin/sh -e\nexec x\n"), loader("/bin/sh"));
        assert_eq!(Needs::of(b"#! \t/bin/sh"), loader("/bin/sh"));
        for other in [&b""[..], b"#!", b"#!  \n/bin/sh", b"text", b"\x7fEL"] {
            assert_eq!(Needs::of(other), Needs::Unknown, "{other:?}");
        }
    }

    #[test]
    fn a_head_that_is_cut_or_lies_is_read_without_harm() {
        let whole = elf(3, b"/lib64/ld.so\0");
        for len in 0..whole.len() {
            let _ = Needs::of(&whole[..len]);
        }
        for place in 0..whole.len() {
            let mut wrong = whole.clone();
            wrong[place] = 0xff;
            let _ = Needs::of(&wrong);
        }
    }

    #[test]
    fn real_programs_are_understood() {
        let shell = std::fs::read("/bin/sh").expect("there");
        match Needs::of(&shell[..HEAD]) {
            Needs::Interpreter(path) => assert!(path.contains("ld"), "{path}"),
            Needs::Nothing => {}
            Needs::Unknown => panic!("a shell that is no program"),
        }
    }
}
