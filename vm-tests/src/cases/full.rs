//! Somebody else takes the pool's last chunks, or the last of its metadata, in the middle of a verb.

use crate::case::{Case, Outcome, counted, fail, is_whole, must};
use crate::cases::kit;
use crate::judges;
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("full::data_in_the_middle", data_in_the_middle).within(1500),
        Case::new("full::metadata_in_the_middle", metadata_in_the_middle).within(1500),
        Case::new("full::metadata_grows", metadata_grows).within(300),
    ]
}

/// Moments of each verb at which the data runs out.
const MOMENTS: u32 = 2;

/// The same for the metadata, which takes long to fill.
const METADATA_MOMENTS: u32 = 1;

/// Each with the volume that it makes or removes and what does the reverse.
const VERBS: [(&str, &str, &str); 3] = [
    ("layer --add Small-1-1+1", "Small-1-1+2", "layer --remove Small-1-1+2"),
    ("base --add Small-1-2 /tmp/full.ext4", "Small-1-2", "base --remove Small-1-2"),
    ("layer --remove Small-1-1+2", "Small-1-1+2", "layer --add Small-1-1+1"),
];

/// An image that is nearly full: copying it takes most of the time of a base's verb.
fn full_image(vm: &mut Vm) -> Outcome {
    vm.ok("head -c 22M /dev/urandom >/tmp/small/noise &&
        mke2fs -q -t ext4 -d /tmp/small /tmp/full.ext4 32M && rm /tmp/small/noise")?;
    Ok(())
}

/// Stops a verb, fills the pool, lets the verb go on, and gives the space back; prints the verb's
/// status and whether the pool was full before it had ended.
const FILL: &str = r#"
imgbase $verb >/tmp/out 2>/tmp/err & p=$!
sleep $after
kill -STOP $p 2>/dev/null && midway=1 || midway=0
dd if=/dev/zero of=/dev/HostVG/filler bs=64k oflag=direct seek=$seek 2>/dev/null
full=$(dmsetup status HostVG-ImagePool-tpool | awk '{ split($6, n, "/"); print (n[1] == n[2]) }')
kill -CONT $p 2>/dev/null
wait $p
echo $? $((midway * full))
blkdiscard -o $((seek * 65536)) /dev/HostVG/filler
"#;

fn data_in_the_middle(vm: &mut Vm) -> Outcome {
    kit::folders(vm)?;
    vm.imgbase("layout --init --size 256M /dev/vda")?;
    kit::small_base(vm, "")?;
    full_image(vm)?;
    vm.imgbase("layer --add Small-1-1")?;
    vm.ok("lvcreate -q -y -V 320M --thinpool ImagePool -n filler HostVG")?;
    // All but what the verbs may need.
    let chunks = vm.ok(
        "dmsetup status HostVG-ImagePool-tpool | awk '{ split($6, n, \"/\"); print n[2] - n[1] }'",
    )?;
    let chunks: u32 = chunks.parse().unwrap_or(0);
    must(chunks > 1000, format!("{chunks} chunks are free"))?;
    let seek = chunks - 640;
    vm.ok(&format!("dd if=/dev/zero of=/dev/HostVG/filler bs=64k oflag=direct count={seek}"))?;

    let mut random = 0xd1b5_4a32_d192_ed03_u64;
    let moments = if is_whole() { 10 * MOMENTS } else { MOMENTS };
    for (verb, volume, back) in VERBS {
        let (adds, is_there) = (kit::adds(verb), kit::is_there(volume));
        let reset = kit::put_back(&is_there, adds, &format!("imgbase {back}"));
        let whole = kit::shortest(vm, &reset, &format!("imgbase {verb}"))?;
        let (mut tried, mut midway, mut failed, mut left) = (0, 0, 0, 0);
        while (midway < moments || (adds && failed == 0)) && tried < 6 * moments {
            vm.ok(&reset)?;
            let after = kit::next(&mut random) % whole.max(1);
            let after = format!("{}.{:03}", after / 1000, after % 1000);
            let said = vm.ok(&format!("verb='{verb}' after={after} seek={seek}\n{FILL}"))?;
            let errors = vm.ok("cat /tmp/err")?;
            let when = format!("`{verb}` stopped after {after} s: {said}: {errors}");
            let (status, full) = said.split_once(' ').unwrap_or_default();
            must(["0", "1"].contains(&full), when.clone())?;
            left += u32::from(kit::is_recovered(vm, &when)?);
            // What it says is what is.
            must((status == "0") == ((vm.sh(&is_there)?.status == 0) == adds), when)?;
            tried += 1;
            midway += u32::from(full == "1");
            failed += u32::from(status != "0");
        }
        counted(format!(
            "{verb}: full midway {midway} times of {tried}, {failed} failed, {left} left something"
        ));
        must(midway >= moments / 2, format!("`{verb}`: full midway only {midway} times"))?;
        // What takes something away needs no data.
        let as_due = (failed > 0) == adds;
        must(as_due, format!("`{verb}` failed {failed} times of {tried} on a full pool"))?;
        judges::lvm2(vm, kit::VG)?;
    }
    kit::end(vm)
}

/// Takes what the pool's metadata has left: each thin device, of an id that nobody uses, takes a
/// block. The pool takes no more messages then.
const TAKE: &str = r#"
pool=HostVG-ImagePool-tpool
n=$((${n:-0} + $(guest messages $pool create_thin $((9000 + ${n:-0})) 2000)))
full=$(dmsetup status $pool | awk '{ split($5, n, "/"); print (n[1] == n[2] && $8 == "ro") }')
"#;

/// Gives it back; the pool takes a message again once its table is put in force.
const GIVE: &str = r#"
p=HostVG-ImagePool-tpool
dmsetup table $p | dmsetup load $p && dmsetup suspend --noflush $p && dmsetup resume $p || exit
[ $(guest messages $p delete 9000 $n) = $n ] || exit
dmsetup status $p | grep -q ' rw '
"#;

/// A small pool, made by lvm2, whose metadata has little more free than the verbs ask for.
fn little_metadata(vm: &mut Vm) -> Outcome {
    kit::folders(vm)?;
    vm.ok("vgcreate -q -s 1M --addtag imgbased:vg HostVG /dev/vda")?;
    vm.ok("lvcreate -q -L 256M --poolmetadatasize 2M --errorwhenfull y -T HostVG/ImagePool")?;
    vm.ok("lvchange -q --addtag imgbased:pool HostVG/ImagePool")?;
    kit::small_base(vm, "")?;
    full_image(vm)?;
    vm.imgbase("layer --add Small-1-1")?;
    let free = "dmsetup status HostVG-ImagePool-tpool |
        awk '{ split($5, n, \"/\"); print n[2] - n[1] }'";
    vm.ok(&format!(
        "p=HostVG-ImagePool-tpool n=5000
        while [ $({free}) -gt 140 ]; do
            [ $(guest messages $p create_thin $n 10) = 10 ] || exit
            n=$((n + 10))
        done
        echo $((n - 5000)) >/tmp/taken"
    ))?;
    Ok(())
}

fn metadata_in_the_middle(vm: &mut Vm) -> Outcome {
    little_metadata(vm)?;
    let moments = if is_whole() { 10 * METADATA_MOMENTS } else { METADATA_MOMENTS };
    for (verb, volume, back) in VERBS {
        let (adds, is_there) = (kit::adds(verb), kit::is_there(volume));
        let reset = kit::put_back(&is_there, adds, &format!("imgbase {back}"));
        let whole = kit::shortest(vm, &reset, &format!("imgbase {verb}"))?;
        let (mut tried, mut midway, mut failed, mut left) = (0_u32, 0, 0, 0);
        while midway < moments && tried < 6 * moments {
            vm.ok(&reset)?;
            // Spread over the time that it takes.
            let after = whole * ((u64::from(tried) * 7 + 3) % 16) / 16;
            let after = format!("{}.{:03}", after / 1000, after % 1000);
            let said = vm.ok(&format!(
                "imgbase {verb} >/tmp/out 2>/tmp/err & p=$!
                sleep {after}
                kill -STOP $p 2>/dev/null && midway=1 || midway=0
                {TAKE}
                kill -CONT $p 2>/dev/null
                wait $p
                echo $? $((midway * full)) $n"
            ))?;
            let errors = vm.ok("cat /tmp/err")?;
            let when = format!("`{verb}` stopped after {after} s: {said}: {errors}");
            let words: Vec<&str> = said.split_whitespace().collect();
            let [status, full, taken] = words[..] else { return fail(when) };
            // While the pool is still full.
            let pending = "lvs --noheadings -o lv_tags HostVG | grep -c pending || true";
            left += u32::from(vm.ok(pending)? != "0");
            vm.imgbase("recover")?;
            must(vm.ok(pending)? == "0", format!("{when}: not recovered"))?;
            must((status == "0") == ((vm.sh(&is_there)?.status == 0) == adds), when.clone())?;
            vm.ok(&format!("n={taken}\n{GIVE}"))?;
            tried += 1;
            midway += u32::from(full == "1");
            failed += u32::from(status != "0");
        }
        counted(format!(
            "{verb}: metadata full midway {midway} times of {tried}, {failed} failed, {left} \
             left something"
        ));
        must(midway * 2 >= moments, format!("`{verb}`: full midway only {midway} times"))?;
        judges::lvm2(vm, kit::VG)?;
    }
    let given = "guest messages HostVG-ImagePool-tpool delete 5000 $(cat /tmp/taken)";
    vm.ok(&format!("[ $({given}) = $(cat /tmp/taken) ]"))?;
    must(!kit::is_recovered(vm, "in the end")?, "something was left over")?;
    kit::end(vm)
}

/// A pool whose metadata is full is told, takes nothing new, gives away, and can be grown.
fn metadata_grows(vm: &mut Vm) -> Outcome {
    little_metadata(vm)?;
    vm.imgbase("layer --add Small-1-1")?;
    vm.ok(&format!("{TAKE} [ $full = 1 ]"))?;
    let said = vm.sh("imgbase check")?;
    must(said.status == 8 && said.stdout.contains("its metadata is full"), said.stdout)?;
    let said = vm.fails(4, "imgbase layer --add")?;
    must(said.contains("metadata") && said.lines().count() == 1, said)?;
    vm.imgbase("layer --remove Small-1-1+2")?;
    // That has made room.
    vm.ok("dmsetup status HostVG-ImagePool-tpool | grep ' rw '")?;
    vm.ok(&format!("n=1000\n{TAKE} [ $full = 1 ]"))?;
    vm.imgbase("layout --grow 4M")?;
    vm.ok("dmsetup status HostVG-ImagePool-tpool | grep ' rw '")?;
    vm.imgbase("layer --add Small-1-1")?;
    judges::lvm2(vm, kit::VG)?;
    // What took the room is no volume's.
    vm.ok("for first in 5000 9000 10000; do
        guest messages HostVG-ImagePool-tpool delete $first 3000
    done")?;
    kit::end(vm)
}
