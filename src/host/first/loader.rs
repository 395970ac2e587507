//! Loads the modules that lie beside the first process.

use std::ffi::CString;
use std::io::Read;

use rustix::io::Errno;
use rustix::system::finit_module;

use super::places::Home;
use super::voice::say;
use crate::first::cmdline::Words;
use crate::first::modules::{ListedModule, ModuleList};

/// The folder beside the program, and the list in it.
const FOLDER: &str = "modules";
const LIST: &str = "modules/list";

/// Modules that wait to be loaded.
pub(super) struct Loader {
    modules: Vec<(ListedModule, std::fs::File)>,
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
        let open = |module: ListedModule| {
            let file = home.open_beside(&format!("{FOLDER}/{}", module.file));
            let failed = |error: &_| say::warning(&format!("{}: {error}", module.file));
            let file = file.inspect_err(failed).ok()?;
            Some((module, file))
        };
        Self { modules: ModuleList::parse(&text).0.into_iter().filter_map(open).collect(), words }
    }

    /// Loads those that the disks need for all that is known.
    pub(super) fn load_needed(&mut self) {
        let (spare, needed) = self.modules.drain(..).partition(|(module, _)| module.spare);
        self.modules = spare;
        self.load(needed);
    }

    /// Loads all that are left; false where none was.
    pub(super) fn load_spare(&mut self) -> bool {
        let left = std::mem::take(&mut self.modules);
        let any = !left.is_empty();
        self.load(left);
        any
    }

    /// True while some wait.
    pub(super) fn has_spare(&self) -> bool {
        !self.modules.is_empty()
    }

    fn load(&self, modules: Vec<(ListedModule, std::fs::File)>) {
        for (module, file) in modules {
            let name = module.name();
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
