//! ext4 read without a mount, beside the kernel.

use crate::case::{Case, Outcome, must};
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("reading::the_sample", the_sample),
        Case::new("reading::what_the_kernel_wrote", what_the_kernel_wrote).within(300),
    ]
}

/// Every kind of ext4 that a kernel writes differently.
const KINDS: [&str; 9] = [
    "-t ext4 -O metadata_csum,64bit",
    "-t ext4 -b 1024 -O metadata_csum,inline_data",
    "-t ext4 -b 1024 -O ^extent,^64bit,^metadata_csum",
    "-t ext4 -O bigalloc -C 16384",
    "-t ext4 -I 128 -O ^metadata_csum,uninit_bg",
    "-t ext4 -b 1024 -O ea_inode,large_dir",
    "-t ext4 -O casefold,orphan_file",
    "-t ext3 -b 1024",
    "-t ext2",
];

/// Folders with trees of hashes, files in many pieces and with blocks not written yet, attributes
/// of all sorts, and what is left where things were removed again.
const FILL: &str = r#"
cd /mnt/live && mkdir -p a/b/c many && cp -a /usr/bin/[ac]* a/ &&
perl -e 'for (1..2600) { open F, ">", "many/a name that takes some room in a folder, $_"; print F $_ }
    unlink glob("many/*7"); rmdir "many/none";
    open F, ">", "pieces"; for (1..700) { seek F, $_ * 9000, 0; print F "x" x 700 }
    for (1, 30, 59, 60, 61, 150, 900) { symlink "t" x $_, "a/b/link-$_"; open F, ">", "a/b/file-$_"; print F "f" x $_ }
    mkdir "small"; for (1..9) { open F, ">", "small/$_" }' &&
dd if=/dev/urandom of=much bs=64k count=40 2>/dev/null && truncate -s 1234567 much &&
cp much unwritten && { fallocate -o 2M -l 2M unwritten || true; } && truncate -s 70M end &&
ln much a/b/same && ln -s ../many a/up && mknod -m 600 disk b 7 7 && mknod zero c 1 5 &&
mkfifo pipe && chown 1234:70000 pipe && chmod 6751 much && touch -d '2001-02-03 04:05:06.789' end &&
setfattr -n user.one -v 1 much && setfattr -n trusted.t -v 2 a/b &&
setfattr -n user.long -v "$(head -c 800 /dev/zero | tr '\0' x)" small/1 &&
setfacl -m u:daemon:r,g:5:rwx end && setfacl -d -m u:7:rw a/b/c && mv many/*11 a/b/c/ && rm a/cp
"#;

fn the_sample(vm: &mut Vm) -> Outcome {
    let differs = vm.sh("guest ext4 /images/debian.ext4 | diff /images/debian.tree -")?;
    let first: Vec<&str> = differs.stdout.lines().take(20).collect();
    must(differs.status == 0, format!("not as the kernel reads it:\n{}", first.join("\n")))?;
    vm.ok("[ $(guest ext4 /images/debian.ext4 | wc -l) -gt 3000 ]")?;
    Ok(())
}

fn what_the_kernel_wrote(vm: &mut Vm) -> Outcome {
    vm.ok("mkdir -p /mnt/live")?;
    for kind in KINDS {
        vm.ok(&format!("mke2fs -q -F -N 8192 {kind} /dev/vdc 192M && mount /dev/vdc /mnt/live"))?;
        vm.ok(FILL)?;
        vm.ok("umount /mnt/live && mount -o ro /dev/vdc /mnt/live")?;
        let differs = vm.sh("guest tree /mnt/live >/tmp/a; guest ext4 /dev/vdc | diff /tmp/a -")?;
        vm.ok("umount /mnt/live && e2fsck -fn /dev/vdc && [ $(wc -l </tmp/a) -gt 2300 ]")?;
        let first: Vec<&str> = differs.stdout.lines().take(10).collect();
        let said = format!("{kind}: {}\n{}", first.join("\n"), differs.stderr);
        must(differs.status == 0 && differs.stderr.is_empty(), said)?;
    }
    Ok(())
}
