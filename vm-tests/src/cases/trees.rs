//! Trees become bases: archives, squashfs, live media.

use crate::case::{Case, Outcome, must};
use crate::cases::kit::{self, BASE, step, step_says};
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("trees::from_an_archive", from_an_archive).within(600),
        Case::new("trees::from_live_media", from_live_media).within(600),
        Case::new("trees::from_a_folder", from_a_folder).within(300),
    ]
}

/// The sample's tree at `/mnt/image`.
const SAMPLE: &str =
    "mkdir -p /mnt/image && mount -o loop,ro,noload /images/debian.ext4 /mnt/image";

fn from_an_archive(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    step_says(vm, &format!("base --add {BASE} /images/debian.tar.gz"), BASE)?;
    kit::is_sealed(vm, BASE)?;
    kit::holds_the_sample(vm, BASE)?;
    step_says(vm, &format!("layer --add {BASE}"), "Debian-12-1+1")?;
    kit::holds_the_sample(vm, "Debian-12-1+1")?;
    let features =
        "dumpe2fs -h /dev/HostVG/Debian-12-1+1 2>/dev/null | grep '^Filesystem features'";
    let said = vm.ok(features)?;
    must(said.contains("dir_index") && said.contains("metadata_csum_seed"), said)?;
    vm.says("blockdev --getsize64 /dev/HostVG/Debian-12-1+1", "1073741824")?;
    from_a_stream(vm)?;
    outside_is_not_touched(vm)?;
    kit::end(vm)
}

/// A stream does not say how much it holds.
fn from_a_stream(vm: &mut Vm) -> Outcome {
    kit::small_image(vm, "")?;
    vm.ok("tar -C /tmp/small -cf /tmp/small.tar . && gzip -1k /tmp/small.tar")?;
    let stream = "imgbase base --add Small-1-1 - </tmp/small.tar.gz";
    let said = vm.fails(2, stream)?;
    must(said.contains("--size") && said.contains("nothing was changed"), said)?;
    let other = "imgbase layout --init Small-1-1 --vg Other --from - /dev/vdc </tmp/small.tar";
    let said = vm.fails(2, other)?;
    must(said.contains("nothing was changed"), said)?;
    vm.says("wipefs -n /dev/vdc", "")?;
    let said = vm.ok("imgbase --dry-run base --add Small-1-1 /tmp/small.tar")?;
    must(said.contains("mke2fs") && said.contains("make the tree"), said)?;
    let cut = "head -c 2000 /tmp/small.tar | imgbase base --add Small-1-1 - --size 64M";
    let said = vm.fails(6, cut)?;
    must(said.contains("undone"), said)?;
    vm.says("imgbase recover --list; imgbase layout --bases", BASE)?;
    vm.says(&format!("{stream} --size 96M"), "Small-1-1")?;
    step(vm, "mount Small-1-1 /mnt/tree --read-only")?;
    vm.ok("diff -r --no-dereference --exclude=lost+found /tmp/small /mnt/tree")?;
    step(vm, "umount /mnt/tree")?;
    Ok(())
}

/// Archives that lead elsewhere are refused, and nothing of them stays.
fn outside_is_not_touched(vm: &mut Vm) -> Outcome {
    vm.ok("cd /tmp && rm -rf bad && mkdir -p bad && cd bad && echo mine >/tmp/victim &&
        echo x >x && tar -cPf ../up.tar --transform 's|^x$|../../tmp/victim|' x &&
        ln -s /tmp out && tar -cf ../through.tar out &&
        tar -rf ../through.tar --transform 's|^x$|out/victim|' x &&
        mknod node b 7 7 && tar -cf ../node.tar node &&
        truncate -s 300M zeros && tar -cf - zeros | gzip -1 >../zeros.tar.gz &&
        truncate -s 10G more && tar -Scf - more | gzip -9 >../more.tar.gz &&
        [ $(stat -c %s ../more.tar.gz) -lt 1024 ] && rm more && tar -cf ../sum.tar x x &&
        printf y | dd of=../sum.tar bs=1 seek=1124 conv=notrunc status=none &&
        tar -cf - x | gzip >../crc.tar.gz && at=$(($(stat -c %s ../crc.tar.gz) - 8)) &&
        printf aaaa | dd of=../crc.tar.gz bs=1 seek=$at conv=notrunc status=none")?;
    for (archive, code, why) in [
        ("up.tar", 5, "out of its tree"),
        ("through.tar", 1, "/out/victim"),
        ("node.tar", 5, "/node: a device node"),
        ("sum.tar", 6, "a block's checksum does not hold"),
        ("crc.tar.gz", 6, "does not have a matching checksum"),
        ("zeros.tar.gz --size 256M", 2, "its files need"),
    ] {
        let said = vm.fails(code, &format!("imgbase base --add Bad-1-1 /tmp/{archive}"))?;
        must(said.contains(why), said)?;
    }
    // Ten gigabytes that are said to be a hole are one.
    step(vm, "base --add Hole-1-1 /tmp/more.tar.gz --size 256M")?;
    step(vm, "mount Hole-1-1 /mnt/tree --read-only")?;
    vm.says("stat -c '%s %b' /mnt/tree/more", "10737418240 0")?;
    step(vm, "umount /mnt/tree")?;
    let zeros = "imgbase base --add Bad-1-1 - --size 256M </tmp/zeros.tar.gz";
    let said = vm.fails(4, zeros)?;
    must(said.contains("undone"), said)?;
    vm.says(
        "cat /tmp/victim; imgbase recover --list; ! imgbase layout --bases | grep Bad",
        "mine",
    )?;
    Ok(())
}

fn from_live_media(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    vm.ok("for d in dev proc; do mkdir -p /makers/$d && mount --rbind /$d /makers/$d; done
        mkdir -p /makers/mnt/image && mount -o loop,ro,noload /images/debian.ext4 /makers/mnt/image")?;
    let squash = |from: &str, to: &str| {
        format!(
            "chroot /makers mksquashfs {from} /tmp/{to} -quiet -no-progress -noappend \
             -noI -noD -noF -noX"
        )
    };
    vm.ok(&squash("/mnt/image", "root.sqfs"))?;
    step_says(vm, &format!("base --add {BASE} /makers/tmp/root.sqfs"), BASE)?;
    kit::is_sealed(vm, BASE)?;
    // A squashfs keeps no lists of access rights.
    vm.ok(
        "sed 's/ system.posix_acl_access=.* user.sample/ user.sample/' /images/debian.tree >/tmp/tree",
    )?;
    reads_as_the_sample(vm, BASE)?;
    packed_squashfs(vm)?;
    vm.ok("umount /makers/mnt/image")?;
    // A live system: its file system is a file in the squashfs, and the squashfs one on the medium.
    vm.ok(&format!(
        "rm /makers/tmp/root.sqfs && mkdir -p /makers/tmp/live/LiveOS /makers/tmp/iso/LiveOS &&
        cp --sparse=always /images/debian.ext4 /makers/tmp/live/LiveOS/rootfs.img && {} &&
        rm -r /makers/tmp/live",
        squash("/tmp/live", "live.sqfs")
    ))?;
    step_says(vm, "base --add Debian-12-2 /makers/tmp/live.sqfs", "Debian-12-2")?;
    kit::holds_the_sample(vm, "Debian-12-2")?;
    // The same medium's files as a squashfs.
    vm.ok(&format!(
        "mv /makers/tmp/live.sqfs /makers/tmp/iso/LiveOS/squashfs.img && {}",
        squash("/tmp/iso", "medium.sqfs")
    ))?;
    step_says(vm, "base --add Debian-12-4 /makers/tmp/medium.sqfs", "Debian-12-4")?;
    kit::holds_the_sample(vm, "Debian-12-4")?;
    step(vm, "base --remove Debian-12-4")?;
    vm.ok("rm /makers/tmp/medium.sqfs &&
        chroot /makers xorrisofs -quiet -R -o /tmp/live.iso /tmp/iso && rm -r /makers/tmp/iso")?;
    step_says(vm, "base --add Debian-12-3 /makers/tmp/live.iso", "Debian-12-3")?;
    kit::holds_the_sample(vm, "Debian-12-3")?;
    // What leads out of it is no part of it.
    vm.ok(&format!(
        "rm /makers/tmp/live.iso && mkdir -p /makers/tmp/odd/LiveOS &&
        ln -s /images/debian.ext4 /makers/tmp/odd/LiveOS/rootfs.img && {} &&
        chroot /makers xorrisofs -quiet -R -o /tmp/odd.iso /tmp/odd",
        squash("/tmp/odd", "odd.sqfs")
    ))?;
    step_says(vm, "base --add Odd-1-1 /makers/tmp/odd.sqfs", "Odd-1-1")?;
    step(vm, "mount Odd-1-1 /mnt/tree --read-only")?;
    vm.says(
        "readlink /mnt/tree/LiveOS/rootfs.img; ls /mnt/tree",
        "/images/debian.ext4\nLiveOS\nlost+found",
    )?;
    step(vm, "umount /mnt/tree")?;
    let said = vm.fails(5, "imgbase base --add Odd-1-2 /makers/tmp/odd.iso")?;
    must(said.contains("/LiveOS/squashfs.img"), said)?;
    vm.says("losetup -a; imgbase recover --list", "")?;
    vm.ok("umount -R /makers/proc /makers/dev")?;
    kit::end(vm)
}

fn reads_as_the_sample(vm: &mut Vm, base: &str) -> Outcome {
    step(vm, &format!("mount {base} /mnt/tree --read-only"))?;
    vm.ok("guest tree /mnt/tree | diff /tmp/tree -")?;
    step(vm, "umount /mnt/tree")?;
    Ok(())
}

/// What we unpack, what only the kernel does, and what is damaged.
fn packed_squashfs(vm: &mut Vm) -> Outcome {
    for packing in ["lz4", "zstd -Xcompression-level 1"] {
        vm.ok(&format!(
            "chroot /makers mksquashfs /mnt/image /tmp/packed.sqfs -quiet -no-progress -noappend \
             -comp {packing}"
        ))?;
        let log = "/tmp/log";
        vm.ok(&format!("imgbase --debug base --add Packed-1-1 /makers/tmp/packed.sqfs 2>{log}"))?;
        let attached = vm.ok(&format!("grep -c 'attached /dev/loop' {log}; true"))?;
        must((attached == "0") == packing.starts_with("zstd"), attached)?;
        reads_as_the_sample(vm, "Packed-1-1")?;
        step(vm, "base --remove Packed-1-1")?;
    }
    vm.ok("cd /makers/tmp && head -c 9M packed.sqfs >cut.sqfs && cp packed.sqfs bad.sqfs &&
        dd if=/dev/zero of=bad.sqfs bs=4k seek=2000 count=1 conv=notrunc status=none")?;
    let said = vm.fails(6, "imgbase base --add Packed-1-1 /makers/tmp/cut.sqfs")?;
    must(said.contains("cut off") && said.contains("nothing was changed"), said)?;
    let said = vm.fails(6, "imgbase base --add Packed-1-1 /makers/tmp/bad.sqfs")?;
    must(said.contains("/usr/") && said.contains("undone"), said)?;
    vm.says("imgbase recover --list; imgbase layout --bases", BASE)?;
    vm.ok("rm /makers/tmp/cut.sqfs /makers/tmp/bad.sqfs")?;
    vm.ok("rm /makers/tmp/packed.sqfs")?;
    Ok(())
}

/// A system whose root is no thin volume, with `/boot` on a file system of its own, and in use.
fn from_a_folder(vm: &mut Vm) -> Outcome {
    kit::folders(vm)?;
    vm.ok(&format!(
        "{SAMPLE} && cd /mnt/image && mount -t tmpfs -o mode=0750 none boot && echo kernel >boot/vmlinuz &&
        ln boot/vmlinuz boot/twin && mount -t proc none proc && mount -t tmpfs none tmp && touch tmp/not"
    ))?;
    let said = vm.fails(5, "imgbase layout --init Debian-12-1 --from /mnt/image")?;
    must(said.contains("--from /mnt/image DEVICE"), said)?;
    let init = "layout --init Debian-12-1 --from /mnt/image --size 2G /dev/vda /dev/vdb";
    let said = vm.ok(&format!("imgbase --dry-run {init}"))?;
    must(said.contains("make the tree"), said)?;
    vm.says("wipefs -n /dev/vda", "")?;
    for (wrong, code) in [("--partition 1", 5), (&*format!("--digest sha256:{:064}", 0), 5)] {
        let said = vm.fails(code, &format!("imgbase {init} {wrong}"))?;
        must(said.contains("nothing was changed"), said)?;
    }
    vm.says("wipefs -n /dev/vda", "")?;
    step_says(vm, init, "HostVG\nDebian-12-1\nDebian-12-1+1")?;
    step(vm, "mount Debian-12-1 /mnt/tree --read-only")?;
    vm.ok("cd /mnt/tree && grep -qx kernel boot/vmlinuz && [ $(stat -c %a boot) = 750 ] &&
        [ $(stat -c %i boot/vmlinuz) = $(stat -c %i boot/twin) ] && [ -z \"$(ls -A proc; ls -A tmp)\" ]")?;
    let but = "grep -v -e '^/boot' -e '^/proc ' -e '^/tmp '";
    vm.ok(&format!(
        "{but} /images/debian.tree >/tmp/a && guest tree /mnt/tree | {but} | diff /tmp/a -"
    ))?;
    step(vm, "umount /mnt/tree")?;
    vm.ok("umount /mnt/image/boot /mnt/image/proc /mnt/image/tmp /mnt/image")?;
    kit::end(vm)
}
