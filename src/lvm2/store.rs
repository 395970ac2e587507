//! Where a group's text is read from and committed to.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::error::{Error, ErrorKind, Result};
use crate::queue::lock;

use super::commit::{self, Precommitted, Protocol};
use super::edit::NewVg;
use super::model::Vg;
use super::scan::{Group, Problem, Remembered, Reread};

#[cfg(feature = "liblvm")]
pub(in crate::lvm2) mod library;

#[cfg(feature = "liblvm")]
pub use library::{LibraryStore, Lvm2Library};

/// Makes the text to be committed, and does what must be done before it is announced.
pub type Make<'a> = Box<dyn FnOnce() -> Result<NewVg> + Send + 'a>;

/// A group's metadata, whoever reads and writes it.
///
/// The caller holds the group's lock for both, and for all between them.
pub trait MetadataStore: Send + Sync {
    /// What is in force now, as the disks say.
    ///
    /// # Errors
    /// As the back end gives them; [`Busy`](ErrorKind::Busy) where the group has changed so much
    /// since it was found that it must be looked for again.
    fn read(&self) -> Result<Arc<Vg>>;

    /// Puts `new` in force, whose seqno must be one above that of what was read.
    ///
    /// `between` runs when the new text is announced and the old one still in force: devices are
    /// suspended there. If it fails, the old text stays in force.
    ///
    /// # Errors
    /// That of `between`; [`NoSpace`](ErrorKind::NoSpace) for a text that has outgrown the
    /// smallest metadata area; [`Diverged`](ErrorKind::Diverged), [`Unsupported`](ErrorKind::Unsupported),
    /// [`Corrupt`](ErrorKind::Corrupt) for a group that must not be written to;
    /// [`Busy`](ErrorKind::Busy) where someone else has changed it;
    /// [`NeedsRecovery`](ErrorKind::NeedsRecovery) where nobody knows which text is in force;
    /// [`Io`](ErrorKind::Io). But for `NeedsRecovery` the old text is in force then.
    ///
    /// # Commit point
    /// Inside, after `between`; it has happened if and only if this returns `Ok`.
    fn commit(&self, new: NewVg, between: &mut dyn FnMut(&Vg) -> Result<()>) -> Result<Arc<Vg>>;

    /// As [`commit`](Self::commit) with what `make` gives, but `beside` may run while `make` does
    /// and while the new text is being announced: what waits for a disk and what waits for the
    /// kernel wait together. `make` runs first and perhaps on another thread, `beside` on the
    /// caller's, each once; both have ended well before the commit point, or there is none.
    /// Nothing may be committed in them.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    fn commit_beside(
        &self,
        make: Make<'_>,
        beside: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Arc<Vg>> {
        self.commit(make()?, &mut |_| beside())
    }
}

impl<S: MetadataStore> MetadataStore for Arc<S> {
    fn read(&self) -> Result<Arc<Vg>> {
        S::read(self)
    }

    fn commit(&self, new: NewVg, between: &mut dyn FnMut(&Vg) -> Result<()>) -> Result<Arc<Vg>> {
        S::commit(self, new, between)
    }

    fn commit_beside(
        &self,
        make: Make<'_>,
        beside: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Arc<Vg>> {
        S::commit_beside(self, make, beside)
    }
}

/// Reads and writes the disks itself.
#[derive(Debug)]
pub struct NativeStore {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    group: Group,
    /// A commit ended in the unknown: what the system would read back now proves nothing.
    lost: bool,
    /// A commit is under way.
    busy: bool,
    /// The group was read under the lock that the next commit is made under.
    just_read: bool,
}

impl NativeStore {
    /// The store of a group that was found, without its lock: see [`read`](Self::read).
    pub fn new(group: Group) -> Self {
        Self::over(group, false)
    }

    /// The store of a group that was read under its lock.
    pub fn locked(group: Group) -> Self {
        Self::over(group, true)
    }

    fn over(group: Group, just_read: bool) -> Self {
        Self { state: Mutex::new(State { group, lost: false, busy: false, just_read }) }
    }

    /// The group as it was last read or committed.
    pub fn group(&self) -> Group {
        self.state().group.clone()
    }

    /// What is odd about the group.
    pub fn problems(&self) -> Vec<Problem> {
        self.state().group.problems.clone()
    }

    /// What is to be remembered of the group for the next look; nothing after a commit that ended
    /// in the unknown.
    pub fn remember(&self) -> Option<Remembered> {
        let state = self.state();
        if state.lost || state.busy { None } else { state.group.remember() }
    }

    /// Puts the text before a lost one in force again, where the group's newest text is lost
    /// ([`Problem::LostText`]); gives what is in force then, and what was lost where.
    ///
    /// # Errors
    /// As [`Group::check_writable`] for whatever else is odd about the group, with nothing
    /// written; [`Io`](ErrorKind::Io).
    ///
    /// # Commit point
    /// The first header that is on a disk.
    pub fn put_back(&self) -> Result<(Arc<Vg>, Vec<String>)> {
        let mut state = self.state();
        if lost_texts(&state.group).is_empty() {
            return Ok((Arc::clone(&state.group.vg), Vec::new()));
        }
        // Under the lock, to the last byte.
        if state.group.look_again() == Reread::ScanAgain {
            return Err(changed(&state.group, "its physical volumes have changed"));
        }
        let lost = lost_texts(&state.group);
        // A disk that is missing may have the newer text.
        let mut rest = state.group.clone();
        rest.problems.retain(|problem| !is_lost(problem));
        rest.check_writable()?;
        commit::put_back(&state.group)?;
        for text in &lost {
            log::warn!("{}: {text}; put back", state.group.vg.name);
        }
        if state.group.reread()? == Reread::ScanAgain {
            return Err(changed(&state.group, "its physical volumes have changed"));
        }
        state.just_read = true;
        Ok((Arc::clone(&state.group.vg), lost))
    }

    /// True where the group's newest text is lost, and what is read is the one before.
    pub fn is_lost(&self) -> bool {
        self.state().group.problems.iter().any(is_lost)
    }

    /// Checks that `new` may be committed now, by whoever writes it, and gives what it replaces.
    #[cfg(feature = "liblvm")]
    fn check_next(&self, new: &NewVg) -> Result<Arc<Vg>> {
        let mut state = self.state();
        state.check_not_lost()?;
        state.check(new)?;
        commit::check_room(&state.group, new.text())?;
        Ok(Arc::clone(&state.group.vg))
    }

    /// Does a commit that nobody else may interfere with: `announced` gives the text, announced,
    /// and it is put in force. The state is not locked meanwhile, so that the group can be asked
    /// about.
    fn commit_by(&self, announced: impl FnOnce() -> Result<Announced>) -> Result<Arc<Vg>> {
        self.state().claim()?;
        let announced = announced();
        self.state().finish(announced)
    }

    /// Announces a text.
    fn announce(&self, new: NewVg) -> Result<Announced> {
        let group = self.state().begin(&new)?;
        let precommitted = announce(&group, &new, Protocol::SOUND)?;
        Ok(Announced { group, new, precommitted })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl MetadataStore for NativeStore {
    fn read(&self) -> Result<Arc<Vg>> {
        let mut state = self.state();
        state.check_not_lost()?;
        match state.group.reread()? {
            Reread::Same | Reread::Changed => {
                state.just_read = true;
                Ok(Arc::clone(&state.group.vg))
            }
            Reread::ScanAgain => Err(changed(&state.group, "its physical volumes have changed")),
        }
    }

    fn commit(&self, new: NewVg, between: &mut dyn FnMut(&Vg) -> Result<()>) -> Result<Arc<Vg>> {
        self.commit_by(|| {
            let announced = self.announce(new)?;
            let done = between(announced.new.vg());
            announced.unless_failed(done)
        })
    }

    fn commit_beside(
        &self,
        make: Make<'_>,
        beside: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Arc<Vg>> {
        self.commit_by(|| {
            let (announced, done) = both(|| self.announce(make()?), beside);
            announced?.unless_failed(done)
        })
    }
}

/// Does one thing on a thread of its own and the other on this one; where there is no thread to
/// be had, the other first.
pub(crate) fn both<A: Send, B>(
    aside: impl FnOnce() -> A + Send,
    here: impl FnOnce() -> B,
) -> (A, B) {
    let (mut first, mut done) = (None, None);
    let (mut aside, mut here) = (Some(aside), Some(here));
    at_once(&mut || first = aside.take().map(|aside| aside()), &mut || {
        done = here.take().map(|here| here())
    });
    let ran = "it ran once, on one of the two threads";
    (first.expect(ran), done.expect(ran))
}

fn at_once(aside: &mut (dyn FnMut() + Send), here: &mut dyn FnMut()) {
    let aside = Mutex::new(aside);
    let run = || (*lock(&aside))();
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("commit".into()).spawn_scoped(scope, run);
        here();
        match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => run(),
        }
    });
}

impl State {
    /// Begins a commit, if there is none under way.
    fn claim(&mut self) -> Result<()> {
        self.check_not_lost()?;
        if self.busy {
            return Err(changed(&self.group, "another thread is changing it"));
        }
        self.busy = true;
        Ok(())
    }

    /// Checks that `new` may be committed now and gives the group that it is announced to.
    fn begin(&mut self, new: &NewVg) -> Result<Group> {
        self.check(new)?;
        Ok(self.group.clone())
    }

    fn finish(&mut self, announced: Result<Announced>) -> Result<Arc<Vg>> {
        self.busy = false;
        let Announced { new, precommitted, .. } = announced?;
        let result = put_in_force(&mut self.group, new, precommitted);
        self.lost = matches!(&result, Err(e) if e.kind() == ErrorKind::NeedsRecovery);
        result
    }

    fn check_not_lost(&self) -> Result<()> {
        if !self.lost {
            return Ok(());
        }
        let why = "an earlier commit failed so that nobody knows which text is in force";
        Err(Error::new(ErrorKind::NeedsRecovery, why).at(&self.group.vg.name))
    }

    /// That `new` is the successor of what the disks hold now. Only the first commit after a read
    /// does not look: nobody who takes the lock can have come between them.
    fn check(&mut self, new: &NewVg) -> Result<()> {
        let seen = self.group.current;
        let is_known = std::mem::take(&mut self.just_read);
        if !is_known && (self.group.reread()? == Reread::ScanAgain || self.group.current != seen) {
            return Err(changed(&self.group, "someone else has changed it"));
        }
        self.group.check_writable()?;
        let (old, new) = (&self.group.vg, new.vg());
        let successor = old.seqno.checked_add(1) == Some(new.seqno) && old.id == new.id;
        let listed = new.pvs.iter().all(|pv| self.group.member(&pv.id).is_some());
        if successor && listed && new.pvs.len() == self.group.members.len() {
            return Ok(());
        }
        let why =
            format!("the new text (seqno {}) is no successor of seqno {}", new.seqno, old.seqno);
        Err(Error::new(ErrorKind::Invalid, why).op("commit the metadata").at(&old.name))
    }
}

fn is_lost(problem: &Problem) -> bool {
    matches!(problem, Problem::LostText { .. })
}

/// What is told of lost texts.
fn lost_texts(group: &Group) -> Vec<String> {
    let lost = group.problems.iter().filter(|problem| is_lost(problem));
    lost.map(ToString::to_string).collect()
}

fn changed(group: &Group, why: &'static str) -> Error {
    Error::new(ErrorKind::Busy, why).op("read the metadata").at(&group.vg.name)
}

/// The first two steps: the new text is on the disks, durable, and not in force.
fn announce(group: &Group, new: &NewVg, protocol: Protocol) -> Result<Precommitted> {
    let announced = commit::write(group, new.text(), new.vg().seqno, protocol)?.precommit()?;
    log::trace!("seqno {} is announced", new.vg().seqno);
    Ok(announced)
}

/// A text that is announced, and to which group.
struct Announced {
    group: Group,
    new: NewVg,
    precommitted: Precommitted,
}

impl Announced {
    /// Ends the change where what belongs to it has failed.
    fn unless_failed(self, done: Result<()>) -> Result<Self> {
        let Self { group, new, precommitted } = self;
        let precommitted = unless_failed(&group, precommitted, done)?;
        Ok(Self { group, new, precommitted })
    }
}

fn unless_failed(group: &Group, announced: Precommitted, done: Result<()>) -> Result<Precommitted> {
    let Err(error) = done else { return Ok(announced) };
    // The first error counts, and a stale slot 1 binds nobody.
    if let Err(revert) = announced.abort() {
        log::warn!("{revert}");
    }
    let still = format!("metadata still at seqno {}", group.vg.seqno);
    Err(if error.unchanged().is_some() { error } else { error.kept(still) })
}

/// All steps, with `between` before the last.
pub(super) fn commit_to(
    group: &mut Group,
    new: NewVg,
    protocol: Protocol,
    between: &mut dyn FnMut(&Vg) -> Result<()>,
) -> Result<Arc<Vg>> {
    let announced = announce(group, &new, protocol)?;
    let done = between(new.vg());
    let announced = unless_failed(group, announced, done)?;
    put_in_force(group, new, announced)
}

/// The last step.
fn put_in_force(group: &mut Group, new: NewVg, precommitted: Precommitted) -> Result<Arc<Vg>> {
    let committed = precommitted.commit()?;
    for warning in &committed.warnings {
        log::warn!("{warning}; the change is committed, this copy is behind until the next one");
    }
    log::trace!("seqno {} is in force", new.vg().seqno);
    let vg = Arc::new(new.into_vg());
    committed.apply(group, Arc::clone(&vg));
    Ok(vg)
}
