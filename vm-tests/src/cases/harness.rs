//! The harness itself: what it measures, and what it notices.

use std::time::Duration;

use crate::case::{Case, Outcome, must};
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("harness::measures", measures),
        Case::new("harness::ends_what_hangs", ends_what_hangs),
        Case::new("harness::notices_a_panic", notices_a_panic),
    ]
}

fn measures(vm: &mut Vm) -> Outcome {
    let done = vm.run(&["sh", "-c", "cat; echo no >&2; sleep 0.3; exit 7"], b"from here")?;
    must(done.status == 7 && done.stdout == "from here", format!("{done:?}"))?;
    must(done.stderr == "no\n" && done.wall > Duration::from_millis(290), format!("{done:?}"))?;
    must(vm.sh("kill -9 $$")?.status == 137, "a signal is not told")?;
    let small = vm.sh("exec guest true")?.max_rss_kib;
    let large = vm.sh("dd if=/dev/zero of=/dev/null bs=40M count=1")?.max_rss_kib;
    must(small < 8 << 10, format!("{small} KiB for nothing"))?;
    must(large > 40 << 10, format!("{large} KiB for a buffer of 40 MiB"))?;
    vm.put("/tmp/file", "600", b"\x00\xff")?;
    must(vm.get("/tmp/file")? == b"\x00\xff", "a file does not come back")?;
    must(vm.get("/nowhere").is_err(), "a missing file is read")
}

/// A daemon that keeps the output open holds nothing up either.
fn ends_what_hangs(vm: &mut Vm) -> Outcome {
    vm.ok("setsid sleep 1000 & echo started")?;
    vm.limit(Duration::from_secs(2));
    must(vm.sh("sleep 1000").is_err(), "the time limit is not kept")?;
    vm.limit(Duration::from_secs(60));
    vm.says("echo alive", "alive")?;
    vm.ok("pkill sleep")?;
    Ok(())
}

/// The machine is gone after that; the next case gets another.
fn notices_a_panic(vm: &mut Vm) -> Outcome {
    must(vm.sh("echo c >/proc/sysrq-trigger; sleep 60").is_err(), "a panic goes unnoticed")
}
