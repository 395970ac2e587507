//! Somebody else takes the pool's last chunks in the middle of a verb.

use crate::case::{Case, Outcome, Stop, is_whole, must};
use crate::cases::kit;
use crate::judges;
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("full::data_in_the_middle", data_in_the_middle).within(1500)]
}

/// Moments of each verb.
const MOMENTS: u32 = 6;

/// Each with the volume that it makes or removes and what does the reverse.
const VERBS: [(&str, &str, &str); 3] = [
    ("layer --add Small-1-1+1", "Small-1-1+2", "layer --remove Small-1-1+2"),
    ("base --add Small-1-2 /tmp/small.ext4", "Small-1-2", "base --remove Small-1-2"),
    ("layer --remove Small-1-1+2", "Small-1-1+2", "layer --add Small-1-1+1"),
];

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
        let adds = verb.contains("--add");
        let put_back = |vm: &mut Vm| -> Result<(), Stop> {
            if is_there(vm, volume)? == adds {
                vm.imgbase(back)?;
            }
            Ok(())
        };
        put_back(vm)?;
        let whole = kit::time_of(vm, &format!("imgbase {verb}"))?;
        let (mut tried, mut midway, mut failed, mut left) = (0, 0, 0, 0);
        while midway < moments && tried < 6 * moments {
            put_back(vm)?;
            let after = kit::next(&mut random) % whole.max(1);
            let after = format!("{}.{:03}", after / 1000, after % 1000);
            let said = vm.ok(&format!("verb='{verb}' after={after} seek={seek}\n{FILL}"))?;
            let errors = vm.ok("cat /tmp/err")?;
            let when = format!("`{verb}` stopped after {after} s: {said}: {errors}");
            let (status, full) = said.split_once(' ').unwrap_or_default();
            must(["0", "1"].contains(&full), when.clone())?;
            left += u32::from(kit::is_recovered(vm, &when)?);
            // What it says is what is.
            must((status == "0") == (is_there(vm, volume)? == adds), when)?;
            tried += 1;
            midway += u32::from(full == "1");
            failed += u32::from(status != "0");
        }
        println!(
            "     {verb}: full midway {midway} times of {tried}, {failed} failed, {left} left something"
        );
        must(midway >= moments / 2, format!("`{verb}`: full midway only {midway} times"))?;
        judges::lvm2(vm, kit::VG)?;
    }
    kit::end(vm)
}

fn is_there(vm: &mut Vm, volume: &str) -> Result<bool, Stop> {
    Ok(vm.ok("imgbase layout --json")?.contains(&format!("\"{volume}\"")))
}
