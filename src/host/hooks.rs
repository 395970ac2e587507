//! Programs that work on a new layer, run where nobody else sees its tree: hooks, and what labels its
//! files.
//!
//! A thread of their own has a namespace of mounts of its own: there the trees are at folders, for
//! the programs that it starts too. What is mounted there ends with it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, PipeReader, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, chroot, getpid};
use rustix::fs::{CWD, MemfdFlags, OFlags, fcntl_setfl, memfd_create};
use rustix::mount::{MoveMountFlags, move_mount};

use super::mounts::{RealMounts, private};
use super::tools::search_path;
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::etc::{Hook, HookPlace, Labelling, MARK, hooks};
use crate::machine::{HookRun, Mounts};
use crate::root::Access;
use crate::tree::place::open_folder;

/// Where the trees are while hooks run.
const SEEN: &str = "/run/imgbase/hooks";
/// The folders there.
const CONFIG: &str = "config";
const OLD: &str = "old";
const NEW: &str = "new";
/// So much of what a hook says is kept.
const KEPT: usize = 64 << 10;
/// So long files may be labelled.
const LABEL_LIMIT: Duration = Duration::from_secs(600);
/// So long we listen before we look whether it has ended.
const SLICE_MS: u16 = 50;

/// Runs hooks, one after the other.
pub(super) fn run(run: &HookRun<'_>, cancelled: &dyn Fn() -> bool) -> Result<()> {
    aside("hooks", cancelled, |stop| apart(run, stop))
}

/// Labels what has come along in a new layer; gives why not where its program fails.
pub(super) fn label(
    labelling: &Labelling,
    new: (&Path, &str),
    cancelled: &dyn Fn() -> bool,
) -> Result<Option<String>> {
    let mut failure = None;
    aside("labels", cancelled, |stop| {
        let (seen, root) = (Path::new(SEEN), Path::new(SEEN).join(NEW));
        leave(seen).context("make a view of the new layer", SEEN)?;
        private::change_in(new.0, new.1, &mut |new| {
            show(new, &root, false).context("show the new layer", SEEN)?;
            let done = with_processes(&root).and_then(|()| label_in(&root, labelling, stop));
            failure = done.unwrap_or_else(|error| Some(error.to_string()));
            if failure.is_none() && labelling.marked {
                fs::remove_file(root.join(MARK)).context("remove the mark", MARK)?;
            }
            // What is still held here would be held longer than this call.
            let _ = umount2(&root, MntFlags::MNT_DETACH);
            Ok(())
        })
    })?;
    Ok(failure)
}

/// Shows a tree at `root` what the program needs to get at a file by its descriptor.
fn with_processes(root: &Path) -> Result<()> {
    let shown = open_folder(root, b"proc").and_then(|place| {
        let place = PathBuf::from(format!("/proc/self/fd/{}", place.as_raw_fd()));
        Ok(mount(Some("/proc"), &place, None::<&Path>, MsFlags::MS_BIND, None::<&Path>)?)
    });
    shown.context("show the processes", "/proc")
}

/// Runs the program of the tree at `root`, for which that is all there is.
fn label_in(root: &Path, labelling: &Labelling, stop: &AtomicBool) -> Result<Option<String>> {
    let list = patterns(labelling).context("make a list", "labels")?;
    let program = labelling.program;
    let mut command = Command::new(program);
    // All of a label is the policy's, also where the kernel knows none; the list has names of any bytes.
    command.args(["-F", "-m", "-0", "-f", "-", &labelling.contexts]).stdin(list);
    // It is only here that a thread has another root than the others.
    let begun = aside("root", &|| false, |_| {
        let apart = unshare(CloneFlags::CLONE_FS).and_then(|()| chroot(root));
        apart.map_err(io::Error::from).and_then(|()| begin(command)).context("run", program)
    })?;
    Ok(begun.wait(LABEL_LIMIT, stop).context("run", program)?.judged(program, LABEL_LIMIT))
}

/// The paths as the program takes them: it expands what a shell would.
fn patterns(labelling: &Labelling) -> io::Result<File> {
    let mut list = Vec::new();
    for path in &labelling.paths {
        for &byte in path.bytes() {
            if br"*?[]{}\".contains(&byte) {
                list.push(b'\\');
            }
            list.push(byte);
        }
        list.push(0);
    }
    let mut file = File::from(memfd_create("labels", MemfdFlags::CLOEXEC)?);
    file.write_all(&list)?;
    file.rewind()?;
    Ok(file)
}

/// Runs a thread of that name to its end; what it is given says once nobody wants it any more.
fn aside<T: Send>(
    name: &str,
    cancelled: &dyn Fn() -> bool,
    work: impl FnOnce(&AtomicBool) -> Result<T> + Send,
) -> Result<T> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let aside = thread::Builder::new().name(name.to_owned());
        let aside = aside.spawn_scoped(scope, || work(&stop)).context("start a thread", name)?;
        while !aside.is_finished() {
            if cancelled() {
                stop.store(true, Ordering::Relaxed);
            }
            thread::sleep(Duration::from_millis(1));
        }
        let died = |_| Err(Error::new(ErrorKind::Tool, "their thread died").at(name));
        aside.join().unwrap_or_else(died)
    })
}

fn apart(run: &HookRun<'_>, stop: &AtomicBool) -> Result<()> {
    let seen = Path::new(SEEN);
    leave(seen).context("make a view of the trees for hooks", SEEN)?;
    let with = |config: Option<&Path>| {
        RealMounts.look_into(run.old.0, run.old.1, &mut |old| {
            private::change_in(run.new.0, run.new.1, &mut |new| {
                let trees = [(CONFIG, config), (OLD, Some(old)), (NEW, Some(new))];
                let shown = trees.iter().try_for_each(|(name, tree)| match tree {
                    Some(tree) => show(tree, &seen.join(name), *name != NEW),
                    None => Ok(()),
                });
                let shown = shown.context("show the trees to hooks", SEEN);
                let done =
                    shown.and_then(|()| run.hooks.iter().try_for_each(|hook| one(hook, run, stop)));
                // What is still held here would be held longer than this call.
                for (name, _) in trees {
                    let _ = umount2(&seen.join(name), MntFlags::MNT_DETACH);
                }
                done
            })
        })
    };
    match run.config {
        Some((node, fs_type)) => {
            RealMounts.look_into(node, fs_type, &mut |config| with(Some(config)))
        }
        None => with(None),
    }
}

/// Leaves the mounts of all others, and makes the folders for ours.
fn leave(seen: &Path) -> io::Result<()> {
    fs::create_dir_all(seen)?;
    unshare(CloneFlags::CLONE_NEWNS)?;
    let (nothing, apart) = (None::<&Path>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
    mount(nothing, "/", nothing, apart, nothing)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), seen, Some("tmpfs"), flags, Some("mode=0700,size=64k"))?;
    [CONFIG, OLD, NEW].iter().try_for_each(|name| fs::create_dir(seen.join(name)))
}

/// Shows a tree that is mounted at no folder at one. Programs in it may be run.
fn show(tree: &Path, at: &Path, read_only: bool) -> io::Result<()> {
    move_mount(CWD, tree, CWD, at, MoveMountFlags::MOVE_MOUNT_F_SYMLINKS)?;
    let mut flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    flags.set(MsFlags::MS_RDONLY, read_only);
    let nothing = None::<&Path>;
    Ok(mount(nothing, at, nothing, flags, nothing)?)
}

/// Runs a hook: `NAME EVENT OLD_ROOT NEW_ROOT`.
fn one(hook: &Hook, run: &HookRun<'_>, stop: &AtomicBool) -> Result<()> {
    let place = match hook.place {
        HookPlace::Config => CONFIG,
        HookPlace::Layer => OLD,
    };
    let program = PathBuf::from(format!("{SEEN}/{place}{}/{}", hook.place.folder(), hook.name));
    let shown = format!("{}/{}", hook.place.folder(), hook.name);
    check(&program, &shown)?;
    log::info!("run the hook {shown}");
    let [old, new] = [OLD, NEW].map(|name| format!("{SEEN}/{name}"));
    let args = [run.event, &old, &new].map(OsStr::new);
    let ended = to_end(&program, &args, (run.limit, stop));
    let ended = ended.map_err(|error| {
        Error::new(ErrorKind::Tool, error).op("run it").at(format_args!("the hook {shown}"))
    })?;
    if ended.code == Code::Unwanted {
        let why = "it was stopped";
        return Err(Error::new(ErrorKind::Interrupted, why).at(format_args!("the hook {shown}")));
    }
    match ended.judged(&hook.name, run.limit) {
        None => Ok(()),
        Some(why) => Err(Error::new(ErrorKind::Tool, why).at(format_args!("the hook {shown}"))),
    }
}

/// Whether it is still what it was found to be, and no link: that would lead out of its tree.
fn check(program: &Path, shown: &str) -> Result<()> {
    let meta = fs::symlink_metadata(program).context("look at the hook", shown)?;
    let access = Access { uid: meta.uid(), mode: meta.mode() & 0o7777 };
    if !meta.is_file() {
        let why = "it is no file: a link would lead out of its tree";
        return Err(Error::new(ErrorKind::Denied, why).at(format_args!("the hook {shown}")));
    }
    if access.is_roots_alone() { Ok(()) } else { Err(hooks::not_roots(shown)) }
}

/// How a program ended.
#[derive(Debug, PartialEq, Eq)]
enum Code {
    Exit(i32),
    Signal,
    /// It was still running when its time was over.
    Late,
    /// It was still running when nobody wanted it any more.
    Unwanted,
}

struct Ended {
    code: Code,
    /// What it said, on either output.
    said: Vec<u8>,
}

impl Ended {
    /// Logs what it said; gives why it is of no use, with the last of that, where it has failed.
    fn judged(&self, name: &str, limit: Duration) -> Option<String> {
        let said = String::from_utf8_lossy(&self.said);
        said.lines().for_each(|line| log::info!("{name}: {line}"));
        let last = said.lines().rev().find(|line| !line.trim().is_empty());
        let last = last.map(|line| format!(": {}", line.trim())).unwrap_or_default();
        Some(match self.code {
            Code::Exit(0) => return None,
            Code::Exit(code) => format!("it ended with {code}{last}"),
            Code::Signal => format!("a signal ended it{last}"),
            Code::Late => format!("it was stopped after {} seconds{last}", limit.as_secs()),
            Code::Unwanted => "it was stopped".to_owned(),
        })
    }
}

/// Runs a program with a process group of its own, all of which ends with it, and with its time.
fn to_end(
    program: &Path,
    args: &[&OsStr],
    (limit, stop): (Duration, &AtomicBool),
) -> io::Result<Ended> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    begin(command)?.wait(limit, stop)
}

/// A program that runs, and what it says.
struct Begun {
    child: Child,
    pipe: PipeReader,
}

fn begin(mut command: Command) -> io::Result<Begun> {
    let (pipe, writer) = io::pipe()?;
    fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
    command.env_clear().env("PATH", search_path()).env("LC_ALL", "C");
    command.current_dir("/").process_group(0);
    command.stdout(writer.try_clone()?).stderr(writer);
    // With the command go our ends of the pipe.
    Ok(Begun { child: command.spawn()?, pipe })
}

impl Begun {
    fn wait(self, limit: Duration, stop: &AtomicBool) -> io::Result<Ended> {
        let Self { mut child, pipe } = self;
        let end = Instant::now() + limit;
        let mut said = Vec::new();
        let waited = loop {
            let listened = listen(&pipe, &mut said);
            match listened.and_then(|()| has_ended(&child)) {
                Ok(false) if Instant::now() < end && !stop.load(Ordering::Relaxed) => {}
                waited => break waited,
            }
        };
        // Those that it has left behind too. Its own number is its until it is waited for.
        let group = i32::try_from(child.id()).map(Pid::from_raw).map_err(io::Error::other)?;
        let _ = killpg(group, Signal::SIGKILL);
        let status = child.wait()?;
        let ended = waited?;
        end_all_of(group)?;
        let _ = read_on(&pipe, &mut said);
        let code = match status.code() {
            _ if !ended && stop.load(Ordering::Relaxed) => Code::Unwanted,
            _ if !ended => Code::Late,
            Some(code) => Code::Exit(code),
            None => Code::Signal,
        };
        Ok(Ended { code, said })
    }
}

/// A process that is killed holds what it had open until it is its turn to end: the layer too.
const DYING: Duration = Duration::from_secs(10);

/// Ends those of a killed group, and all others that see this thread's mounts, where nobody else does:
/// a program may have left its group. Waits until they hold nothing any more.
fn end_all_of(group: Pid) -> io::Result<()> {
    let end = Instant::now() + DYING;
    let here = mounts_of("thread-self").filter(|here| {
        let others = ["self", "1"].map(mounts_of);
        !others.contains(&Some(here.clone()))
    });
    while end_once(group, here.as_deref())? && Instant::now() < end {
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The namespace of mounts of a process.
fn mounts_of(process: &str) -> Option<PathBuf> {
    fs::read_link(Path::new("/proc").join(process).join("ns/mnt")).ok()
}

/// Kills what is left; true where there was something. What is left of a process that has ended waits
/// for its parent, and holds nothing.
fn end_once(group: Pid, here: Option<&Path>) -> io::Result<bool> {
    let mut any = false;
    for entry in fs::read_dir("/proc")?.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()).map(Pid::from_raw) else {
            continue;
        };
        let is_here = || here.is_some() && mounts_of(&pid.to_string()).as_deref() == here;
        if pid != getpid() && (is_of(pid, group) || is_here()) {
            any = true;
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
    Ok(any)
}

/// True for a process of that group that has not ended.
fn is_of(pid: Pid, group: Pid) -> bool {
    let fields = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before it may be anything.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let (state, of) = (fields.next()?, fields.nth(1)?);
        Some(of.parse() == Ok(group.as_raw()) && !matches!(state, "Z" | "X"))
    };
    fields() == Some(true)
}

/// Whether it has ended; it is left to be waited for.
fn has_ended(child: &Child) -> io::Result<bool> {
    let pid = i32::try_from(child.id()).map(Pid::from_raw).map_err(io::Error::other)?;
    let how = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    Ok(waitid(Id::Pid(pid), how)? != WaitStatus::StillAlive)
}

/// Takes what is said within a while.
fn listen(pipe: &PipeReader, said: &mut Vec<u8>) -> io::Result<()> {
    let mut wanted = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
    poll(&mut wanted, PollTimeout::from(SLICE_MS))?;
    if read_on(pipe, said)? {
        // Nobody says anything any more.
        thread::sleep(Duration::from_millis(SLICE_MS.into()));
    }
    Ok(())
}

/// Takes what was said by now; true at the end.
fn read_on(mut pipe: &PipeReader, said: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return Ok(true),
            Ok(len) => {
                let room = KEPT.saturating_sub(said.len()).min(len);
                said.extend_from_slice(buffer.get(..room).unwrap_or_default());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: u64) -> (Code, String, Duration) {
        let args = ["-c", script].map(OsStr::new);
        let begun = Instant::now();
        let (limit, stop) = (Duration::from_millis(limit), AtomicBool::new(false));
        let ended = to_end(Path::new("/bin/sh"), &args, (limit, &stop));
        let ended = ended.expect("it runs");
        let said = String::from_utf8(ended.said).expect("text");
        (ended.code, said, begun.elapsed())
    }

    #[test]
    fn what_a_program_says_and_how_it_ends_is_heard() {
        let (code, said, _) = sh("echo out; echo err >&2; exit 3", 20_000);
        assert_eq!((code, said.as_str()), (Code::Exit(3), "out\nerr\n"));
        assert_eq!(sh("kill -9 $$", 20_000).0, Code::Signal);
        let (code, said, _) = sh("head -c 1000000 /dev/zero", 20_000);
        assert_eq!((code, said.len()), (Code::Exit(0), KEPT));
        let (code, said, _) = sh("echo $PWD $LC_ALL $HOME; exec >&- 2>&-; sleep 0.2", 20_000);
        assert_eq!((code, said.as_str()), (Code::Exit(0), "/ C\n"));
    }

    #[test]
    fn what_nobody_wants_any_more_is_ended() {
        let args = ["-c", "echo begun; sleep 100"].map(OsStr::new);
        let begun = Instant::now();
        let cancelled = || begun.elapsed() > Duration::from_millis(300);
        let ended = aside("test", &cancelled, |stop| {
            let limit = Duration::from_secs(50);
            to_end(Path::new("/bin/sh"), &args, (limit, stop)).context("run", "sh")
        });
        let ended = ended.expect("it runs");
        assert_eq!((ended.code, ended.said.as_slice()), (Code::Unwanted, &b"begun\n"[..]));
        assert!(begun.elapsed() < Duration::from_secs(40));
    }

    #[test]
    fn what_has_left_its_group_ends_too_where_mounts_are_its_own() {
        let ended = aside("test", &|| false, |stop| {
            let apart = unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS);
            apart.map_err(io::Error::from).context("leave", "here")?;
            let script = "setsid sh -c 'setsid sleep 100 & echo $!; sleep 100' & sleep 0.3";
            let args = ["-c", script].map(OsStr::new);
            let limit = Duration::from_secs(50);
            to_end(Path::new("/bin/sh"), &args, (limit, stop)).context("run", "sh")
        });
        let ended = ended.expect("it runs");
        let pid = String::from_utf8(ended.said).expect("text");
        assert_eq!((ended.code, pid.trim().is_empty()), (Code::Exit(0), false));
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        assert!(stat.as_ref().map_or(true, |stat| stat.contains(") Z ")), "{pid} is still there");
    }

    #[test]
    fn nobody_waits_longer_than_the_limit_or_for_what_is_left_behind() {
        let (code, said, took) = sh("echo begun; sleep 100 & sleep 100", 300);
        assert_eq!((code, said.as_str()), (Code::Late, "begun\n"));
        assert!(took < Duration::from_secs(60), "{took:?}");
        // The one that is left has the pipe.
        let (code, said, took) = sh("sleep 100 & echo $!", 50_000);
        assert_eq!(code, Code::Exit(0));
        assert!(took < Duration::from_secs(40), "{took:?}");
        // It holds nothing any more, though its parent may not have waited for it.
        let stat = fs::read_to_string(format!("/proc/{}/stat", said.trim()));
        assert!(stat.as_ref().map_or(true, |stat| stat.contains(") Z ")), "{said} is still there");
    }
}
