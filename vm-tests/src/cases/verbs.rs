//! What the smaller verbs say on a real machine.

use crate::case::{Case, Outcome, must};
use crate::cases::kit::{self, step, step_says};
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("verbs::json_agrees_with_the_kernel", json_agrees_with_the_kernel),
        Case::new("verbs::check", check),
        Case::new("verbs::words_about_itself", words_about_itself),
        Case::new("verbs::repeated", repeated),
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
