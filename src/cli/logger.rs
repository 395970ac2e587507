//! The library's log, on standard error in the form of everything else there.

use std::sync::Arc;

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::render::Console;
use super::settings::Loudness;

struct Logger(Arc<Console>);

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let message = record.args().to_string();
        match record.level() {
            Level::Error | Level::Warn => self.0.warning(&message),
            level => self.0.log(level, record.target(), &message),
        }
    }

    fn flush(&self) {}
}

/// Sends the library's log to the console. Only the first call counts.
pub(crate) fn install(console: &Arc<Console>, loudness: Loudness) {
    let logger: &'static Logger = Box::leak(Box::new(Logger(Arc::clone(console))));
    if log::set_logger(logger).is_ok() {
        log::set_max_level(level(loudness));
    }
}

fn level(loudness: Loudness) -> LevelFilter {
    match loudness {
        Loudness::Quiet => LevelFilter::Error,
        Loudness::Normal => LevelFilter::Warn,
        Loudness::Verbose => LevelFilter::Info,
        Loudness::Debug => LevelFilter::Debug,
    }
}
