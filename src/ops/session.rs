//! A volume group, read and (for changes) locked: what every verb works on.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::find::{self, Look};
use super::{Imgbase, Seen, listed};
use crate::dev::Dev;
use crate::dm;
use crate::dm::status::PoolState;
use crate::dm::{Active, DevNo, PvNumbers, Sure, volume_of};
use crate::error::{ErrorKind, Result};
use crate::layout::{Layout, find_pool};
use crate::lvm2::Vg;
use crate::lvm2::edit::{NewVg, VgEdit};
use crate::lvm2::model::ThinPool;
#[cfg(feature = "liblvm")]
use crate::lvm2::store::LibraryStore;
use crate::lvm2::store::{MetadataStore, NativeStore, both};
use crate::lvm2::text::{Stamp, Style};
use crate::machine::{Held, LockMode, Lvm2Host, Machine, StagedBackup};
use crate::name::LvName;
use crate::order::Gather;
use crate::queue::{lock, queue};
use crate::units::Bytes;

/// With so many volumes each text of the group takes longer than it takes to start a thread for it.
const MANY: usize = 100;

/// So often the disks are looked at where they change meanwhile.
const SCANS: usize = 3;

/// Whether lvm2's archive has the text as it was before the first of an operation's commits.
enum Archive {
    /// Not yet; nothing was committed.
    Due,
    /// Not yet, and this is the text: it is archived beside what follows its first change.
    Beside(Arc<Vg>),
    /// It has it, or it failed once.
    Done,
}

/// A group that was read, and the lock that it was read under.
pub(super) struct Session<'m> {
    pub(super) machine: Machine<'m>,
    /// The group's disks, as they were seen.
    pub(super) disks: Arc<NativeStore>,
    /// Its text's reader and writer.
    store: Box<dyn MetadataStore + 'm>,
    pub(super) vg: Arc<Vg>,
    may_commit: bool,
    /// True where this host is to start from a volume: what forbids no more than changes does not
    /// count.
    starts: bool,
    /// True once this session has activated the pool.
    pub(super) made_pool: bool,
    what: &'static str,
    numbers: OnceCell<PvNumbers>,
    /// Devices that this session has found or made as they should be. Whoever changes one must
    /// hold the lock.
    pub(super) sure: RefCell<Sure>,
    /// Where what is known of the group in the end is kept for the next call.
    seen: Option<Seen>,
    /// Whether lvm2's archive has the text that this session began with.
    archive: Archive,
    /// True while lvm2's backup is older than the text.
    backup_due: bool,
    lock: Option<Box<dyn Held>>,
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.back_up();
        self.rest_pool();
        if let Some(seen) = &self.seen {
            seen.set(self.disks.remember());
        }
    }
}

impl<'m> Session<'m> {
    /// Reads the group beside others.
    pub(super) fn read(imgbase: &Imgbase<'m>) -> Result<Self> {
        Self::look(imgbase, Look::WhereItIs)
    }

    /// The same, with a look at every disk there is.
    pub(super) fn read_everywhere(imgbase: &Imgbase<'m>) -> Result<Self> {
        Self::look(imgbase, Look::Everywhere)
    }

    fn look(imgbase: &Imgbase<'m>, look: Look) -> Result<Self> {
        let session = Self::open(imgbase, (LockMode::Shared, look), "look")?;
        for problem in session.disks.problems() {
            log::warn!("{}: {problem}", session.vg.name);
        }
        Ok(session)
    }

    /// Locks and reads the group to change devices, but not its metadata.
    pub(super) fn for_devices(imgbase: &Imgbase<'m>) -> Result<Self> {
        let session = Self::open(imgbase, (LockMode::Exclusive, Look::WhereItIs), "activate")?;
        session.check_activatable()?;
        Ok(session)
    }

    /// The same for the volume that this host is to start from.
    pub(super) fn for_start(imgbase: &Imgbase<'m>) -> Result<Self> {
        let mut session =
            Self::open(imgbase, (LockMode::Exclusive, Look::WhereItIs), "start from a volume")?;
        session.check_activatable()?;
        session.starts = true;
        Ok(session)
    }

    /// Refuses the volumes of a group that is exported, shared or another host's.
    fn check_activatable(&self) -> Result<()> {
        match self.vg.why_not_activatable(&self.machine.lvm2.system_ids()) {
            Some(refusal) => Err(refusal),
            None => Ok(()),
        }
    }

    /// Refuses a group of which lvm2's configuration lets nothing be activated here.
    fn check_listed(&self) -> Result<()> {
        match self.machine.lvm2.volume_list() {
            Some(list) if !listed::may_let(list, &self.vg) => Err(listed::refusal(&self.vg.name)),
            _ => Ok(()),
        }
    }

    /// Locks and reads the group to change it. Refuses one that must not be written, and removes
    /// what a crash left unfinished; whoever opens the pool then brings it and the text in step.
    pub(super) fn change(imgbase: &Imgbase<'m>, what: &'static str) -> Result<Self> {
        imgbase.machine.lvm2.check_writable()?;
        let mut session = Self::open(imgbase, (LockMode::Exclusive, Look::WhereItIs), what)?;
        session.may_commit = true;
        session.check_writable()?;
        session.check_listed()?;
        session.wake_devices()?;
        session.clear_leftovers()?;
        Ok(session)
    }

    /// The same for recovery: with a look at every disk there is, and where the newest text is
    /// lost, the one before it is put in force first. Says of which copies.
    pub(super) fn recover(imgbase: &Imgbase<'m>) -> Result<(Self, Vec<String>)> {
        imgbase.machine.lvm2.check_writable()?;
        let mut session = Self::open(imgbase, (LockMode::Exclusive, Look::Everywhere), "recover")?;
        session.check_text_writable()?;
        session.check_listed()?;
        let put_back = session.put_back()?;
        session.may_commit = true;
        session.check_writable()?;
        Ok((session, put_back))
    }

    /// Lets go on what a killed process has left suspended: whoever reads or writes there waits, and
    /// so would this verb. Who suspends a device of the group holds its lock.
    fn wake_devices(&self) -> Result<()> {
        for name in dm::wake(self.machine.kernel, &self.vg)? {
            log::warn!("{name} was left suspended, and goes on");
        }
        Ok(())
    }

    fn open(
        imgbase: &Imgbase<'m>,
        (mode, look): (LockMode, Look),
        what: &'static str,
    ) -> Result<Self> {
        if look == Look::WhereItIs
            && let Some(session) = Self::open_again(imgbase, mode, what)?
        {
            return Ok(session);
        }
        let machine = imgbase.machine;
        let (mut tries_left, mut look) = (SCANS, look);
        loop {
            let group = find::group(machine.disks, imgbase.vg.as_ref(), look)?;
            let lock = machine.lvm2.lock_vg(&group.vg.name, mode)?;
            let disks = Arc::new(NativeStore::new(group));
            let store = store_of(&machine, &disks);
            tries_left = tries_left.saturating_sub(1);
            match store.read() {
                Ok(vg) => return Ok(Self::over(imgbase, (disks, store, vg), lock, what)),
                // Its disks changed between the look at them and the lock.
                Err(error) if error.kind() == ErrorKind::Busy && tries_left > 0 => {
                    log::info!("look again: {error}");
                    look = Look::Everywhere;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The group where this handle's last call left it, if it is on the same disks.
    fn open_again(
        imgbase: &Imgbase<'m>,
        mode: LockMode,
        what: &'static str,
    ) -> Result<Option<Self>> {
        let (Some(name), Some(seen)) = (&imgbase.vg, imgbase.seen.get()) else { return Ok(None) };
        let machine = imgbase.machine;
        if reads_elsewhere(&machine) {
            return Ok(None);
        }
        let lock = machine.lvm2.lock_vg(name, mode)?;
        let again = seen.again(&|path| machine.disks.open(path));
        // The lock is that of this name.
        let Some(group) = again.filter(|group| group.vg.name == *name) else { return Ok(None) };
        let vg = Arc::clone(&group.vg);
        let disks = Arc::new(NativeStore::locked(group));
        let store = Box::new(Arc::clone(&disks));
        Ok(Some(Self::over(imgbase, (disks, store, vg), lock, what)))
    }

    fn over(
        imgbase: &Imgbase<'m>,
        (disks, store, vg): (Arc<NativeStore>, Box<dyn MetadataStore + 'm>, Arc<Vg>),
        lock: Box<dyn Held>,
        what: &'static str,
    ) -> Self {
        log::trace!("{} is locked and read", vg.name);
        Self {
            machine: imgbase.machine,
            disks,
            store,
            vg,
            may_commit: false,
            starts: false,
            made_pool: false,
            archive: Archive::Due,
            backup_due: false,
            numbers: OnceCell::new(),
            sure: RefCell::default(),
            seen: imgbase.vg.is_some().then(|| imgbase.seen.clone()),
            what,
            lock: Some(lock),
        }
    }

    /// True while the group is locked.
    pub(super) fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    /// Lets go of the lock; what was read may be out of date from here on.
    pub(super) fn unlock(&mut self) {
        self.back_up();
        self.sure.take();
        self.lock = None;
    }

    /// Locks again where it is not locked, to change devices alone: the text is the one that was read.
    pub(super) fn lock_devices(&mut self) -> Result<()> {
        if self.lock.is_some() {
            // Twice would be to wait for oneself.
            return Ok(());
        }
        self.lock = Some(self.machine.lvm2.lock_vg(&self.vg.name, LockMode::Exclusive)?);
        Ok(())
    }

    /// Locks and reads again.
    pub(super) fn relock(&mut self) -> Result<()> {
        self.lock = Some(self.machine.lvm2.lock_vg(&self.vg.name, LockMode::Exclusive)?);
        self.vg = self.store.read()?;
        self.check_writable()
    }

    /// Refuses a group that must not be changed, for what its text or its disks say.
    pub(super) fn check_writable(&self) -> Result<()> {
        self.check_text_writable()?;
        self.disks.group().check_writable()
    }

    fn check_text_writable(&self) -> Result<()> {
        match self.vg.why_not_writable(&self.machine.lvm2.system_ids()) {
            Some(refusal) => Err(refusal),
            None => Ok(()),
        }
    }

    /// The numbers of the group's disks, found out once.
    pub(super) fn numbers(&self) -> Result<&PvNumbers> {
        if let Some(numbers) = self.numbers.get() {
            return Ok(numbers);
        }
        let mut numbers = PvNumbers::new();
        for member in &self.disks.group().members {
            if let Some(number) = self.machine.disks.number(&member.path)? {
                numbers.insert(member.pv_id(), number);
            }
        }
        Ok(self.numbers.get_or_init(|| numbers))
    }

    /// True for a session that was opened to change the text.
    pub(super) fn may_commit(&self) -> bool {
        self.may_commit
    }

    /// True for one that this host is to start by.
    pub(super) fn is_start(&self) -> bool {
        self.starts
    }

    pub(super) fn machine(&self) -> &Machine<'m> {
        &self.machine
    }

    pub(super) fn vg(&self) -> &Vg {
        &self.vg
    }

    pub(super) fn layout(&self) -> Result<Layout<'_>> {
        Layout::of(&self.vg)
    }

    pub(super) fn pool_segment(&self) -> Result<&ThinPool> {
        Ok(find_pool(&self.vg)?.1)
    }

    pub(super) fn pool(&self) -> Result<LvName> {
        Ok(find_pool(&self.vg)?.0.name.clone())
    }

    pub(super) fn chunk(&self) -> Result<Bytes> {
        Ok(self.pool_segment()?.chunk_size.bytes())
    }

    pub(super) fn size_of(&self, lv: &LvName) -> Bytes {
        self.vg.lv(lv).map_or(Bytes::ZERO, |lv| lv.extents().bytes(self.vg.extent_size))
    }

    /// Commits a change of the text: archived first, as lvm2 does it.
    pub(super) fn commit(&mut self, edit: VgEdit) -> Result<()> {
        let new = seal(edit, &self.stamp())?;
        let kept = self.kept();
        let archived = self.archive();
        let committed = archived.and_then(|()| self.store.commit(new, &mut |_| Ok(())));
        self.committed(committed, kept)
    }

    /// Commits the first change of an operation; the text before it is archived with the next
    /// commit, which may have time to wait for that. Until then lvm2's backup has it.
    pub(super) fn commit_first(&mut self, edit: VgEdit) -> Result<()> {
        let new = seal(edit, &self.stamp())?;
        let (kept, old) = (self.kept(), Arc::clone(&self.vg));
        let committed = self.store.commit(new, &mut |_| Ok(()));
        self.committed(committed, kept)?;
        if matches!(self.archive, Archive::Due) {
            self.archive = Archive::Beside(old);
        }
        Ok(())
    }

    /// Commits the last change of an operation, whose text `make` gives; `beside` runs while it
    /// does and while the text is announced, and where one of them fails the old text stays in
    /// force. See [`MetadataStore::commit_beside`].
    pub(super) fn commit_last(
        &mut self,
        make: impl FnOnce(&Vg) -> Result<VgEdit> + Send,
        beside: &mut dyn FnMut(&Self) -> Result<()>,
    ) -> Result<()> {
        let (lvm2, stamp, old) = (self.machine.lvm2, self.stamp(), Arc::clone(&self.vg));
        let (to_archive, kept) = (self.take_due(), self.kept());
        let (session, backup) = (&*self, Mutex::new(None));
        let keep = |vg: &Vg| *lock(&backup) = stage(lvm2, vg);
        let sealed = || seal(make(&old)?, &stamp);
        let in_order = session.machine.in_order;
        let committed = if in_order || old.lvs.len() < MANY {
            let made = || {
                archive(lvm2, to_archive)?;
                let new = sealed()?;
                keep(new.vg());
                Ok(new)
            };
            if in_order {
                made().and_then(|new| session.store.commit(new, &mut |_| beside(session)))
            } else {
                session.store.commit_beside(Box::new(made), &mut || beside(session))
            }
        } else {
            let (announce, announced) = queue(1);
            let made = move || {
                let (archived, new) = both(|| archive(lvm2, to_archive), sealed);
                let new = archived.and(new)?;
                announce.send(new.vg().clone());
                Ok(new)
            };
            let commit = || session.store.commit_beside(Box::new(made), &mut || beside(session));
            both(|| announced.receive().iter().for_each(keep), commit).1
        };
        self.committed(committed, kept)?;
        let backup = backup.into_inner().unwrap_or_else(PoisonError::into_inner);
        backup.into_iter().for_each(StagedBackup::put_in_place);
        self.backup_due = false;
        Ok(())
    }

    /// What to say where a commit fails.
    fn kept(&self) -> String {
        format!("metadata still at seqno {}", self.vg.seqno)
    }

    fn committed(&mut self, committed: Result<Arc<Vg>>, kept: String) -> Result<()> {
        self.vg = committed.map_err(|error| match error.unchanged() {
            // The store knows better where it could not tell which text is in force.
            Some(_) => error,
            None => error.kept(kept),
        })?;
        self.backup_due = true;
        Ok(())
    }

    /// As lvm2: the text as it was before the first of an operation's commits is kept.
    fn archive(&mut self) -> Result<()> {
        let old = self.take_due();
        archive(self.machine.lvm2, old)
    }

    /// The text that is to be archived. It is asked for once: a change whose archive has failed
    /// must still be taken back.
    fn take_due(&mut self) -> Option<Arc<Vg>> {
        match std::mem::replace(&mut self.archive, Archive::Done) {
            Archive::Due => Some(Arc::clone(&self.vg)),
            Archive::Beside(old) => Some(old),
            Archive::Done => None,
        }
    }

    /// Archives what is due before a change is taken back, which must not fail for that.
    pub(super) fn archive_anyway(&mut self) {
        if let Err(error) = self.archive() {
            log::warn!("{error}");
        }
    }

    /// As lvm2: the text after the last of them is the backup.
    fn back_up(&mut self) {
        if matches!(self.archive, Archive::Beside(_)) {
            self.archive_anyway();
        }
        if std::mem::take(&mut self.backup_due) {
            stage(self.machine.lvm2, &self.vg).into_iter().for_each(StagedBackup::put_in_place);
        }
    }

    pub(super) fn stamp(&self) -> Stamp {
        stamp(&self.machine, self.what)
    }

    /// Devices of this group that the kernel has now.
    pub(super) fn devices(&self) -> Result<Active> {
        Active::observe(self.machine.kernel, &self.vg)
    }

    /// Those of these volumes alone.
    pub(super) fn devices_of<'n>(
        &self,
        names: impl IntoIterator<Item = &'n LvName>,
    ) -> Result<Active> {
        Active::observe_volumes(self.machine.kernel, &self.vg, names)
    }

    /// The names of the volumes that are active.
    pub(super) fn active(&self) -> Result<BTreeSet<LvName>> {
        Ok(self.active_among(&self.devices()?))
    }

    /// The same, among devices that were looked at before.
    pub(super) fn active_among(&self, devices: &Active) -> BTreeSet<LvName> {
        devices.volumes(&self.vg).map(|(lv, _)| lv.name.clone()).gather()
    }

    /// Why a volume is in use, or `None`.
    pub(super) fn in_use(&self, lv: &LvName) -> Result<Option<String>> {
        let devices = self.devices_of([lv])?;
        let Some(device) = devices.volume(&self.vg, lv).filter(|device| device.open_count > 0)
        else {
            return Ok(None);
        };
        let mounts = self.machine.mounts.list()?;
        let mount = mounts.iter().find(|mount| mount.number == device.number);
        Ok(Some(match mount {
            Some(mount) => format!("it is mounted at {}", mount.dir.display()),
            None => format!("something has its device open ({} times)", device.open_count),
        }))
    }

    /// The volume of this group that is mounted at a folder.
    pub(super) fn mounted_at(&self, dir: &Path) -> Result<Option<LvName>> {
        let Some(number) = self.number_at(dir)? else { return Ok(None) };
        let device = self.machine.kernel.numbered(number)?;
        Ok(device.and_then(|device| volume_of(&self.vg, &device).cloned()))
    }

    /// The number of what is mounted at a folder.
    fn number_at(&self, dir: &Path) -> Result<Option<DevNo>> {
        let mounts = self.machine.mounts.list()?;
        Ok(mounts.iter().rev().find(|mount| mount.dir == dir).map(|mount| mount.number))
    }

    /// The same, among devices that were looked at before.
    pub(super) fn mounted_among(&self, devices: &Active, dir: &Path) -> Result<Option<LvName>> {
        let Some(number) = self.number_at(dir)? else { return Ok(None) };
        let mut volumes = devices.volumes(&self.vg);
        Ok(volumes.find(|(_, device)| device.number == number).map(|(lv, _)| lv.name.clone()))
    }

    /// The volume that this host runs from, where it is one of this group's.
    pub(super) fn current(&self) -> Result<Option<LvName>> {
        self.mounted_at(Path::new("/"))
    }

    /// The path of a volume's device node.
    pub(super) fn node(&self, lv: &LvName) -> Result<PathBuf> {
        let name = crate::name::DmName::of_lv(&self.vg.name, lv, None)?;
        Ok(Path::new("/dev/mapper").join(name.as_str()))
    }

    /// Opens an active volume.
    pub(super) fn open_volume(&self, lv: &LvName) -> Result<Box<dyn Dev>> {
        let name = crate::name::DmName::of_lv(&self.vg.name, lv, None)?;
        self.machine.kernel.open(&name)
    }

    /// What the kernel says of the pool; `None` while it is not active.
    pub(super) fn pool_state(&self) -> Result<Option<PoolState>> {
        let pool = self.pool()?;
        self.pool_state_among(&self.devices_of([&pool])?, &pool)
    }

    /// The same, among devices that were looked at before.
    pub(super) fn pool_state_among(
        &self,
        devices: &Active,
        pool: &LvName,
    ) -> Result<Option<PoolState>> {
        let active = devices.pool(self.machine.kernel, &self.vg, pool)?;
        Ok(active.map(|pool| pool.state))
    }

    /// Waits until nodes and links are there.
    pub(super) fn settle(&self) -> Result<()> {
        self.machine.kernel.settle()
    }
}

/// Who reads and writes the text of the group on those disks.
fn store_of<'m>(machine: &Machine<'m>, disks: &Arc<NativeStore>) -> Box<dyn MetadataStore + 'm> {
    #[cfg(feature = "liblvm")]
    if let Some(library) = machine.lvm2.library() {
        return Box::new(LibraryStore::new(Arc::clone(disks), library));
    }
    let _ = machine;
    Box::new(Arc::clone(disks))
}

/// True where texts are read by lvm2's library, so that what the disks held counts for nothing.
fn reads_elsewhere(machine: &Machine<'_>) -> bool {
    #[cfg(feature = "liblvm")]
    return machine.lvm2.library().is_some();
    #[cfg(not(feature = "liblvm"))]
    {
        let _ = machine;
        false
    }
}

/// Checks a change as a whole and gives the text to commit.
fn seal(edit: VgEdit, stamp: &Stamp) -> Result<NewVg> {
    let new = edit.finish(stamp)?;
    log::debug!("commit {} seqno {} ({})", new.vg().name, new.vg().seqno, stamp.description);
    Ok(new)
}

/// Keeps a text in lvm2's archive.
fn archive(lvm2: &dyn Lvm2Host, old: Option<Arc<Vg>>) -> Result<()> {
    let Some(old) = old else { return Ok(()) };
    lvm2.archive(&old.name, old.seqno, &|| old.to_text(Style::Backup))?;
    log::trace!("archived");
    Ok(())
}

/// Makes lvm2's backup of a text ready.
fn stage(lvm2: &dyn Lvm2Host, vg: &Vg) -> Option<Box<dyn StagedBackup>> {
    lvm2.stage_backup(&vg.name, &|| vg.to_text(Style::Backup))
}

/// The trailer of what is written now.
pub(super) fn stamp(machine: &Machine<'_>, what: &str) -> Stamp {
    let creator = machine.lvm2.creator();
    Stamp {
        description: format!("imgbase {what}"),
        host: creator.host,
        uname: creator.system,
        time: creator.time,
        system_id: machine.lvm2.system_ids().into_iter().next(),
    }
}
