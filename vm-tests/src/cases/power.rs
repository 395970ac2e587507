//! The power fails at each flush of a verb: what the disk then holds, brought to another one, is
//! recovered and judged.

use std::fmt;

use crate::case::{Case, Outcome, Stop, counted, is_whole, must};
use crate::cases::kit;
use crate::judges;
use crate::vm::{Replay, Vm, WriteLog};

pub(super) fn cases() -> Vec<Case> {
    let cases = [
        Case::new("power::cut_at_each_flush", cut_at_each_flush).within(3600),
        Case::new("power::cut_in_init", cut_in_init).within(600),
        Case::new("power::cut_in_adoption", cut_in_adoption).within(900),
    ];
    cases.map(|case| Case { spec: case.spec.clone().logged(), ..case }).into()
}

/// Run one after the other.
const VERBS: [&str; 19] = [
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
    "imgbase layer --add Small-1-1+1 --count 4",
    "lvcreate -q -s -kn -ay -n rival HostVG/Small-1-1+1",
    "lvremove -q -y HostVG/rival",
];

/// A verb, and what it wrote.
struct Ran {
    verb: &'static str,
    /// Its entries of the log.
    from: usize,
    to: usize,
    /// What the group may be like where it was cut short.
    before: Vec<String>,
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
        ran.push(run(vm, &mut log, verb)?);
    }
    vm.ok("umount /mnt/layer")?;
    kit::end(vm)?;

    let mut cutter = Cutter::new(vm, log)?;
    let mut recovered = 0;
    for verb in &ran {
        recovered += replay_verb(vm, &mut cutter, verb)?;
    }
    must(recovered > 0, "no cut left anything to recover")
}

/// The power fails while a group is made: it is there, or the disk can be used all the same.
fn cut_in_init(vm: &mut Vm) -> Outcome {
    kit::folders(vm)?;
    kit::small_image(vm, "")?;
    let mut log = vm.write_log()?;
    let ran = run(vm, &mut log, "imgbase layout --init --size 512M /dev/vda")?;
    let mut made = 0;
    let tried = Cutter::new(vm, log)?.each(vm, &ran, every_third, |vm, when, is_last| {
        let found = vm.sh("vgs HostVG >/dev/null 2>&1")?.status == 0;
        must(found || !is_last, format!("{when}: no group"))?;
        if found {
            is_recovered(vm, when)?;
        } else {
            vm.imgbase("layout --init --size 512M --force /dev/vdb")?;
        }
        vm.imgbase("base --add Small-1-1 /tmp/small.ext4")?;
        kit::end(vm)?;
        vm.ok("vgchange -q -an HostVG")?;
        made += u32::from(found);
        Ok(())
    })?;
    must(tried.there > 6, format!("{tried}: too few"))?;
    counted(format!("{tried}, {made} with the group"));
    must(made > 0 && made < tried.cuts, "the group is made at no flush")
}

/// The power fails while a system that is in use becomes a base and a layer: it is as it was or has
/// both, its own volume keeps what it had, and what was not done can be done again.
fn cut_in_adoption(vm: &mut Vm) -> Outcome {
    kit::folders(vm)?;
    kit::small_image(vm, "")?;
    vm.ok("vgcreate -q HostVG /dev/vda && lvcreate -q -L 256M -c 128k -T HostVG/ImagePool &&
        lvcreate -q -V 64M -n root HostVG/ImagePool && dd if=/tmp/small.ext4 of=/dev/HostVG/root \
            bs=1M conv=sparse,fsync status=none &&
        e2fsck -fy /dev/HostVG/root >/dev/null && mount /dev/HostVG/root /mnt/live &&
        head -c 3000000 /dev/urandom >/mnt/live/precious && cp /mnt/live/precious /tmp/precious &&
        echo '/dev/mapper/HostVG-root / ext4 defaults 0 1' >/mnt/live/etc/fstab &&
        sync -f /mnt/live")?;
    let mut log = vm.write_log()?;
    let mut ran = run(vm, &mut log, "imgbase layout --init Small-1-1 --from /mnt/live")?;
    // The tags come first; the same call goes on from them.
    let pool = "ImagePool 268435456B";
    ran.before.push(ran.before[0].replacen(pool, &format!("{pool} imgbased:pool"), 1));
    vm.ok("umount /mnt/live")?;
    kit::end(vm)?;
    let (mut recovered, mut adopted) = (0, 0);
    let tried = Cutter::new(vm, log)?.each(vm, &ran, every_third, |vm, when, is_last| {
        // A group that nobody tagged yet is nothing to us, and as it was.
        let is_tagged = vm.ok("vgs --noheadings -o tags HostVG")?.contains("imgbased:vg");
        recovered += u32::from(is_tagged && is_recovered(vm, when)?);
        let is_adopted = ran.is_after(vm, when, is_last)?;
        adopted += u32::from(is_adopted);
        judge_adoption(vm)?;
        if !is_adopted {
            vm.ok("imgbase layout --init Small-1-1 --from HostVG/root")?;
            must(ran.is_after(vm, when, true)?, "not adopted")?;
            judge_adoption(vm)?;
        }
        Ok(())
    })?;
    counted(format!("{tried}, {recovered} left something, {adopted} with base and layer"));
    must(adopted < tried.cuts && recovered > 0, "no cut left anything to recover")
}

/// lvm2, thin_check, thin_ls and e2fsck, and what the system held.
fn judge_adoption(vm: &mut Vm) -> Outcome {
    at_rest(vm, "vgchange -q -an HostVG")?;
    // What was in use has a journal to replay; the base was taken from a quiet one.
    vm.ok("cd /dev/HostVG && for volume in root Small-1-1 Small-1-1+1; do
            [ -e $volume ] || continue
            [ $volume = Small-1-1 ] || e2fsck -fp $volume || [ $? = 1 ] || exit
            e2fsck -fn $volume || exit
            debugfs -R 'cat /precious' $volume 2>/dev/null | cmp - /tmp/precious || exit
            debugfs -R 'cat /etc/fstab' $volume 2>/dev/null >/tmp/fstab || exit
            own=root
            [ $volume != Small-1-1+1 ] || own=Small--1--1+1
            grep -qx \"/dev/mapper/HostVG-$own / ext4 defaults 0 1\" /tmp/fstab || exit
        done
        cd / && vgchange -q -an HostVG && dmsetup ls | grep -q 'No devices found'")
        .map(drop)?;
    Ok(())
}

/// Every third flush, unless all are to be tried.
fn every_third(n: usize, _there: usize) -> bool {
    n.is_multiple_of(3)
}

/// Runs a verb, and sees what it wrote.
fn run(vm: &mut Vm, log: &mut WriteLog, verb: &'static str) -> Result<Ran, Stop> {
    let (from, before) = (written(vm, log)?, vec![volumes(vm)?]);
    vm.ok(verb)?;
    let (all, after) = (written(vm, log)?, volumes(vm)?);
    // What we have reported done is durable by then; lvm2 promises no such thing.
    let to = if is_own(verb) { log.first_write_to(MARK, from) } else { None };
    Ok(Ran { verb, from, to: to.unwrap_or(all), before, after })
}

impl Ran {
    /// The group is as after it, or as before where it was cut short: tells which.
    fn is_after(&self, vm: &mut Vm, when: &str, is_done: bool) -> Result<bool, Stop> {
        let now = volumes(vm)?;
        let is_known = now == self.after || (self.before.contains(&now) && !is_done);
        let before = self.before.join("\nnor\n");
        must(is_known, format!("{when}:\n{now}\nneither\n{before}\nnor\n{}", self.after))?;
        Ok(now == self.after)
    }
}

/// Brings to a second disk what a cut of the power leaves on the first.
struct Cutter {
    log: WriteLog,
    replay: Replay,
    random: u64,
}

/// How a verb was cut short.
struct Tried {
    verb: &'static str,
    cuts: u32,
    torn: u32,
    /// After how many flushes it can be cut, with that before its first write.
    there: usize,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, cuts, torn, there } = self;
        write!(f, "{verb}: cut after {cuts} of {there} flushes, {torn} torn")
    }
}

impl Cutter {
    /// Nothing of the first disk is in use any more, and it is cleared.
    fn new(vm: &mut Vm, log: WriteLog) -> Result<Self, Stop> {
        vm.ok("vgchange -q -an HostVG && blkdiscard -f /dev/vda")?;
        Ok(Self { log, replay: vm.replay_to("vdb")?, random: 0x9e37_79b9_7f4a_7c15 })
    }

    /// Lets `judge` see what each cut leaves, and whether the verb was done by then: the last, at
    /// which it was, and those of the others that `is_drawn` names, or all where all are to be tried.
    fn each(
        &mut self,
        vm: &mut Vm,
        ran: &Ran,
        is_drawn: impl Fn(usize, usize) -> bool,
        mut judge: impl FnMut(&mut Vm, &str, bool) -> Outcome,
    ) -> Result<Tried, Stop> {
        let Self { log, replay, random } = self;
        let moments: Vec<usize> = log.moments(ran.from, ran.to).collect();
        let mut tried = Tried { verb: ran.verb, cuts: 0, torn: 0, there: moments.len() };
        // Two flushes of its own, and the moment before them.
        must(tried.there > 2, format!("`{}` flushed {} times", ran.verb, tried.there - 1))?;
        for (n, flush) in moments.into_iter().enumerate() {
            let is_last = n + 1 == tried.there;
            if !(is_whole() || is_last || is_drawn(n, tried.there)) {
                continue;
            }
            // Every other one leaves some of the writes that were under way. lvm2 writes a text and
            // the header that points to it with no flush between them: the header may be all that
            // is left.
            let tears = !is_last && kit::next(random).is_multiple_of(2);
            replay.cut(log, flush, || tears && kit::next(random).is_multiple_of(2))?;
            // The disk has changed behind the kernel's back.
            vm.ok("blockdev --flushbufs /dev/vdb && echo 3 >/proc/sys/vm/drop_caches")?;
            let Tried { verb, there, .. } = tried;
            let when = format!("`{verb}`, cut after flush {n} of {there}, torn: {tears}");
            judge(vm, &when, is_last).map_err(|stop| with(&when, stop))?;
            tried.cuts += 1;
            tried.torn += u32::from(tears);
        }
        Ok(tried)
    }
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

/// All that the metadata says of volumes, as lvm2 reads it; nothing where there is no group.
fn volumes(vm: &mut Vm) -> Result<String, Stop> {
    Ok(vm.ok("lvs --noheadings --units b -o lv_name,lv_size,lv_tags -a HostVG 2>/dev/null |
        sort | awk '{ $1 = $1; print }'")?)
}

/// Cuts a verb short and judges what is left; returns how often there was something to recover.
fn replay_verb(vm: &mut Vm, cutter: &mut Cutter, ran: &Ran) -> Result<u32, Stop> {
    let mut recovered = 0;
    let early = kit::next(&mut cutter.random);
    // One before the last.
    let is_drawn = |n: usize, there: usize| n as u64 == early % (there as u64 - 1);
    let tried = cutter.each(vm, ran, is_drawn, |vm, when, is_last| {
        recovered += u32::from(is_recovered(vm, when)?);
        ran.is_after(vm, when, is_last)?;
        judge(vm)
    })?;
    counted(format!("{tried}, {recovered} left something"));
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
    // lvm2's backup lies on another disk.
    vm.ok("rm -f /etc/lvm/backup/HostVG")?;
    kit::is_recovered(vm, when)
}

/// lvm2, thin_check and thin_ls are content; each volume is active then.
fn at_rest(vm: &mut Vm, deactivate: &str) -> Outcome {
    vm.quiet(&format!("vgck HostVG && {deactivate}"))?;
    judges::thin_pool(vm, kit::VG, kit::POOL)?;
    vm.quiet("vgchange -q -ay -K HostVG")?;
    Ok(())
}

/// lvm2, thin_check, thin_ls and e2fsck, and what was synced long before.
fn judge(vm: &mut Vm) -> Outcome {
    at_rest(vm, "imgbase deactivate 2>/dev/null")?;
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
