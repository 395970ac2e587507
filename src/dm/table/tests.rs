use proptest::prelude::*;

use super::*;

fn line(text: &str) -> Line {
    Line::parse(text).expect("a line")
}

#[test]
fn prints_what_lvm2_loads() {
    for text in [
        "0 204800 linear 7:0 10240",
        "0 65536 striped 2 128 254:0 0 254:1 2048",
        "0 65536 thin-pool 254:0 254:1 256 0 3 skip_block_zeroing no_discard_passdown error_if_no_space",
        "0 65536 thin-pool 254:3 254:4 384 0 1 ignore_discard",
        "0 204800 thin-pool 254:0 254:1 128 0 0",
        "0 2097152 thin 254:2 1",
        "0 2097152 thin 254:2 7 254:9",
        "8192 8 error",
        "0 8 zero",
        "0 8 crypt aes-xts-plain64 :64:logon:x 0 7:0 0",
    ] {
        assert_eq!(line(text).to_string().trim_end(), text);
    }
    assert!(matches!(line("0 8 crypt x").target, Target::Other { .. }));
}

#[test]
fn features_compare_in_any_order() {
    let ours = line("0 8 thin-pool 1:0 1:1 128 0 2 error_if_no_space read_only");
    let kernels = line("0 8 thin-pool 1:0 1:1 128 0 2 read_only error_if_no_space ");
    assert_eq!(ours, kernels);
    let both = line("0 8 thin-pool 1:0 1:1 128 0 2 ignore_discard no_discard_passdown");
    assert_eq!(both, line("0 8 thin-pool 1:0 1:1 128 0 1 ignore_discard"));
    assert_ne!(ours, both);
}

#[test]
fn what_cannot_be_read_is_kept_as_it_is() {
    for (kind, params) in [
        ("linear", "/dev/sda 0"),
        ("linear", "7:0"),
        ("linear", "7:0 0 extra"),
        ("striped", "0 128"),
        ("striped", "18446744073709551615 8 1:1 0"),
        ("thin-pool", "1:0 1:1 128 0 9 read_only"),
        ("thin-pool", "1:0 1:1 128 0 1 sparkle"),
        ("thin", "254:2 4294967296"),
    ] {
        let target = Target::parse(kind, params);
        assert_eq!(target, Target::Other { kind: kind.into(), params: params.into() });
        assert_eq!((target.kind(), target.params()), (kind, params.to_owned()));
    }
}

#[test]
fn every_line_of_the_golden_files_prints_back() {
    let mut seen = 0;
    for golden in [
        include_str!("../../../tests/data/lvm2/06-snap2create.dm"),
        include_str!("../../../tests/data/lvm2/15-lvextend-meta.dm"),
    ] {
        let tables = golden.split("---").next().expect("the first part");
        for text in tables.lines().filter_map(|text| Some(text.split_once(": ")?.1)) {
            let read = line(text);
            assert!(!matches!(read.target, Target::Other { .. }), "{text}");
            assert_eq!(read.to_string(), text.trim_end());
            seen += 1;
        }
    }
    assert_eq!(seen, 11);
}

#[test]
fn growth_is_told_from_change() {
    let table = |text: &str| Table { lines: text.split("; ").map(line).collect() };
    let old = table("0 8 linear 7:0 0; 8 8 linear 7:1 0");
    assert!(old.grows_into(&old));
    assert!(old.grows_into(&table("0 8 linear 7:0 0; 8 16 linear 7:1 0")));
    assert!(old.grows_into(&table("0 8 linear 7:0 0; 8 8 linear 7:1 0; 16 8 linear 7:2 0")));
    assert!(!old.grows_into(&table("0 8 linear 7:0 0")));
    assert!(!old.grows_into(&table("0 8 linear 7:0 8; 8 16 linear 7:1 0")));
    assert!(!old.grows_into(&table("0 8 linear 7:0 0; 8 4 linear 7:1 0")));
    let pool = table("0 8 thin-pool 1:0 1:1 128 0 0");
    assert!(pool.same_stack(&table("0 8 thin-pool 1:0 1:1 128 5 1 error_if_no_space")));
    assert!(!pool.same_stack(&table("0 8 thin-pool 1:0 1:1 256 0 0")));
    assert!(pool.grows_into(&table("0 16 thin-pool 1:0 1:1 128 3 0")));
}

proptest! {
    #[test]
    fn parsing_never_fails_and_prints_the_same_meaning(kind in "linear|striped|thin|thin-pool|raid",
                                                       params in "[0-9: a-z_]{0,40}") {
        let target = Target::parse(&kind, &params);
        prop_assert_eq!(&Target::parse(target.kind(), &target.params()), &target);
    }
}
