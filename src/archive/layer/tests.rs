use tar::EntryType;

use super::*;
use crate::archive::testing::{END, MemTree, archive, entry, header};

fn stacked(layers: &[Vec<u8>]) -> Result<Vec<String>> {
    let mut tree = MemTree::default();
    let mut stack = Stack::new(&mut tree, Bytes::gib(1));
    for layer in layers {
        stack.add(layer.as_slice(), &mut |_| false)?;
    }
    let unpacked = stack.finish()?;
    let mut measured = Measure::default();
    for layer in layers {
        measured = measure_layer(layer.as_slice(), measured, &mut |_| false)?;
    }
    assert_eq!(measured, unpacked);
    Ok(tree.lines())
}

fn lowest() -> Vec<u8> {
    archive(&[("etc/", ""), ("etc/a", "1"), ("etc/b", "1"), ("opt/x/deep/f", "1"), ("top", "1")])
}

#[test]
fn a_layer_adds_replaces_and_takes_away() {
    let upper = archive(&[
        ("etc/a", "2"),
        ("etc/.wh.b", ""),
        ("etc/.wh.never-there", ""),
        ("none/.wh.x", ""),
        (".wh.top", ""),
        ("new/file", "2"),
        (".wh..wh.plnk/1", ""),
        (".wh..wh.aufs", ""),
    ]);
    let wanted = ["/.wh..wh.plnk/", "/.wh..wh.plnk/1=", "/etc/", "/etc/a=2", "/new/"];
    let more = ["/new/file=2", "/opt/", "/opt/x/", "/opt/x/deep/", "/opt/x/deep/f=1"];
    let lines = stacked(&[lowest(), upper]).expect("good");
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(lines, [wanted.as_slice(), &more].concat());
}

#[test]
fn in_any_order_what_is_taken_away_is_of_the_layers_below() {
    // What a layer takes away and what it has itself, before and after.
    for upper in [
        archive(&[("opt/x/own", "2"), ("opt/.wh..wh..opq", "")]),
        archive(&[("opt/.wh..wh..opq", ""), ("opt/x/own", "2")]),
        archive(&[("opt/.wh.x", ""), ("opt/x/own", "2")]),
        archive(&[("opt/x/own", "2"), ("opt/.wh.x", "")]),
    ] {
        let lines = stacked(&[lowest(), upper]).expect("good");
        let of_opt: Vec<_> = lines.iter().filter(|line| line.starts_with("/opt")).collect();
        assert_eq!(of_opt, ["/opt/", "/opt/x/", "/opt/x/own=2"]);
    }
    // All of it, and a third layer on top.
    let all = archive(&[("mine", "2"), (".wh..wh..opq", "")]);
    let third = archive(&[(".wh.mine", ""), ("last", "3")]);
    assert_eq!(stacked(&[lowest(), all.clone()]).expect("good"), ["/mine=2"]);
    assert_eq!(stacked(&[lowest(), all, third]).expect("good"), ["/last=3"]);
    // The lowest has nothing below it.
    let lowest = archive(&[("a", "1"), (".wh.a", ""), (".wh..wh..opq", "")]);
    assert_eq!(stacked(&[lowest]).expect("good"), ["/a=1"]);
}

#[test]
fn something_else_takes_the_place_of_a_whole_folder() {
    let file = archive(&[("opt", "2")]);
    let lines = stacked(&[lowest(), file]).expect("good");
    assert!(lines.contains(&"/opt=2".to_owned()) && lines.len() == 5, "{lines:?}");
    let mut link = header("opt", EntryType::Link, 0);
    link.set_link_name("etc/a").expect("short");
    link.set_cksum();
    let lines = stacked(&[lowest(), [link.as_bytes().as_slice(), &END].concat()]).expect("good");
    assert!(lines.contains(&"/opt=1".to_owned()) && lines.len() == 5, "{lines:?}");
    // Another name of itself takes nothing away.
    let mut itself = header("etc/a", EntryType::Link, 0);
    itself.set_link_name("etc/a").expect("short");
    itself.set_cksum();
    let lines = stacked(&[lowest(), [itself.as_bytes().as_slice(), &END].concat()]).expect("good");
    assert!(lines.contains(&"/etc/a=1".to_owned()), "{lines:?}");
    // Not in the place of one that the layer has filled itself.
    stacked(&[lowest(), archive(&[("opt/own", "2"), ("opt", "2")])]).expect_err("both");
}

#[test]
fn odd_names_take_nothing_away() {
    for name in [".wh.", "a/.wh.", "a/.wh..", ".wh...", "opt/.wh..."] {
        let error = stacked(&[lowest(), archive(&[(name, "")])]).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}");
    }
    for name in ["../.wh.a", "opt/../../.wh.a", ".wh.a/.."] {
        let error = stacked(&[lowest(), archive(&[(name, "")])]).expect_err(name);
        assert!(error.to_string().contains("out of its tree"), "{error}");
    }
    let mut overlay = header("gone", EntryType::Char, 0);
    overlay.set_device_major(0).expect("a device");
    overlay.set_device_minor(0).expect("a device");
    overlay.set_cksum();
    stacked(&[[overlay.as_bytes().as_slice(), &END].concat()]).expect_err("no layer's");
}

#[test]
fn a_layer_needs_no_end_and_no_more_is_taken_than_there_is_room() {
    let file = entry("a", EntryType::Regular, b"1");
    assert_eq!(stacked(&[file.clone(), Vec::new(), END.to_vec()]).expect("good"), ["/a=1"]);
    stacked(&[file[..700].to_vec()]).expect_err("cut short");
    let mut tree = MemTree::default();
    let mut stack = Stack::new(&mut tree, Bytes::kib(8));
    let layer = archive(&[("a", "1"), ("b", "1")]);
    stack.add(layer.as_slice(), &mut |_| false).expect("two blocks");
    let error = stack.add(layer.as_slice(), &mut |_| false).expect_err("two more");
    assert!(matches!(error.kind(), ErrorKind::NoSpace { .. }), "{error}");
}
