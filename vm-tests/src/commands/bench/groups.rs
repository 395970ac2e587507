//! What is measured, in which order, and what has to be there for it.

use super::Options;

/// How often each contestant comes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rounds {
    /// What takes well under a second or two.
    Short,
    /// What takes longer.
    Long,
    /// Starts of a machine.
    Starts,
}

/// What can be measured alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) rounds: Rounds,
    /// Scripts before it and after it, in which `$spare` is a disk that nobody else uses.
    pub(super) before: &'static str,
    pub(super) after: &'static str,
    /// Whether it has machines of its own, and not the one that the others share.
    pub(super) alone: bool,
}

impl Group {
    const fn new(name: &'static str, rounds: Rounds) -> Self {
        Self { name, rounds, before: "", after: "", alone: false }
    }

    const fn between(self, before: &'static str, after: &'static str) -> Self {
        Self { before, after, ..self }
    }

    const fn alone(self) -> Self {
        Self { alone: true, ..self }
    }

    /// How many.
    pub(super) fn rounds(&self, options: &Options) -> u32 {
        match self.rounds {
            Rounds::Short => options.rounds,
            Rounds::Long => options.base_rounds,
            Rounds::Starts => options.start_rounds,
        }
    }
}

/// What makes the group of volumes grow comes late.
pub(super) const GROUPS: &[Group] = &[
    Group::new("lists", Rounds::Short),
    Group::new("layers", Rounds::Short),
    Group::new("bases", Rounds::Long).between(LARGE_IMAGE, NO_LARGE_IMAGE),
    Group::new("sources", Rounds::Long).between(SOURCES, NO_SOURCES),
    Group::new("memory", Rounds::Long).between(SOURCES, NO_SOURCES),
    Group::new("updates", Rounds::Long).between(SECOND, NO_SECOND),
    Group::new("diff", Rounds::Long),
    Group::new("etc", Rounds::Long),
    Group::new("boots", Rounds::Short).between(BOOT_FOLDER, "umount /boot"),
    Group::new("many", Rounds::Long),
    Group::new("scale", Rounds::Long).alone(),
    Group::new("starts", Rounds::Starts).alone(),
    Group::new("wide", Rounds::Long).alone(),
];

/// systemd-boot's folder, and two layers with entries in it.
pub(super) const BOOT_FOLDER: &str = "
truncate -s 128M /tmp/esp
mkfs.vfat /tmp/esp >/dev/null
mount -o loop /tmp/esp /boot
mkdir -p /boot/EFI/systemd
echo >/boot/EFI/systemd/systemd-bootx64.efi
imgbase base --add Boot-1-1 /systems/small.ext4
imgbase layer --add Boot-1-1
imgbase layer --add Boot-1-1
";

/// The sample's files four times, in an image on the spare disk.
const LARGE_IMAGE: &str = "
mkfs.ext4 -q -F -O ^has_journal $spare
mkdir -p /mnt/spare /mnt/image /mnt/large
mount $spare /mnt/spare
truncate -s 1G /mnt/spare/large.ext4
mkfs.ext4 -q -F /mnt/spare/large.ext4
mount -o loop,ro,noload /images/debian.ext4 /mnt/image
mount -o loop /mnt/spare/large.ext4 /mnt/large
for n in 1 2 3 4; do cp -a /mnt/image /mnt/large/$n; done
umount /mnt/large /mnt/image
";
const NO_LARGE_IMAGE: &str = "umount /mnt/spare";

/// The sample's tree as a squashfs and as archives, on the spare disk.
const SOURCES: &str = "
mkfs.ext4 -q -F -O ^has_journal $spare
mkdir -p /mnt/spare /mnt/image
mount $spare /mnt/spare
mount -o loop,ro,noload /images/debian.ext4 /mnt/image
mksquashfs /mnt/image /mnt/spare/root.sqfs -quiet -no-progress -noappend \
    -comp zstd -Xcompression-level 1 -e lost+found
cd /mnt/image
tar --format=posix --xattrs --xattrs-include='*' --numeric-owner --exclude=./lost+found -S \
    -cf /mnt/spare/root.tar .
cd /
zstd -q -1 /mnt/spare/root.tar
umount /mnt/image
";
const NO_SOURCES: &str = NO_LARGE_IMAGE;

/// The sample with a file more, a file less, and one changed in the middle: a twentieth of it.
const SECOND: &str = "
mkfs.ext4 -q -F -O ^has_journal $spare
mkdir -p /mnt/spare /mnt/image
mount $spare /mnt/spare
cp --sparse=always /images/debian.ext4 /mnt/spare/second.ext4
mount -o loop /mnt/spare/second.ext4 /mnt/image
dd if=/dev/urandom of=/mnt/image/new bs=1M count=3 status=none
dd if=/dev/urandom of=/mnt/image/usr/bin/bash bs=4k seek=50 count=10 conv=notrunc status=none
rm /mnt/image/usr/bin/perl
umount /mnt/image
";
const NO_SECOND: &str = NO_SOURCES;
