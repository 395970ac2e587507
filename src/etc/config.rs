//! Files of configuration: sections, keys and values, a value going on in lines that begin with a
//! blank.

use crate::error::{Error, ErrorKind, Result};

/// Calls `set` with section, key and value of each line; what fails names the file and the line.
///
/// # Errors
/// What `set` gives.
pub(crate) fn each_setting(
    text: &str,
    path: &str,
    set: &mut dyn FnMut(&str, &str, &str) -> Result<()>,
) -> Result<()> {
    let (mut section, mut key) = ("", "");
    for (number, line) in lines(text) {
        let word = line.trim();
        let name = word.strip_prefix('[').and_then(|word| word.strip_suffix(']'));
        let value = if line.starts_with([' ', '\t']) && !key.is_empty() {
            word
        } else if let Some(name) = name {
            (section, key) = (name.trim(), "");
            continue;
        } else {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            key = name.trim();
            value.trim()
        };
        set(section, key, value).map_err(|error| of_line(error, path, number))?;
    }
    Ok(())
}

/// Lines that say something, by number; the first one of a file is 1.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines()).filter(|(_, line)| !is_comment(line))
}

fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with(['#', ';'])
}

pub(super) fn of_line(error: Error, path: &str, number: usize) -> Error {
    error.op(format!("read {path}, line {number}"))
}

/// The error for a value, or a key, that is none of those that are known.
pub(crate) fn bad_word(word: &str, why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, why.into()).at(format_args!("'{word}'"))
}
