//! Pools that grow, by command and by themselves, while a layer in them is written to.

use crate::case::{Case, Outcome, must};
use crate::cases::kit::{self, step};
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("growing::by_command", by_command).within(180),
        Case::new("growing::under_the_program_itself", under_the_program_itself),
        Case::new("growing::watched", watched).within(240),
    ]
}

/// A pool of 256 MiB with 8 MiB of metadata, in a group of 3 GiB, and a mounted layer.
fn small_pool(vm: &mut Vm) -> Outcome {
    kit::folders(vm)?;
    step(vm, "layout --init --size 256M --metadata-size 8M /dev/vda /dev/vdc")?;
    kit::small_image(vm, "")?;
    step(vm, "base --add --size 512M Small-1-1 /tmp/small.ext4")?;
    step(vm, "layer --add")?;
    step(vm, "mount Small-1-1+1 /mnt/layer").map(drop)
}

/// lvm2 and the kernel must agree on the size of the pool's data, in MiB, and have this.
fn has_data(vm: &mut Vm, mib: u32) -> Outcome {
    let lvs = "lvs --noheadings --nosuffix --units m -o lv_size HostVG/ImagePool";
    vm.says(&format!("{lvs} | tr -d ' '"), &format!("{mib}.00"))?;
    let table = "dmsetup table HostVG-ImagePool-tpool | cut -d' ' -f2";
    vm.says(table, &(u64::from(mib) * 2048).to_string())?;
    let chunks = "dmsetup status --noflush HostVG-ImagePool-tpool | cut -d' ' -f6 | cut -d/ -f2";
    vm.says(chunks, &(u64::from(mib) * 16).to_string())?;
    Ok(())
}

/// Across a second disk, and the metadata to its default of 64 MiB, while a program writes.
pub(super) fn by_command(vm: &mut Vm) -> Outcome {
    small_pool(vm)?;
    has_data(vm, 256)?;
    vm.ok("(while [ ! -e /tmp/stop ]; do dd if=/dev/urandom of=/mnt/layer/w bs=64k count=64 conv=fsync 2>/dev/null || touch /tmp/failed; done; touch /tmp/stopped) >/dev/null 2>&1 &")?;
    step(vm, "layout --grow 300M")?;
    has_data(vm, 556)?;
    let blocks = "dmsetup status --noflush HostVG-ImagePool-tpool | cut -d' ' -f5 | cut -d/ -f2";
    vm.says(blocks, "16384")?;
    step(vm, "layout --grow 1500M")?;
    has_data(vm, 2056)?;
    vm.ok(
        "touch /tmp/stop; while [ ! -e /tmp/stopped ]; do sleep 0.1; done; [ ! -e /tmp/failed ]",
    )?;
    vm.says("dmsetup info -c --noheadings -o suspended | grep -c Suspended || true", "0")?;
    let before = vm.ok("vgs --noheadings -o seqno HostVG")?;
    let said = vm.fails(4, "imgbase layout --grow 9G")?;
    must(said.contains("HostVG") && said.contains("free"), said)?;
    vm.says("vgs --noheadings -o seqno HostVG", &before)?;
    step(vm, "umount /mnt/layer")?;
    kit::end(vm)?;
    // lvm2 can go on from there, and we from what it did.
    vm.ok("lvextend -q -L +64m HostVG/ImagePool")?;
    has_data(vm, 2120)?;
    step(vm, "layout --grow 8M")?;
    has_data(vm, 2128)?;
    kit::end(vm)
}

/// The program, its log and lvm2's folder lie on a layer in the pool whose devices are suspended.
fn under_the_program_itself(vm: &mut Vm) -> Outcome {
    small_pool(vm)?;
    vm.ok("cp /tools/imgbase /mnt/layer/ && cp -a /etc/lvm /mnt/layer/etc/")?;
    vm.ok("mount --bind /mnt/layer/etc/lvm /etc/lvm && echo 3 >/proc/sys/vm/drop_caches")?;
    vm.ok("cd /mnt/layer && ./imgbase --debug layout --grow 128M 2>>log")?;
    has_data(vm, 384)?;
    vm.ok("touch /mnt/layer/alive && sync -f /mnt/layer/alive && [ -s /mnt/layer/log ]")?;
    vm.ok("umount /etc/lvm")?;
    step(vm, "umount /mnt/layer")?;
    kit::end(vm)
}

/// A layer writes more than the pool had room for, and never sees an error.
fn watched(vm: &mut Vm) -> Outcome {
    small_pool(vm)?;
    let check = "imgbase check | grep watch:";
    let said = vm.ok(check)?;
    must(said.contains("warning") && said.contains("never"), said)?;
    // lvm2's own is told where it runs and would do something.
    vm.ok("cp /etc/lvm/lvm.conf /tmp &&
        sed -i 's/# \\(thin_pool_autoextend_threshold =\\) 100/\\1 70/' /etc/lvm/lvm.conf")?;
    let said = vm.ok(check)?;
    must(said.contains("from 70 % on, but its dmeventd does not run"), said)?;
    let pid = vm.ok("dmeventd && cat /run/dmeventd.pid")?;
    let said = vm.ok(check)?;
    must(said.contains(&format!("its dmeventd (process {})", pid.trim())), said)?;
    vm.ok("kill -9 $(cat /run/dmeventd.pid) && mv /tmp/lvm.conf /etc/lvm/lvm.conf")?;
    vm.ok("imgbase watch --interval 1 2>/tmp/log & echo $! >/tmp/pid")?;
    vm.ok("while ! imgbase check | grep -q 'ok *watch: process .*imgbase'; do sleep 0.2; done")?;
    let said = vm.fails(3, "imgbase watch")?;
    must(said.contains("locked by process"), said)?;
    vm.ok(
        "for i in $(seq 10); do dd if=/dev/urandom of=/mnt/layer/$i bs=1M count=40 conv=fsync; \
         sleep 2; done 2>/tmp/dd || { cat /tmp/dd; exit 1; }",
    )?;
    let log = vm.ok("cat /tmp/log")?;
    must(log.contains("ImagePool was 70 % full"), log)?;
    let lvs = "lvs --noheadings --nosuffix --units m -o lv_size HostVG/ImagePool | cut -d. -f1";
    let mib = vm.ok(lvs)?.trim().parse().unwrap_or(0);
    must((500..900).contains(&mib), format!("the pool has {mib} MiB"))?;
    has_data(vm, mib)?;
    vm.says("kill $(cat /tmp/pid); sleep 3; ls /run/imgbase", "")?;
    step(vm, "umount /mnt/layer")?;
    kit::end(vm)
}
