//! The power fails at each flush of a verb: what the disk then holds, brought to another one, is
//! recovered and judged.

use crate::case::{Case, Outcome, Stop, counted, is_whole, must};
use crate::cases::kit;
use crate::judges;
use crate::vm::{Replay, Vm, WriteLog};

pub(super) fn cases() -> Vec<Case> {
    let cases = [
        Case::new("power::cut_at_each_flush", cut_at_each_flush).within(3600),
        Case::new("power::cut_in_init", cut_in_init).within(600),
    ];
    cases.map(|case| Case { spec: case.spec.clone().logged(), ..case }).into()
}

/// Run one after the other.
const VERBS: [&str; 18] = [
    "imgbase layer --add Small-1-1+1",
    "imgbase layer --add Small-1-1+1",
    "imgbase layer --remove Small-1-1+2",
    "imgbase base --add Small-1-2 /tmp/small.ext4",
    "imgbase base --pin Small-1-2",
    "imgbase layout --grow 64M",
    "imgbase base --remove Small-1-2",
    "imgbase volume --create /srv 16M --layer Small-1-1+3",
    "imgbase volume --detach /srv --layer Small-1-1+3",
    "imgbase volume --attach /srv --layer Small-1-1+3",
    "imgbase volume --remove /srv --force",
    // Of a layer in use it takes a snapshot.
    "imgbase export Small-1-1+1 /tmp/layer.raw.gz",
    "imgbase update /tmp/small.ext4 --nvr Small-1-2",
    "imgbase layer --reset Small-1-2+1",
    "imgbase base --add Small-1-3 /tmp/small.ext4",
    "imgbase gc --keep 1",
    "lvcreate -q -s -kn -ay -n rival HostVG/Small-1-1+1",
    "lvremove -q -y HostVG/rival",
];

/// A verb, and what it wrote.
struct Ran {
    verb: &'static str,
    /// Its entries of the log.
    from: usize,
    to: usize,
    before: String,
    after: String,
}

fn cut_at_each_flush(vm: &mut Vm) -> Outcome {
    kit::folders(vm)?;
    vm.imgbase("layout --init --size 512M /dev/vda")?;
    kit::small_base(vm, "")?;
    vm.imgbase("layer --add Small-1-1")?;
    // What was synced before must be there after each cut, and the layer is in use.
    vm.imgbase("mount Small-1-1+1 /mnt/layer")?;
    vm.ok("head -c 3000000 /dev/urandom >/mnt/layer/precious &&
        echo '/dev/HostVG/root / ext4 defaults 0 1' >/mnt/layer/etc/fstab && sync -f /mnt/layer &&
        cp /mnt/layer/precious /tmp/precious")?;
    vm.imgbase("activate Small-1-1")?;
    vm.ok("dd if=/dev/HostVG/Small-1-1 of=/tmp/base bs=1M status=none")?;
    vm.imgbase("deactivate Small-1-1")?;

    let mut log = vm.write_log()?;
    let mut ran = Vec::new();
    for verb in VERBS {
        let (from, before) = (written(vm, &mut log)?, volumes(vm)?);
        vm.ok(verb)?;
        let (all, after) = (written(vm, &mut log)?, volumes(vm)?);
        // What we have reported done is durable by then; lvm2 promises no such thing.
        let to = if is_own(verb) { log.first_write_to(MARK, from) } else { None };
        ran.push(Ran { verb, from, to: to.unwrap_or(all), before, after });
    }
    vm.ok("umount /mnt/layer")?;
    kit::end(vm)?;
    vm.ok("vgchange -q -an HostVG && blkdiscard -f /dev/vda")?;

    let mut replay = vm.replay_to("vdb")?;
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut recovered = 0;
    for verb in &ran {
        recovered += replay_verb(vm, (&log, &mut replay), verb, &mut random)?;
    }
    must(recovered > 0, "no cut left anything to recover")
}

/// The power fails while a group is made: it is there, or the disk can be used all the same.
fn cut_in_init(vm: &mut Vm) -> Outcome {
    kit::folders(vm)?;
    kit::small_image(vm, "")?;
    let init = "layout --init --size 512M";
    let mut log = vm.write_log()?;
    let from = written(vm, &mut log)?;
    vm.imgbase(&format!("{init} /dev/vda"))?;
    let all = written(vm, &mut log)?;
    let to = log.first_write_to(MARK, from).unwrap_or(all);
    vm.ok("vgchange -q -an HostVG && blkdiscard -f /dev/vda")?;
    let mut replay = vm.replay_to("vdb")?;
    let mut random = 0xbf58_476d_1ce4_e5b9_u64;
    let flushes: Vec<usize> = log.flushes(from, to).collect();
    let there = flushes.len();
    must(there >= 6, format!("`{init}` flushed {there} times"))?;
    let (mut made, mut torn) = (0, 0);
    let mut tried = 0;
    for (n, flush) in flushes.iter().enumerate() {
        let is_last = n + 1 == there;
        // Every third one, unless all are.
        if !(is_whole() || is_last || n.is_multiple_of(3)) {
            continue;
        }
        tried += 1;
        let tears = !is_last && kit::next(&mut random).is_multiple_of(2);
        replay.cut(&log, *flush, || tears && kit::next(&mut random).is_multiple_of(2))?;
        vm.ok("blockdev --flushbufs /dev/vdb && echo 3 >/proc/sys/vm/drop_caches")?;
        let when = format!("`{init}`, cut at flush {n} of {there}, torn: {tears}");
        let found = vm.sh("vgs HostVG >/dev/null 2>&1")?.status == 0;
        must(found || !is_last, format!("{when}: no group"))?;
        if found {
            is_recovered(vm, &when)?;
        } else {
            vm.imgbase(&format!("{init} --force /dev/vdb"))?;
        }
        vm.imgbase("base --add Small-1-1 /tmp/small.ext4")?;
        kit::end(vm).map_err(|stop| with(&when, stop))?;
        vm.ok("vgchange -q -an HostVG")?;
        (made, torn) = (made + u32::from(found), torn + u32::from(tears));
    }
    counted(format!(
        "{init}: cut at {tried} of {there} flushes, {torn} torn, {made} with the group"
    ));
    must(made > 0 && made < tried, "the group is made at no flush")
}

fn is_own(verb: &str) -> bool {
    verb.starts_with("imgbase")
}

/// Where nobody but this case writes, in bytes: between the label and the metadata area.
const MARK: u64 = 7 * 512;

/// How many entries the log has. It is up to date only after a flush: a mark goes before that one,
/// which would else make durable what the verb has not.
fn written(vm: &mut Vm, log: &mut WriteLog) -> Result<usize, Stop> {
    let mark = "dd if=/dev/zero of=/dev/vda bs=512 seek=7 count=1 oflag=direct conv=notrunc";
    vm.ok(&format!("{mark} status=none && sync -d /dev/vda"))?;
    Ok(log.catch_up()?)
}

/// All that the metadata says of volumes, as lvm2 reads it.
fn volumes(vm: &mut Vm) -> Result<String, Stop> {
    Ok(vm.ok("lvs --noheadings --units b -o lv_name,lv_size,lv_tags -a HostVG | sort")?)
}

/// Cuts a verb short and judges what is left; returns how often there was something to recover.
fn replay_verb(
    vm: &mut Vm,
    (log, replay): (&WriteLog, &mut Replay),
    ran: &Ran,
    random: &mut u64,
) -> Result<u32, Stop> {
    let flushes: Vec<usize> = log.flushes(ran.from, ran.to).collect();
    let there = flushes.len();
    must(there >= 2, format!("`{}` flushed {there} times", ran.verb))?;
    let (mut tried, mut recovered, mut torn) = (0, 0, 0);
    // The last flush, at which the verb is done, and one before it.
    let early = kit::next(random) % (there as u64 - 1);
    for (n, flush) in flushes.iter().enumerate() {
        if !(is_whole() || n as u64 == early || n + 1 == there) {
            continue;
        }
        // Every other one leaves some of the writes that were under way. lvm2 writes a text and the
        // header that points to it with no flush between them: the header may be all that is left.
        let tears = n + 1 < there && kit::next(random).is_multiple_of(2);
        replay.cut(log, *flush, || tears && kit::next(random).is_multiple_of(2))?;
        let when = format!("`{}`, cut at flush {n} of {there}, torn: {tears}", ran.verb);
        recovered += u32::from(is_recovered(vm, &when)?);
        let now = volumes(vm)?;
        let is_last = n + 1 == there;
        let known = now == ran.after || (now == ran.before && !is_last);
        must(known, format!("{when}:\n{now}\nneither\n{}\nnor\n{}", ran.before, ran.after))?;
        judge(vm).map_err(|stop| with(&when, stop))?;
        (tried, torn) = (tried + 1, torn + u32::from(tears));
    }
    counted(format!(
        "{}: cut at {tried} of {there} flushes, {torn} torn, {recovered} left something",
        ran.verb
    ));
    Ok(recovered)
}

fn with(when: &str, stop: Stop) -> Stop {
    match stop {
        Stop::Failed(fail) => Stop::Failed(crate::error::Fail::new(format!("{when}: {fail}"))),
        skipped => skipped,
    }
}

/// Recovers once, which must be enough; true where there was something to recover.
fn is_recovered(vm: &mut Vm, when: &str) -> Result<bool, Stop> {
    // The disk has changed behind the kernel's back, and lvm2's backup lies on another.
    vm.ok("rm -f /etc/lvm/backup/HostVG && blockdev --flushbufs /dev/vdb && echo 3 >/proc/sys/vm/drop_caches")?;
    kit::is_recovered(vm, when)
}

/// lvm2, thin_check, thin_ls and e2fsck, and what was synced long before.
fn judge(vm: &mut Vm) -> Outcome {
    vm.quiet("vgck HostVG && imgbase deactivate 2>/dev/null")?;
    judges::thin_pool(vm, kit::VG, kit::POOL)?;
    vm.quiet("vgchange -q -ay -K HostVG")?;
    // A layer that was in use has a journal to replay.
    vm.ok("cd /dev/HostVG && cmp Small-1-1 /tmp/base || exit
        for volume in Small-1-?+* Small-1-[23] srv rival; do
            [ -e $volume ] || continue
            case $volume in *+* | rival) e2fsck -fp $volume || [ $? = 1 ] || exit ;; esac
            e2fsck -fn $volume || exit
            # Replaced whole or not at all.
            [ $volume != Small-1-1+3 ] ||
                debugfs -R 'cat /etc/fstab' $volume 2>/dev/null | grep -q ' / ' || exit
        done
        debugfs -R 'cat /precious' Small-1-1+1 2>/dev/null | cmp - /tmp/precious || exit
        cd / && vgchange -q -an HostVG && dmsetup ls | grep -q 'No devices found'")
        .map(drop)?;
    Ok(())
}
