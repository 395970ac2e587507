//! lvm2 on this host, as far as it must find things done.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::archive::{self, Retain, Staged};
use super::hints;
#[cfg(feature = "liblvm")]
use super::library::Helper;
use super::locks::{LockFolder, command_of};
use super::lvmconf::LvmConf;
use crate::error::{Error, ErrorKind, Result};
use crate::machine::{Creator, Held, LockMode, Lvm2Host, NewPv, StagedBackup};
use crate::name::VgName;

/// Where locks are that lvm2 does not know.
const RUN_DIR: &str = "/run/imgbase";
/// Where dmeventd says its process's number (dmeventd(8)).
const DMEVENTD_PID: &str = "/run/dmeventd.pid";

/// Of the kernels in the boot folder.
const BOOT_LOCK: &str = "boot";

/// lvm2's locks, texts, hints and settings on this host, be it installed or not.
#[derive(Clone, Debug)]
pub(super) struct RealLvm2 {
    conf: LvmConf,
    locks: LockFolder,
    /// Who watches a pool holds a lock here, which lvm2 does not know.
    watches: LockFolder,
    /// So is the boot folder's, which may be waited for.
    boot: LockFolder,
    /// Where lvm2 keeps its hints.
    run_dir: PathBuf,
    /// The program with lvm2's library, where texts go through that.
    #[cfg(feature = "liblvm")]
    library: Option<Helper>,
}

impl RealLvm2 {
    /// By this configuration; a lock is waited for no longer than `lock_timeout`.
    pub(super) fn new(conf: LvmConf, lock_timeout: Duration) -> Self {
        let locks = LockFolder::new(&conf.locking_dir, lock_timeout);
        let watches = LockFolder::new(RUN_DIR, Duration::ZERO);
        let boot = LockFolder::new(RUN_DIR, lock_timeout);
        Self {
            conf,
            locks,
            watches,
            boot,
            run_dir: PathBuf::from("/run/lvm"),
            #[cfg(feature = "liblvm")]
            library: None,
        }
    }

    /// The same with texts read and written by that program. It is at work under the locks of
    /// this one, and keeps them where this one is killed.
    #[cfg(feature = "liblvm")]
    pub(super) fn with_library(self, library: Helper) -> Self {
        Self { locks: self.locks.inherited(), library: Some(library), ..self }
    }

    /// True where lvm2 is set up, so that somebody may look for its texts.
    fn is_set_up(&self) -> bool {
        self.conf.system_dir.is_dir()
    }

    fn list_devices(&self, file: &Path, new: &[NewPv]) -> Result<()> {
        let name = format!("D_{}", self.conf.devicesfile);
        let _held = self.locks.lock(&name, LockMode::Exclusive)?;
        hints::list(file, new)
    }
}

/// The lock's name.
fn watch_of(vg: &VgName) -> String {
    format!("watch_{vg}")
}

/// One of the kernel's names for this system, or `unknown`.
fn known(name: &std::ffi::CStr) -> String {
    let text = name.to_string_lossy();
    if text.is_empty() { "unknown".to_owned() } else { text.into_owned() }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn warn(done: Result<()>) {
    if let Err(error) = done {
        log::warn!("{error}");
    }
}

impl StagedBackup for Staged {
    fn put_in_place(self: Box<Self>) {
        warn(self.keep());
    }
}

impl Lvm2Host for RealLvm2 {
    fn creator(&self) -> Creator {
        let names = rustix::system::uname();
        let host = known(names.nodename());
        let parts = [names.sysname(), names.nodename(), names.release(), names.version()];
        let arch = std::env::consts::ARCH;
        let system = format!("{} {arch}", parts.map(known).join(" "));
        Creator { host, system, time: now() }
    }

    fn lock_vg(&self, vg: &VgName, mode: LockMode) -> Result<Box<dyn Held>> {
        self.locks.lock(&format!("V_{vg}"), mode)
    }

    fn lock_global(&self, mode: LockMode) -> Result<Box<dyn Held>> {
        self.locks.lock("P_global", mode)
    }

    fn lock_watch(&self, vg: &VgName) -> Result<Box<dyn Held>> {
        self.watches.lock(&watch_of(vg), LockMode::Exclusive)
    }

    fn lock_boot(&self, mode: LockMode) -> Result<Option<Box<dyn Held>>> {
        match mode {
            LockMode::Shared => self.boot.lock(BOOT_LOCK, mode).map(Some),
            LockMode::Exclusive => match self.watches.lock(BOOT_LOCK, mode) {
                Err(error) if error.kind() == ErrorKind::Busy => Ok(None),
                held => held.map(Some),
            },
        }
    }

    fn watcher(&self, vg: &VgName) -> Option<String> {
        self.watches.holder(&watch_of(vg))
    }

    fn dmeventd(&self) -> Option<u32> {
        let pid = fs::read_to_string(DMEVENTD_PID).ok()?.trim().parse().ok()?;
        // The file of one that was killed is still there.
        (command_of(pid)? == "dmeventd").then_some(pid)
    }

    fn system_ids(&self) -> Vec<String> {
        self.conf.system_id.iter().chain(&self.conf.extra_system_ids).cloned().collect()
    }

    fn autoextend_threshold(&self) -> u8 {
        self.conf.autoextend_threshold
    }

    fn volume_list(&self) -> Option<&[String]> {
        self.conf.volume_list.as_deref()
    }

    fn check_writable(&self) -> Result<()> {
        if !self.conf.metadata_read_only {
            return Ok(());
        }
        let why = "global/metadata_read_only is set: nothing may be changed";
        let file = self.conf.system_dir.join("lvm.conf");
        Err(Error::new(ErrorKind::Denied, why).at(file.display()))
    }

    fn archive(&self, vg: &VgName, seqno: u64, text: &dyn Fn() -> String) -> Result<()> {
        // A group that is only being made has nothing to keep.
        if !self.is_set_up() || !self.conf.archive || seqno == 0 {
            return Ok(());
        }
        let retain = Retain { min: self.conf.retain_min, days: self.conf.retain_days };
        archive::archive(&self.conf.archive_dir, vg.as_str(), &text(), retain)
    }

    fn stage_backup(
        &self,
        vg: &VgName,
        text: &dyn Fn() -> String,
    ) -> Option<Box<dyn StagedBackup>> {
        if !self.is_set_up() || !self.conf.backup {
            return None;
        }
        match archive::stage_backup(&self.conf.backup_dir, vg.as_str(), &text()) {
            Ok(staged) => Some(Box::new(staged)),
            Err(error) => {
                log::warn!("{error}");
                None
            }
        }
    }

    fn backup(&self, vg: &VgName) -> Option<String> {
        archive::read_backup(&self.conf.backup_dir, vg.as_str())
    }

    #[cfg(feature = "liblvm")]
    fn library(&self) -> Option<&dyn crate::lvm2::store::Lvm2Library> {
        self.library.as_ref().map(|helper| -> &dyn crate::lvm2::store::Lvm2Library { helper })
    }

    fn devices_changed(&self, new: &[NewPv]) {
        if let Some(file) = self.conf.devices_file().filter(|_| !new.is_empty()) {
            warn(self.list_devices(&file, new));
        }
        warn(hints::invalidate(&self.run_dir));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn host(dir: &Path, text: &str) -> RealLvm2 {
        fs::write(dir.join("lvm.conf"), text).expect("written");
        let mut conf = LvmConf::read_in(dir);
        conf.locking_dir = dir.join("locks");
        let mut host = RealLvm2::new(conf, Duration::from_millis(20));
        host.run_dir = dir.join("run");
        host
    }

    #[test]
    fn texts_are_kept_only_where_asked_for() {
        let dir = tempfile::tempdir().expect("a folder");
        let vg: VgName = "vg".parse().expect("a name");
        host(dir.path(), "backup { archive = 0\n backup = 0 }\n")
            .stage_backup(&vg, &|| "text".into())
            .into_iter()
            .for_each(StagedBackup::put_in_place);
        assert!(!dir.path().join("backup").exists());
        let host = host(dir.path(), "");
        host.stage_backup(&vg, &|| "text".into()).into_iter().for_each(StagedBackup::put_in_place);
        host.archive(&vg, 3, &|| "old".into()).expect("written");
        assert_eq!(fs::read_to_string(dir.path().join("backup/vg")).expect("there"), "text");
        assert_eq!(fs::read_dir(dir.path().join("archive")).expect("there").count(), 1);
    }

    #[test]
    fn a_read_only_setting_forbids_writes() {
        let dir = tempfile::tempdir().expect("a folder");
        host(dir.path(), "").check_writable().expect("nothing is set");
        let host = host(dir.path(), "global { metadata_read_only = 1 }\n");
        assert_eq!(host.check_writable().expect_err("set").kind(), ErrorKind::Denied);
    }

    #[test]
    fn a_new_volume_is_listed_and_the_hints_go() {
        let dir = tempfile::tempdir().expect("a folder");
        let host = host(dir.path(), "");
        let file = dir.path().join("devices/system.devices");
        fs::create_dir_all(dir.path().join("devices")).expect("made");
        fs::create_dir_all(dir.path().join("run")).expect("made");
        fs::write(&file, "VERSION=1.1.1\n").expect("written");
        fs::write(dir.path().join("run/hints"), "x").expect("written");
        let id = crate::name::LvmId::random().expect("random");
        host.devices_changed(&[NewPv { path: "/nowhere/disk".into(), id }]);
        assert!(!dir.path().join("run/hints").exists());
        let text = fs::read_to_string(&file).expect("there");
        assert!(text.contains("VERSION=1.1.2\n") && text.contains(id.undashed()), "{text}");
    }

    #[test]
    fn locks_and_the_creator_are_this_hosts() {
        let dir = tempfile::tempdir().expect("a folder");
        let host = host(dir.path(), "");
        let vg: VgName = "HostVG".parse().expect("a name");
        let _global = host.lock_global(LockMode::Exclusive).expect("free");
        let _held = host.lock_vg(&vg, LockMode::Exclusive).expect("free");
        assert!(dir.path().join("locks/V_HostVG").exists());
        let creator = host.creator();
        assert!(creator.time > 1_600_000_000 && creator.system.contains(&creator.host));
    }
}
