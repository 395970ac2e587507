//! Changes between two images, printed as they are found: there may be more
//! of them than fit into memory.

use imgbase::Result;
use imgbase::diff::{Change, ChangeKind};
use serde::Serialize;

use super::{Data, Format, json, printable};

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
                write!(out, "{before}{}", json_item(change))
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
    let mark = match change.kind {
        ChangeKind::Added => '+',
        ChangeKind::Removed => '-',
        ChangeKind::Changed => '~',
    };
    let path = printable(&String::from_utf8_lossy(&change.path));
    match change.what.is_empty() {
        true => format!("{mark} {path}"),
        false => format!("{mark} {path} ({})", printable(&change.what)),
    }
}

/// A change in JSON.
#[derive(Serialize)]
struct Item<'c> {
    kind: ChangeKind,
    /// With U+FFFD for bytes that are not UTF-8.
    path: String,
    /// The path's bytes where they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    what: &'c str,
}

pub(super) fn json_item(change: &Change) -> String {
    let lossless = std::str::from_utf8(&change.path).is_ok();
    let hex = || change.path.iter().map(|byte| format!("{byte:02x}")).collect();
    json::compact(&Item {
        kind: change.kind,
        path: String::from_utf8_lossy(&change.path).into_owned(),
        path_hex: (!lossless).then(hex),
        what: &change.what,
    })
}
