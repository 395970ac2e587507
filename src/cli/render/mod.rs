//! Everything that is printed, and nothing else: answers on standard output,
//! as [`text`] or [`json`], and what is for people on the [`Console`].

mod bar;
mod boot;
mod changes;
mod console;
mod data;
mod json;
pub(crate) mod text;
mod tree;

pub(crate) use console::Console;
pub(crate) use data::Data;

/// How data is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Lines for people and simple scripts.
    Text,
    /// One JSON object.
    Json,
}

/// The text with control characters escaped: one line, whatever a disk put into it.
fn printable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// True where colours may go to this stream.
fn colours(is_terminal: bool) -> bool {
    let asked_not = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    is_terminal && !asked_not && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests;
