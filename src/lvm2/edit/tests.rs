use super::*;
use crate::lvm2::alloc::Placement;
use crate::lvm2::model::{Discards, Message};
use crate::name::Tag;
use crate::units::{Extents, Sectors};

fn name(text: &str) -> LvName {
    text.parse().expect("a name")
}

fn tag(text: &str) -> Tag {
    text.parse().expect("a tag")
}

fn stamp() -> Stamp {
    Stamp {
        description: "imgbase \"test\"".to_owned(),
        host: "here".to_owned(),
        uname: "Linux here 6.1".to_owned(),
        time: 1_795_321_697,
        system_id: None,
    }
}

fn birth(time: i64) -> Birth {
    Birth { time, host: "(none)".to_owned() }
}

fn golden(step: u8) -> Vg {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/lvm2");
    let prefix = format!("{step:02}-");
    let found = std::fs::read_dir(folder).expect("the folder").find_map(|entry| {
        let path = entry.expect("an entry").path();
        let file = path.file_name()?.to_str()?;
        (file.starts_with(&prefix) && file.ends_with(".vg")).then_some(path)
    });
    let text = std::fs::read_to_string(found.expect("the step")).expect("a text");
    Vg::parse(&text).expect("parses")
}

/// The group's part of a text, with identifiers of volumes by their order and no sequence number.
fn comparable(vg: &Vg) -> String {
    let text = vg.to_text(Style::Backup);
    let (_, text) = text.split_once("\n\nHost-VG {").expect("a group");
    let keep = |line: &&str| !line.trim_start().starts_with("seqno = ");
    let mut lines: Vec<String> = text.lines().filter(keep).map(str::to_owned).collect();
    let lvs = lines.iter().position(|line| line.contains("logical_volumes {"));
    for line in lines.iter_mut().skip(lvs.unwrap_or(usize::MAX)) {
        if line.trim_start().starts_with("id = ") {
            *line = "id".to_owned();
        }
    }
    lines.join("\n")
}

/// Checks that `edit` makes the text of the next step of that of the step before, identifiers
/// and sequence numbers aside.
fn replay(from: u8, to: u8, edit: impl FnOnce(&mut VgEdit)) {
    let start = golden(from);
    let mut change = start.edit();
    edit(&mut change);
    let new = change.finish(&stamp()).expect("whole");
    assert_eq!(new.vg().seqno, start.seqno + 1);
    assert_eq!(comparable(new.vg()), comparable(&golden(to)), "{from} to {to}");
    let again = Vg::parse(new.text()).expect("parses");
    assert_eq!(anew(&again), new.text());
}

/// The text on disk with every volume printed: a backup's tabs are not taken as they are.
fn anew(vg: &Vg) -> String {
    Vg::parse(&vg.to_text(Style::Backup)).expect("parses").to_text(Style::Disk)
}

fn ok(result: Result<()>) {
    result.expect("made");
}

fn thin(text: &str, device_id: u32, time: i64) -> ThinSpec {
    ThinSpec {
        name: name(text),
        pool: name("pool-0"),
        extents: Extents::new(256),
        origin: None,
        device_id,
        tags: Vec::new(),
        writable: true,
        activation_skip: false,
        birth: birth(time),
    }
}

fn snapshot(text: &str, origin: &str, device_id: u32, time: i64) -> ThinSpec {
    let origin = Some(name(origin));
    ThinSpec { origin, activation_skip: true, ..thin(text, device_id, time) }
}

fn pool(text: &str) -> PoolSpec {
    PoolSpec {
        name: name(text),
        data: Extents::new(25),
        metadata: Extents::new(1),
        chunk_size: Sectors::new(128),
        discards: Discards::Passdown,
        zero: true,
        error_when_full: false,
        spare: true,
        tags: Vec::new(),
        birth: birth(1_795_321_698),
    }
}

/// Makes a thin volume and raises the transaction id, as both commits together do.
fn make(edit: &mut VgEdit, spec: &ThinSpec) {
    let id = edit.vg().thin_pool(&spec.pool).expect("a pool").transaction_id;
    ok(edit.create_thin(spec));
    ok(edit.set_transaction_id(&spec.pool, id + 1));
}

fn drop_thin(edit: &mut VgEdit, lv: &str) {
    let id = edit.vg().thin_pool(&name("pool-0")).expect("a pool").transaction_id;
    ok(edit.remove_lv(&name(lv)));
    ok(edit.set_transaction_id(&name("pool-0"), id + 1));
}

#[test]
fn the_steps_of_lvm2_are_replayed() {
    replay(1, 2, |edit| ok(edit.create_pool(&pool("pool-0"))));
    replay(2, 3, |edit| make(edit, &thin("base", 1, 1_795_321_699)));
    replay(3, 4, |edit| {
        let tags = vec![tag("a"), tag("b=c")];
        make(edit, &ThinSpec { tags, ..snapshot("layer1", "base", 2, 1_795_321_701) });
    });
    replay(4, 5, |_| ());
    replay(5, 6, |edit| {
        let spec = snapshot("layer2", "layer1", 3, 1_795_321_704);
        make(edit, &ThinSpec { writable: false, ..spec });
    });
    replay(6, 7, |edit| make(edit, &snapshot("layer3", "base", 4, 1_795_321_705)));
    replay(7, 8, |edit| drop_thin(edit, "base"));
    replay(8, 9, |edit| drop_thin(edit, "layer1"));
    replay(9, 10, |_| ());
    replay(10, 11, |edit| {
        let extents = Extents::new(25);
        make(edit, &ThinSpec { extents, ..thin("inact", 5, 1_795_321_709) });
    });
    replay(11, 12, |edit| {
        drop_thin(edit, "layer3");
        drop_thin(edit, "inact");
    });
    replay(12, 13, |_| ());
    replay(13, 14, |edit| ok(edit.extend_lv(&name("pool-0"), Extents::new(30))));
    replay(14, 15, |edit| ok(edit.extend_pool_metadata(&name("pool-0"), Extents::new(2))));
    replay(15, 16, |edit| ok(edit.extend_lv(&name("layer2"), Extents::new(281))));
    replay(16, 16, |edit| {
        ok(edit.extend_lv(&name("pool-0"), Extents::new(30)));
        ok(edit.add_tag(&name("layer2"), &tag("x")));
        ok(edit.remove_tag(&name("layer2"), &tag("x")));
    });
    replay(2, 1, |edit| ok(edit.remove_lv(&name("pool-0"))));
    replay(16, 1, |edit| ok(edit.remove_pool(&name("pool-0"))));
}

#[test]
fn a_new_group_is_what_vgcreate_writes() {
    let old = golden(1);
    let pv = |pv: &crate::lvm2::model::Pv| PvSpec {
        id: pv.id,
        device: pv.device.as_deref().unwrap_or_default().to_owned(),
        dev_size: pv.dev_size.expect("there"),
        pe_start: pv.pe_start,
        pe_count: pv.pe_count,
    };
    let mut spec = GroupSpec {
        name: old.name.clone(),
        id: old.id,
        extent_size: old.extent_size,
        pvs: old.pvs.iter().map(pv).collect(),
        tags: old.tags.clone(),
        system_id: None,
    };
    let new = NewVg::create(&spec, &stamp()).expect("made");
    assert_eq!(new.vg().seqno, 1);
    let ours = comparable(new.vg());
    let theirs = comparable(&old).replace("\t\t\tba_start = 2048\n", "");
    assert_eq!(ours, theirs.replace("\t\t\tba_size = 2048\t# 1024 Kilobytes\n", ""));
    let trailer = "# Generated by imgbase 0.1.0: Sun Nov 22 04:28:17 2026\n\ncontents = \"Text \
                   Format Volume Group\"\nversion = 1\n\ndescription = \"imgbase \\\"test\\\"\"\n\n\
                   creation_host = \"here\"\t# Linux here 6.1\ncreation_time = 1795321697\t# Sun \
                   Nov 22 04:28:17 2026\n\n";
    assert!(new.text().ends_with(trailer), "{}", new.text());
    spec.extent_size = Sectors::new(300);
    assert!(NewVg::create(&spec, &stamp()).is_err());
    spec.extent_size = Sectors::new(1 << 20);
    let error = NewVg::create(&spec, &stamp()).expect_err("small");
    assert!(error.to_string().contains("99 extents reach beyond"), "{error}");
    spec.extent_size = Sectors::new(768);
    spec.system_id = Some("me".to_owned());
    let mut edit = NewVg::create(&spec, &stamp()).expect("made").into_vg().edit();
    ok(edit.create_pool(&pool("p")));
    let text = edit.finish(&stamp()).expect("whole");
    assert!(!text.text().contains("\"WRITE\""));
    let lv = text.vg().lv(&name("p_tdata")).expect("there");
    assert!(lv.is_writable() && lv.has_flag("WRITE_LOCKED"));
    let mut edit = text.vg().edit();
    ok(edit.set_writable(&name("p"), false));
    assert!(!edit.vg().lv(&name("p")).expect("there").is_writable());
    ok(edit.set_writable(&name("p"), true));
    assert_eq!(edit.vg().lv(&name("p")), text.vg().lv(&name("p")));
}

#[test]
fn a_pending_message_is_printed_as_lvm2_prints_it() {
    let mut edit = golden(2).edit();
    ok(edit.create_thin(&thin("base", 1, 1_795_321_699)));
    ok(edit.set_pool_messages(&name("pool-0"), &[Message::Create(name("base"))]));
    ok(edit.set_transaction_id(&name("pool-0"), 1));
    let new = edit.finish(&stamp()).expect("whole");
    let stanza = "zero_new_blocks = 1\n\nmessage1 {\ncreate = \"base\"\n}\n}\n}\n";
    assert!(new.text().contains(stanza), "{}", new.text());
    let segment = new.vg().thin_pool(&name("pool-0")).expect("a pool");
    assert_eq!(segment.messages, [Message::Create(name("base"))]);
    let mut edit = new.vg().edit();
    let both = [Message::Delete(7), Message::Create(name("base"))];
    ok(edit.set_pool_messages(&name("pool-0"), &both));
    let stanza = "\nmessage1 {\ndelete = 7\n}\nmessage2 {\ncreate";
    assert!(edit.vg().to_text(Style::Disk).contains(stanza));
    ok(edit.clear_messages(&name("pool-0")));
    assert_eq!(comparable(edit.vg()), comparable(&golden(3)));
}

#[test]
fn what_was_announced_is_settled_as_by_single_changes() {
    let (pool, base, pending) = (name("pool-0"), name("base"), tag("imgbased:pending"));
    let spec = ThinSpec { tags: vec![pending.clone()], ..thin("base", 1, 1_795_321_699) };
    let mut edit = golden(2).edit();
    ok(edit.create_thins_announced(&pool, &[spec]));
    let (mut at_once, mut one_by_one) = (edit.clone(), edit);
    ok(at_once.settle_announced(&pool, &[&base], &pending));
    ok(one_by_one.clear_messages(&pool));
    ok(one_by_one.remove_tag(&base, &pending));
    assert_eq!(at_once.vg().document(), one_by_one.vg().document());
    assert_eq!(at_once.vg().lvs, one_by_one.vg().lvs);
    let missing = at_once.settle_announced(&pool, &[&name("nobody")], &pending);
    assert_eq!(missing.expect_err("not there").kind(), ErrorKind::NotFound);
}

#[test]
fn a_transaction_that_was_not_raised_is_refused() {
    let mut edit = golden(2).edit();
    ok(edit.create_thin(&thin("base", 1, 0)));
    let error = edit.finish(&stamp()).expect_err("not raised");
    assert!(error.to_string().contains("transaction id 0 is not below"), "{error}");
}

#[test]
fn a_change_that_fails_changes_nothing() {
    let vg = golden(6);
    let mut edit = vg.edit();
    let pool0 = name("pool-0");
    for (result, kind) in [
        (edit.create_thin(&thin("base", 9, 0)), ErrorKind::Exists),
        (edit.create_thin(&thin("x_tdata", 9, 0)), ErrorKind::Invalid),
        (edit.create_thin(&thin("pv0", 9, 0)), ErrorKind::Invalid),
        (edit.create_thin(&thin(&"x".repeat(127), 9, 0)), ErrorKind::Invalid),
        (edit.create_thin(&snapshot("x", "pool-0", 9, 0)), ErrorKind::Invalid),
        (edit.create_thin(&snapshot("x", "none", 9, 0)), ErrorKind::NotFound),
        (edit.create_thin(&ThinSpec { pool: name("base"), ..thin("x", 9, 0) }), ErrorKind::Invalid),
        (
            edit.create_thin(&ThinSpec { extents: Extents::ZERO, ..thin("x", 9, 0) }),
            ErrorKind::Invalid,
        ),
        (
            edit.create_pool(&PoolSpec { chunk_size: Sectors::new(100), ..pool("p") }),
            ErrorKind::Invalid,
        ),
        (edit.remove_lv(&pool0), ErrorKind::Busy),
        (edit.remove_lv(&name("pool-0_tmeta")), ErrorKind::Busy),
        (edit.remove_lv(&name("none")), ErrorKind::NotFound),
        (edit.extend_lv(&name("base"), Extents::new(1)), ErrorKind::Invalid),
        (edit.add_flag(&pool0, "WRITE_LOCKED"), ErrorKind::Invalid),
        (edit.add_tag(&name("none"), &tag("x")), ErrorKind::NotFound),
        (edit.set_transaction_id(&name("base"), 1), ErrorKind::Invalid),
        (edit.rename_lv(&name("pool-0_tdata"), &name("x")), ErrorKind::Invalid),
        (edit.rename_lv(&name("base"), &name("layer1")), ErrorKind::Exists),
        (edit.set_device_hint(&vg.id, "/dev/x"), ErrorKind::NotFound),
    ] {
        assert_eq!(result.expect_err("refused").kind(), kind);
        assert_eq!(edit.vg().document(), vg.document());
    }
    let full = edit.create_pool(&PoolSpec { data: Extents::new(1000), ..pool("p") });
    assert_eq!(full.expect_err("full").kind().exit_code(), 4);
    assert_eq!(edit.vg().document(), vg.document());
    let full = edit.extend_lv(&pool0, Extents::new(1000)).expect_err("full");
    assert_eq!(full.kind().exit_code(), 4);
    assert_eq!(edit.vg().document(), vg.document());
}

#[test]
fn a_rename_reaches_every_place() {
    let mut edit = golden(6).edit();
    ok(edit.set_pool_messages(&name("pool-0"), &[Message::Create(name("base"))]));
    ok(edit.rename_lv(&name("pool-0"), &name("q")));
    ok(edit.rename_lv(&name("base"), &name("b")));
    let text = edit.finish(&stamp()).expect("whole").text().to_owned();
    for gone in ["\"pool-0", "\npool-0", "\"base\"", "\nbase "] {
        assert!(!text.contains(gone), "{gone}");
    }
    for there in [
        "\nq_tmeta {",
        "pool = \"q_tdata\"",
        "thin_pool = \"q\"",
        "origin = \"b\"",
        "create = \"b\"",
    ] {
        assert!(text.contains(there), "{there}");
    }
}

/// A physical volume without extents, with a key that nobody knows and two items on a line.
const MORE: &str = "more {\nid = \"UUUUUU-GXSw-0RqY-mNCo-J8zo-iXnL-RmdN6a\"\npe_start = 0 \
                    pe_count = 0\nkey = 010\n}\n";

#[test]
fn what_is_not_known_survives_edits_in_its_place() {
    let text = golden(6).to_text(Style::Disk);
    let text = text
        .replacen("seqno = 10\n", "seqno = 10\nodd = [1, 'x']\n", 1)
        .replacen("\"b=c\"]\n", "\"b=c\", \"not a tag\"]\nfuture=0.5\n", 1)
        .replacen("physical_volumes {\n", &format!("physical_volumes {{\n{MORE}"), 1);
    let vg = Vg::parse(&text).expect("parses");
    let mut edit = vg.edit();
    make(&mut edit, &snapshot("layer3", "base", 4, 0));
    ok(edit.add_tag(&name("layer1"), &tag("new")));
    ok(edit.set_device_hint(&vg.pvs[1].id, "/dev/\"sdb"));
    let new = edit.finish(&stamp()).expect("whole");
    for there in [
        "odd = [1, 'x']\n",
        "\"b=c\", \"not a tag\", \"new\"]\nfuture=0.5\n",
        "key = 010\n",
        "device = \"/dev/\\\"sdb\"\n\nstatus",
    ] {
        assert!(new.text().contains(there), "{there} in {}", new.text());
    }
}

#[test]
fn an_external_origin_stays_as_long_as_it_is_used() {
    let mut edit = golden(2).edit();
    ok(edit.create_linear(&LinearSpec {
        name: name("ext"),
        extents: Extents::new(10),
        placement: Placement::default(),
        tags: Vec::new(),
        birth: birth(0),
    }));
    make(&mut edit, &thin("a", 1, 0));
    let text = edit.vg().to_text(Style::Disk);
    let text = text.replace("device_id = 1\n", "device_id = 1\nexternal_origin = \"ext\"\n");
    let mut edit = Vg::parse(&text).expect("parses").edit();
    make(&mut edit, &snapshot("b", "a", 2, 0));
    let both = "external_origin = \"ext\"\norigin = \"a\"\n";
    assert!(edit.vg().to_text(Style::Disk).contains(both));
    assert_eq!(edit.remove_lv(&name("ext")).expect_err("used").kind(), ErrorKind::Busy);
    let error = edit.clone().finish(&stamp()).expect_err("writable");
    assert!(error.to_string().contains("external origin"), "{error}");
    ok(edit.set_writable(&name("ext"), false));
    edit.clone().finish(&stamp()).expect("whole");
    drop_thin(&mut edit, "a");
    drop_thin(&mut edit, "b");
    ok(edit.remove_lv(&name("ext")));
    edit.finish(&stamp()).expect("whole");
}

#[test]
fn an_unwritable_group_is_refused_at_the_end() {
    let text = golden(6).to_text(Style::Disk).replace("\"RESIZEABLE\"", "\"EXPORTED\"");
    let edit = Vg::parse(&text).expect("parses").edit();
    assert_eq!(edit.finish(&stamp()).expect_err("exported").kind(), ErrorKind::Unsupported);
}

#[test]
fn volumes_spread_and_the_spare_comes_once() {
    let mut edit = golden(1).edit();
    let linear = |text: &str, extents| LinearSpec {
        name: name(text),
        extents: Extents::new(extents),
        placement: Placement::default(),
        tags: vec![tag("t")],
        birth: birth(0),
    };
    ok(edit.create_linear(&linear("a", 10)));
    ok(edit.create_linear(&linear("b", 150)));
    assert_eq!(edit.vg().lv(&name("b")).expect("there").segments.len(), 2);
    ok(edit.extend_lv(&name("a"), Extents::new(12)));
    assert_eq!(edit.vg().lv(&name("a")).expect("there").segments.len(), 2);
    ok(edit.create_pool(&PoolSpec { data: Extents::new(5), ..pool("p") }));
    ok(edit.create_pool(&PoolSpec {
        data: Extents::new(5),
        metadata: Extents::new(3),
        ..pool("q")
    }));
    assert_eq!(edit.vg().pmspare().map(Lv::extents), Some(Extents::new(3)));
    ok(edit.remove_lv(&name("p")));
    assert!(edit.vg().pmspare().is_some());
    ok(edit.remove_lv(&name("q")));
    assert!(edit.vg().pmspare().is_none());
    edit.finish(&stamp()).expect("whole");
}

mod random {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Linear(u8, u64),
        Pool(u8, u64, u64),
        Thin(u8, u8, u64),
        Snapshot(u8, u8),
        Remove(u8),
        RemovePool(u8),
        Extend(u8, u64),
        ExtendMetadata(u8, u64),
        Rename(u8, u8),
        Tag(u8, u8, bool),
        Access(u8, bool, bool),
    }

    fn op() -> impl Strategy<Value = Op> {
        let lv = 0u8..8;
        prop_oneof![
            (lv.clone(), 0u64..90).prop_map(|(a, n)| Op::Linear(a, n)),
            (lv.clone(), 0u64..60, 0u64..4).prop_map(|(a, n, m)| Op::Pool(a, n, m)),
            (lv.clone(), lv.clone(), 0u64..500).prop_map(|(a, b, n)| Op::Thin(a, b, n)),
            (lv.clone(), lv.clone()).prop_map(|(a, b)| Op::Snapshot(a, b)),
            lv.clone().prop_map(Op::Remove),
            lv.clone().prop_map(Op::RemovePool),
            (lv.clone(), 0u64..120).prop_map(|(a, n)| Op::Extend(a, n)),
            (lv.clone(), 0u64..6).prop_map(|(a, n)| Op::ExtendMetadata(a, n)),
            (lv.clone(), lv.clone()).prop_map(|(a, b)| Op::Rename(a, b)),
            (lv.clone(), 0u8..3, any::<bool>()).prop_map(|(a, t, on)| Op::Tag(a, t, on)),
            (lv, any::<bool>(), any::<bool>()).prop_map(|(a, w, s)| Op::Access(a, w, s)),
        ]
    }

    fn lv(number: u8) -> LvName {
        name(&format!("lv-{number}"))
    }

    fn thin_of(
        edit: &mut VgEdit,
        text: u8,
        pool: &LvName,
        extents: Extents,
        origin: Option<LvName>,
    ) -> Result<()> {
        let device_id = edit.vg().next_device_id(pool)?;
        let id = edit.vg().thin_pool(pool).expect("a pool").transaction_id;
        let spec = thin("x", device_id, 5);
        edit.create_thin(&ThinSpec {
            name: lv(text),
            pool: pool.clone(),
            extents,
            origin,
            ..spec
        })?;
        edit.set_transaction_id(pool, id + 1)
    }

    fn apply(edit: &mut VgEdit, op: &Op) -> Result<()> {
        match *op {
            Op::Linear(a, n) => edit.create_linear(&LinearSpec {
                name: lv(a),
                extents: Extents::new(n),
                placement: Placement::default(),
                tags: Vec::new(),
                birth: birth(1),
            }),
            Op::Pool(a, n, m) => edit.create_pool(&PoolSpec {
                name: lv(a),
                data: Extents::new(n),
                metadata: Extents::new(m),
                ..pool("x")
            }),
            Op::Thin(a, b, n) => thin_of(edit, a, &lv(b), Extents::new(n), None),
            Op::Snapshot(a, b) => {
                let Some(origin) = edit.vg().lv(&lv(b)).cloned() else { return Ok(()) };
                let Some(thin) = origin.thin() else { return Ok(()) };
                thin_of(edit, a, &thin.pool, origin.extents(), Some(origin.name.clone()))
            }
            Op::Remove(a) => edit.remove_lv(&lv(a)),
            Op::RemovePool(a) => edit.remove_pool(&lv(a)),
            Op::Extend(a, n) => edit.extend_lv(&lv(a), Extents::new(n)),
            Op::ExtendMetadata(a, n) => edit.extend_pool_metadata(&lv(a), Extents::new(n)),
            Op::Rename(a, b) => edit.rename_lv(&lv(a), &lv(b)),
            Op::Tag(a, t, true) => edit.add_tag(&lv(a), &tag(&format!("t{t}"))),
            Op::Tag(a, t, false) => edit.remove_tag(&lv(a), &tag(&format!("t{t}"))),
            Op::Access(a, writable, skip) => {
                edit.set_writable(&lv(a), writable)?;
                edit.set_activation_skip(&lv(a), skip)
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever is done, the group is whole: validate (no extent twice, all references, ids)
        /// holds after each step, extents are neither lost nor won, and the text reads back.
        #[test]
        fn any_edits_leave_the_group_whole(ops in proptest::collection::vec(op(), 1..40)) {
            let mut vg = golden(1);
            let total = vg.free_extents();
            for op in &ops {
                let mut edit = vg.edit();
                let before = edit.clone();
                match apply(&mut edit, op) {
                    Ok(()) => vg = edit.finish(&stamp()).expect("whole").into_vg(),
                    Err(_) if matches!(op, Op::Thin(..) | Op::Snapshot(..) | Op::Access(..)) => (),
                    Err(_) => prop_assert_eq!(edit.vg().document(), before.vg().document()),
                }
                let maps = vg.allocated();
                let runs = maps.iter().flat_map(|map| &map.runs);
                let held: u64 = runs.map(|run| run.count.get()).sum();
                prop_assert_eq!(held + vg.free_extents().get(), total.get());
                let text = vg.to_text(Style::Disk);
                prop_assert_eq!(anew(&Vg::parse(&text).expect("parses")), text);
            }
            let visible = vg.lvs.iter().filter(|lv| lv.is_visible());
            let names: Vec<_> = visible.map(|lv| lv.name.clone()).collect();
            let mut edit = vg.edit();
            for lv in names {
                if edit.vg().lv(&lv).is_some_and(|lv| lv.thin_pool().is_some()) {
                    ok(edit.remove_pool(&lv));
                } else if edit.vg().lv(&lv).is_some() {
                    ok(edit.remove_lv(&lv));
                }
            }
            let seqno = edit.vg().seqno;
            let empty = edit.finish(&stamp()).expect("whole");
            prop_assert_eq!(empty.vg().seqno, seqno + 1);
            prop_assert_eq!(comparable(empty.vg()), comparable(&golden(1)));
        }
    }
}
