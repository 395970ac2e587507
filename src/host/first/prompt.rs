//! Asks whoever sits at the console what to start.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, IsTerminal};

use super::voice::say;
use crate::first::request::Root;
use crate::host::{BootLoader, Host, HostConfig};
use crate::ops::Imgbase;

/// What was answered.
pub(super) enum Answer {
    /// The same once more.
    Again,
    /// This one.
    Start(Root),
    /// The machine is to start again.
    Restart,
    /// There is no console, or nobody at it.
    Nobody,
}

/// Lists what could be started and waits for a choice. Once the first file system is `left` there
/// is none.
pub(super) fn ask(left: bool) -> Answer {
    let Some(console) = console() else { return Answer::Nobody };
    let roots = if left { Vec::new() } else { startable() };
    let mut lines = BufReader::new(console).lines();
    loop {
        show(&roots, left);
        let Some(Ok(line)) = lines.next() else { return Answer::Nobody };
        if let Some(answer) = read(line.trim(), &roots, left) {
            return answer;
        }
    }
}

/// The console, where it is one that somebody can type at.
fn console() -> Option<File> {
    let console = OpenOptions::new().read(true).write(true).open("/dev/console").ok()?;
    console.is_terminal().then_some(console)
}

fn startable() -> Vec<Root> {
    let host = Host::new(HostConfig {
        before_udev: true,
        loader: BootLoader::None,
        ..HostConfig::default()
    });
    let roots = host.and_then(|host| Imgbase::new(host.machine()).startable());
    roots.inspect_err(|error| say::warning(&error.to_string())).unwrap_or_default()
}

fn show(roots: &[Root], left: bool) {
    for (number, root) in (1..).zip(roots) {
        say::ask(&format!("imgbase: {number:>3}  {root}\r\n"));
    }
    let choice = match (roots.is_empty(), left) {
        (_, true) => "r starts the machine again",
        (true, _) => "no layer is there; Enter tries again, r starts the machine again",
        (false, _) => {
            "the number of a layer starts it, Enter tries again, r starts the machine again"
        }
    };
    say::ask(&format!("imgbase: {choice}\r\nimgbase> "));
}

/// What a line means; `None` for nothing.
fn read(line: &str, roots: &[Root], left: bool) -> Option<Answer> {
    match line {
        "r" | "R" => Some(Answer::Restart),
        "" if !left => Some(Answer::Again),
        _ => {
            let place = line.parse::<usize>().ok()?.checked_sub(1)?;
            roots.get(place).cloned().map(Answer::Start)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbers_or_letters() {
        let root = |lv: &str| Root { vg: None, lv: lv.parse().expect("a name") };
        let roots = [root("a"), root("b")];
        assert!(matches!(read("2", &roots, false), Some(Answer::Start(it)) if it == roots[1]));
        assert!(matches!(read("", &roots, false), Some(Answer::Again)));
        assert!(matches!(read("r", &[], true), Some(Answer::Restart)));
        for line in ["0", "3", "-1", "x", "99999999999999999999"] {
            assert!(read(line, &roots, false).is_none(), "{line}");
        }
        assert!(read("", &[], true).is_none());
    }
}
