//! Where the time of one `add_layer` and one `layout` goes, by the library's own log.

use std::sync::Mutex;
use std::time::Instant;

use imgbase::ops::Imgbase;
use log::{LevelFilter, Log, Metadata, Record};

use super::contest::{add, grow_idle, handle, host, remove};
use crate::error::{Doing, Fail, Result};

/// Keeps each message with the time since the one before: printing would take time itself.
struct Clock {
    lines: Mutex<Vec<(Instant, String)>>,
}

static CLOCK: Clock = Clock { lines: Mutex::new(Vec::new()) };

impl Log for Clock {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        note(format!("{}: {}", record.target(), record.args()));
    }

    fn flush(&self) {}
}

/// Prints both, and the former once more with five hundred layers.
pub(super) fn run() -> Result<()> {
    log::set_logger(&CLOCK).map_err(|error| Fail::new(error.to_string()))?;
    log::set_max_level(LevelFilter::Trace);
    let host = host()?;
    let imgbase = handle(&host)?;
    for _ in 0..5 {
        note("begin layout".into());
        imgbase.layout().doing("layout")?;
        note("end".into());
    }
    add_and_remove(&imgbase, "add_layer", 9)?;
    grow_idle(&imgbase, 500)?;
    add_and_remove(&imgbase, "add_layer at 500", 5)?;
    print();
    Ok(())
}

fn add_and_remove(imgbase: &Imgbase<'_>, what: &str, rounds: u32) -> Result<()> {
    for _ in 0..rounds {
        note(format!("begin {what}"));
        let added = add(imgbase)?;
        note("end".into());
        remove(imgbase, &added)?;
        note("removed".into());
    }
    Ok(())
}

fn note(line: String) {
    let mut lines = CLOCK.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    lines.push((Instant::now(), line));
}

fn print() {
    let lines = CLOCK.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut before = None;
    for (at, line) in lines.iter() {
        let micros = before.map_or(0, |before| at.duration_since(before).as_micros());
        println!("{micros:>9} us  {line}");
        before = Some(*at);
    }
}
