//! lvm2's file locks: a file for each volume group and one for all, locked with `flock` and
//! unlinked when let go (lvm2's `file_locking.c` and `lvm-flock.c` by behaviour).

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, Flock, FlockArg, fcntl};

use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::machine::{Held, LockMode};

/// The first and the longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

/// The folder that lvm2 keeps its locks in.
#[derive(Clone, Debug)]
pub(super) struct LockFolder {
    dir: PathBuf,
    timeout: Duration,
    /// Whether programs that are started hold the locks too.
    inherited: bool,
}

impl LockFolder {
    /// Locks in `dir`, each waited for no longer than `timeout`.
    pub(super) fn new(dir: impl Into<PathBuf>, timeout: Duration) -> Self {
        Self { dir: dir.into(), timeout, inherited: false }
    }

    /// The same with locks that programs started under them hold too, to their end.
    #[cfg(feature = "liblvm")]
    pub(super) fn inherited(self) -> Self {
        Self { inherited: true, ..self }
    }

    /// Takes the lock of this name: `V_NAME` of a volume group, `P_global` of their set. The
    /// folder is made where it is not there.
    ///
    /// # Errors
    /// [`Busy`](ErrorKind::Busy) after the timeout, naming the file and who holds it;
    /// [`Denied`](ErrorKind::Denied), [`Io`](ErrorKind::Io).
    pub(super) fn lock(&self, name: &str, mode: LockMode) -> Result<Box<dyn Held>> {
        let until = Instant::now().checked_add(self.timeout);
        let path = self.dir.join(name);
        // A waiting writer keeps this one, and so holds back readers that come after it.
        let aux = self.dir.join(format!("{name}:aux"));
        let aux = match obtain(&aux, LockMode::Exclusive, until) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.make_folder()?;
                obtain(&aux, LockMode::Exclusive, until)?
            }
            obtained => obtained?,
        };
        let aux = (mode == LockMode::Exclusive).then_some(aux);
        let lock = obtain(&path, mode, until)?;
        drop(aux);
        if self.inherited {
            lock.let_inherit().context("lock", path.display())?;
        }
        Ok(Box::new(lock))
    }
}

impl LockFolder {
    /// Who holds the lock of that name; nothing is made or waited for.
    pub(super) fn holder(&self, name: &str) -> Option<String> {
        let file = File::open(self.dir.join(name)).ok()?;
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Ok(_free) => None,
            Err((file, _)) => Some(holder(&file).unwrap_or_else(|| "another process".to_owned())),
        }
    }

    fn make_folder(&self) -> Result<()> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.dir);
        made.context("make lvm2's folder of locks", self.dir.display())
    }
}

/// A lock file that is locked, and unlinked when dropped by its last holder.
struct FileLock {
    path: PathBuf,
    mode: LockMode,
    file: Option<Flock<File>>,
}

impl Held for FileLock {}

impl FileLock {
    fn let_inherit(&self) -> io::Result<()> {
        match &self.file {
            Some(file) => Ok(fcntl(&**file, FcntlArg::F_SETFD(FdFlag::empty())).map(drop)?),
            None => Ok(()),
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        let Some(held) = self.file.take() else { return };
        // Other readers may hold it too, and only its last holder, who gets it alone now, unlinks
        // it. A writer is alone already.
        let alone = match self.mode {
            LockMode::Exclusive => held,
            LockMode::Shared => {
                let Ok(file) = held.unlock() else { return };
                let Ok(alone) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else { return };
                alone
            }
        };
        if is_same(&alone, &self.path).unwrap_or(false)
            && let Err(error) = fs::remove_file(&self.path)
        {
            log::debug!("{}: {error}", self.path.display());
        }
    }
}

/// True where the path still names the open file.
fn is_same(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o777).open(path)
}

/// What one try came to.
enum Try {
    Locked(FileLock),
    /// Held by another: who, where that is known.
    Held(Option<String>),
    /// Its file was unlinked meanwhile.
    Gone,
}

fn attempt(path: &Path, mode: LockMode) -> io::Result<Try> {
    let how = match mode {
        LockMode::Shared => FlockArg::LockSharedNonblock,
        LockMode::Exclusive => FlockArg::LockExclusiveNonblock,
    };
    let file = match Flock::lock(open(path)?, how) {
        Ok(file) => file,
        Err((file, Errno::EWOULDBLOCK)) => return Ok(Try::Held(holder(&file))),
        Err((_, Errno::EINTR)) => return Ok(Try::Gone),
        Err((_, error)) => return Err(error.into()),
    };
    if is_same(&file, path)? {
        return Ok(Try::Locked(FileLock { path: path.to_owned(), mode, file: Some(file) }));
    }
    Ok(Try::Gone)
}

fn obtain(path: &Path, mode: LockMode, until: Option<Instant>) -> Result<FileLock> {
    let mut pause = PAUSES.0;
    loop {
        let by = match attempt(path, mode).context("lock", path.display())? {
            Try::Locked(lock) => return Ok(lock),
            Try::Held(by) => by,
            Try::Gone => None,
        };
        if until.is_some_and(|until| Instant::now() >= until) {
            let by = by.unwrap_or_else(|| "another process".to_owned());
            let why = format!("it is locked by {by}");
            return Err(Error::new(ErrorKind::Busy, why).op("lock").at(path.display()));
        }
        std::thread::sleep(pause);
        pause = pause.saturating_mul(2).min(PAUSES.1);
    }
}

/// Who holds a lock on the file, by `/proc/locks`: `process 12 (vgs)`.
fn holder(file: &File) -> Option<String> {
    let inode = file.metadata().ok()?.ino();
    let device = file.metadata().ok()?.dev();
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let exact = format!("{major:02x}:{minor:02x}:{inode}");
    let pid = pid_of(&locks, &|object| object == exact).or_else(|| {
        // Where the file system shows another device number to stat (btrfs, overlayfs).
        let inode = format!(":{inode}");
        pid_of(&locks, &|object| object.ends_with(&inode))
    })?;
    Some(match command_of(pid) {
        Some(command) => format!("process {pid} ({command})"),
        None => format!("process {pid}"),
    })
}

/// What a process runs, where it is there.
pub(super) fn command_of(pid: u32) -> Option<String> {
    let command = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(command.trim().to_owned())
}

/// `1: FLOCK  ADVISORY  WRITE 734 00:19:1234 0 EOF`; a waiting process has `->` after the number.
fn pid_of(locks: &str, is_it: &dyn Fn(&str) -> bool) -> Option<u32> {
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        if words.next()? != "FLOCK" {
            return None;
        }
        let pid = words.nth(2)?.parse().ok()?;
        is_it(words.next()?).then_some(pid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use LockMode::{Exclusive, Shared};

    fn folder(millis: u64) -> (tempfile::TempDir, LockFolder) {
        let dir = tempfile::tempdir().expect("a folder");
        let locks = LockFolder::new(dir.path().join("a/lvm"), Duration::from_millis(millis));
        (dir, locks)
    }

    #[test]
    fn a_reader_is_beside_readers_and_a_writer_alone() {
        let (_dir, locks) = folder(30);
        let first = locks.lock("V_vg", Shared).expect("free");
        let second = locks.lock("V_vg", Shared).expect("readers go together");
        let error = locks.lock("V_vg", Exclusive).map(|_| ()).expect_err("readers hold it");
        assert_eq!(error.kind(), ErrorKind::Busy);
        drop(first);
        assert!(locks.lock("V_vg", Exclusive).is_err());
        drop(second);
        let _alone = locks.lock("V_vg", Exclusive).expect("free");
        assert!(locks.lock("V_vg", Shared).is_err());
        let _other = locks.lock("P_global", Exclusive).expect("another lock");
    }

    #[test]
    fn files_are_unlinked_and_the_folder_is_ours_alone() {
        let (_dir, locks) = folder(30);
        drop(locks.lock("V_vg", Exclusive).expect("free"));
        drop(locks.lock("V_vg", Shared).expect("free"));
        assert_eq!(fs::read_dir(&locks.dir).expect("there").count(), 0);
        let mode = fs::metadata(&locks.dir).expect("there").mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn the_holder_is_named() {
        let (_dir, locks) = folder(10);
        let _held = locks.lock("V_vg", Exclusive).expect("free");
        let error = locks.lock("V_vg", Exclusive).map(|_| ()).expect_err("held").to_string();
        assert!(error.contains("a/lvm/V_vg"), "{error}");
        let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
        if locks.contains("FLOCK") {
            assert!(error.contains(&format!("process {} (", std::process::id())), "{error}");
        }
    }

    #[test]
    fn a_waiting_writer_holds_new_readers_back() {
        let (_dir, locks) = folder(2000);
        let reader = locks.lock("V_vg", Shared).expect("free");
        let writer = locks.clone();
        let waiting = std::thread::spawn(move || writer.lock("V_vg", Exclusive).map(drop));
        while !locks.dir.join("V_vg:aux").exists() {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_millis(20));
        let hasty = LockFolder::new(&locks.dir, Duration::from_millis(20));
        assert!(hasty.lock("V_vg", Shared).is_err());
        drop(reader);
        waiting.join().expect("no panic").expect("it gets its turn");
    }

    #[test]
    fn two_threads_are_never_in_it_together() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let (_dir, locks) = folder(20_000);
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let held = locks.lock("V_vg", Exclusive).expect("in time");
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(held);
                    }
                });
            }
        });
    }

    #[test]
    fn a_holder_is_found_and_a_waiter_is_not_taken_for_it() {
        let locks = "1: POSIX  ADVISORY  WRITE 5 08:01:77 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 6 08:01:77 0 EOF\n\
                     3: FLOCK  ADVISORY  READ 734 08:01:77 0 EOF\n";
        assert_eq!(pid_of(locks, &|object| object == "08:01:77"), Some(734));
        assert_eq!(pid_of(locks, &|object| object == "08:01:78"), None);
    }
}
