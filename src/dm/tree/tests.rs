use super::*;
use crate::dm::testing::{self, edit_lv, edit_pool, golden, lv_name, numbers, stack};

/// The plan as `dmsetup table` shows devices that were made in this order from 254:0 on.
fn tables(plan: &Plan) -> Vec<String> {
    let number = |below: &Below| match *below {
        Below::Disk(number) => Ok::<_, std::num::TryFromIntError>(number),
        Below::Node(index) => Ok(DevNo { major: 254, minor: u32::try_from(index)? }),
    };
    let shown =
        |node: &Node| format!("{}: {}", node.key.name, node.table.over(number).expect("few"));
    plan.nodes.iter().map(shown).collect()
}

fn plan(vg: &Vg, wanted: &[&str]) -> Result<Plan> {
    let names: Vec<_> = wanted.iter().map(|name| lv_name(name)).collect();
    stack(vg, &numbers()).plan(&names)
}

fn same_as_golden(vg: &Vg, wanted: &[&str], golden: &str) {
    let mut ours = tables(&plan(vg, wanted).expect("a plan"));
    ours.sort();
    let tables = golden.split("---").next().expect("a first part");
    let mut theirs: Vec<_> = tables.trim().lines().map(|line| line.trim_end().to_owned()).collect();
    theirs.sort();
    assert_eq!(ours, theirs);
}

#[test]
fn plans_are_what_lvm2_made() {
    // A new pool stands alone, one in use below a wrapper.
    same_as_golden(
        &golden(0),
        &["pool-0"],
        include_str!("../../../tests/data/lvm2/02-poolcreate.dm"),
    );
    let third = include_str!("../../../tests/data/lvm2/03-thincreate.dm");
    same_as_golden(&golden(1), &["pool-0", "base"], third);
    let sixth = include_str!("../../../tests/data/lvm2/06-snap2create.dm");
    same_as_golden(&golden(2), &["pool-0", "base", "layer1"], sixth);
    same_as_golden(&golden(2), &["base", "pool-0", "base", "layer1"], sixth);
}

#[test]
fn a_thin_volume_alone_needs_no_wrapper() {
    let plan = plan(&golden(3), &["layer2"]).expect("a plan");
    let names: Vec<_> = plan.nodes.iter().map(|node| node.key.name.as_str()).collect();
    let wanted = ["Host--VG-pool--0_tmeta", "Host--VG-pool--0_tdata", "Host--VG-pool--0-tpool"];
    assert_eq!(names.split_last().expect("some"), (&"Host--VG-layer2", &wanted[..]));
    let read_only: Vec<_> = plan.nodes.iter().map(|node| node.read_only).collect();
    assert_eq!(read_only, [false, false, false, true]);
    assert_eq!(plan.nodes[2].pool, Some((lv_name("pool-0"), 3)));
}

#[test]
fn low_water_follows_the_threshold() {
    let vg = golden(1);
    let pool = vg.thin_pool(&lv_name("pool-0")).expect("a pool");
    let size = Sectors::new(204_800);
    assert_eq!(low_water(size, pool, 100), 0);
    assert_eq!(low_water(size, pool, 80), 320);
    assert_eq!(low_water(size, pool, 10), 800);
}

#[test]
fn features_follow_the_text() {
    let mut vg = golden(1);
    edit_pool(&mut vg, |pool| {
        pool.zero_new_blocks = false;
        pool.discards = crate::lvm2::model::Discards::NoPassdown;
    });
    edit_lv(&mut vg, "pool-0", |lv| lv.flags.push("ERROR_WHEN_FULL".into()));
    let plan = plan(&vg, &["base"]).expect("a plan");
    let words = "3 skip_block_zeroing no_discard_passdown error_if_no_space";
    assert_eq!(
        tables(&plan)[2],
        format!("Host--VG-pool--0-tpool: 0 204800 thin-pool 254:0 254:1 128 0 {words}")
    );
}

#[test]
fn linear_and_striped_volumes_are_mapped() {
    let mut vg = golden(1);
    let two = SegmentKind::Striped(Striped {
        stripe_size: Sectors::new(128),
        areas: ["pv0", "pv1"]
            .map(|on| Area { on: on.into(), start: Extents::new(30), count: Extents::new(1) })
            .to_vec(),
    });
    let lv_id = "jc1ceB-iZ42-PKmd-gbQf-MN7b-yUc1-gv0000";
    let mut lv =
        testing::volume("lin", lv_id, &["READ", "VISIBLE"], (1, testing::linear("pv1", 2, 1)));
    let mut second = lv.segments[0].clone();
    (second.start, second.count, second.kind) = (Extents::new(1), Extents::new(2), two);
    lv.segments.push(second);
    lv.fixed_minor = Some((254, 77));
    vg.lvs.push(lv.into());
    let plan = plan(&vg, &["lin"]).expect("a plan");
    let table = "0 8192 linear 7:1 20480; 8192 16384 striped 2 128 7:0 247808 7:1 249856";
    assert_eq!(tables(&plan), [format!("Host--VG-lin: {table}")]);
    assert_eq!((plan.nodes[0].read_only, plan.nodes[0].minor), (true, Some(77)));
}

#[test]
fn what_is_not_driven_is_refused_by_name() {
    let kind = |vg: &Vg, name: &str| plan(vg, &[name]).expect_err("refused").kind();
    let vg = golden(1);
    assert_eq!(kind(&vg, "nothing"), ErrorKind::NotFound);
    assert_eq!(kind(&vg, "pool-0_tmeta"), ErrorKind::Unsupported);
    let mut external = golden(1);
    edit_lv(&mut external, "base", |lv| {
        if let SegmentKind::Thin(thin) = &mut lv.segments[0].kind {
            thin.external_origin = Some(lv_name("outside"));
        }
    });
    let error = plan(&external, &["base"]).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("outside"), "{error}");
    let mut raid = golden(1);
    let known = SegmentKind::Known { name: "raid1".into(), areas: Vec::new() };
    edit_lv(&mut raid, "pool-0_tdata", |lv| lv.segments[0].kind = known);
    assert_eq!(kind(&raid, "base"), ErrorKind::Unsupported);
    let mut missing = golden(1);
    missing.pvs[0].flags.push("MISSING".into());
    assert_eq!(kind(&missing, "base"), ErrorKind::NotFound);
    let mut far = golden(1);
    edit_lv(&mut far, "pool-0_tdata", |lv| {
        lv.segments[0].kind = testing::linear("pv0", u64::MAX, 25)
    });
    assert_eq!(kind(&far, "base"), ErrorKind::Corrupt);
}
