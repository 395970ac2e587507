//! What the smaller verbs say on a real machine.

use crate::case::{Case, Outcome, must};
use crate::cases::kit::{self, step, step_says};
use crate::judges;
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("verbs::json_agrees_with_the_kernel", json_agrees_with_the_kernel),
        Case::new("verbs::check", check),
        Case::new("verbs::words_about_itself", words_about_itself),
        Case::new("verbs::repeated", repeated),
        Case::new("verbs::several_layers", several_layers).within(180),
    ]
}

fn json_agrees_with_the_kernel(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    kit::small_base(vm, "")?;
    step(vm, "layer --add")?;
    let json = step(vm, "--json layout")?;
    let used = kit::used_data_blocks(vm)? * 65536;
    let seqno = vm.ok("lvs --noheadings -o seqno HostVG/ImagePool | tr -d ' '")?;
    for part in [
        "{\"schema\":\"imgbase/1\"".to_owned(),
        "\"command\":\"layout\"".to_owned(),
        "\"vg\":\"HostVG\"".to_owned(),
        "\"chunk_bytes\":65536".to_owned(),
        format!("\"data_used_bytes\":{used}"),
        format!("\"vg_seqno\":{seqno}"),
        "\"nvr\":\"Small-1-1+1\"".to_owned(),
    ] {
        must(json.contains(&part), format!("no {part} in {json}"))?;
    }
    let free = step(vm, "layout --free-space --units b")?;
    let free: u64 = free.trim_end_matches(['b', 'B', ' ']).parse().unwrap_or(0);
    must(free == (2 << 30) - used, format!("{free} bytes free, {used} used"))
}

fn check(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    kit::small_base(vm, "")?;
    step(vm, "layer --add")?;
    step(vm, "check")?;
    step(vm, "deactivate")?;
    step(vm, "check")?;
    vm.ok("pvs >/dev/null && dd if=/dev/zero of=/dev/vdb bs=1M count=1 conv=notrunc")?;
    vm.fails(8, "imgbase check")?;
    Ok(())
}

fn words_about_itself(vm: &mut Vm) -> Outcome {
    vm.fails(2, "imgbase")?;
    for args in ["--help", "--version", "man", "completions bash", "completions zsh"] {
        let said = vm.imgbase(args)?;
        must(said.contains("imgbase"), format!("`imgbase {args}` says {said}"))?;
    }
    Ok(())
}

/// Verbs can be repeated.
fn repeated(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    kit::small_base(vm, "")?;
    step_says(vm, "layer --add", "Small-1-1+1")?;
    for args in ["activate", "mount Small-1-1+1 /mnt/layer"] {
        step(vm, args)?;
        step(vm, args)?;
    }
    step(vm, "umount /mnt/layer")?;
    step(vm, "deactivate")?;
    step(vm, "deactivate")?;
    kit::end(vm)
}

/// In one call, of a base and of a layer in use; all of them, or none.
fn several_layers(vm: &mut Vm) -> Outcome {
    kit::folders(vm)?;
    kit::init(vm)?;
    kit::small_base(vm, "")?;
    step_says(vm, "layer --add Small-1-1 --count 20", &kit::layers(1..21))?;
    vm.ok("imgbase mount Small-1-1+7 /mnt/layer && echo kept >/mnt/layer/kept")?;
    step_says(vm, "layer --add Small-1-1+7 --count 20", &kit::layers(21..41))?;
    let seqno = "vgs --noheadings -o seqno HostVG";
    let before = vm.ok(seqno)?;
    for (code, count) in [(2, "0"), (2, "101"), (2, "x")] {
        vm.fails(code, &format!("imgbase layer --add --count {count}"))?;
    }
    let added = step(vm, "--json layer --add Small-1-1 --count 2")?;
    must(added.contains(r#""added":[{"nvr":"Small-1-1+41","#), added)?;
    let seqnos = (before.trim().parse::<u32>(), vm.ok(seqno)?.trim().parse::<u32>());
    let is_two = matches!(seqnos, (Ok(before), Ok(after)) if after == before + 2);
    must(is_two, format!("sequence numbers {seqnos:?}"))?;
    vm.ok("for layer in $(imgbase layout --layers); do
            blkid -p -o value -s UUID /dev/HostVG/$layer || exit
        done | sort -u | wc -l | grep -qx 42")?;
    for index in [21, 40] {
        vm.ok(&format!(
            "imgbase mount Small-1-1+{index} /mnt/tree && grep -qx kept /mnt/tree/kept &&
            imgbase umount /mnt/tree"
        ))?;
    }
    vm.ok("imgbase umount /mnt/layer")?;
    judges::at_rest(vm, kit::VG, kit::POOL)?;
    kit::end(vm)
}
