//! Bases and layers go into files, and come back from there.

use crate::case::{Case, Outcome, must};
use crate::cases::kit::{self, BASE, step, step_says};
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("exports::what_comes_back", what_comes_back).within(600),
        Case::new("exports::of_a_layer_in_use", of_a_layer_in_use).within(300),
    ]
}

/// Room for what is exported, at `/mnt/copy`.
fn room(vm: &mut Vm) -> Outcome {
    vm.ok("mke2fs -q -F /dev/vdc && mount /dev/vdc /mnt/copy && rmdir /mnt/copy/lost+found")?;
    Ok(())
}

fn what_comes_back(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    room(vm)?;
    step_says(vm, &format!("base --add {BASE} /images/debian.ext4"), BASE)?;
    let seqno = vm.ok("vgs --noheadings -o seqno HostVG")?;
    for file in ["base.raw", "base.qcow2", "base.tar"] {
        let path = format!("/mnt/copy/{file}");
        step_says(vm, &format!("export {BASE} {path}"), &path)?;
    }
    vm.says("vgs --noheadings -o seqno HostVG", &seqno)?;
    let active = vm.ok("dmsetup ls | grep -c Debian || true")?;
    must(active == "0", "a base is left active")?;
    // Byte for byte, and not more than is used.
    vm.ok(&format!(
        "imgbase activate {BASE} && cmp /dev/HostVG/{BASE} /mnt/copy/base.raw &&
        [ $(du -k /mnt/copy/base.raw | cut -f1) -lt 400000 ] && imgbase deactivate {BASE}"
    ))?;
    vm.ok("cd /mnt/copy && qemu-img check -q base.qcow2 &&
        qemu-img compare -q -f qcow2 -F raw base.qcow2 base.raw")?;
    step(vm, &format!("mount {BASE} /mnt/tree --read-only"))?;
    let compare = "tar --xattrs --xattrs-include='*' --numeric-owner -C /mnt/tree -d";
    vm.says(&format!("{compare} -f /mnt/copy/base.tar"), "")?;
    step(vm, "umount /mnt/tree")?;
    for (number, file) in ["base.raw", "base.qcow2", "base.tar"].iter().enumerate() {
        let nvr = format!("Again-1-{number}");
        step_says(vm, &format!("base --add {nvr} /mnt/copy/{file}"), &nvr)?;
        kit::holds_the_sample(vm, &nvr)?;
        step(vm, &format!("base --remove {nvr}"))?;
    }
    refused(vm)?;
    vm.ok("umount /mnt/copy")?;
    kit::end(vm)
}

/// What is there stays, and what is stopped leaves nothing.
fn refused(vm: &mut Vm) -> Outcome {
    let list = vm.ok("cd /mnt/copy && ls -A && sha256sum base.tar")?;
    let said = vm.fails(3, &format!("imgbase export {BASE} /mnt/copy/base.tar"))?;
    must(said.contains("--force"), said)?;
    vm.fails(2, &format!("imgbase export {BASE} /dev/vdd --force"))?;
    vm.fails(3, "imgbase export Other-1-1 /mnt/copy/none")?;
    let plan = vm.ok(&format!("imgbase --dry-run export {BASE} /mnt/copy/none.tar"))?;
    must(plan.contains("/mnt/copy/none.tar"), plan)?;
    vm.fails(
        130,
        &format!("imgbase export {BASE} /mnt/copy/none.raw.gz & sleep 2; kill $!; wait $!"),
    )?;
    vm.says("cd /mnt/copy && ls -A && sha256sum base.tar; imgbase recover --list", &list)?;
    // No room: the file goes, the volume is as it was.
    vm.ok("mkdir -p /mnt/few && mount -t tmpfs -o size=8M tmpfs /mnt/few")?;
    vm.fails(4, &format!("imgbase export {BASE} /mnt/few/x.raw"))?;
    vm.says("ls -A /mnt/few; umount /mnt/few", "")?;
    Ok(())
}

/// A layer that is mounted goes out as it is, without a stop for whoever uses it.
fn of_a_layer_in_use(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    room(vm)?;
    kit::small_base(vm, "")?;
    step_says(vm, "layer --add", "Small-1-1+1")?;
    step(vm, "mount Small-1-1+1 /mnt/layer")?;
    vm.ok("echo mine >/mnt/layer/etc/mine && sync && echo late >/mnt/layer/etc/late")?;
    for file in ["layer.raw", "layer.tar.zst", "layer.qcow2"] {
        step(vm, &format!("export Small-1-1+1 /mnt/copy/{file}"))?;
    }
    vm.ok("imgbase export Small-1-1+1 - --compress gzip >/mnt/copy/out &&
        gzip -dc /mnt/copy/out >/mnt/copy/out.raw && e2fsck -fn /mnt/copy/out.raw")?;
    vm.says("cat /mnt/layer/etc/late; imgbase recover --list", "late")?;
    vm.says("lvs --noheadings -o lv_name -S segtype=thin HostVG | wc -l", "2")?;
    // A snapshot that a crash leaves is taken away.
    vm.ok(
        "imgbase export Small-1-1+1 /mnt/copy/none.raw & sleep 0.2; kill -9 $!; wait $! || true",
    )?;
    vm.ok("imgbase recover")?;
    vm.says("lvs --noheadings -o lv_name -S segtype=thin HostVG | wc -l", "2")?;
    vm.ok("rm -f /mnt/copy/.none*")?;
    vm.ok("e2fsck -fn /mnt/copy/layer.raw && qemu-img check -q /mnt/copy/layer.qcow2")?;
    for (number, file) in ["layer.raw", "layer.tar.zst", "layer.qcow2"].iter().enumerate() {
        let nvr = format!("Again-1-{number}");
        step_says(vm, &format!("base --add {nvr} /mnt/copy/{file}"), &nvr)?;
        step(vm, &format!("mount {nvr} /mnt/tree --read-only"))?;
        vm.ok("diff -r --no-dereference --exclude=lost+found /mnt/layer /mnt/tree")?;
        step(vm, "umount /mnt/tree")?;
    }
    step(vm, "umount /mnt/layer")?;
    // One that nobody uses needs no snapshot.
    let seqno = vm.ok("vgs --noheadings -o seqno HostVG")?;
    step(vm, "export Small-1-1+1 /mnt/copy/rest.raw")?;
    vm.says("vgs --noheadings -o seqno HostVG", &seqno)?;
    vm.ok("umount /mnt/copy")?;
    kit::end(vm)
}
