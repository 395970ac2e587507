//! What several cases do alike.

pub(super) use crate::case::next;
use crate::case::{Outcome, Stop, fail, must};
use crate::judges;
use crate::vm::Vm;

/// The usual volume group.
pub(super) const VG: &str = "HostVG";
/// The usual pool.
pub(super) const POOL: &str = "ImagePool";
/// The name that cases give to the sample.
pub(super) const BASE: &str = "Debian-12-1";

/// Runs imgbase, then asks lvm2 what it thinks.
pub(super) fn step(vm: &mut Vm, args: &str) -> Result<String, Stop> {
    let said = vm.imgbase(args)?;
    judges::lvm2(vm, VG)?;
    Ok(said)
}

/// As [`step`], and imgbase must print exactly `wanted`.
pub(super) fn step_says(vm: &mut Vm, args: &str, wanted: &str) -> Outcome {
    let said = step(vm, args)?;
    must(said == wanted, format!("`imgbase {args}` says\n{said}\nand not\n{wanted}"))
}

/// Everything that can be judged once all is over.
pub(super) fn end(vm: &mut Vm) -> Outcome {
    judges::at_rest(vm, VG, POOL)?;
    Ok(())
}

/// A layout on the first two disks.
pub(super) fn init(vm: &mut Vm) -> Outcome {
    folders(vm)?;
    step(vm, "layout --init --size 2G /dev/vda /dev/vdb").map(drop)
}

/// One recovery must be enough, and leave each device with a table in force, none loaded and none
/// suspended; true where there was something to recover.
pub(super) fn is_recovered(vm: &mut Vm, when: &str) -> Result<bool, Stop> {
    let said = vm.sh(RECOVER)?;
    left_over(&said.stdout, &format!("{when}:\n{}{}", said.stdout, said.stderr))
}

const RECOVER: &str = "imgbase --json recover && echo again && imgbase --json recover --list &&
    echo odd && dmsetup info -c --noheadings -o name,attr | grep -v ':L--[rw]$'";

/// Reads what [`RECOVER`] printed.
fn left_over(said: &str, all_said: &str) -> Result<bool, Stop> {
    let (first, rest) = said.split_once("again\n").unwrap_or((said, ""));
    let (again, odd) = rest.split_once("odd\n").unwrap_or((rest, "?"));
    let found = |json: &str| json.contains("\"outcome\"");
    // With no device at all there is a word about that.
    let sound = odd.is_empty() || odd.trim() == "No devices found";
    must(again.contains("\"found\"") && !found(again) && sound, all_said)?;
    Ok(found(first))
}

/// Succeeds where no device stays suspended: whoever is killed has a child that lets go on at once
/// what he has suspended, but only once he is dead, and a process dies no sooner than the disk has
/// answered it. So there is half a minute for that, and three seconds then: fewer than after which
/// the child would act in any case. It leads a session, he does not. What stays suspended is told, and
/// who lives. By words of the shell alone, as it is asked often.
pub(super) const AWAKE: &str = "awake() {
        for dm in /sys/block/dm-*/dm; do
            [ ! -e $dm ] || ! read asleep <$dm/suspended || [ $asleep = 0 ] || return 1
        done
    }
    dies() {
        for process in /proc/[0-9]*; do
            read id name state parent group session rest 2>/dev/null <$process/stat || continue
            [ \"$name\" != '(imgbase)' ] || [ $session = $id ] || [ $state = Z ] || return 0
        done
        return 1
    }
    dying=0; dead=0
    until awake || [ $dying -ge 300 ] || [ $dead -ge 30 ]; do
        if dies; then dying=$((dying + 1)); else dead=$((dead + 1)); fi
        sleep 0.1
    done
    awake || {
        grep -s . /sys/block/dm-*/dm/name /sys/block/dm-*/dm/suspended
        for comm in $(grep -s -l -x imgbase /proc/[0-9]*/comm); do
            grep -s '^State\\|^PPid' ${comm%comm}status && cat ${comm%comm}stack
        done
        false
    } >&2";

/// What a verb that may have been killed has left.
pub(super) struct Struck {
    /// Of the verb.
    pub(super) status: i32,
    /// Whether there was something to recover.
    pub(super) left_over: bool,
    /// Whether the volume is there then.
    pub(super) is_there: bool,
}

/// Runs a verb that may be killed, recovers from that, and looks whether a volume is there: all in
/// one script, as processes are what takes the time. A verb of ours leaves nothing suspended.
pub(super) fn struck(vm: &mut Vm, verb: &str, is_there: &str) -> Result<Struck, Stop> {
    let script = format!(
        "{verb} >/dev/null 2>&1; echo $?
        {AWAKE} && echo awake || echo asleep
        {RECOVER}; echo volume; ! {is_there} || echo there"
    );
    let said = vm.sh(&script)?;
    let all_said = format!("`{verb}`:\n{}{}", said.stdout, said.stderr);
    let parts = said.stdout.split_once('\n').and_then(|(status, rest)| {
        let (awake, rest) = rest.split_once('\n')?;
        let (recovery, volume) = rest.split_once("volume\n")?;
        Some((status.parse().ok()?, awake, recovery, volume == "there\n"))
    });
    let Some((status, awake, recovery, is_there)) = parts else { return fail(all_said) };
    must(awake == "awake" || !verb.contains("imgbase"), format!("suspended after {all_said}"))?;
    Ok(Struck { status, left_over: left_over(recovery, &all_said)?, is_there })
}

/// Milliseconds that a command takes.
pub(super) fn time_of(vm: &mut Vm, command: &str) -> Result<u64, Stop> {
    let script = format!(
        "a=$(date +%s%N); {command} >/dev/null; b=$(date +%s%N); echo $(((b - a) / 1000000))"
    );
    let said = vm.ok(&script)?;
    must(said.parse::<u64>().is_ok(), said.clone())?;
    Ok(said.parse().unwrap_or(1))
}

/// True for a verb that makes a volume.
pub(super) fn adds(verb: &str) -> bool {
    !verb.contains("--remove")
}

/// A command that succeeds where the volume is there.
pub(super) fn is_there(volume: &str) -> String {
    match volume {
        "rival" => "lvs HostVG/rival >/dev/null 2>&1".to_owned(),
        ours => format!("imgbase layout --json | grep -qF '\"{ours}\"'"),
    }
}

/// A command that makes all as it was before a verb that adds or removes a volume.
pub(super) fn put_back(is_there: &str, adds: bool, back: &str) -> String {
    format!("{{ {}{is_there} || {back}; }} >/dev/null", if adds { "! " } else { "" })
}

/// Milliseconds that a verb takes where nothing else holds it up: what is to hit it must come by
/// then.
pub(super) fn shortest(vm: &mut Vm, reset: &str, verb: &str) -> Result<u64, Stop> {
    let mut shortest = u64::MAX;
    for _ in 0..3 {
        vm.ok(reset)?;
        shortest = shortest.min(time_of(vm, verb)?);
    }
    Ok(shortest)
}

/// The folders that cases mount at.
pub(super) fn folders(vm: &mut Vm) -> Outcome {
    vm.ok("cd /mnt && mkdir -p tree layer one two ours copy image live")?;
    Ok(())
}

/// A small ext4 image as the base `Small-1-1`, made with the options of mke2fs given.
pub(super) fn small_base(vm: &mut Vm, options: &str) -> Outcome {
    small_image(vm, options)?;
    step_says(vm, "base --add Small-1-1 /tmp/small.ext4", "Small-1-1")
}

/// A 32 MiB image `/tmp/small.ext4` with a few files.
pub(super) fn small_image(vm: &mut Vm, options: &str) -> Outcome {
    vm.ok(&format!(
        "rm -rf /tmp/small && mkdir -p /tmp/small/etc && echo hello >/tmp/small/etc/hello &&
        cd /tmp/small && cp /usr/bin/cp /usr/bin/find . && ln cp hard && ln -s cp soft &&
        mke2fs -q -t ext4 {options} -d /tmp/small /tmp/small.ext4 32M"
    ))?;
    Ok(())
}

/// The names of these layers of `Small-1-1`, a line each.
pub(super) fn layers(indices: std::ops::Range<u32>) -> String {
    indices.map(|index| format!("Small-1-1+{index}")).collect::<Vec<_>>().join("\n")
}

/// The paths that differ between two images.
pub(super) fn diff(vm: &mut Vm, a: &str, b: &str) -> Result<Vec<String>, Stop> {
    step(vm, &format!("diff {a} {b}")).map(|said| paths(&said))
}

/// The paths that a list of differences names, in order.
pub(super) fn paths(said: &str) -> Vec<String> {
    let path = |line: &str| {
        let path = line.get(2..).unwrap_or_default();
        path.split(" (").next().unwrap_or_default().to_owned()
    };
    let mut paths: Vec<String> = said.lines().map(path).collect();
    paths.sort_unstable();
    paths
}

/// The volume must hold exactly the tree of the sample.
pub(super) fn holds_the_sample(vm: &mut Vm, nvr: &str) -> Outcome {
    vm.imgbase(&format!("mount {nvr} /mnt/tree --read-only"))?;
    let differs = vm.sh("guest tree /mnt/tree | diff /images/debian.tree -")?;
    vm.imgbase("umount /mnt/tree")?;
    let first: Vec<&str> = differs.stdout.lines().take(20).collect();
    must(differs.status == 0, format!("{nvr} is not the image:\n{}", first.join("\n")))
}

/// A base is read only, skipped by activation and inactive.
pub(super) fn is_sealed(vm: &mut Vm, base: &str) -> Outcome {
    let attr = vm.ok(&format!("lvs --noheadings -o lv_attr {VG}/{base} | tr -d ' '"))?;
    must(attr == "Vri---tz-k", format!("{base} is {attr}, not Vri---tz-k"))
}

/// No device of device-mapper is left, and no node of one.
pub(super) fn nothing_is_active(vm: &mut Vm) -> Outcome {
    let list = format!("dmsetup ls; ls /dev/mapper; ls /dev/{VG} 2>/dev/null || true");
    vm.says(&list, "No devices found\ncontrol")?;
    Ok(())
}

/// A number out of the pool's status line: `used/total` blocks, data at 6, metadata at 5.
pub(super) fn used_data_blocks(vm: &mut Vm) -> Result<u64, Stop> {
    let status = vm.ok(&format!("dmsetup status {VG}-{POOL}-tpool"))?;
    let used = status.split_whitespace().nth(5).and_then(|field| field.split('/').next());
    match used.and_then(|n| n.parse().ok()) {
        Some(n) => Ok(n),
        None => fail(format!("not the status of a pool: {status}")),
    }
}
