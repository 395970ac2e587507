//! Layers compared by their blocks: the list of a walk, and what the kernel shows.

use crate::case::{Case, Outcome, must};
use crate::cases::kit::{self, BASE, step, step_says};
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("differences::of_the_sample", of_the_sample).within(600),
        Case::new("differences::on_every_kind", on_every_kind).within(600),
    ]
}

/// File systems in which what differs is found in different ways.
const KINDS: [&str; 4] = [
    "-t ext4 -b 1024 -O metadata_csum,inline_data",
    "-t ext4 -I 128 -O ^metadata_csum,^extent,^64bit",
    "-t ext4 -b 4096 -O bigalloc -C 16384",
    "-t ext2 -b 1024",
];

/// A tree of some hundred folders and files.
const FILL: &str = r#"
cd /mnt/live && perl -e 'for my $d (1..40) { mkdir "d$d"; mkdir "d$d/sub"; for (1..12) {
    open F, ">", "d$d/f$_"; print F "$d $_\n" x ($_ * 60) } symlink "f1", "d$d/link" }' &&
head -c 3000000 /dev/urandom >large && ln d1/f1 d2/hard && cp -a large copy && mkdir -p etc var/lib
"#;

/// One of each: content in place, longer, shorter, as long; names made, removed, moved, given twice;
/// owner, mode, attributes, targets; folders likewise; what only looks like a change.
const CHANGE: &str = r#"
echo changed >etc/hostname-of-mine && rm d1/f2 && echo new >d1/new && mv d3 d4/moved &&
mv d5/f1 d6/f1-of-5 && ln d7/f3 d8/again && chmod 600 d9/f4 && chown 12:34 d9/sub &&
ln -sfn elsewhere d10/link && rm -r d11 && mkdir -p d11/new/deep && echo 1 >d11/new/deep/file &&
printf XY | dd of=large bs=1 seek=2000000 conv=notrunc status=none && truncate -s 2999999 copy &&
echo more >>d12/f5 && cp d13/f6 d13/t && mv d13/t d13/f6 && mknod d14/node c 1 7 && mkfifo d14/pipe &&
chmod 700 d15 && touch d16/f7 && cat d17/f8 >/dev/null && rm d18/f9 && echo again >d18/f9 &&
mv d19/f10 d19/tmp && mv d19/f11 d19/f10 && mv d19/tmp d19/f11
"#;

/// The same in a system; the layer keeps to what its own kernel writes.
const CHANGE_THE_SAMPLE: &str = r#"
echo changed >etc/hostname && rm srv/sample/dangling && cp -a usr/bin/find usr/bin/find-2 &&
for name in usr/share/*/; do echo "$name" >>var/lib/list; touch "$name/.mark" 2>/dev/null; done &&
chmod 600 etc/passwd && mkdir -p opt/ours/bin && ln -s ../../../usr/bin/find opt/ours/bin/find &&
mv usr/share/zoneinfo opt/ours/zones && cp etc/group etc/group.new && mv etc/group.new etc/group &&
setfattr -n user.mark -v 1 etc/fstab && find var/lib/dpkg -name "l*.list" -delete
"#;

fn of_the_sample(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    step_says(vm, &format!("base --add {BASE} /images/debian.ext4"), BASE)?;
    let [one, other] = [1, 2].map(|index| format!("{BASE}+{index}"));
    for layer in [&one, &other] {
        step_says(vm, &format!("layer --add {BASE}"), layer)?;
        same_lists(vm, BASE, layer, 0)?;
    }
    change(vm, &other, CHANGE_THE_SAMPLE)?;
    same_lists(vm, BASE, &other, 50)?;
    change(vm, &one, "rm etc/issue && echo 1 >etc/mine && echo other >etc/hostname")?;
    same_lists(vm, &one, &other, 50)?;
    same_lists(vm, &other, &one, 50)?;
    what_is_in_the_way(vm, &one, &other)?;
    kit::end(vm)
}

/// Each is told by name; without the option it is a walk, and the list is the same.
fn what_is_in_the_way(vm: &mut Vm, one: &str, other: &str) -> Outcome {
    let (by_blocks, list) = (format!("imgbase diff --blocks {one} {other}"), "/tmp/list");
    let walked = format!("imgbase diff {one} {other} | cmp - {list}");
    vm.ok(&format!("{by_blocks} >{list}"))?;
    step(vm, &format!("mount {other} /mnt/layer"))?;
    let said = vm.fails(3, &by_blocks)?;
    must(said.contains(other) && said.contains("is mounted"), said)?;
    vm.ok(&walked)?;
    step(vm, "umount /mnt/layer")?;
    vm.ok(&format!("{by_blocks} | cmp - {list}"))?;
    vm.ok(&format!("e2fsck -fp /dev/HostVG/{one}"))?;
    let said = vm.fails(5, &by_blocks)?;
    must(said.contains(one) && said.contains("was checked since"), said)?;
    vm.ok(&walked)?;
    kit::small_base(vm, "")?;
    let said = vm.fails(5, &format!("imgbase diff --blocks {BASE} Small-1-1"))?;
    must(said.contains("Small-1-1") && said.contains("not of the same base"), said)?;
    step_says(vm, "base --add Xfs-1-1 /images/debian.xfs", "Xfs-1-1")?;
    step_says(vm, "layer --add Xfs-1-1", "Xfs-1-1+1")?;
    let said = vm.fails(5, "imgbase diff --blocks Xfs-1-1+1")?;
    must(said.contains("/Xfs-1-1") || said.contains("Xfs--1--1"), said)?;
    vm.says("imgbase diff Xfs-1-1+1", "")?;
    // One image is itself, also where it is in use.
    step(vm, &format!("mount {other} /mnt/layer"))?;
    vm.says(&format!("imgbase diff --blocks {other} {other}"), "")?;
    step(vm, "umount /mnt/layer")?;
    let said = vm.fails(2, "imgbase diff --walk --blocks Xfs-1-1+1")?;
    must(said.contains("cannot be used with"), said)
}

fn on_every_kind(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    for (index, kind) in (1..).zip(KINDS) {
        let base = format!("Kind-{index}-1");
        vm.ok(&format!("mke2fs -q -F {kind} /dev/vdc 96M && mount /dev/vdc /mnt/live"))?;
        vm.ok(FILL)?;
        vm.ok("umount /mnt/live")?;
        step_says(vm, &format!("base --add {base} /dev/vdc"), &base)?;
        let [one, other] = [1, 2].map(|index| format!("{base}+{index}"));
        for layer in [&one, &other] {
            step_says(vm, &format!("layer --add {base}"), layer)?;
        }
        change(vm, &other, CHANGE)?;
        same_lists(vm, &base, &other, 30)?;
        // A file alone that was written to in place, whose folder does not differ.
        change(vm, &one, "echo X | dd of=d20/sub/../f12 conv=notrunc status=none")?;
        same_lists(vm, &base, &one, 1)?;
        same_lists(vm, &one, &other, 30)?;
    }
    kit::end(vm)
}

fn change(vm: &mut Vm, layer: &str, commands: &str) -> Outcome {
    step(vm, &format!("mount {layer} /mnt/layer"))?;
    vm.ok(&format!("cd /mnt/layer && {{ {}\n}}", commands.trim()))?;
    step(vm, "umount /mnt/layer")?;
    Ok(())
}

/// Both ways give one list, whose paths are those that the kernel's two trees have different.
fn same_lists(vm: &mut Vm, a: &str, b: &str, at_least: usize) -> Outcome {
    let by_blocks = step(vm, &format!("diff --blocks {a} {b}"))?;
    let by_walk = step(vm, &format!("diff --walk {a} {b}"))?;
    must(by_blocks == by_walk, format!("{a} {b}: by blocks\n{by_blocks}\nby a walk\n{by_walk}"))?;
    let count = by_blocks.lines().count();
    must(count >= at_least, format!("{a} {b}: no more than {count} differences:\n{by_blocks}"))?;
    for (image, list) in [(a, "a"), (b, "b")] {
        step(vm, &format!("mount {image} /mnt/tree --read-only"))?;
        vm.ok(&format!("guest tree /mnt/tree >/tmp/{list}.all && [ -s /tmp/{list}.all ]"))?;
        // Neither times nor numbers of names are compared.
        vm.ok(&format!(
            "awk '{{ $4 = \"\"; if ($5 ~ /^(file|link)$/) $6 = \"\" }} 1' /tmp/{list}.all >/tmp/{list}"
        ))?;
        step(vm, "umount /mnt/tree")?;
    }
    let differ = "diff /tmp/a /tmp/b | sed -n 's|^[<>] \\([^ ]*\\) .*|\\1|p' | LC_ALL=C sort -u";
    let (shown, told) = (vm.ok(differ)?, kit::paths(&by_blocks).join("\n"));
    must(told == shown, format!("{a} {b}: told\n{told}\nthe kernel shows\n{shown}"))
}
