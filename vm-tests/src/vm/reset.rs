//! A machine made as new between two cases, which is many times faster than a boot.

use std::fs;
use std::time::Duration;

use crate::error::{Doing, Result};
use crate::vm::Vm;
use crate::vm::firmware::VARIABLES;
use crate::wire::text;

/// Ends in failure where anything is left; the machine is then thrown away.
const RESET: &str = r#"
exec 2>&1
for i in 1 2 3 4; do
    awk '$2 ~ "^/(boot|mnt|run/x|tmp/)" { print $2 }' /proc/mounts | tac | xargs -r -n1 umount
done
if [ "$(dmsetup ls)" != 'No devices found' ]; then
    vgchange -an
    dmsetup remove_all
fi
losetup -D
for disk in "$@"; do
    blkdiscard -f /dev/$disk || exit
    blockdev --flushbufs --rereadpt /dev/$disk
done
rm -rf /etc/lvm/archive/* /etc/lvm/backup/* /etc/lvm/devices/* /run/lvm/* /tmp/* /mnt/*
rm -rf /run/lock/lvm/*
find /run -mindepth 1 -maxdepth 1 ! -name harness ! -name lock ! -name lvm ! -name udev \
    -exec rm -rf {} +
[ -d /run/udev ] && udevadm settle
find /dev -xtype l -delete
find /dev -mindepth 1 -maxdepth 1 -type d -empty ! -name shm ! -name mqueue -delete
[ "$(dmsetup ls)" = 'No devices found' ] && [ -z "$(losetup -a)" ]
"#;

impl Vm {
    /// Undoes what a case did: processes, mounts, devices, loops, disks, lvm2's folders, /run.
    ///
    /// # Errors
    /// Where something stays.
    pub fn reset(&mut self) -> Result<()> {
        self.forget_boots()?;
        self.limit(Duration::from_secs(60));
        self.end_others()?;
        let names: Vec<String> = self.spec.disk_names().collect();
        self.ok(&format!("set -- {}\n{RESET}", names.join(" "))).map(drop)
    }

    /// Ends what commands have left running.
    fn end_others(&mut self) -> Result<()> {
        crate::wire::send(&mut self.channel, &[b"end"]).doing("the channel")?;
        let ended = self.answer(b"ok")?.into_iter().next().unwrap_or_default();
        for process in text(&ended).lines() {
            self.note(&format!("left running and ended: {process}"));
        }
        Ok(())
    }

    /// UEFI's variables and the consoles of the machines that booted a disk.
    fn forget_boots(&mut self) -> Result<()> {
        for n in 1..=std::mem::take(&mut self.booted) {
            fs::remove_file(self.console_of_boot(n))?;
        }
        let variables = self.folder.join(VARIABLES);
        if variables.exists() { Ok(fs::remove_file(variables)?) } else { Ok(()) }
    }
}
