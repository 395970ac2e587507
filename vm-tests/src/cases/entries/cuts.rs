//! The power fails while our verbs write for the loader: what each cut leaves boots what was to
//! boot before, or what is to boot after. It is judged on the bench, and what is whole is booted.

use super::{DISK, ONE, TWO, is_layer, let_go, second};
use crate::case::{Case, Outcome, Stop, counted, must};
use crate::loaders::cuts::{Cuts, Left};
use crate::loaders::{self, Loader, sd_boot};
use crate::vm::{Start, Vm};

pub(super) fn cases() -> Vec<Case> {
    let cases = [
        Case::new("entries::systemd_boot_cuts", |vm| cut(vm, Loader::SystemdBoot)),
        Case::new("entries::grub_cuts", |vm| cut(vm, Loader::GrubBios)),
        Case::new("entries::grub_cuts_on_fat", |vm| cut(vm, Loader::GrubOnEsp)),
    ];
    let logged = |case: Case| Case { spec: case.spec.clone().logged(), ..case.within(3600) };
    cases.map(logged).into()
}

/// A verb, and what boots before and after it.
struct Verb {
    words: &'static str,
    ends: [&'static str; 2],
    /// Who runs it.
    at: At,
}

#[derive(PartialEq, Eq)]
enum At {
    /// A host that runs from no layer.
    Bench,
    /// The same, where the loader has its one-shot in a file and not in the firmware.
    BenchWithGrub,
    /// The second layer. What it does is for good: no number of starts changes what boots.
    Layer,
}

const fn verb(words: &'static str, ends: [&'static str; 2]) -> Verb {
    Verb { words, ends, at: At::Bench }
}

/// One after the other.
const VERBS: [Verb; 10] = [
    verb("boot --set-default Small-1-2+1", [ONE, TWO]),
    verb("boot --args Small-1-2+1 --add quiet", [TWO, TWO]),
    verb("rollback", [TWO, ONE]),
    verb("boot --set-default Small-1-2+1", [ONE, TWO]),
    Verb { at: At::Layer, ..verb("boot --bless", [TWO, TWO]) },
    verb("rollback", [TWO, ONE]),
    Verb { at: At::BenchWithGrub, ..verb("boot --once Small-1-2+1", [ONE, TWO]) },
    Verb { at: At::BenchWithGrub, ..verb("boot --no-once", [TWO, ONE]) },
    verb("layer --add Small-1-2", [ONE, ONE]),
    verb("layer --remove Small-1-2+2", [ONE, ONE]),
];

/// The second layer as the root of a process, as of one that runs from it.
const ENTER: &str = "mkdir -p /run/bench && cp $(command -v imgbase) /run/bench/ &&
    imgbase mount Small-1-2+1 /mnt/layer && cd /mnt/layer &&
    for folder in dev proc sys run boot; do
        mkdir -p $folder && mount --rbind /$folder $folder && mount --make-rslave $folder || exit
    done
    sync";
const LEAVE: &str = "cd /mnt/layer && umount -R dev proc sys run boot && cd / &&
    imgbase umount /mnt/layer";

fn run(vm: &mut Vm, verb: &Verb) -> Result<Cuts, Stop> {
    if verb.at == At::Layer {
        vm.ok(ENTER)?;
    }
    let mut cuts = Cuts::begin(vm, DISK)?;
    if verb.at == At::Layer {
        vm.ok(&format!("chroot /mnt/layer /run/bench/imgbase {}", verb.words))?;
    } else {
        vm.imgbase(verb.words)?;
    }
    cuts.end(vm)?;
    if verb.at == At::Layer {
        vm.ok(LEAVE)?;
    }
    Ok(cuts)
}

fn cut(vm: &mut Vm, loader: Loader) -> Outcome {
    super::install(vm, loader, "bare")?;
    second(vm, "bare")?;
    // As an installer leaves it, with nothing in a journal.
    loaders::unmount(vm, DISK)?;
    loaders::mount(vm, DISK, loader)?;
    let mut all = Vec::new();
    for verb in VERBS {
        if loader.is_grub() || verb.at != At::BenchWithGrub {
            let cuts = run(vm, &verb)?;
            all.push((verb, cuts));
        }
    }
    let_go(vm)?;
    vm.ok(&format!("blkdiscard -f /dev/{DISK}"))?;
    let (mut states, mut there) = (0, 0);
    for (verb, cuts) in &all {
        let ([before, after], words) = (verb.ends, verb.words);
        there += cuts.count();
        states += cuts.each(vm, "vdb", |vm, left| {
            let layer = chosen(vm, loader, left)?;
            // What was reported done is durable.
            let is_done = left.flush + 1 == left.of;
            let right = layer == after || (layer == before && !is_done);
            must(right, format!("{words}, {left}: {layer:?} is booted"))?;
            if is_done && verb.at == At::Layer {
                stays(vm, loader, left, after)?;
            }
            Ok(())
        })?;
    }
    counted(format!(
        "power cuts in boot verbs ({loader:?}): {states} states of {there} flushes, none \
        unbootable"
    ));
    let mut booted = vm.boot(Start::nvme("vdb", loader.firmware()))?;
    is_layer(&mut booted, ONE)?;
    booted.power_off()?;
    Ok(())
}

/// The layer is started again and again, and not another in its place after some tries.
fn stays(vm: &mut Vm, loader: Loader, left: &Left, layer: &str) -> Outcome {
    if loader.is_grub() {
        for _ in 0..4 {
            let now = chosen(vm, loader, left)?;
            must(now == layer, format!("{left}: {now:?} is booted some starts later"))?;
        }
        return Ok(());
    }
    let esp = esp(vm, left)?;
    let tries = esp.chosen().and_then(sd_boot::Entry::tries_left);
    must(tries.is_none(), format!("{left}: {tries:?} tries are left"))
}

fn esp(vm: &mut Vm, left: &Left) -> Result<sd_boot::Esp, Stop> {
    vm.ok(&format!("mount -o ro /dev/{}2 /mnt/cut", left.disk))?;
    let esp = sd_boot::read(vm, "/mnt/cut")?;
    vm.ok("umount /mnt/cut")?;
    Ok(esp)
}

/// The layer that the loader boots from what a cut left; kernel and initramfs must be there.
fn chosen(vm: &mut Vm, loader: Loader, left: &Left) -> Result<String, Stop> {
    if loader.is_grub() {
        let choice = loaders::grub::choose(vm, &left.disk, loader)?;
        must(choice.errors.is_empty() && choice.lacks.is_none(), format!("{left}: {choice:?}"))?;
        return Ok(choice.argument("img.bootid").unwrap_or_default().to_owned());
    }
    let esp = esp(vm, left)?;
    let entry = esp.chosen().cloned().unwrap_or_default();
    sd_boot::must_choose(&esp, &entry.name)?;
    Ok(entry.argument("img.bootid").unwrap_or_default())
}
