//! Loads the modules that lie beside the first process.

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::thread;

use rustix::io::Errno;
use rustix::system::finit_module;

use super::places::Home;
use super::voice::say;
use crate::first::cmdline::Words;
use crate::first::modules::{ModuleList, name_of};

/// The folder beside the program, and the list in it.
const FOLDER: &str = "modules";
const LIST: &str = "modules/list";

/// A module's name and its open file.
type Module = (String, File);

/// Modules that wait to be loaded.
pub(super) struct Loader {
    rows: Vec<Vec<Module>>,
    spare: Vec<Module>,
    words: Words,
}

impl Loader {
    /// Opens all that are listed; without a list there is none.
    pub(super) fn read(home: &Home, words: Words) -> Self {
        let mut text = String::new();
        let read = home.open_beside(LIST).and_then(|mut list| list.read_to_string(&mut text));
        if let Err(error) = read {
            log::debug!("{LIST}: {error}");
        }
        let ModuleList { rows, spare } = ModuleList::parse(&text);
        let rows = rows.iter().map(|row| open_all(home, row)).collect();
        Self { rows, spare: open_all(home, &spare), words }
    }

    /// Loads those that the disks need for all that is known, rows side by side.
    pub(super) fn load_needed(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        let load = |row: Vec<Module>| self.load(row);
        thread::scope(|scope| {
            let mut rows = rows.into_iter();
            let first = rows.next();
            rows.for_each(|row| drop(scope.spawn(move || load(row))));
            first.into_iter().for_each(load);
        });
    }

    /// True while some wait that may not be needed.
    pub(super) fn has_spare(&self) -> bool {
        !self.spare.is_empty()
    }

    /// Loads those.
    pub(super) fn load_spare(&mut self) {
        let spare = std::mem::take(&mut self.spare);
        self.load(spare);
    }

    fn load(&self, modules: Vec<Module>) {
        for (name, file) in modules {
            if self.words.forbids(&name) {
                log::info!("{name} is forbidden by the command line");
                continue;
            }
            // No NUL comes out of the command line.
            let parameters = CString::new(self.words.parameters_of(&name)).unwrap_or_default();
            match finit_module(&file, &parameters, 0) {
                // It is there, or this machine has nothing for it.
                Ok(()) | Err(Errno::EXIST | Errno::NODEV) => log::debug!("{name} is loaded"),
                // What needs it will say so.
                Err(errno) => say::warning(&format!("cannot load the module {name}: {errno}")),
            }
        }
    }
}

fn open_all(home: &Home, files: &[String]) -> Vec<Module> {
    let open = |file: &String| match home.open_beside(&format!("{FOLDER}/{file}")) {
        Ok(open) => Some((name_of(file), open)),
        Err(error) => {
            say::warning(&format!("{FOLDER}/{file}: {error}"));
            None
        }
    };
    files.iter().filter_map(open).collect()
}
