//! lvm2's command library (`lvm2cmd.h`): its command line inside a process.
//!
//! It is no library to live with. It sets the process's umask to 077, keeps options from one
//! command to the next, and has one state for the whole process, so that only one instance and
//! one thread may use it. It belongs in a process of its own that runs one command and ends;
//! `imgbase-liblvm` is that.

mod bindings;
mod line;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// How much a message of the library matters (`LVM2_LOG_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The library cannot go on.
    Fatal,
    /// A command fails for it.
    Error,
    /// What the command prints, warnings included.
    Print,
    /// Everything else.
    Detail,
}

impl Level {
    fn of(number: c_int) -> Self {
        match u32::try_from(number) {
            Ok(..=bindings::LVM2_LOG_FATAL) => Self::Fatal,
            Ok(bindings::LVM2_LOG_ERROR) => Self::Error,
            Ok(bindings::LVM2_LOG_PRINT) => Self::Print,
            _ => Self::Detail,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fatal => "fatal",
            Self::Error => "error",
            Self::Print => "print",
            Self::Detail => "detail",
        })
    }
}

/// A line that the library says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// How much it matters.
    pub level: Level,
    /// The line.
    pub text: String,
}

/// Why nothing came of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There is an instance in this process already.
    Running,
    /// The library could not be initialised.
    Init,
    /// A word that no command line can carry: with a NUL, or with both kinds of quotes.
    Word,
    /// The library knows no such command.
    NoSuchCommand,
    /// The command does not take these words.
    Words,
    /// The command failed: its messages say why.
    Failed,
    /// It returned what the header does not name.
    Unknown(i32),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("lvm2's library is in use in this process already"),
            Self::Init => f.write_str("lvm2's library could not be initialised"),
            Self::Word => f.write_str("lvm2's command line cannot carry such a word"),
            Self::NoSuchCommand => f.write_str("lvm2's library has no such command"),
            Self::Words => f.write_str("lvm2's command does not take these words"),
            Self::Failed => f.write_str("lvm2's command failed"),
            Self::Unknown(code) => write!(f, "lvm2's library returned {code}"),
        }
    }
}

impl std::error::Error for Failure {}

/// True while there is an instance.
static RUNNING: AtomicBool = AtomicBool::new(false);

/// What was said since it was last asked for. The library gives its callback nothing to tell
/// instances apart by, and there is only one.
static SAID: Mutex<Vec<Message>> = Mutex::new(Vec::new());

extern "C" fn hear(
    level: c_int,
    _file: *const c_char,
    _line: c_int,
    _errno: c_int,
    message: *const c_char,
) {
    let level = Level::of(level);
    if level == Level::Detail || message.is_null() {
        return;
    }
    // SAFETY: the library passes a string that ends and lives as long as this call.
    let text = unsafe { CStr::from_ptr(message) };
    let text = text.to_string_lossy().into_owned();
    SAID.lock().unwrap_or_else(PoisonError::into_inner).push(Message { level, text });
}

/// The library, initialised. There is one at a time, and it stays on its thread.
#[derive(Debug)]
pub struct Lvm {
    handle: NonNull<c_void>,
    here: PhantomData<*const ()>,
}

impl Lvm {
    /// Initialises the library, which changes the process's umask.
    ///
    /// # Errors
    /// [`Failure::Running`], [`Failure::Init`].
    pub fn start() -> Result<Self, Failure> {
        if RUNNING.swap(true, Ordering::AcqRel) {
            return Err(Failure::Running);
        }
        // SAFETY: `hear` is a function for the whole life of the process.
        unsafe { bindings::lvm2_log_fn(Some(hear)) };
        // SAFETY: nobody else uses the library: `RUNNING` was false.
        let handle = unsafe { bindings::lvm2_init() };
        let Some(handle) = NonNull::new(handle) else {
            RUNNING.store(false, Ordering::Release);
            return Err(Failure::Init);
        };
        // SAFETY: the handle is the one that the library just gave.
        unsafe { bindings::lvm2_disable_dmeventd_monitoring(handle.as_ptr()) };
        Ok(Self { handle, here: PhantomData })
    }

    /// Runs a command and gives what it says. Each word reaches it as one, whatever is in it.
    ///
    /// # Errors
    /// A [`Failure`], with what was said.
    pub fn run(&mut self, words: &[&str]) -> Result<Vec<Message>, (Failure, Vec<Message>)> {
        let line = line::of(words).and_then(|line| CString::new(line).ok());
        let line = line.ok_or((Failure::Word, Vec::new()))?;
        // SAFETY: the handle is alive, the line ends in a NUL and outlives the call, and the
        // library is on this thread alone.
        let code = unsafe { bindings::lvm2_run(self.handle.as_ptr(), line.as_ptr()) };
        let said = std::mem::take(&mut *SAID.lock().unwrap_or_else(PoisonError::into_inner));
        match u32::try_from(code) {
            Ok(bindings::LVM2_COMMAND_SUCCEEDED) => Ok(said),
            Ok(bindings::LVM2_NO_SUCH_COMMAND) => Err((Failure::NoSuchCommand, said)),
            Ok(bindings::LVM2_INVALID_PARAMETERS) => Err((Failure::Words, said)),
            Ok(bindings::LVM2_INIT_FAILED) => Err((Failure::Init, said)),
            Ok(bindings::LVM2_PROCESSING_FAILED) => Err((Failure::Failed, said)),
            _ => Err((Failure::Unknown(code), said)),
        }
    }
}

impl Drop for Lvm {
    fn drop(&mut self) {
        // SAFETY: the handle is alive and not used again.
        unsafe { bindings::lvm2_exit(self.handle.as_ptr()) };
        RUNNING.store(false, Ordering::Release);
    }
}

/// The version of libdevmapper, which comes with the library.
pub fn devmapper_version() -> Option<String> {
    let mut version = [0; 64];
    // SAFETY: the buffer has the size that is passed with it, and the function ends the string
    // inside.
    let known = unsafe { bindings::dm_get_library_version(version.as_mut_ptr(), version.len()) };
    let bytes: Vec<u8> = version.iter().map(|&byte| byte.cast_unsigned()).collect();
    let text = CStr::from_bytes_until_nul(&bytes).ok()?;
    (known != 0).then(|| text.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test: the library is the process's own.
    #[test]
    fn commands_are_run_and_heard() {
        let mut lvm = Lvm::start().expect("the library is there");
        assert_eq!(Lvm::start().expect_err("it is in use"), Failure::Running);
        let said = lvm.run(&["version"]).expect("every lvm2 has this");
        assert!(said.iter().any(|it| it.text.contains("LVM version")), "{said:?}");
        let (failure, _) = lvm.run(&["nonsense"]).expect_err("there is none");
        assert_eq!(failure, Failure::NoSuchCommand);
        let (failure, said) = lvm.run(&["vgcfgbackup", "no such group"]).expect_err("no name");
        assert!(matches!(failure, Failure::Failed | Failure::Words), "{failure:?}");
        assert!(said.iter().any(|it| it.level == Level::Error), "{said:?}");
        assert_eq!(lvm.run(&["a\0b"]).expect_err("a NUL").0, Failure::Word);
        drop(lvm);
        drop(Lvm::start().expect("it can be started again"));
        assert!(devmapper_version().is_some_and(|version| version.starts_with("1.")));
    }
}
