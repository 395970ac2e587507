//! Who made an image, how it is packed, and what is done where both sides changed the same.

use crate::case::{Case, Outcome, counted, must};
use crate::cases::kit::{self, step, step_says};
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("sources::signed", signed).within(300),
        Case::new("sources::windows", windows).within(300),
        Case::new("sources::conflicts", conflicts).within(300),
    ]
}

/// What there is of bases and layers, and what is left to be done.
const STATE: &str = "imgbase layout; imgbase recover --list; vgs --noheadings -o seqno HostVG";

/// Two keys without a password, the first of which this host trusts, and images signed by either.
const KEYS: &str = "mkdir -p /etc/imgbase/keys /makers/tmp/work /makers/dev && cd /makers/tmp/work &&
    mount --bind /dev /makers/dev &&
    for name in host other; do
        chroot /makers minisign -G -W -p /tmp/work/$name.pub -s /tmp/work/$name.key >/dev/null
    done && cp host.pub /etc/imgbase/keys/ &&
    cp /tmp/small.ext4 one.ext4 && gzip -1 <one.ext4 >two.gz && cp one.ext4 theirs.ext4 &&
    for image in one.ext4 two.gz; do chroot /makers minisign -S -s /tmp/work/host.key -m /tmp/work/$image; done &&
    chroot /makers minisign -S -s /tmp/work/other.key -m /tmp/work/theirs.ext4 &&
    cp one.ext4 changed.ext4 && cp one.ext4.minisig changed.ext4.minisig &&
    printf x | dd of=changed.ext4 bs=1 seek=5000000 conv=notrunc status=none";

/// minisign's own signatures decide what becomes a base: with a key on the host nothing else does.
fn signed(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    kit::small_image(vm, "")?;
    vm.ok("rm /tmp/small.ext4 && mke2fs -q -t ext4 -d /tmp/small /tmp/small.ext4 12M")?;
    vm.ok(KEYS)?;
    let at = "/makers/tmp/work";
    step_says(vm, &format!("base --add Small-1-1 {at}/one.ext4"), "Small-1-1")?;
    step_says(vm, "layer --add", "Small-1-1+1")?;
    let before = vm.ok(STATE)?;
    let stream = "- --signature /makers/tmp/work/two.gz.minisig";
    for (verb, code, why) in [
        ("base --add Bad-1-1 /tmp/small.ext4".to_owned(), 3, "an image must be signed"),
        ("update /tmp/small.ext4 --nvr Small-1-2".to_owned(), 3, "an image must be signed"),
        (format!("base --add Bad-1-1 - <{at}/two.gz"), 3, "an image must be signed"),
        (format!("base --add Bad-1-1 {at}/theirs.ext4"), 3, "key"),
        (format!("update {at}/changed.ext4 --nvr Small-1-2"), 6, "signature"),
        (format!("base --add Bad-1-1 {stream} <{at}/one.ext4"), 6, "signature"),
        (format!("update --nvr Small-1-2 {stream} <{at}/changed.ext4"), 6, "signature"),
    ] {
        let said = vm.fails(code, &format!("imgbase {verb}"))?;
        must(said.contains(why) && said.lines().count() == 1, format!("{verb}: {said}"))?;
        let lvs = "lvs --noheadings -o lv_name HostVG";
        vm.says(&format!("{lvs} | grep -e Bad -e Small-1-2 || true"), "")?;
    }
    // But for the number of the group's text all is as before.
    vm.fails(3, &format!("imgbase base --add Bad-1-1 {at}/theirs.ext4"))?;
    let after = vm.ok(STATE)?;
    let but_seqno = |state: &str| state.rsplit_once('\n').map(|(rest, _)| rest.to_owned());
    must(but_seqno(&before) == but_seqno(&after), format!("{before}\n{after}"))?;
    // With the other's key on the host as well, both are good: so keys are changed.
    vm.ok(&format!("cp {at}/other.pub /etc/imgbase/keys/next.pub"))?;
    step_says(vm, &format!("base --add Theirs-1-1 {at}/theirs.ext4"), "Theirs-1-1")?;
    vm.ok("rm /etc/imgbase/keys/host.pub")?;
    vm.fails(3, &format!("imgbase base --add Bad-1-1 {at}/one.ext4"))?;
    vm.ok(&format!("cp {at}/host.pub /etc/imgbase/keys/"))?;
    let said = vm.ok(&format!("imgbase update --nvr Small-1-2 {stream} <{at}/two.gz 2>&1"))?;
    must(said.contains("Small-1-2+1"), said)?;
    step(vm, "mount Small-1-2+1 /mnt/layer")?;
    vm.ok("diff -r --no-dereference --exclude=lost+found /tmp/small /mnt/layer")?;
    step(vm, "umount /mnt/layer")?;
    vm.ok("rm -r /etc/imgbase /makers/tmp/work/*; umount /makers/dev")?;
    kit::end(vm)
}

/// A source, and what its packing says that unpacking takes in KiB, beside what is taken for any.
const SOURCES: [(&str, u64); 4] =
    [("ext4.gz", 0), ("ext4.xz", 32 << 10), ("ext4.zst", 128 << 10), ("tar.zst", 128 << 10)];

/// No source takes more memory for itself.
const MOST_KIB: u64 = 64 << 10;

/// What a packed stream declares is taken, and not more; too much is refused by name.
fn windows(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    let mut peaks = Vec::new();
    for (kind, window) in SOURCES {
        let tree = kind.starts_with("tar");
        let (file, size) =
            (format!("/images/windows/{kind}"), if tree { " --size 256M" } else { "" });
        let images = [format!("-{size} <{file}"), format!("{file}{size}")];
        for image in images.into_iter().take(if window == 0 || tree { 1 } else { 2 }) {
            let verb = format!("imgbase base --add Small-1-1 --no-share {image}");
            let done = vm.sh(&verb)?;
            let peak = done.max_rss_kib;
            must(done.status == 0, format!("{verb}: {}", done.stderr))?;
            must(peak < MOST_KIB + window, format!("{kind}: `{verb}` takes {peak} KiB"))?;
            peaks.push(format!("{peak} KiB for {kind}"));
            step(vm, "mount Small-1-1 /mnt/tree --read-only")?;
            vm.ok("diff -r --no-dereference --exclude=lost+found /images/windows/tree /mnt/tree")?;
            step(vm, "umount /mnt/tree")?;
            step(vm, "base --remove Small-1-1")?;
        }
    }
    counted(format!("peak memory: {}", peaks.join(", ")));
    for image in ["/images/windows/long.zst", "- </images/windows/long.zst"] {
        let said = vm.fails(5, &format!("imgbase base --add Small-1-1 {image}"))?;
        must(said.contains("window") && said.lines().count() == 1, said)?;
    }
    vm.says("imgbase layout --bases; imgbase recover --list", "")?;
    kit::end(vm)
}

/// Where the host and the image changed the same, one of three things is done, and the old layer stays
/// as it is.
fn conflicts(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    kit::small_image(vm, "")?;
    step_says(vm, "base --add Small-1-1 /tmp/small.ext4", "Small-1-1")?;
    step_says(vm, "layer --add", "Small-1-1+1")?;
    step(vm, "mount Small-1-1+1 /mnt/layer")?;
    vm.ok("echo ours >/mnt/layer/etc/hello && echo mine >/mnt/layer/etc/mine &&
        guest tree /mnt/layer >/tmp/before")?;
    step(vm, "umount /mnt/layer")?;
    vm.ok("echo theirs >/tmp/small/etc/hello && rm /tmp/small.ext4 &&
        mke2fs -q -t ext4 -d /tmp/small /tmp/small.ext4 32M")?;
    let update = "imgbase update /tmp/small.ext4 --nvr Small-1-2";
    let said = vm.fails(3, &format!("{update} --on-conflict fail"))?;
    must(said.contains("/etc/hello"), said)?;
    vm.says(
        "imgbase layout --bases; imgbase layout --layers; imgbase recover --list",
        "Small-1-1\nSmall-1-1+1",
    )?;
    for (way, stands, beside) in [
        ("", "ours", "imgnew: theirs"),
        (" --on-conflict keep", "ours", "imgnew: theirs"),
        (" --on-conflict image", "theirs", "imgold: ours"),
    ] {
        let said = vm.ok(&format!("{update}{way} 2>&1"))?;
        must(said.contains("/etc/hello"), said)?;
        step(vm, "mount Small-1-2+1 /mnt/layer")?;
        vm.says(
            "cd /mnt/layer/etc && cat hello mine && for file in hello.*; do echo \"${file#*.}: $(cat $file)\"; done",
            &format!("{stands}\nmine\n{beside}"),
        )?;
        step(vm, "umount /mnt/layer")?;
        step(vm, "layer --remove Small-1-2+1")?;
        step(vm, "base --remove Small-1-2")?;
    }
    step(vm, "mount Small-1-1+1 /mnt/layer")?;
    vm.ok("guest tree /mnt/layer | diff /tmp/before -")?;
    step(vm, "umount /mnt/layer")?;
    kit::end(vm)
}
