//! Systems on thin volumes that lvm2 made become a base and a layer.

use crate::case::{Case, Outcome, must};
use crate::cases::kit;
use crate::judges;
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("adoption::of_an_ext4_in_use", of_an_ext4_in_use).within(300),
        Case::new("adoption::of_an_xfs_in_use", of_an_xfs_in_use).within(300),
        Case::new("adoption::refused", refused).within(180),
    ]
}

/// A group as an installer leaves it, its system mounted at `/mnt/live`.
fn install(vm: &mut Vm, make: &str) -> Outcome {
    kit::folders(vm)?;
    vm.ok("vgcreate -q onn /dev/vda /dev/vdb && lvcreate -q -L 40M -n swap onn")?;
    vm.ok("lvcreate -q -L 2G -c 128k -T onn/pool00 && lvcreate -q -V 600M -n root onn/pool00")?;
    vm.ok(make)?;
    vm.ok("mount /dev/onn/root /mnt/live && echo '/dev/mapper/onn-root / auto discard 0 1' >/mnt/live/etc/fstab")?;
    Ok(())
}

/// A dry run tells of it and changes nothing.
fn on_paper(vm: &mut Vm) -> Outcome {
    // What is mounted goes on being written to: how full the pool is says nothing.
    let state =
        "lvs -o lv_name,lv_attr,tags,seqno onn; dmsetup table; dmsetup info -c --noheadings";
    let before = vm.ok(state)?;
    let said = vm.imgbase("--dry-run layout --init Node-4-1 --from /mnt/live")?;
    must(said.contains("would suspend onn-root") && said.contains("commit point"), said)?;
    vm.says(state, &before)?;
    Ok(())
}

/// Adopts what is at `/mnt/live` while somebody writes to it.
fn adopt(vm: &mut Vm) -> Outcome {
    // Nobody reaps it: a file says that it has ended.
    vm.ok("(i=0; while [ ! -e /tmp/stop ]; do i=$((i + 1)); echo $i >>/mnt/live/root/log; done; \
           touch /tmp/ended) >/dev/null 2>&1 &")?;
    vm.says("imgbase layout --init Node-4-1 --from /mnt/live", "Node-4-1\nNode-4-1+1")?;
    vm.ok("touch /tmp/stop && while [ ! -e /tmp/ended ]; do sleep 0.1; done")?;
    judges::lvm2(vm, "onn")?;
    vm.says("dmsetup info -c --noheadings -o suspended | grep -c Suspended || true", "0")?;
    let lvs = "lvs --noheadings -o tags";
    vm.says(
        &format!("{lvs} onn/root | tr -d ' '; {lvs} onn/pool00 | tr -d ' '"),
        "imgbased:init\nimgbased:pool",
    )?;
    vm.says("vgs --noheadings -o tags onn | tr -d ' '", "imgbased:vg")?;
    vm.says("lvs --noheadings -o lv_attr onn/Node-4-1 | tr -d ' '", "Vri---tz-k")?;
    holds_the_system(vm)?;
    again(vm)
}

/// Base and layer hold what the system held, whose last line of the log is a whole one.
fn holds_the_system(vm: &mut Vm) -> Outcome {
    vm.ok("imgbase mount Node-4-1 /mnt/tree --read-only && imgbase mount Node-4-1+1 /mnt/layer")?;
    vm.ok("cmp /mnt/tree/root/log /mnt/layer/root/log")?;
    vm.ok("n=$(stat -c %s /mnt/tree/root/log) && head -c $n /mnt/live/root/log | cmp - /mnt/tree/root/log")?;
    vm.says("cat /mnt/layer/etc/fstab", "/dev/mapper/onn-Node--4--1+1 / auto discard 0 1")?;
    vm.says("cat /mnt/tree/etc/fstab", "/dev/mapper/onn-root / auto discard 0 1")?;
    let trees = "for t in live tree layer; do guest tree /mnt/$t | grep -v '/root/log\\|/etc/fstab\\|/root \\|/etc ' >/tmp/$t; done";
    vm.ok(trees)?;
    vm.ok(
        "[ $(wc -l </tmp/live) -gt 100 ] && cmp /tmp/live /tmp/tree && cmp /tmp/live /tmp/layer",
    )?;
    vm.says("for d in root Node-4-1 Node-4-1+1; do blkid -p -o value -s UUID /dev/onn/$d; done | sort -u | wc -l", "2")?;
    vm.ok("echo new >/mnt/layer/root/new && [ ! -e /mnt/live/root/new ]")?;
    vm.ok("echo old >/mnt/live/root/old && sync && [ ! -e /mnt/layer/root/old ]")?;
    vm.ok("imgbase umount /mnt/tree && imgbase umount /mnt/layer && imgbase deactivate Node-4-1")?;
    Ok(())
}

/// A second time nothing is done, and the layout is one like any.
fn again(vm: &mut Vm) -> Outcome {
    let seqno = "vgs --noheadings -o seqno onn";
    let before = vm.ok(seqno)?;
    let said = vm.ok("imgbase layout --init Node-4-1 --from onn/root 2>&1")?;
    must(said.contains("was set up already, as Node-4-1"), said)?;
    vm.fails(3, "imgbase layout --init Node-4-2 --from /mnt/live")?;
    vm.says(seqno, &before)?;
    vm.says("imgbase recover --list", "")?;
    vm.says("imgbase layer --add", "Node-4-1+2")?;
    vm.says("imgbase layout --layers", "Node-4-1+1\nNode-4-1+2")?;
    judges::lvm2(vm, "onn")?;
    Ok(())
}

fn of_an_ext4_in_use(vm: &mut Vm) -> Outcome {
    install(
        vm,
        "dd if=/images/debian.ext4 of=/dev/onn/root bs=1M conv=sparse,fsync && e2fsck -fy /dev/onn/root",
    )?;
    on_paper(vm)?;
    adopt(vm)?;
    vm.ok("umount /mnt/live")?;
    judges::at_rest(vm, "onn", "pool00")?;
    Ok(())
}

fn of_an_xfs_in_use(vm: &mut Vm) -> Outcome {
    install(
        vm,
        "mkfs.xfs -q /dev/onn/root && mount /dev/onn/root /mnt/live &&
        mount -o loop,ro,noload /images/debian.ext4 /mnt/image && cp -a /mnt/image/. /mnt/live/ &&
        umount /mnt/image /mnt/live",
    )?;
    adopt(vm)?;
    vm.ok("umount /mnt/live")?;
    judges::at_rest(vm, "onn", "pool00")?;
    vm.ok("for d in root Node-4-1 Node-4-1+1; do xfs_repair -n /dev/onn/$d; done")?;
    Ok(())
}

fn refused(vm: &mut Vm) -> Outcome {
    install(
        vm,
        "mke2fs -q -t ext4 /dev/onn/root && mount /dev/onn/root /mnt/live && mkdir /mnt/live/etc && umount /mnt/live",
    )?;
    vm.ok("lvcreate -q -L 100M -n plain onn && mke2fs -q -t ext4 /dev/onn/plain")?;
    let state = "lvs -o lv_name,lv_attr,tags,seqno onn; dmsetup table";
    let before = vm.ok(state)?;
    for (code, words, why) in [
        (2, "--init Node-4-1 </dev/null", "--yes"),
        (5, "--yes --init Node-4-1", "no thin volume"),
        (5, "--init Node-4-1 --from onn/plain", "no thin volume"),
        (5, "--init Node-4-1 --from /dev/onn/swap", "no thin volume"),
        (3, "--init Node-4-1 --from onn/nothing", "no such volume"),
        (2, "--init Node-4-1 --from /etc", "neither a mount point"),
        (2, "--init --from /mnt/live", "/etc/os-release"),
        (2, "--init Node-4-1 --size 1G --from /mnt/live", "--size"),
        (3, "--init swap-1-1 --from none/root", "none"),
    ] {
        let said = vm.fails(code, &format!("imgbase layout {words}"))?;
        must(said.contains(why) && said.lines().count() == 1, format!("{words}: {said}"))?;
        vm.says(state, &before)?;
    }
    vm.ok("printf 'ID=node\\nVERSION_ID=4\\n' >/mnt/live/etc/os-release && umount /mnt/live && vgchange -q -an onn")?;
    vm.says("imgbase layout --init --from onn/root", "node-4-0\nnode-4-0+1")?;
    vm.ok("[ ! -e /dev/mapper/onn-root ] && [ -e /dev/mapper/onn-node--4--0+1 ]")?;
    judges::at_rest(vm, "onn", "pool00")?;
    Ok(())
}
