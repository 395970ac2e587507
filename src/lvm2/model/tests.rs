use super::*;
use crate::ErrorKind;
use crate::lvm2::validate::validate;

const LAST: &str = include_str!("../../../tests/data/lvm2/16-lvextend-thin.vg");
const SNAPSHOTS: &str = include_str!("../../../tests/data/lvm2/06-snap2create.vg");

/// One more spare in front of the first.
const SECOND_SPARE: &str = "lvol1_pmspare { id = \"A4Nhq9-k81u-fh4f-mtYa-G5OK-Agj0-3ab841\" \
                            status = [] segment_count = 1 segment1 { start_extent = 0 \
                            extent_count = 1 type = \"error\" } } lvol0_pmspare {";

fn name(text: &str) -> LvName {
    text.parse().expect("a name")
}

fn last() -> Vg {
    Vg::parse(LAST).expect("parses")
}

/// The last text with one piece replaced.
fn with(from: &str, to: &str) -> Result<Vg> {
    assert!(LAST.contains(from), "{from}");
    Vg::parse(&LAST.replacen(from, to, 1))
}

#[test]
fn a_real_text_is_read_in_full() {
    let vg = last();
    assert_eq!((vg.name.as_str(), vg.seqno, vg.pvs.len(), vg.lvs.len()), ("Host-VG", 25, 2, 5));
    assert_eq!(vg.id.to_string(), "XyVtmO-GXSw-0RqY-mNCo-J8zo-iXnL-RmdN6a");
    assert!(vg.has_tag("host1") && vg.has_status("WRITE"));
    assert_eq!(vg.pvs[1].pe_start, Sectors::new(4096));
    let pool = vg.thin_pool(&name("pool-0")).expect("a pool");
    assert_eq!((pool.transaction_id, pool.discards), (9, Discards::Passdown));
    assert!(pool.zero_new_blocks && !pool.crop_metadata && pool.messages.is_empty());
    let layer = vg.lv(&name("layer2")).expect("there");
    assert!(!layer.is_writable() && layer.is_visible() && layer.has_flag("ACTIVATION_SKIP"));
    assert_eq!(layer.creation_time, Some(1_795_321_704));
    assert_eq!(layer.thin().map(|thin| thin.device_id), Some(3));
    assert_eq!(vg.pmspare().map(Lv::extents), Some(Extents::new(2)));
    validate(&vg).expect("whole");
}

#[test]
fn the_map_of_extents_is_that_of_the_text() {
    let vg = last();
    let maps = vg.allocated();
    let runs: Vec<_> = maps[0].runs.iter().map(|r| (r.start.get(), r.count.get())).collect();
    assert_eq!(runs, [(0, 1), (1, 30), (31, 1)]);
    assert_eq!(maps[0].holes(), [(Extents::new(32), Extents::new(67))]);
    assert_eq!(vg.free_extents(), Extents::new(67 + 97));
    let closed = with("status = [\"ALLOCATABLE\"]", "status = []").expect("parses");
    assert_eq!(closed.free_extents(), Extents::new(97));
}

#[test]
fn device_ids_never_fill_holes() {
    let vg = Vg::parse(SNAPSHOTS).expect("parses");
    assert_eq!(vg.next_device_id(&name("pool-0")).expect("some"), 4);
    assert_eq!(last().next_device_id(&name("pool-0")).expect("some"), 4);
    let full = with("device_id = 3", "device_id = 16777215").expect("parses");
    let error = full.next_device_id(&name("pool-0")).expect_err("full");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let error = last().next_device_id(&name("layer2")).expect_err("no pool");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn broken_texts_are_corrupt_and_name_the_place() {
    for (from, to, why) in [
        ("contents = \"Text", "contents = \"Tex", "'contents'"),
        ("version = 1", "version = 2", "'version'"),
        ("Host-VG {", "\"a b\" {", "allowed are"),
        ("seqno = 25", "seqno = \"25\"", "volume group Host-VG: 'seqno'"),
        ("extent_size = 8192", "extent_size = 0", "'extent_size' is out of range"),
        ("id = \"ud3", "id = \"u", "pv0 of volume group Host-VG: 'u"),
        (
            "pe_count = 99",
            "pe_count = 20",
            "volume Host-VG/lvol0_pmspare: it uses extents 31 to 31 of 'pv0', which has 20",
        ),
        ("\tpv1 {", "\tpv0 {", "volume group Host-VG: the section 'pv0' is there twice"),
        ("\tlayer2 {", "\tpool-0 {", "the section 'pool-0' is there twice"),
        ("segment_count = 2", "segment_count = 3", "it has 2 segments where"),
        ("start_extent = 1\n", "start_extent = 2\n", "lvol0_pmspare, segment 2: it starts at"),
        ("\"pv0\", 31", "\"pv9\", 31", "it uses 'pv9', which does not exist"),
        ("\"pv0\", 31", "\"pv0\"", "'stripes' does not match"),
        ("thin_pool = \"pool-0\"", "thin_pool = \"layer2\"", "'layer2', which is no thin pool"),
        ("metadata = \"pool-0_tmeta\"", "metadata = \"none_tmeta\"", "'none_tmeta'"),
        ("chunk_size = 128", "chunk_size = 100", "'chunk_size' is out of range"),
        ("device_id = 3", "device_id = 16777216", "'device_id' is out of range"),
        ("device_id = 3", "device_id = -3", "'device_id' is missing or is no whole number"),
        ("extent_count = 30", "extent_count = 31", "its data volume has 30"),
        ("zero_new_blocks = 1", "message1 { drop = 1 }", "'message1' is no message"),
        ("segment_count = 1", "segment_count = 1 private { }", "section 'private'"),
        ("extent_count = 281", "extent_count = 4294967296", "'extent_count' is out of range"),
    ] {
        let error = with(from, to).expect_err(to);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
    assert!(Vg::parse("contents = \"Text Format Volume Group\"\nversion = 1").is_err());
}

#[test]
fn groups_that_are_not_ours_to_write_say_why() {
    let why = |vg: &Vg| vg.why_not_writable(&["me".to_owned()]).map(|error| error.to_string());
    assert_eq!(why(&last()), None);
    for (from, to, text) in [
        ("[\"RESIZEABLE\", ", "[\"EXPORTED\", ", "volume group Host-VG: it is exported"),
        ("[\"RESIZEABLE\", ", "[\"CLUSTERED\", ", "it is clustered"),
        ("[\"RESIZEABLE\", ", "[\"SHARED\", ", "it is shared"),
        ("[\"RESIZEABLE\", ", "[\"NEW\", ", "unknown status flag 'NEW'"),
        ("[\"RESIZEABLE\", ", "[\"PVMOVE\", ", "being moved"),
        ("\"READ\", \"WRITE\"]", "\"READ\"]", "it is read-only"),
        ("flags = []", "flags = [\"WRITE_LOCKED\"]\nsystem_id = \"you\"", "system id 'you'"),
        ("flags = []", "flags = []\nlock_type = \"dlm\"", "lock manager (dlm)"),
        ("format = \"lvm2\"", "format = \"lvm1\"", "its format is 'lvm1'"),
        ("[\"ALLOCATABLE\"]", "[\"ODD\"]", "/dev/loop0 (ud3kzE-"),
        ("[\"ALLOCATABLE\"]\n\t\t\tflags = []", "[]\nflags = [\"MISSING\"]", "volume is missing"),
        ("[\"READ\", \"VISIBLE\"]", "[\"READ\", \"LOCKED\"]", "volume Host-VG/layer2: volumes are"),
        ("[\"READ\", \"VISIBLE\"]", "[\"READ\", \"X\"]", "unknown status flag 'X'"),
        ("type = \"striped\"", "type = \"future\"", "lvol0_pmspare: it has a segment"),
        ("type = \"striped\"", "type = \"striped+NEW\"", "unknown type 'striped+NEW'"),
    ] {
        let vg = with(from, to).expect(to);
        let error = vg.why_not_writable(&["me".to_owned()]).expect(to);
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(text), "{error}");
    }
    for (from, to, text) in [
        ("[\"RESIZEABLE\", ", "[\"EXPORTED\", ", Some("it is exported")),
        ("[\"RESIZEABLE\", ", "[\"CLUSTERED\", ", Some("it is clustered")),
        ("flags = []", "flags = []\nsystem_id = \"you\"", Some("system id 'you'")),
        ("flags = []", "flags = []\nlock_type = \"dlm\"", Some("lock manager (dlm)")),
        ("\"READ\", \"WRITE\"]", "\"READ\"]", None),
        ("[\"RESIZEABLE\", ", "[\"NEW\", ", None),
    ] {
        let said = with(from, to).expect(to).why_not_activatable(&["me".to_owned()]);
        let said = said.map(|error| error.to_string());
        assert_eq!(said.is_some(), text.is_some(), "{said:?}");
        assert!(said.unwrap_or_default().contains(text.unwrap_or_default()), "{to}");
    }
    let locked = "[\"RESIZEABLE\", \"READ\"]\nflags = [\"WRITE_LOCKED\"]\nsystem_id = \"me\"";
    let own = with("[\"RESIZEABLE\", \"READ\", \"WRITE\"]\n\tflags = []", locked).expect("parses");
    assert_eq!(why(&own), None);
    assert_eq!(why(&with("flags = []", "flags = []\nlock_type = \"none\"").expect("parses")), None);
    let known = "type = \"thin-pool+CROP_METADATA\"";
    assert_eq!(why(&with("type = \"thin-pool\"", known).expect("parses")), None);
}

#[test]
fn what_lvm2_does_not_check_is_checked_before_a_write() {
    for (from, to, text) in [
        ("\"pv0\", 31", "\"pv0\", 30", "volume pool-0_tdata both hold extent 30 of pv0"),
        ("transaction_id = 2", "transaction_id = 9", "transaction id 9 is not below"),
        ("lvol0_pmspare {", SECOND_SPARE, "two spare metadata volumes"),
        ("max_lv = 0", "max_lv = 1", "it may have 1 volumes"),
        ("max_pv = 0", "max_pv = 1", "it may have 1 physical volumes"),
        ("zero_new_blocks = 1", "message1 { delete = 3 }", "would delete device 3"),
        ("zero_new_blocks = 1", "message1 { create = \"pool-0\" }", "uses 'pool-0'"),
    ] {
        let vg = with(from, to).expect(to);
        let error = validate(&vg).expect_err(to);
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(text), "{error}");
    }
    let twice = SNAPSHOTS.replace("device_id = 3", "device_id = 2");
    let error = validate(&Vg::parse(&twice).expect("parses")).expect_err("twice");
    assert!(error.to_string().contains("device id 2 is used twice"), "{error}");
    let same = SNAPSHOTS.replace(
        "jc1ceB-iZ42-PKmd-gbQf-MN7b-yUc1-gv0c6J",
        "aVLhYn-4yoM-pkNl-Zmk3-99cz-BT6X-zm5cV5",
    );
    let error = validate(&Vg::parse(&same).expect("parses")).expect_err("twice");
    assert!(error.to_string().contains("is used twice"), "{error}");
}

#[test]
fn a_large_group_is_read_in_time() {
    let (before, rest) = LAST.split_once("\t\tlayer2 {").expect("there");
    let (thin, after) = rest.split_once("\t\tlvol0_pmspare {").expect("there");
    let mut text = before.to_owned();
    for number in 0..2000 {
        let id = format!("id = \"{number:032}\"");
        let thin = thin.replace("id = \"jc1ceB-iZ42-PKmd-gbQf-MN7b-yUc1-gv0c6J\"", &id);
        let thin = thin.replace("device_id = 3", &format!("device_id = {number}"));
        text.push_str(&format!("\t\tlayer{number} {{{thin}"));
    }
    text.push_str(&format!("\t\tlvol0_pmspare {{{after}"));
    let start = std::time::Instant::now();
    let vg = Vg::parse(&text).expect("parses");
    validate(&vg).expect("whole");
    assert_eq!(vg.to_text(Style::Backup), text);
    let mut edit = vg.edit();
    edit.remove_pool(&name("pool-0")).expect("removed");
    assert!(edit.vg().lvs.is_empty());
    // Seconds are for a slow debug build; what is quadratic takes minutes.
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

mod random {
    use proptest::prelude::*;

    use super::*;

    const WORDS: [&str; 12] = [
        "0",
        "-1",
        "4294967295",
        "9223372036854775807",
        "99999999999999999999",
        "\"\"",
        "[]",
        "\"pv0\"",
        "\"layer2\"",
        "{ }",
        "1.5",
        "[\"pv0\", 4294967295]",
    ];

    proptest! {
        /// A text with some values replaced is refused, or all that is asked of it is answered.
        #[test]
        fn a_damaged_group_is_read_or_refused(
            damage in proptest::collection::vec((0usize..200, 0usize..WORDS.len()), 1..4),
        ) {
            let mut lines: Vec<String> = LAST.lines().map(str::to_owned).collect();
            for (line, word) in damage {
                let line = line % lines.len();
                let place = &mut lines[line];
                if let Some((key, _)) = place.split_once(" =") {
                    *place = format!("{key} = {}", WORDS[word]);
                }
            }
            if let Ok(vg) = Vg::parse(&lines.join("\n")) {
                drop((validate(&vg), vg.why_not_writable(&[]), vg.free_extents()));
                drop(vg.next_device_id(&name("pool-0")));
                let mut edit = vg.edit();
                drop(edit.extend_lv(&name("pool-0"), Extents::new(40)));
                drop(edit.extend_pool_metadata(&name("pool-0"), Extents::new(9)));
                drop(edit.remove_lv(&name("layer2")));
                drop(edit.remove_pool(&name("pool-0")));
            }
        }
    }
}
