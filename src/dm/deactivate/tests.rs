use super::*;
use crate::dm::Suspend;
use crate::dm::sim::SimKernel;
use crate::dm::testing::{changes, filled_kernel, golden, lv_name, names, numbers, stack};
use crate::units::Bytes;

fn active(wanted: &[&str]) -> SimKernel {
    let (kernel, vg, numbers) = (filled_kernel(), golden(3), numbers());
    let wanted: Vec<_> = wanted.iter().map(|name| lv_name(name)).collect();
    stack(&vg, &numbers).activate(&kernel, &wanted).expect("activated");
    kernel.forget_calls();
    kernel
}

fn down(kernel: &SimKernel, wanted: &[&str]) -> Result<Vec<DmName>> {
    let wanted: Vec<_> = wanted.iter().map(|name| lv_name(name)).collect();
    deactivate(kernel, &golden(3), &wanted)
}

#[test]
fn the_last_volume_takes_its_pool_along() {
    let kernel = active(&["base", "layer1"]);
    assert_eq!(down(&kernel, &["base"]).expect("idle"), ["Host--VG-base"]);
    let removed = down(&kernel, &["layer1"]).expect("idle");
    let order = [
        "Host--VG-layer1",
        "Host--VG-pool--0-tpool",
        "Host--VG-pool--0_tdata",
        "Host--VG-pool--0_tmeta",
    ];
    assert_eq!(removed, order);
    assert_eq!(names(&kernel), [""; 0]);
    assert!(down(&kernel, &["layer1"]).expect("nothing to do").is_empty());
}

#[test]
fn a_pool_that_was_asked_for_stays_until_it_is_asked_for() {
    let kernel = active(&["pool-0", "base"]);
    assert_eq!(down(&kernel, &["base"]).expect("idle"), ["Host--VG-base"]);
    assert_eq!(names(&kernel).len(), 4);
    let removed = down(&kernel, &["pool-0"]).expect("idle");
    assert_eq!(removed.first().expect("the wrapper"), "Host--VG-pool--0");
    assert_eq!(removed.len(), 4);
}

#[test]
fn what_is_in_use_stays_with_all_that_it_needs() {
    let kernel = active(&["base", "layer1"]);
    let error = down(&kernel, &["pool-0", "layer1"]).expect_err("base is active");
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains("Host--VG-base"), "{error}");
    let open = kernel.open(&"Host--VG-base".parse().expect("a name")).expect("open");
    let error = down(&kernel, &["layer1", "base"]).expect_err("open");
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert_eq!(error.object(), Some("Host--VG-base"));
    assert_eq!(changes(&kernel), [""; 0], "nothing was deactivated, layer1 neither");
    drop(open);
    assert_eq!(down(&kernel, &["layer1", "base"]).expect("idle").len(), 5);
}

#[test]
fn a_pool_that_somebody_holds_outlives_its_volumes() {
    let kernel = active(&["base"]);
    let held = kernel.open(&"Host--VG-pool--0_tmeta".parse().expect("a name")).expect("open");
    assert_eq!(down(&kernel, &["base"]).expect("base goes"), ["Host--VG-base"]);
    assert_eq!(down(&kernel, &["pool-0"]).expect_err("held").kind(), ErrorKind::Busy);
    drop(held);
    assert_eq!(down(&kernel, &["pool-0"]).expect("idle").len(), 3);
}

#[test]
fn a_suspended_volume_goes_on_before_it_goes() {
    let kernel = active(&["base"]);
    let name: DmName = "Host--VG-base".parse().expect("a name");
    kernel.open(&name).expect("open").write_at(b"x", Bytes::ZERO).expect("written");
    kernel.suspend(&name, Suspend::Freeze).expect("suspended");
    kernel.forget_calls();
    down(&kernel, &["base"]).expect("idle");
    let order = ["resume Host--VG-base", "remove Host--VG-base"];
    assert_eq!(changes(&kernel).get(..2), Some(&order.map(str::to_owned)[..]));
}

#[test]
fn a_removal_that_fails_says_what_is_gone() {
    let kernel = active(&["base"]);
    // list, then the removals.
    kernel.fail_at(2, ErrorKind::Io, false);
    let error = down(&kernel, &["base"]).expect_err("fails");
    assert_eq!(error.unchanged(), Some("deactivated so far: Host--VG-base"));
    assert_eq!(down(&kernel, &["base"]).expect("the rest").len(), 3);
}
