//! Two versions of one image share what they have in common.

use crate::case::{Case, Outcome, Stop, counted, fail, must};
use crate::cases::kit::{self, BASE, step, step_says, used_data_blocks};
use crate::judges;
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("sharing::two_versions", two_versions).within(600)]
}

/// The sample with a file more, a file less, and one changed in the middle: a twentieth of it.
const SECOND: &str = "cp --sparse=always /images/debian.ext4 /tmp/second.ext4 &&
    mount -o loop /tmp/second.ext4 /mnt/image && cd /mnt/image &&
    dd if=/dev/urandom of=new bs=1M count=3 status=none && rm usr/bin/perl &&
    dd if=/dev/urandom of=usr/bin/bash bs=4k seek=50 count=10 conv=notrunc status=none &&
    echo second >etc/motd && cd / && umount /mnt/image";

/// What the image has, read through the kernel.
const TREE: &str = "mount -o loop,ro,noload /tmp/second.ext4 /mnt/image &&
    guest tree /mnt/image >/tmp/second.tree && umount /mnt/image";

fn two_versions(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    step_says(vm, &format!("base --add {BASE} /images/debian.ext4"), BASE)?;
    // As on a host that runs: the pool is active.
    step_says(vm, &format!("layer --add {BASE}"), "Debian-12-1+1")?;
    vm.ok(SECOND)?;
    vm.ok(TREE)?;
    let first = used_data_blocks(vm)?;
    let said = step(vm, "--json base --add Debian-12-2 /tmp/second.ext4")?;
    must(said.contains("\"shares_with\":\"Debian-12-1\""), &said)?;
    let more = used_data_blocks(vm)? - first;
    must(more * 100 <= first * 7, format!("{more} chunks beside {first}, more than 7 %"))?;
    let written = written(&said)?;
    must(written <= (more + 16) << 16, format!("{written} bytes written for {more} chunks"))?;
    kit::is_sealed(vm, "Debian-12-2")?;

    // Both ways lead to the same, to the byte.
    step_says(vm, "base --add Debian-12-3 --no-share /tmp/second.ext4", "Debian-12-3")?;
    step(vm, &format!("activate {BASE} Debian-12-2 Debian-12-3"))?;
    vm.ok("cmp /dev/HostVG/Debian-12-2 /dev/HostVG/Debian-12-3")?;
    differ_by_a_twentieth(vm, more)?;
    judges::ext4(vm, "/dev/HostVG/Debian-12-2")?;
    kit::holds_the_sample(vm, BASE)?;
    step(vm, &format!("deactivate {BASE} Debian-12-2 Debian-12-3"))?;
    step(vm, "base --remove Debian-12-3")?;

    // A stream comes to the same files; the image that is there already costs next to nothing.
    let said = vm.ok("gzip -1 </tmp/second.ext4 | imgbase --json base --add Debian-12-4 -")?;
    must(said.contains("\"shares_with\":\"Debian-12-2\""), &said)?;
    holds_the_second(vm, "Debian-12-4")?;
    let before = used_data_blocks(vm)?;
    step(vm, "base --add Debian-12-5 /tmp/second.ext4")?;
    let more = used_data_blocks(vm)? - before;
    must(more * 100 <= first * 5, format!("{more} chunks for what was there already"))?;

    // Nothing depends on the one before.
    step(vm, &format!("base --remove {BASE}"))?;
    step(vm, "base --remove Debian-12-2")?;
    holds_the_second(vm, "Debian-12-4")?;
    holds_the_second(vm, "Debian-12-5")?;
    vm.says("imgbase gc --keep 1; imgbase layout --bases", "Debian-12-4\nDebian-12-5")?;
    kit::end(vm)
}

/// The bases differ in about a twentieth of their chunks, and hardly more was written.
fn differ_by_a_twentieth(vm: &mut Vm, written: u64) -> Outcome {
    let said = vm.ok("guest chunks /dev/HostVG/Debian-12-1 /dev/HostVG/Debian-12-3")?;
    let numbers: Vec<u64> = said.split(' ').filter_map(|number| number.parse().ok()).collect();
    let [differ, used] = numbers[..] else { return fail(said) };
    let percent = |chunks: u64| chunks as f64 * 100.0 / used.max(1) as f64;
    counted(format!(
        "{:.1} % of the chunks differ, {:.1} % were written",
        percent(differ),
        percent(written)
    ));
    must((3.0..6.0).contains(&percent(differ)), format!("{differ} of {used} chunks differ"))?;
    // One that was empty and is in use now, and holds zeros, is mapped and reads the same.
    must(written <= differ + 2, format!("{written} chunks written where {differ} differ"))
}

fn holds_the_second(vm: &mut Vm, base: &str) -> Outcome {
    step(vm, &format!("mount {base} /mnt/tree --read-only"))?;
    vm.ok("guest tree /mnt/tree | diff /tmp/second.tree -")?;
    step(vm, "umount /mnt/tree")?;
    Ok(())
}

/// What a base took, in its report.
fn written(json: &str) -> Result<u64, Stop> {
    let behind = json.split_once("\"written_bytes\":").map(|(_, behind)| behind);
    let digits = behind.and_then(|behind| behind.split([',', '}']).next());
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(bytes) => Ok(bytes),
        None => fail(format!("no number of bytes: {json}")),
    }
}
