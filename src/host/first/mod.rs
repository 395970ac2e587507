//! The first process of a machine: what stands between the kernel and a root that is a volume.
//!
//! It starts in one of two ways: as `/init` of an archive that the kernel has unpacked into its
//! first file system, or by `init=` from a small partition, without any archive. Either way it
//! mounts what it needs, loads the modules that lie beside it, waits for the disks, activates and
//! mounts the volume that the kernel's command line names, and becomes that system's own first
//! program. Where that fails it says why, and asks what to do or starts the machine again.

mod events;
mod loader;
mod places;
mod prompt;
mod root;
mod switch;
mod voice;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use rustix::system::{RebootCommand, reboot};

use self::events::Events;
use self::loader::Loader;
use self::places::Home;
use self::root::Seeker;
use self::voice::say;
use super::{BootLoader, Host, HostConfig};
use crate::error::{IoContext, Result};
use crate::first::cmdline::Words;
use crate::first::request::{OnFailure, Request};
use crate::ops::Imgbase;

/// Where the kernel tells how it was started.
const COMMAND_LINE: &str = "/proc/cmdline";

/// How long a message stands where the command line could not be read.
const PAUSE: Duration = Duration::from_secs(10);

/// True where the kernel has started this process as the machine's first one. In a container a
/// command may be process 1 as well; there somebody has mounted `/proc`.
pub fn is_first() -> bool {
    let program = std::env::args_os().next().unwrap_or_default();
    let as_init = Path::new(&program).file_name().is_some_and(|name| name == "init");
    std::process::id() == 1 && (as_init || !Path::new("/proc/self").exists())
}

/// Starts the system. It never returns: at the worst the machine starts again.
pub fn main() -> ! {
    let program = std::env::args_os().next().unwrap_or_default();
    std::panic::set_hook(Box::new(|panic| say::failure(&format!("{panic}"))));
    let pause = match prepare(program) {
        Ok(mut first) => first.run(),
        Err(error) => {
            // Nobody knows what is wanted then.
            say::failure(&error.to_string());
            PAUSE
        }
    };
    restart(pause)
}

/// Everything that is there before the disks.
fn prepare(program: OsString) -> Result<First> {
    let home = Home::settle(Path::new(&program))?;
    say::open();
    let text = std::fs::read(COMMAND_LINE).context("read the command line", COMMAND_LINE)?;
    let words = Words::parse(String::from_utf8_lossy(&text).trim());
    let request = Request::read(&words, &program.to_string_lossy());
    voice::install(request.debug);
    request.odd.iter().for_each(|odd| say::warning(odd));
    // Before any module is loaded, so that no event is missed.
    let events = Events::listen()?;
    let loader = Loader::read(&home, words);
    Ok(First { home, request, events, loader })
}

/// A first process that is ready to look for its root.
struct First {
    home: Home,
    request: Request,
    events: Events,
    loader: Loader,
}

impl First {
    /// Starts the system. Where it returns, the machine is to start again after that time.
    fn run(&mut self) -> Duration {
        self.loader.load_needed();
        loop {
            let Err(error) = self.start();
            say::failure(&error.to_string());
            if self.request.on_failure == OnFailure::Reboot {
                return self.request.pause;
            }
            match prompt::ask(self.home.is_left()) {
                prompt::Answer::Again => {}
                prompt::Answer::Start(root) => self.request.root = Some(root),
                prompt::Answer::Restart => return Duration::ZERO,
                prompt::Answer::Nobody => return self.request.pause,
            }
        }
    }

    fn start(&mut self) -> Result<std::convert::Infallible> {
        let host = Host::new(HostConfig {
            before_udev: true,
            loader: BootLoader::None,
            ..HostConfig::default()
        })?;
        let imgbase = Imgbase::new(host.machine());
        let mut seeker = Seeker {
            imgbase: &imgbase,
            request: &self.request,
            events: &mut self.events,
            loader: &mut self.loader,
        };
        let started = seeker.mount(Path::new(places::ROOT))?;
        let program = switch::find_program(self.request.init.as_deref());
        let program = program.inspect_err(|_| root::put_back(&imgbase, &started))?;
        let what = format!("{}/{}", started.vg, started.lv);
        say::progress(&format!("{what} is the root, {program} starts"));
        drop(imgbase);
        switch::into_root(&mut self.home)?;
        switch::exec(&program)
    }
}

/// Waits and starts the machine again.
fn restart(after: Duration) -> ! {
    if !after.is_zero() {
        say::failure(&format!("the machine starts again in {} s", after.as_secs()));
        sleep(after);
    }
    rustix::fs::sync();
    loop {
        let Err(error) = reboot(RebootCommand::Restart) else { continue };
        say::failure(&format!("the machine cannot start again by itself: {error}"));
        sleep(Duration::from_secs(60));
    }
}

/// Where a program was started from: the folder of its path.
fn folder_of(program: &Path) -> PathBuf {
    program.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned)
}
