//! The thin pool's transaction protocol, as lvm2 runs it.
//!
//! The text has a transaction id M, the kernel's pool has K; at rest they are equal. A change
//! is: commit the text with M+1 and a stanza for each message, send the messages,
//! `set_transaction_id`, commit the text without the stanzas. A crash between any two of these
//! leaves a state that [`decide`] names.

use std::fmt;

use super::activate::diverged;
use super::active::{Active, pool_state};
use super::kernel::{DmInfo, Kernel, Suspend, Visibility};
use super::names::{DeviceKey, Role};
use super::status::{PoolMode, PoolState};
use crate::error::{Error, ErrorKind, Result};
use crate::lvm2::model::{Lv, Message, Thin, ThinPool, Vg};
use crate::name::{DmName, LvName};
use crate::units::{Bytes, Sectors};

/// The largest thin device id: they have 24 bits.
pub const DEVICE_ID_MAX: u32 = (1 << 24) - 1;

/// A message to a thin pool, sent to sector 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolMessage {
    /// `create_thin`: an empty thin device. EEXIST where the id is taken.
    CreateThin {
        /// Its id.
        id: u32,
    },
    /// `create_snap`: a thin device with another's content. EEXIST where the id is taken, ENODATA
    /// where there is no such origin.
    CreateSnap {
        /// Its id.
        id: u32,
        /// The other's.
        origin: u32,
    },
    /// `delete`: ENODATA where there is none, EBUSY where it is active.
    Delete {
        /// Its id.
        id: u32,
    },
    /// `set_transaction_id`: EINVAL where the kernel is not at `from`.
    SetTransactionId {
        /// Where the kernel is.
        from: u64,
        /// Where it goes.
        to: u64,
    },
    /// `reserve_metadata_snap`: a copy of the metadata that can be read while the pool is in use.
    ReserveMetadataSnap,
    /// `release_metadata_snap`.
    ReleaseMetadataSnap,
}

impl fmt::Display for PoolMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateThin { id } => write!(f, "create_thin {id}"),
            Self::CreateSnap { id, origin } => write!(f, "create_snap {id} {origin}"),
            Self::Delete { id } => write!(f, "delete {id}"),
            Self::SetTransactionId { from, to } => write!(f, "set_transaction_id {from} {to}"),
            Self::ReserveMetadataSnap => f.write_str("reserve_metadata_snap"),
            Self::ReleaseMetadataSnap => f.write_str("release_metadata_snap"),
        }
    }
}

impl PoolMessage {
    /// Sends it.
    ///
    /// # Errors
    /// As [`Kernel::message`].
    pub fn send(self, kernel: &dyn Kernel, pool: &DmName) -> Result<()> {
        kernel.message(pool, &self.to_string())
    }

    /// True for one that adds nothing to the metadata.
    fn takes_no_room(self) -> bool {
        matches!(self, Self::Delete { .. } | Self::SetTransactionId { .. })
    }

    /// True where `error` says that the message has been obeyed before.
    fn is_done_already(self, error: &Error) -> bool {
        match self {
            Self::CreateThin { .. } | Self::CreateSnap { .. } => error.kind() == ErrorKind::Exists,
            Self::Delete { .. } => error.kind() == ErrorKind::NotFound,
            _ => false,
        }
    }
}

/// What brings kernel and text together again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// They are.
    Steady,
    /// The text is one ahead and says what is missing: send it (again), then drop the stanzas.
    ReplayMessages,
    /// The kernel has done it all: drop the stanzas.
    DropStanzas,
    /// The text is older than the kernel: commit it with this transaction id and no stanza. Thin
    /// ids that the text does not know may exist; new ids must go above them.
    RaiseText {
        /// The kernel's.
        to: u64,
    },
    /// The text is one ahead and has nothing to say: set the kernel's.
    SetKernelId {
        /// The kernel's.
        from: u64,
        /// The text's.
        to: u64,
    },
    /// The text is further ahead than any crash explains: nobody may mend that by guessing.
    Refuse {
        /// The kernel's.
        kernel: u64,
        /// The text's.
        text: u64,
    },
}

/// What to do about the kernel's transaction id, the text's, and whether the text has stanzas.
pub fn decide(kernel: u64, text: u64, stanzas: bool) -> Decision {
    match text.checked_sub(kernel) {
        None => Decision::RaiseText { to: kernel },
        Some(0) if stanzas => Decision::DropStanzas,
        Some(0) => Decision::Steady,
        Some(1) if stanzas => Decision::ReplayMessages,
        Some(1) => Decision::SetKernelId { from: kernel, to: text },
        Some(_) => Decision::Refuse { kernel, text },
    }
}

/// How far apart a pool and a text are, and the ways out.
pub fn apart(kernel: u64, text: u64) -> String {
    let way = match decide(kernel, text, true) {
        Decision::Refuse { .. } => format!(
            "no crash explains that; restore the metadata that belongs to this pool (vgcfgrestore \
             --force --file, an older one from /etc/lvm/archive), or, where all its volumes are \
             known to be in the pool, one that says transaction_id = {kernel} for it"
        ),
        _ => "run 'imgbase recover'".to_owned(),
    };
    format!("the pool is at transaction {kernel}, the metadata at {text}: {way}")
}

/// So often a message is sent to a pool whose metadata is full: writes that wait there may take
/// the one change first that it is good for.
const TRIES: u32 = 5;

/// Sends a message also to a pool whose metadata is full, which takes none until its table is put
/// in force again.
fn send_though_full(
    kernel: &dyn Kernel,
    (pool, seen): (&DmName, &Visibility),
    message: &str,
) -> Result<()> {
    let mut tries_left = TRIES;
    loop {
        tries_left = tries_left.saturating_sub(1);
        match kernel.message(pool, message) {
            Err(error) if error.kind() == ErrorKind::Unsupported && tries_left > 0 => {
                if !pool_state(kernel, pool)?.is_out_of_metadata() {
                    return Err(error);
                }
                log::info!("{pool} has no metadata left: '{message}' is sent again");
                put_in_force(kernel, pool, seen)?;
            }
            result => return result,
        }
    }
}

/// Puts a pool's table in force again. One whose metadata is full then takes a change (drivers/md/
/// dm-thin.c, `bind_control_target`), in the room that the kernel keeps back: enough to take
/// something away.
fn put_in_force(kernel: &dyn Kernel, pool: &DmName, seen: &Visibility) -> Result<()> {
    kernel.load(pool, &kernel.table(pool)?, false)?;
    if let Err(error) = kernel.suspend(pool, Suspend::Quick) {
        // The first failure is the one to tell.
        let _ = kernel.clear(pool);
        return Err(error);
    }
    Suspended { kernel, name: pool.clone(), seen: Some(seen.clone()) }.resume()
}

/// Fails where a pool takes no changes; one whose metadata is full takes those that make room.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) for a pool that is read-only or needs a check.
pub fn check_writable(state: &PoolState) -> Result<()> {
    if state.is_out_of_metadata() {
        return Ok(());
    }
    let why = match state {
        PoolState { needs_check: true, .. } => "the pool's metadata needs a check (thin_check)",
        PoolState { mode: PoolMode::ReadOnly, .. } => "the pool is read-only",
        _ => return Ok(()),
    };
    Err(Error::new(ErrorKind::Unsupported, why))
}

/// Metadata that must stay free for a change, where the pool has at least four times as much.
const METADATA_FREE: Bytes = Bytes::mib(4);

/// Metadata that must stay free for a change.
fn metadata_reserve(state: &PoolState) -> Bytes {
    METADATA_FREE.min(Bytes::new(state.metadata_bytes().get() / 4))
}

/// What a change takes of a pool.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    /// Data, at least.
    pub data: Bytes,
    /// Metadata, where it is more than must stay free in any case.
    pub metadata: Bytes,
}

impl Need {
    /// What so many snapshots take whose file systems get names of their own: of each, up to three
    /// chunks for those (superblock, inode, fstab) and one to spare, and the blocks of metadata that
    /// are no longer shared.
    pub fn of_snapshots(count: usize, chunk: Bytes) -> Self {
        let each = |bytes: Bytes| {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            Bytes::new(bytes.get().saturating_mul(count))
        };
        if count < 2 {
            return Bytes::ZERO.into();
        }
        Self {
            data: each(Bytes::new(chunk.get().saturating_mul(4))),
            metadata: each(Bytes::kib(32)),
        }
    }
}

/// So much data, and the metadata of one volume.
impl From<Bytes> for Need {
    fn from(data: Bytes) -> Self {
        Self { data, metadata: Bytes::ZERO }
    }
}

/// How much more metadata a pool needs to have room for changes again; zero where it has.
pub fn metadata_short_of(state: &PoolState) -> Bytes {
    if state.metadata_free() >= metadata_reserve(state) {
        return Bytes::ZERO;
    }
    // Twice what must stay free of it.
    let (used, have) = (state.metadata_used_bytes(), state.metadata_bytes());
    let room = METADATA_FREE.saturating_add(METADATA_FREE).min(used);
    used.saturating_add(room).saturating_sub(have)
}

/// Fails where a pool has no room for a new volume and what it `need`s. lvm2's rule: of
/// the data at most `percent` may be used, of the metadata three quarters, or all but 4 MiB.
///
/// # Errors
/// [`NoSpace`](ErrorKind::NoSpace) in bytes; and as [`check_writable`].
pub fn check_room(
    state: &PoolState,
    chunk: Sectors,
    need: impl Into<Need>,
    percent: u8,
) -> Result<()> {
    let need = need.into();
    check_writable(state)?;
    let full = |what: &str, need: Bytes, have: Bytes| {
        let why = format!(
            "the pool's {what} has {have} ({} bytes) free of the {need} ({} bytes) needed",
            have.get(),
            need.get()
        );
        Err(Error::new(ErrorKind::NoSpace { need, have }, why))
    };
    let metadata = metadata_reserve(state).max(need.metadata);
    if state.metadata_free() < metadata {
        return full("metadata", metadata, state.metadata_free());
    }
    let need = need.data.max(chunk.bytes());
    let total = u128::from(state.data_bytes(chunk).get());
    let limit = total.saturating_mul(u128::from(percent.min(100))) / 100;
    let limit = Bytes::new(u64::try_from(limit).unwrap_or(u64::MAX));
    // The mode may still say that there is none: the pool leaves it with its next commit, at the
    // latest that of the message which each change begins with (drivers/md/dm-thin.c,
    // `check_for_data_space`).
    let have = limit.saturating_sub(state.data_used_bytes(chunk));
    if have < need { full("data", need, have) } else { Ok(()) }
}

/// The messages that a pool's stanzas stand for, in order.
///
/// # Errors
/// [`Corrupt`](ErrorKind::Corrupt) where a stanza names a volume that is no thin volume of the
/// pool, or a device id out of range.
pub fn pending(vg: &Vg, pool: &LvName) -> Result<Vec<PoolMessage>> {
    let stanzas = thin_pool(vg, pool)?.messages.iter();
    stanzas.map(|stanza| message_of(vg, pool, stanza)).collect()
}

fn thin_pool<'a>(vg: &'a Vg, pool: &LvName) -> Result<&'a ThinPool> {
    let missing = || Error::new(ErrorKind::NotFound, "there is no such thin pool").at(pool);
    vg.thin_pool(pool).ok_or_else(missing)
}

fn corrupt(why: String) -> Error {
    Error::new(ErrorKind::Corrupt, why)
}

fn checked(id: u32) -> Result<u32> {
    if id <= DEVICE_ID_MAX { Ok(id) } else { Err(corrupt(format!("{id} is no thin device id"))) }
}

/// The thin volume of that name in that pool.
fn member<'a>(vg: &'a Vg, pool: &LvName, name: &LvName) -> Result<(&'a Lv, &'a Thin)> {
    let found = vg.lv(name).and_then(|lv| Some((lv, lv.thin()?)));
    found
        .filter(|(_, thin)| thin.pool == *pool)
        .ok_or_else(|| corrupt(format!("{name} is no thin volume of {pool}")))
}

fn message_of(vg: &Vg, pool: &LvName, stanza: &Message) -> Result<PoolMessage> {
    let name = match stanza {
        Message::Delete(id) => return Ok(PoolMessage::Delete { id: checked(*id)? }),
        Message::Create(name) => name,
    };
    let (_, thin) = member(vg, pool, name)?;
    let id = checked(thin.device_id)?;
    match &thin.origin {
        None => Ok(PoolMessage::CreateThin { id }),
        Some(origin) => {
            let origin = checked(member(vg, pool, origin)?.1.device_id)?;
            Ok(PoolMessage::CreateSnap { id, origin })
        }
    }
}

/// Why the messages are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For stanzas that were committed a moment ago: an id that exists already belongs to
    /// something else, and its content must not end up in the new volume.
    Fresh,
    /// For stanzas that were found: what is done already is done.
    Replay,
}

/// The kernel's half of a change to a pool.
#[derive(Clone, Copy)]
pub struct Transaction<'a> {
    /// The kernel.
    pub kernel: &'a dyn Kernel,
    /// The group, as committed with the stanzas.
    pub vg: &'a Vg,
    /// The pool, which must be active.
    pub pool: &'a LvName,
    /// The group's devices.
    pub active: &'a Active,
}

impl Transaction<'_> {
    /// Asks the pool what it says of itself, sends the messages of its stanzas and moves it to
    /// the text's transaction id: [`messages`](Self::messages) and [`raise`](Self::raise).
    ///
    /// # Errors
    /// As those two.
    pub fn send(&self, mode: Mode) -> Result<()> {
        let state = pool_state(self.kernel, &self.device()?.name)?;
        self.messages(&state, mode, &mut 0)?;
        self.raise()
    }

    /// Sends the messages of the pool's stanzas. Active origins of snapshots are frozen meanwhile:
    /// a snapshot of a live volume would else be torn. `state` is what the pool has said of itself
    /// since the group was locked; `obeyed` counts the messages that the pool has obeyed, also where
    /// one fails.
    ///
    /// Nothing is logged and no path is looked up between the first suspend and the last
    /// resume: the log, or this program itself, may lie on an origin.
    ///
    /// # Errors
    /// [`Exists`](ErrorKind::Exists) where a new id is taken ([`Mode::Fresh`] alone): take
    /// another and commit again. [`Diverged`](ErrorKind::Diverged) where the kernel is not one
    /// transaction behind. [`NotFound`](ErrorKind::NotFound) where pool or origin is not there,
    /// [`Busy`](ErrorKind::Busy) where a volume to delete is active, and as [`check_writable`].
    /// The stanzas must stay in the text then: they can be replayed.
    pub fn messages(&self, state: &PoolState, mode: Mode, obeyed: &mut usize) -> Result<()> {
        let device = self.device()?;
        check_writable(state).map_err(|error| error.at(&device.name))?;
        let (kernel_id, text_id) = (state.transaction_id, self.text_id()?);
        if kernel_id.checked_add(1) != Some(text_id) {
            return Err(diverged(kernel_id, text_id).at(&device.name));
        }
        let mut messages = pending(self.vg, self.pool)?;
        let held = at_one_moment(&mut messages);
        let messages: Vec<_> =
            messages.into_iter().map(|message| (message, message.to_string())).collect();
        // What is replayed has been begun, and is taken away again if need be.
        let may = mode == Mode::Replay || messages.iter().all(|(it, _)| it.takes_no_room());
        if may && state.is_out_of_metadata() {
            put_in_force(self.kernel, &device.name, &self.seen()?)?;
        }
        let (held, others) = messages.split_at(held.min(messages.len()));
        self.send_frozen(&device.name, (held, obeyed), mode)?;
        self.send_idle(&device.name, (others, obeyed), mode)
    }

    /// Moves the kernel to the text's transaction id, once the messages are sent.
    ///
    /// # Errors
    /// [`Unhealthy`](ErrorKind::Unhealthy) where the pool could not write its metadata; and as
    /// [`Kernel::message`]. The stanzas must stay in the text then.
    pub fn raise(&self) -> Result<()> {
        let to = self.text_id()?;
        self.tell(PoolMessage::SetTransactionId { from: to.saturating_sub(1), to })?;
        self.check_durable(&self.device()?.name, to)
    }

    /// Sends one message, also where the pool's metadata is full: it must take no room for long.
    ///
    /// # Errors
    /// As [`Kernel::message`], and those of the calls that put the pool's table in force.
    pub fn tell(&self, message: PoolMessage) -> Result<()> {
        let pool = (&self.device()?.name, &self.seen()?);
        send_though_full(self.kernel, pool, &message.to_string())
    }

    fn device(&self) -> Result<&DmInfo> {
        let inactive = || Error::new(ErrorKind::NotFound, "the thin pool is not active");
        self.active.volume(self.vg, self.pool).ok_or_else(inactive)
    }

    /// How the world sees the pool's device.
    fn seen(&self) -> Result<Visibility> {
        let missing =
            || Error::new(ErrorKind::NotFound, "there is no such thin pool").at(self.pool);
        let lv = self.vg.lv(self.pool).ok_or_else(missing)?;
        Ok(DeviceKey::of(self.vg, lv, Role::Pool)?.seen)
    }

    fn text_id(&self) -> Result<u64> {
        Ok(thin_pool(self.vg, self.pool)?.transaction_id)
    }

    /// The kernel obeys a message even where it cannot commit it, and takes it back then: only
    /// the status tells (drivers/md/dm-thin.c, `pool_message` and `abort_transaction`).
    fn check_durable(&self, pool: &DmName, text_id: u64) -> Result<()> {
        let state = pool_state(self.kernel, pool)?;
        if state.transaction_id == text_id && check_writable(&state).is_ok() {
            return Ok(());
        }
        let why = format!(
            "the pool could not make its change durable and is at transaction {} instead of {text_id}",
            state.transaction_id
        );
        Err(Error::new(ErrorKind::Unhealthy, why).at(pool))
    }

    fn send_frozen(
        &self,
        pool: &DmName,
        (messages, obeyed): (&[(PoolMessage, String)], &mut usize),
        mode: Mode,
    ) -> Result<()> {
        let origins = self.live_origins()?;
        let mut frozen = Vec::with_capacity(origins.len());
        for (info, seen) in origins {
            frozen.push(Suspended::freeze(self.kernel, info, seen)?);
        }
        let sent = if frozen.is_empty() {
            self.send_idle(pool, (messages, obeyed), mode)
        } else {
            let send = |_, text: &str| self.kernel.message(pool, text);
            send_each((messages, obeyed), mode, send)
        };
        // All of them, whatever happened; the first failure is the one to tell.
        let mut result = sent;
        for guard in frozen {
            let resumed = guard.resume();
            result = result.and(resumed);
        }
        result
    }

    /// The same where no origin is in use.
    fn send_idle(
        &self,
        pool: &DmName,
        messages: (&[(PoolMessage, String)], &mut usize),
        mode: Mode,
    ) -> Result<()> {
        let seen = self.seen()?;
        send_each(messages, mode, |message, text| {
            if mode == Mode::Replay || message.takes_no_room() {
                send_though_full(self.kernel, (pool, &seen), text)
            } else {
                self.kernel.message(pool, text)
            }
        })
    }

    /// The devices of those origins that are active, each once.
    fn live_origins(&self) -> Result<Vec<(&DmInfo, Visibility)>> {
        let mut origins: Vec<(&DmInfo, Visibility)> = Vec::new();
        for stanza in &thin_pool(self.vg, self.pool)?.messages {
            let Message::Create(name) = stanza else { continue };
            let Some(origin) = &member(self.vg, self.pool, name)?.1.origin else { continue };
            let (lv, _) = member(self.vg, self.pool, origin)?;
            let Some(info) = self.active.volume(self.vg, origin) else { continue };
            if !origins.iter().any(|(other, _)| other.uuid == info.uuid) {
                origins.push((info, DeviceKey::of(self.vg, lv, Role::Volume)?.seen));
            }
        }
        Ok(origins)
    }
}

/// Of several snapshots of one origin, all but the first are taken of the first: nobody writes to it,
/// so that all hold the same, and the origin need not be still for all of them, each of which is a
/// commit of the pool. Nothing tells them apart then. Returns how many messages are about origins that
/// may be in use, or come before such ones.
fn at_one_moment(messages: &mut [PoolMessage]) -> usize {
    let mut first = std::collections::BTreeMap::new();
    let mut held = 0;
    for (index, message) in messages.iter_mut().enumerate() {
        match message {
            PoolMessage::CreateSnap { id, origin } => match first.get(origin) {
                Some(of) => *origin = *of,
                None => {
                    first.insert(*origin, *id);
                    held = index.saturating_add(1);
                }
            },
            _ => held = index.saturating_add(1),
        }
    }
    held
}

fn send_each(
    (messages, obeyed): (&[(PoolMessage, String)], &mut usize),
    mode: Mode,
    send: impl Fn(PoolMessage, &str) -> Result<()>,
) -> Result<()> {
    for (message, text) in messages {
        match send(*message, text) {
            Err(error) if mode == Mode::Replay && message.is_done_already(&error) => {}
            result => result?,
        }
        *obeyed = obeyed.saturating_add(1);
    }
    Ok(())
}

/// A device that is suspended. [`resume`](Suspended::resume) it; dropping it tries the same and
/// can only warn.
#[must_use = "the device stays suspended while this lives"]
pub struct Suspended<'k> {
    kernel: &'k dyn Kernel,
    name: DmName,
    seen: Option<Visibility>,
}

impl<'k> Suspended<'k> {
    /// Flushes what is in flight, freezes the file system and holds further I/O back. A device
    /// that is suspended already is taken over as it is.
    ///
    /// # Errors
    /// As [`Kernel::suspend`].
    pub fn freeze(kernel: &'k dyn Kernel, device: &DmInfo, seen: Visibility) -> Result<Self> {
        if !device.suspended {
            kernel.suspend(&device.name, Suspend::Freeze)?;
        }
        Ok(Self { kernel, name: device.name.clone(), seen: Some(seen) })
    }

    /// Lets I/O go on.
    ///
    /// # Errors
    /// As [`Kernel::resume`]: the device is still suspended then.
    pub fn resume(mut self) -> Result<()> {
        if let Some(seen) = &self.seen {
            // Where it fails, the drop tries once more.
            self.kernel.resume(&self.name, seen)?;
        }
        self.seen = None;
        Ok(())
    }
}

impl Drop for Suspended<'_> {
    fn drop(&mut self) {
        let Some(seen) = self.seen.take() else { return };
        if let Err(error) = self.kernel.resume(&self.name, &seen) {
            log::warn!("{} is left suspended: {error}", self.name);
        }
    }
}

#[cfg(test)]
mod tests;
