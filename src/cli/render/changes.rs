//! Changes between two images, printed as they are found: there may be more
//! of them than fit into memory.

use imgbase::Result;
use imgbase::diff::{Change, ChangeKind};

use super::{Data, Format, json};

/// A list of changes that is being printed.
pub(crate) struct Changes<'d> {
    data: &'d Data,
    format: Format,
    begun: bool,
}

impl<'d> Changes<'d> {
    /// Prints nothing yet, so that an early failure leaves standard output empty.
    pub(super) fn new(data: &'d Data, format: Format) -> Self {
        Self { data, format, begun: false }
    }

    /// Prints one.
    pub(crate) fn each(&mut self, change: &Change) -> Result<()> {
        let first = !std::mem::replace(&mut self.begun, true);
        self.data.write(|out| match self.format {
            Format::Text => writeln!(out, "{}", text_line(change)),
            Format::Json => {
                let before = if first { json::open_list("diff", "changes") } else { ",\n".into() };
                write!(out, "{before}{}", json::compact(change))
            }
        })
    }

    /// Ends the list. An unfinished one says so, and is left out altogether if it is empty.
    pub(crate) fn end(self, complete: bool) -> Result<()> {
        if self.format == Format::Text || !(complete || self.begun) {
            return Ok(());
        }
        let before = if self.begun { String::new() } else { json::open_list("diff", "changes") };
        self.data.write(|out| writeln!(out, "{before}],\"complete\":{complete}}}"))
    }
}

/// `~ /etc/hosts (content, mode)`
pub(super) fn text_line(change: &Change) -> String {
    let path = &change.path;
    match change.kind {
        ChangeKind::Added => format!("+ {path}"),
        ChangeKind::Removed => format!("- {path}"),
        ChangeKind::Changed(what) => format!("~ {path} ({what})"),
    }
}
