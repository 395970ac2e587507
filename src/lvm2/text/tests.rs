use std::io::Read;

use super::*;

fn data(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/lvm2").join(name)
}

/// The texts of vgcfgbackup, in the order of the steps.
fn backups() -> Vec<(String, String)> {
    let mut paths: Vec<_> = std::fs::read_dir(data(""))
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "vg"))
        .collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| std::fs::read_to_string(path).expect("a text");
    paths.iter().map(|path| (path.display().to_string(), read(path))).collect()
}

fn gunzip(name: &str) -> Vec<u8> {
    let file = std::fs::File::open(data(name)).expect("the file");
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).expect("gzip");
    bytes
}

/// All texts in a ring, old ones too: each starts at a sector and ends with a NUL.
fn ring(name: &str) -> Vec<String> {
    let bytes = gunzip(name);
    let area = bytes.get(4096..).expect("a metadata area");
    let sectors = area.chunks(512).enumerate().skip(1);
    let starts = sectors.filter(|(_, sector)| sector.starts_with(b"Host-VG {"));
    starts
        .map(|(index, _)| {
            let text = area.get(index * 512..).expect("inside");
            let end = text.iter().position(|b| *b == 0).expect("a NUL");
            String::from_utf8(text[..end].to_vec()).expect("ASCII")
        })
        .collect()
}

/// The committed text: slot 0 of the area's header.
fn committed(name: &str) -> String {
    let bytes = gunzip(name);
    let number = |at: usize| {
        let raw = bytes.get(at..at + 8).expect("inside").try_into().expect("8 bytes");
        usize::try_from(u64::from_le_bytes(raw)).expect("small")
    };
    let (start, size) = (4096 + number(4096 + 40), number(4096 + 48));
    String::from_utf8(bytes.get(start..start + size - 1).expect("inside").to_vec()).expect("ASCII")
}

#[test]
fn backups_print_back_byte_for_byte() {
    let backups = backups();
    assert_eq!(backups.len(), 16);
    for (name, text) in backups {
        let document = Document::parse(&text).expect("parses");
        assert_eq!(document.print(Style::Backup), text, "{name}");
        let disk = Document::parse(&document.print(Style::Disk)).expect("parses");
        assert_eq!(disk, document, "{name}");
    }
}

/// Forgets how its volumes were read and printed, as if all had been changed.
fn forget(document: &mut Document) {
    let lvs = document.vg_mut().and_then(|vg| vg.section_mut("logical_volumes"));
    lvs.into_iter().for_each(|lvs| {
        let all = lvs.items_mut().iter_mut().filter_map(Item::section_mut);
        all.for_each(|lv| lv.items_mut().reserve(0));
    });
}

#[test]
fn texts_on_disk_print_back_byte_for_byte() {
    for (name, count) in [("head-vgcreate.bin.gz", 1), ("head-thin.bin.gz", 6)] {
        let texts = ring(name);
        assert_eq!(texts.len(), count, "{name}");
        assert!(texts.contains(&committed(name)), "{name}");
        for text in texts {
            let mut document = Document::parse(&text).expect("parses");
            assert_eq!(document.print(Style::Disk), text);
            forget(&mut document);
            assert_eq!(document.print(Style::Disk), text);
            assert_eq!(Document::parse(&document.print(Style::Backup)).expect("parses"), document);
        }
    }
}

#[test]
fn a_disk_text_becomes_what_vgcfgbackup_prints() {
    let text = Document::parse(&committed("head-thin.bin.gz")).expect("parses");
    let printed = text.print(Style::Backup);
    let backup =
        &backups().iter().find(|(name, _)| name.contains("03-")).expect("step 3").1.clone();
    let group = |text: &str| text.split_once("\n\nHost-VG {").expect("a group").1.to_owned();
    assert_eq!(group(&printed), group(backup));
    // And back: neither its tabs nor its comments come to a disk.
    let on_disk = Document::parse(backup).expect("parses").print(Style::Disk);
    assert!(group(backup).contains("\t\t\tsegment_count"));
    assert!(!on_disk.contains("\tsegment_count"), "{on_disk}");
}

#[test]
fn a_volume_stays_on_disk_as_it_was_read() {
    let odd = "vg {\nlogical_volumes {\n\na {\nx  =  1\ny = [1,2 ]\n}\n\nb {\ntags = [\"#1\"]\nz  = 2\n}\n}\n}\n";
    let printed = odd.replace("z  =", "z =");
    let mut document = Document::parse(odd).expect("parses");
    assert_eq!(document.print(Style::Disk), printed);
    forget(&mut document);
    let anew = printed.replace("x  =  1", "x = 1");
    assert_eq!(document.print(Style::Disk), anew);
}

/// How many volumes both share.
fn shared(a: &Document, b: &Document) -> usize {
    let lvs = |document: &Document| -> Vec<Section> {
        let lvs = document.vg().and_then(|(_, vg)| vg.section("logical_volumes")).into_iter();
        lvs.flat_map(Section::sections).map(|(_, lv)| lv.clone()).collect()
    };
    let others = lvs(b);
    lvs(a).iter().filter(|lv| others.iter().any(|other| other.is_shared_with(lv))).count()
}

#[test]
fn what_is_as_in_another_text_is_shared_with_it() {
    let texts = ring("head-thin.bin.gz");
    let mut found = 0;
    for (old, new) in texts.iter().flat_map(|old| texts.iter().map(move |new| (old, new))) {
        let plain = Document::parse(new).expect("parses");
        for printed in [false, true] {
            let mut old = Document::parse(old).expect("parses");
            if printed {
                // As after a commit of ours: what was changed is known as it was printed.
                forget(&mut old);
                drop(old.print(Style::Disk));
            }
            let like = Document::read(new.as_str().into(), Some(&old)).expect("parses");
            assert_eq!(like, plain);
            for style in [Style::Disk, Style::Backup] {
                assert_eq!(like.print(style), plain.print(style));
            }
            found += shared(&like, &old);
        }
    }
    assert!(found > texts.len() * texts.len(), "{found} volumes are shared");
}

#[test]
fn what_is_changed_is_printed_anew() {
    let mut text = Document::parse(&committed("head-thin.bin.gz")).expect("parses");
    for style in [Style::Disk, Style::Backup] {
        drop(text.print(style));
    }
    let fresh = |text: &Document| Document::parse(&text.print(Style::Disk)).expect("printed");
    let number = |value| Body::Scalar(Scalar::number(value));
    let lvs = text.vg_mut().and_then(|vg| vg.section_mut("logical_volumes"));
    let lv = lvs.and_then(|lvs| lvs.items_mut().first_mut()?.section_mut()).expect("a volume");
    lv.set("creation_time", number(7), &[]);
    assert!(text.print(Style::Disk).contains("creation_time = 7\n"));
    assert_eq!(text.print(Style::Backup), fresh(&text).print(Style::Backup));
    // Sizes in comments are by the group's extents.
    text.vg_mut().expect("a group").set("extent_size", number(2048), &[]);
    assert_eq!(text.print(Style::Backup), fresh(&text).print(Style::Backup));
}

#[test]
fn values_are_read_as_lvm2_reads_them() {
    let text = "a { i = 010 n = -7 f = 1.5 s = \"q\\\"\\\\n\\n\" t = 'x\\y' b = word,]\n\
                l = [ 1, \"two\" , ] e=[] \"odd # key\" = +3 } 7 = 1";
    let document = Document::parse(text).expect("parses");
    let (name, a) = document.vg().expect("a section");
    assert_eq!(name, "a");
    assert_eq!(a.int("i"), Some(8));
    assert_eq!(a.int("n"), Some(-7));
    assert_eq!((a.int("f"), a.str("f")), (None, None));
    assert_eq!(a.str("s").as_deref(), Some("q\"\\n\\n"));
    assert_eq!(a.str("t").as_deref(), Some("x\\y"));
    assert_eq!(a.str("b").as_deref(), Some("word,]"));
    assert_eq!(a.get("l").and_then(Item::array).map(|l| l.scalars().len()), Some(2));
    assert_eq!(a.get("e").and_then(Item::array).map(|l| l.scalars().len()), Some(0));
    assert_eq!(a.int("odd # key"), Some(3));
    assert_eq!(document.find("7").and_then(|item| item.scalar()?.as_int()), Some(1));
    assert!(document.find("a/i").is_some());
}

#[test]
fn what_is_no_text_is_refused_with_its_place() {
    for (text, why) in [
        ("a", "line 1, byte 1: expected '=' or '{'"),
        ("a {\nb = [1 2]\n}", "line 2, byte 11: expected ','"),
        ("a {", "ends inside a section"),
        ("a = \"x", "ends inside a string"),
        ("a = \"x\\", "ends inside a string"),
        ("a = ", "expected a value"),
        ("}", "expected a key"),
        ("a = [[1]]", "expected a value"),
    ] {
        let error = Document::parse(text).expect_err(text);
        assert_eq!(error.kind(), crate::ErrorKind::Corrupt);
        assert!(error.to_string().contains(why), "{error}");
    }
    let deep = "a {".repeat(1_000_000);
    let error = Document::parse(&deep).expect_err("deep");
    assert!(error.to_string().contains("16 deep"), "{error}");
    assert!(Document::parse(&format!("{}{}", "a {".repeat(16), "}".repeat(16))).is_ok());
}

#[test]
fn a_text_ends_at_its_nul() {
    let document = Document::parse("a {\n}\n\0rubbish = {").expect("parses");
    assert_eq!(document.print(Style::Disk), "a {\n}\n");
}

#[test]
fn a_large_text_parses_in_time() {
    let volume = "lv {\nid = \"x\"\nsegment1 {\nstart_extent = 0\nextent_count = 5\n}\n}\n\n";
    let text = format!("vg {{\n{}}}\n", volume.repeat(20_000));
    let start = std::time::Instant::now();
    let document = Document::parse(&text).expect("parses");
    assert_eq!(document.print(Style::Disk), text);
    // Seconds are for a slow debug build; anything quadratic takes minutes.
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

/// What follows the last comma of an array is left out, but for what ends a bare word.
#[test]
fn a_bare_word_never_takes_the_bracket() {
    for (text, printed) in
        [("a=[b ,]# c\n", "a=[b ]# c\n"), ("a = [1,]\n", "a = [1]\n"), ("a=[b ]\n", "a=[b ]\n")]
    {
        let document = Document::parse(text).expect("valid");
        let text = document.print(Style::Disk);
        assert_eq!(text, printed);
        assert_eq!(Document::parse(&text).expect("printed"), document);
    }
    let mut document = Document::parse("vg {\na = [b , \"c\"]\n}\n").expect("valid");
    let array = document.vg_mut().expect("a group").items_mut()[0].body_mut();
    let Body::Array(array) = array else { panic!("an array") };
    array.map(&mut |scalar| (scalar.raw() != "\"c\"").then(|| scalar.clone()));
    let text = document.print(Style::Disk);
    assert_eq!(Document::parse(&text).expect("printed"), document, "{text}");
}

mod random {
    use proptest::prelude::*;

    use super::super::*;

    fn key() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "[a-z0-9_.+-]{1,8}",
            1 => "\"[a-z #!{}=\u{e9}]{0,6}\"",
            1 => "[a-z][a-z/,\"']{0,5}",
        ]
    }

    fn scalar() -> impl Strategy<Value = String> {
        prop_oneof![
            "[+-]?[0-9]{1,18}",
            "[+-]?[0-9]{0,5}\\.[0-9]{0,5}",
            "\"([a-z \n,\\]#{}=\u{e9}]|\\\\\"|\\\\\\\\){0,8}\"",
            "'[a-z \"\n\\\\#]{0,8}'",
            "[a-z][a-z,\\]\"']{0,6}",
        ]
    }

    fn array() -> impl Strategy<Value = String> {
        let gap = prop_oneof![Just(""), Just(" "), Just("\n"), Just(" # note\n")];
        let element = (gap.clone(), scalar(), Just(" "));
        (proptest::collection::vec(element, 0..5), gap).prop_map(|(elements, close)| {
            let inside: Vec<_> =
                elements.iter().map(|(before, it, after)| format!("{before}{it}{after}")).collect();
            format!("[{}{close}]", inside.join(","))
        })
    }

    /// Text of some items, with white space and comments of all sorts.
    fn items() -> impl Strategy<Value = String> {
        let equals = prop_oneof![Just("="), Just(" = "), Just(" =\n"), Just("\t= ")];
        let value = (equals, prop_oneof![3 => scalar(), 1 => array()])
            .prop_map(|(equals, value)| format!("{equals}{value}"));
        let leaf = (key(), value).prop_map(|(key, value)| format!("{key} {value}"));
        let gap = prop_oneof![
            Just(" "),
            Just("\n"),
            Just("\n\n\n"),
            Just(" # a { b\n"),
            Just("\n#x\n\n")
        ];
        leaf.prop_recursive(4, 40, 6, move |inner| {
            (key(), proptest::collection::vec((inner, gap.clone()), 0..6)).prop_map(
                |(key, items)| {
                    let inside: String =
                        items.iter().map(|(item, gap)| format!("{item}{gap}")).collect();
                    format!("{key} {{{inside} }}")
                },
            )
        })
    }

    /// Lines that a volume may have, and what may stand behind them.
    const LINES: [&str; 14] = [
        "x = 1",
        "x = 12",
        "x=1",
        "x = -1.5",
        "y = [1, 2]",
        "y = [ \"a\" ,\n b ]",
        "z = bare",
        "z = bare2",
        "\"q\" = 'x'",
        "t = \"a\\\"b\"",
        "x = 1 w = 2",
        "s { a = 1\nb = 2\n}",
        "s { a = 1\nb = 2 }",
        "s { a = 1\nb = 2\n\nc { } }",
    ];
    const BETWEEN: [&str; 6] = ["\n", "\n\n", " ", "# c\n", "\n # c\n\n", "\t\n"];

    proptest! {
        #[test]
        fn print_then_parse_is_the_same(items in proptest::collection::vec(items(), 0..6)) {
            let document = Document::parse(&items.join("\n")).expect("made to be valid");
            for style in [Style::Disk, Style::Backup] {
                let text = document.print(style);
                let again = Document::parse(&text).expect("printed");
                prop_assert_eq!(&again, &document, "{}", text);
                prop_assert_eq!(again.print(style), text);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            drop(Document::parse(&text));
        }

        #[test]
        fn near_texts_are_read_or_refused(text in "[a{}=\\[\\]\"'\\\\#,1. \n\0é]{0,60}") {
            if let Ok(document) = Document::parse(&text) {
                let again = Document::parse(&document.print(Style::Disk)).expect("printed");
                prop_assert_eq!(again, document);
            }
        }

        #[test]
        fn a_volume_is_read_as_if_none_were_before_it(
            volumes in proptest::collection::vec(proptest::collection::vec((0..LINES.len(), 0..BETWEEN.len()), 0..6), 1..5)
        ) {
            let body = |lines: &[(usize, usize)]| -> String {
                lines.iter().map(|(line, between)| [LINES[*line], BETWEEN[*between]].concat()).collect()
            };
            let volumes: Vec<_> = volumes.iter().map(|lines| format!("v {{{}\n}}\n", body(lines))).collect();
            let document = |volumes: &str| Document::parse(&format!("g {{ logical_volumes {{ {volumes} }} }}"));
            let read = |volumes: &str| {
                let document = document(volumes)?;
                let lvs = document.vg().and_then(|(_, vg)| vg.section("logical_volumes"));
                Ok::<_, crate::Error>(lvs.expect("it is there").items().to_vec())
            };
            let alone: Result<Vec<_>, _> = volumes.iter().map(|volume| read(volume)).collect();
            match (read(&volumes.join("\n")), alone) {
                (Ok(together), Ok(alone)) => {
                    let bodies = |items: &[Item]| items.iter().map(|item| item.body().clone()).collect::<Vec<_>>();
                    prop_assert_eq!(bodies(&together), bodies(&alone.concat()));
                    // As it was read, and anew.
                    let mut document = document(&volumes.join("\n")).expect("it was read");
                    for _ in 0..2 {
                        let printed = document.print(Style::Disk);
                        prop_assert_eq!(&Document::parse(&printed).expect("printed"), &document);
                        super::forget(&mut document);
                    }
                }
                (together, alone) => prop_assert_eq!(together.is_ok(), alone.is_ok()),
            }
        }

        #[test]
        fn a_damaged_text_is_read_like_a_whole_one(at in 0usize..4000, byte in 1u8..128) {
            let whole = super::committed("head-thin.bin.gz");
            let mut bytes = whole.clone().into_bytes();
            let place = at % bytes.len();
            bytes[place] = byte;
            let text = String::from_utf8(bytes).expect("ASCII");
            let old = Document::parse(&whole).expect("whole");
            match (Document::parse(&text), Document::read((*text).into(), Some(&old))) {
                (Ok(plain), Ok(like)) => prop_assert_eq!(plain, like),
                (Err(plain), Err(like)) => prop_assert_eq!(plain.to_string(), like.to_string()),
                (plain, like) => prop_assert!(false, "{:?} and {:?}", plain, like),
            }
        }

        #[test]
        fn a_damaged_text_is_read_or_refused(at in 0usize..4000, byte in 0u8..128) {
            let mut bytes = include_bytes!("../../../tests/data/lvm2/16-lvextend-thin.vg").to_vec();
            let place = at % bytes.len();
            bytes[place] = byte;
            let text = String::from_utf8(bytes).expect("ASCII");
            if let Ok(document) = Document::parse(&text) {
                let again = Document::parse(&document.print(Style::Backup)).expect("printed");
                prop_assert_eq!(again, document);
            }
        }
    }
}
