//! Pools that are out of step with their text, or in doubt.

use crate::case::{Case, Outcome, must};
use crate::cases::first::{LAYER, initrd, prepare};
use crate::vm::{Bus, Direct, Vm};

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("first::starts_from_a_pool_out_of_step", out_of_step).within(900)]
}

/// Raises each transaction id in the group's text, behind everybody's back.
const RAISE: &str = r"imgbase deactivate >/dev/null && vgcfgbackup -q -f /tmp/text HostVG &&
    perl -pi -e 's/(transaction_id = )(\d+)/$1 . ($2 + '$by')/e' /tmp/text &&
    vgcfgrestore -q -y --force -f /tmp/text HostVG";

/// Kills a verb at a call after the other, until the text holds a message that the pool has not got.
const KILL: &str = r#"
for n in $(seq 4 60); do
    strace -f -qq -o /dev/null -e trace=ioctl -e inject=ioctl:signal=KILL:when=$n \
        imgbase layer --add Debian-12-1 >/dev/null 2>&1
    imgbase --json recover --list | grep -q '"kind":"transaction"' && break
done
vgcfgbackup -q -f /tmp/text HostVG && grep -q 'create = ' /tmp/text
"#;

/// Turns the flag of the pool's metadata over that the kernel sets where a write of it has failed
/// (drivers/md/dm-thin-metadata.c: `flags` at byte 4, the checksum of all behind it at byte 0). lvm2
/// gives the volume for reading alone, so that its first block is written on the disk.
const TURN_FLAG: &str = r#"
set -e
imgbase deactivate >/dev/null
lvchange -q -ay -y HostVG/ImagePool_tmeta
set -- $(dmsetup table HostVG-ImagePool_tmeta)
lvchange -q -an HostVG/ImagePool_tmeta
[ "$3" = linear ]
perl -e '
    open(F, "+<", "/dev/vda") or die; binmode F;
    seek(F, 512 * $ARGV[0], 0);
    read(F, $block, 4096) == 4096 or die;
    unpack("Q<", substr($block, 32)) == 27022010 or die;
    substr($block, 4, 4) = pack("V", unpack("V", substr($block, 4, 4)) ^ 1);
    $crc = 0xffffffff;
    for $byte (unpack("C*", substr($block, 4))) {
        $crc ^= $byte;
        $crc = $crc & 1 ? ($crc >> 1) ^ 0x82f63b78 : $crc >> 1 for 1 .. 8;
    }
    substr($block, 0, 4) = pack("V", $crc ^ 160774);
    seek(F, 512 * $ARGV[0], 0); print F $block; close F or die;
' $5
"#;

fn out_of_step(vm: &mut Vm) -> Outcome {
    prepare(vm)?;
    let initrd = initrd(vm, "")?;
    let words = format!("img.bootid={LAYER} rw");
    let virtio = Direct::from("vda", Bus::Virtio).initrd(&initrd).with(&words);

    // In the middle of a change: its messages are in the text and not in the pool.
    vm.ok(KILL)?;
    starts(vm, &virtio, "")?;
    vm.imgbase("recover")?;

    // A step ahead, and a step behind.
    vm.ok(&format!("by=1\n{RAISE}"))?;
    starts(vm, &virtio, "is at transaction")?;
    vm.imgbase("recover")?;
    vm.ok("imgbase activate >/dev/null &&
        set -- $(dmsetup status --noflush HostVG-ImagePool-tpool) &&
        dmsetup message HostVG-ImagePool-tpool 0 set_transaction_id $4 $(($4 + 1))")?;
    starts(vm, &virtio, "is at transaction")?;
    vm.imgbase("recover")?;

    // Nothing explains that.
    vm.ok(&format!("by=5\n{RAISE}"))?;
    refuses(vm, &virtio, "no crash explains that")?;
    vm.ok(&format!("by=-5\n{RAISE}"))?;

    vm.ok(TURN_FLAG)?;
    refuses(vm, &virtio, "the pool's metadata needs a check (thin_check)")?;
    vm.ok(TURN_FLAG)?;
    starts(vm, &virtio, "")
}

/// It starts, with a word about it where one is due.
fn starts(vm: &mut Vm, direct: &Direct, word: &str) -> Outcome {
    let mut started = vm.direct(direct)?;
    started.up()?;
    started.says_of("cat /mark", LAYER)?;
    started.ok("echo lives >/alive && sync")?;
    let said = started.ends_quietly()?;
    must(said.contains(word), format!("no '{word}' in\n{said}"))
}

/// It says why not, and nothing of it stays active.
fn refuses(vm: &mut Vm, direct: &Direct, why: &str) -> Outcome {
    let mut started = vm.direct(&direct.clone().with("panic=1"))?;
    let said = started.ends()?;
    must(said.contains(why) && !said.contains("left behind"), said)
}
