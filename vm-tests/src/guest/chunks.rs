//! Compares two devices in the chunks of a thin pool.

use std::fs::File;
use std::io::{self, Read};
use std::process::ExitCode;

/// As `layout --init` has them.
const CHUNK: usize = 64 << 10;

/// Prints in how many chunks the two differ, and how many there are that hold something in the first.
pub(super) fn print(one: &str, two: &str) -> ExitCode {
    match compare(one, two) {
        Ok((differ, used)) => {
            println!("{differ} {used}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("guest: chunks: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(one: &str, two: &str) -> io::Result<(u64, u64)> {
    let (mut one, mut two) = (File::open(one)?, File::open(two)?);
    let (mut differ, mut used) = (0, 0);
    loop {
        let chunks = [chunk(&mut one)?, chunk(&mut two)?];
        if chunks.iter().all(Vec::is_empty) {
            return Ok((differ, used));
        }
        let [one, two] = chunks;
        differ += u64::from(one != two);
        used += u64::from(one.iter().any(|byte| *byte != 0));
    }
}

/// The next chunk; less at the end.
fn chunk(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(CHUNK);
    file.take(CHUNK as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}
