//! Killed at each step, then recovered: what lvm2 and the pool say of it afterwards.

use crate::case::{Case, Outcome, Stop, counted, is_whole, must};
use crate::cases::kit::{self, step};
use crate::judges;
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("recovery::killed_at_each_ioctl", killed_at_each_ioctl).within(900),
        Case::new("recovery::killed_at_each_write", killed_at_each_write).within(600),
        Case::new("recovery::killed_at_random", killed_at_random).within(1500),
        Case::new("recovery::interrupted", interrupted).within(600),
        Case::new("recovery::a_living_process_is_left_alone", a_living_process).within(180),
        Case::new("recovery::a_text_is_lost", a_text_is_lost).within(180),
        Case::new("recovery::a_disk_comes_back", a_disk_comes_back).within(180),
    ]
}

/// The layer that is snapshotted is active: it is suspended meanwhile.
fn killed_at_each_ioctl(vm: &mut Vm) -> Outcome {
    prepare(vm)?;
    killed_at_each(vm, "ioctl", "layer --add Small-1-1+1")?;
    // Several threads have calls of their own.
    killed_at_each(vm, "ioctl", "layer --add Small-1-1+1 --count 12")?;
    kit::end(vm)
}

fn killed_at_each_write(vm: &mut Vm) -> Outcome {
    prepare(vm)?;
    the_next_verb_mends_it(vm)?;
    killed_at_each(vm, "pwrite64", "layer --add Small-1-1+1")?;
    killed_at_each(vm, "fdatasync", "layer --add Small-1-1+1")?;
    vm.ok("imgbase layer --add Small-1-1+1")?;
    killed_at_each(vm, "pwrite64", "layer --remove Small-1-1+2")?;
    kit::end(vm)
}

fn prepare(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    kit::small_base(vm, "")?;
    step(vm, "layer --add Small-1-1").map(drop)
}

/// Of so many calls each is one at which a verb is killed, unless all are. Of syncs there are few.
const STRIDES: [(&str, usize); 3] = [("ioctl", 8), ("pwrite64", 8), ("fdatasync", 3)];

/// Whether the kernel still hurries as for a call that was killed.
const HASTE: &str = "cat /sys/kernel/rcu_expedited";

/// Runs a verb that makes or removes the second layer, or makes several more, killed at its first such call, then at a
/// later one and so on until it comes through. The layers are put back each time.
fn killed_at_each(vm: &mut Vm, call: &str, verb: &str) -> Outcome {
    let adds = verb.contains("--add");
    let (mut kills, mut left_over) = (0, 0);
    let sampled = STRIDES.iter().find(|(of, _)| *of == call).map_or(1, |(_, stride)| *stride);
    let stride = if is_whole() { 1 } else { sampled };
    for n in (1..200).step_by(stride) {
        let inject = format!("-e trace={call} -e inject={call}:signal=KILL:when={n}");
        let done = vm.sh(&format!("strace -f -qq -o /dev/null {inject} imgbase {verb}"))?;
        let when = format!("`{verb}` killed at {call} {n}");
        let awake = vm.sh(kit::AWAKE)?.status == 0;
        must(awake, format!("{when}: a device stays suspended before anybody recovers"))?;
        let found = vm.ok("imgbase --json recover --list")?;
        left_over += u32::from(!found.contains(r#""found":[]"#));
        step(vm, "recover")?;
        let again = vm.imgbase("recover --list")?;
        must(again.is_empty(), format!("{when}: left after recovery:\n{again}"))?;
        let asleep =
            vm.ok(&format!("dmsetup info -c --noheadings -o suspended | sort -u; {HASTE}"))?;
        must(asleep == "Active\n0", format!("{when}: {asleep}"))?;
        let layers = vm.imgbase("layout --layers")?;
        let second = layers.contains("Small-1-1+2");
        match (adds, second) {
            (true, true) => {
                let is_whole = !verb.contains("--count 12") || layers == kit::layers(1..14);
                must(is_whole, format!("{when}: some layers, and not all:\n{layers}"))?;
                vm.ok("for layer in $(imgbase layout --layers | sed 1d); do
                    imgbase layer --remove $layer || exit
                done")
                    .map(drop)?;
            }
            (false, false) => vm.imgbase("layer --add Small-1-1+1").map(drop)?,
            _ => {}
        }
        if done.status == 0 {
            must(kills >= 2, format!("{when}: only {kills} kills"))?;
            must(left_over > 0, format!("{when}: no kill left anything"))?;
            let calls = kills * stride;
            counted(format!(
                "{verb}: {kills} kills at {call} of about {calls}, {left_over} left something"
            ));
            return Ok(());
        }
        kills += 1;
    }
    must(false, format!("`{verb}` never comes through"))
}

/// Leaves an unfinished volume, and nobody recovers: the next verb that changes something says so,
/// takes it away and does what it is asked for.
fn the_next_verb_mends_it(vm: &mut Vm) -> Outcome {
    let verb = "imgbase layer --add Small-1-1+1";
    for n in 1..40 {
        let inject = format!("-e trace=pwrite64 -e inject=pwrite64:signal=KILL:when={n}");
        let done = vm.sh(&format!("strace -f -qq -o /dev/null {inject} {verb}"))?;
        must(done.status != 0, format!("`{verb}` came through before write {n}"))?;
        let pending = "lvs --noheadings -o lv_name -S 'lv_tags=imgbased:pending' HostVG";
        if vm.ok(pending)?.trim() != "Small-1-1+2" {
            continue;
        }
        let next = vm.sh(verb)?;
        let said = format!("`{verb}` exits {}: {}{}", next.status, next.stdout, next.stderr);
        let warned = next.stderr.contains("Small-1-1+2 was left unfinished and is removed");
        must(warned && next.status == 0 && next.stdout == "Small-1-1+2\n", said)?;
        vm.says("imgbase recover --list", "")?;
        vm.says("imgbase layout --layers", "Small-1-1+1\nSmall-1-1+2")?;
        judges::lvm2(vm, kit::VG)?;
        return vm.imgbase("layer --remove Small-1-1+2").map(drop).map_err(Stop::from);
    }
    must(false, "no kill left an unfinished volume")
}

/// A verb that makes a volume, the volume, what removes it, and how many kills must hit each while
/// it runs: 300 in all.
const PAIRS: [(&str, &str, &str, [u32; 2]); 3] = [
    (
        "imgbase layer --add Small-1-1+1",
        "Small-1-1+2",
        "imgbase layer --remove Small-1-1+2",
        [116, 116],
    ),
    (
        "imgbase base --add Small-1-2 /tmp/small.ext4",
        "Small-1-2",
        "imgbase base --remove Small-1-2",
        [30, 30],
    ),
    (
        "lvcreate -q -s -kn -ay -n rival HostVG/Small-1-1+1",
        "rival",
        "lvremove -q -y HostVG/rival",
        [8, 0],
    ),
];

/// Each verb is killed at random moments of the time that it takes, again and again; where it comes
/// through, the one that undoes it is next.
fn killed_at_random(vm: &mut Vm) -> Outcome {
    prepare(vm)?;
    let (mut random, mut kills, mut left_over) = (0x2545_f491_4f6c_dd1d_u64, 0, 0);
    for (add, volume, remove, wanted) in PAIRS {
        let (is_there, verbs) = (kit::is_there(volume), [add, remove]);
        let whole = [
            kit::shortest(vm, &kit::put_back(&is_there, true, remove), add)?,
            kit::shortest(vm, &kit::put_back(&is_there, false, add), remove)?,
        ];
        let (mut here, mut there, mut left) = ([0, 0], false, 6 * (wanted[0] + wanted[1]));
        while here != wanted {
            must(left > 0, format!("{verbs:?}: only {here:?} kills hit them"))?;
            left -= 1;
            let which = usize::from(there);
            let after = kit::next(&mut random) % whole[which].max(1);
            let kill = format!("timeout -s KILL {}.{:03}", after / 1000, after % 1000);
            let is_enough = here[which] == wanted[which];
            let how = if is_enough { String::new() } else { kill };
            let verb = format!("{how} {}", verbs[which]);
            let done = kit::struck(vm, &verb, &is_there)?;
            let hit = done.status == KILLED;
            must(hit || done.status == 0, format!("`{verb}` exits {}", done.status))?;
            (here[which], there) = (here[which] + u32::from(hit), done.is_there);
            left_over += u32::from(done.left_over);
            if hit && here[which] % 20 == 0 {
                judges::lvm2(vm, kit::VG)?;
            }
        }
        counted(format!("{verbs:?}: {here:?} kills within {whole:?} ms"));
        kills += here[0] + here[1];
        vm.ok(&kit::put_back(&is_there, true, remove))?;
    }
    counted(format!("{kills} kills at random, {left_over} left something, 0 repaired by hand"));
    must(left_over > 0, "no kill left anything")?;
    kit::end(vm)
}

/// What the shell says of a process that was ended by SIGKILL.
const KILLED: i32 = 137;

/// A verb, whether it makes something, what succeeds where that is there, and what puts all back.
struct Undone {
    verb: &'static str,
    adds: bool,
    is_there: String,
    back: &'static str,
}

/// Interrupts that must stop a verb that lasts, once it has begun.
const HITS: u32 = 3;

/// Interrupts that may come too early or too late for that.
const MISSES: u32 = 40;

/// Interrupts of a verb that does not last: most miss it.
const INTERRUPTS: u32 = 8;

/// SIGINT at random moments: a verb undoes itself and says so, or comes through.
fn interrupted(vm: &mut Vm) -> Outcome {
    let mut random = 0x5851_f42d_4c95_7f2d_u64;
    prepare(vm)?;
    // So much that a copy of it lasts.
    vm.ok("imgbase mount Small-1-1+1 /mnt/layer && mkdir /mnt/layer/srv &&
        head -c 16M /dev/urandom >/mnt/layer/srv/noise && sync && imgbase umount /mnt/layer &&
        imgbase layer --add Small-1-1+1 && imgbase mount Small-1-1+2 /mnt/layer")?;
    let lasting = [
        Undone {
            verb: "imgbase base --add Small-1-2 /tmp/small.ext4",
            adds: true,
            is_there: kit::is_there("Small-1-2"),
            back: "imgbase base --remove Small-1-2",
        },
        Undone {
            verb: "imgbase volume --create /srv 64M --layer Small-1-1+1",
            adds: true,
            is_there: "imgbase volume --list | grep -q /srv".to_owned(),
            back: "{ imgbase volume --detach /srv --layer Small-1-1+1 &&
                imgbase volume --remove /srv; }",
        },
        // Of a layer in use it takes a snapshot.
        Undone {
            verb: "imgbase export Small-1-1+2 /tmp/layer.raw.gz",
            adds: true,
            is_there: "[ -e /tmp/layer.raw.gz ]".to_owned(),
            back: "rm /tmp/layer.raw.gz",
        },
    ];
    for undone in &lasting {
        let hits =
            interrupt(vm, undone, &mut random, |hits, misses| hits == HITS || misses == MISSES)?;
        must(hits == HITS, format!("`{}`: only {hits} interrupts stopped it", undone.verb))?;
    }
    let (add, remove) = ("imgbase layer --add Small-1-1+2", "imgbase layer --remove Small-1-1+3");
    let short = [(add, true, remove), (remove, false, add)].map(|(verb, adds, back)| Undone {
        verb,
        adds,
        is_there: kit::is_there("Small-1-1+3"),
        back,
    });
    let remove = Undone {
        verb: "imgbase base --remove Small-1-2",
        adds: false,
        is_there: kit::is_there("Small-1-2"),
        back: "imgbase base --add Small-1-2 /tmp/small.ext4",
    };
    for undone in short.iter().chain([&remove]) {
        interrupt(vm, undone, &mut random, |hits, misses| hits + misses == INTERRUPTS)?;
    }
    judges::lvm2(vm, kit::VG)?;
    vm.ok("umount /mnt/layer; ls -A /tmp | grep layer.raw && exit 1 || true")?;
    kit::end(vm)
}

/// Interrupts a verb until it `is_enough` of those that stopped it once it had begun and of those that
/// did not; returns the first number.
fn interrupt(
    vm: &mut Vm,
    Undone { verb, adds, is_there, back }: &Undone,
    random: &mut u64,
    is_enough: impl Fn(u32, u32) -> bool,
) -> Result<u32, Stop> {
    let reset = kit::put_back(is_there, *adds, back);
    let whole = kit::shortest(vm, &reset, verb)?;
    let (mut ended, mut came_through, mut silent) = (0, 0, 0);
    while !is_enough(ended - silent, came_through + silent) {
        vm.ok(&reset)?;
        let after = kit::next(random) % whole.max(1);
        let timeout = "timeout --preserve-status -s INT";
        let script = format!("{timeout} {}.{:03} {verb}", after / 1000, after % 1000);
        let done = vm.sh(&script)?;
        let said = format!("`{script}` exits {}: {}", done.status, done.stderr);
        let left = vm.ok("imgbase recover --list")?;
        must(left.is_empty(), format!("{said}\n{left}"))?;
        let there = vm.sh(is_there)?.status == 0;
        match done.status {
            0 => {
                came_through += 1;
                must(there == *adds, said)?;
            }
            130 => {
                ended += 1;
                must(there != *adds, said.clone())?;
                // Before it could listen nothing was begun.
                silent += u32::from(done.stderr.is_empty());
                must(done.stderr.is_empty() || done.stderr.contains("stopped"), said)?;
            }
            _ => must(false, said)?,
        }
    }
    let hits = ended - silent;
    counted(format!(
        "{verb}: interrupted {hits} times, {silent} more before it listened; came through \
         {came_through} times"
    ));
    Ok(hits)
}

/// A base that is being filled is no leftover; once its process is killed it is.
fn a_living_process(vm: &mut Vm) -> Outcome {
    prepare(vm)?;
    vm.ok("mkfifo /tmp/pipe && (imgbase base --add Slow-1-1 - </tmp/pipe >/tmp/said 2>&1 &)")?;
    vm.ok("(dd if=/tmp/small.ext4 bs=1M count=8; sleep 600) >/tmp/pipe 2>/dev/null &")?;
    vm.ok(
        "until imgbase layout --json | grep -q '\"pending\":\\[\"Slow-1-1\"'; do sleep 0.2; done",
    )?;
    let told = vm.imgbase("recover")?;
    must(told.starts_with("left alone Slow-1-1"), told)?;
    vm.ok("pkill -KILL -x imgbase; while pgrep -r R,S,D -x imgbase; do sleep 0.1; done")?;
    let told = step(vm, "recover")?;
    must(told.starts_with("done       Slow-1-1"), told)?;
    vm.says("imgbase recover --list", "")?;
    let layout = vm.imgbase("layout")?;
    must(!layout.contains("Slow"), layout)?;
    // Nothing of this case is to be met by the next on this machine.
    vm.ok("pkill -x sleep")?;
    kit::end(vm)
}

/// The text that a header points to is damaged, on the only disk: lvm2 has no group any more,
/// imgbase goes back to the text before.
fn a_text_is_lost(vm: &mut Vm) -> Outcome {
    kit::folders(vm)?;
    step(vm, "layout --init --size 512M /dev/vda")?;
    kit::small_base(vm, "")?;
    step(vm, "layer --add Small-1-1")?;
    vm.ok("lvchange -q --addtag rare HostVG/Small-1-1+1")?;
    vm.ok("at=$(pvck --dump headers /dev/vda |
            sed -n 's/^ *mda_header_1.raw_locn.0..offset *\\([0-9]*\\).*/\\1/p')
        [ \"$at\" -gt 0 ] && dd if=/dev/urandom of=/dev/vda bs=512 count=1 seek=$((8 + at / 512)) \
            oflag=direct conv=notrunc status=none")?;
    let lvm2 = vm.sh("vgs HostVG")?;
    must(lvm2.status != 0, format!("lvm2 still reads it: {}", lvm2.stdout))?;
    let before = front(vm, "vda")?;
    vm.says("imgbase layout --layers", "Small-1-1+1")?;
    for verb in ["layer --add", "base --remove Small-1-1", "activate Small-1-1"] {
        let refused = vm.sh(&format!("imgbase {verb}"))?;
        let said = format!("`{verb}` exits {}: {}", refused.status, refused.stderr);
        let why = "is whole: 'imgbase recover' puts that in force again";
        must(refused.status == 7 && refused.stderr.contains(why), said)?;
    }
    let list = vm.imgbase("recover --list")?;
    must(list.contains("has lost its text"), list)?;
    // lvm2 has kept what it committed: the lost text was in force.
    let said = vm.fails(6, "imgbase recover")?;
    must(said.contains("lvm2's backup has seqno"), said)?;
    must(front(vm, "vda")? == before, "a refused verb has written")?;
    vm.ok("mv /etc/lvm/backup/HostVG /tmp/backup")?;
    let told = step(vm, "recover")?;
    must(told.starts_with("done       metadata"), told)?;
    vm.says("imgbase recover --list", "")?;
    vm.says("lvs --noheadings -o lv_tags HostVG/Small-1-1+1 | tr -d ' '", "imgbased:layer")?;
    // The way out that was named.
    vm.ok("vgcfgrestore -q --force -y -f /tmp/backup HostVG")?;
    let tags = "lvs --noheadings -o lv_tags HostVG/Small-1-1+1 | tr -d ' '";
    vm.says(tags, "imgbased:layer,rare")?;
    step(vm, "layer --add")?;
    kit::end(vm)
}

/// A disk was taken out of the group while it was away: it keeps what it has, and what it says of
/// the group counts no more.
fn a_disk_comes_back(vm: &mut Vm) -> Outcome {
    prepare(vm)?;
    // Its own text is that of the group as it is now.
    vm.ok("vgextend -q HostVG /dev/vdc && dd if=/dev/vdc of=/tmp/away bs=1M count=2 status=none")?;
    let list = "imgbase recover --list";
    vm.says(list, "")?;
    vm.ok("dd if=/dev/zero of=/dev/vdc bs=1M count=2 oflag=direct status=none")?;
    let refused = vm.sh("imgbase layer --add")?;
    must(refused.status != 0 && refused.stderr.contains("is missing"), refused.stderr)?;
    vm.ok("vgreduce -q --removemissing HostVG 2>/dev/null")?;
    vm.ok("dd if=/tmp/away of=/dev/vdc bs=1M oflag=direct conv=notrunc status=none")?;

    let before = front(vm, "vdc")?;
    vm.says("imgbase layer --add", "Small-1-1+2")?;
    vm.says(list, "")?;
    vm.says("imgbase recover", "")?;
    let check = vm.sh("imgbase check")?;
    must(check.stdout.contains("/dev/vdc: was once in the group"), check.stdout)?;
    must(front(vm, "vdc")? == before, "it was written to")?;
    vm.ok("vgck -q --updatemetadata HostVG 2>/dev/null; pvremove -q -y -ff /dev/vdc")?;
    judges::lvm2(vm, kit::VG)?;
    kit::end(vm)
}

/// What a disk's first 8 MiB hold: label, metadata area and the first extents.
fn front(vm: &mut Vm, disk: &str) -> Result<String, Stop> {
    let read = format!("dd if=/dev/{disk} bs=1M count=8 iflag=direct status=none");
    Ok(vm.ok(&format!("{read} | sha256sum"))?)
}
