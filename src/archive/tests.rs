use std::io::Read;

use tar::EntryType;

use super::testing::{END, entry, header};
use super::*;
use crate::tree::{Making, Measure, NewTree, Tell};

/// A tree of which only the calls are kept.
#[derive(Default)]
struct Calls {
    made: Vec<(String, Vec<u8>)>,
    links: Vec<(String, String)>,
    finished: bool,
}

impl NewTree for Calls {
    fn put(
        &mut self,
        path: &TreePath,
        _meta: &Meta,
        _xattrs: &Xattrs,
        making: Making<'_>,
    ) -> io::Result<()> {
        let mut content = Vec::new();
        match making {
            Making::File(from) => drop(from.read_to_end(&mut content)?),
            Making::Link(target) => content = target.to_vec(),
            Making::Other => {}
        }
        self.made.push((path.to_string(), content));
        Ok(())
    }

    fn link(&mut self, path: &TreePath, first: &TreePath) -> io::Result<()> {
        self.links.push((path.to_string(), first.to_string()));
        Ok(())
    }

    fn remove(&mut self, path: &TreePath, _: &dyn Fn(&TreePath) -> bool) -> io::Result<()> {
        panic!("{path}: an archive takes nothing away");
    }

    fn finish(&mut self) -> io::Result<()> {
        self.finished = true;
        Ok(())
    }
}

fn try_unpack(bytes: &[u8], most: Bytes) -> (Calls, Result<Measure>) {
    let mut calls = Calls::default();
    let result = unpack(bytes, &mut calls, most, &mut |_| false);
    (calls, result)
}

fn refused(bytes: &[u8]) -> Error {
    let (calls, result) = try_unpack(bytes, Bytes::gib(1));
    assert!(!calls.finished);
    result.expect_err("refused")
}

#[test]
fn entries_come_in_order_with_their_content() {
    let mut link = header("b", EntryType::Link, 0);
    link.set_link_name("./a/x").expect("short");
    link.set_cksum();
    let bytes = [
        entry("./", EntryType::Directory, b""),
        entry("a/", EntryType::Regular, b""),
        entry("a/x", EntryType::Regular, b"content"),
        link.as_bytes().to_vec(),
        entry("/abs", EntryType::Regular, &[7; 1000]),
        END.to_vec(),
        b"behind the end".to_vec(),
    ]
    .concat();
    assert!(recognises(&bytes));
    let (calls, result) = try_unpack(&bytes, Bytes::gib(1));
    let measured = Measure { entries: 5, data: Bytes::kib(16) };
    assert_eq!(result.expect("good"), measured);
    let names: Vec<&str> = calls.made.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["/", "/a", "/a/x", "/abs"]);
    assert_eq!(calls.made[2].1, b"content");
    assert_eq!(calls.links, [("/b".to_owned(), "/a/x".to_owned())]);
    assert!(calls.finished);
    let tell: Tell<'_> = &mut |_| false;
    assert_eq!(measure(bytes.as_slice(), tell).expect("good"), measured);
    let tell: Tell<'_> = &mut |_| true;
    let error = measure(bytes.as_slice(), tell).expect_err("stopped");
    assert_eq!(error.kind(), ErrorKind::Interrupted);
}

#[test]
fn nothing_leads_out_of_the_tree() {
    for name in ["../x", "a/../../x", "a/..", "..", "/../x"] {
        let error = refused(&[entry(name, EntryType::Regular, b""), END.to_vec()].concat());
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}");
        assert!(error.to_string().contains(name), "{error}");
    }
    let mut link = header("a", EntryType::Link, 0);
    link.set_link_name_literal("../../etc/shadow").expect("short");
    link.set_cksum();
    let error = refused(&[link.as_bytes().as_slice(), &END].concat());
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn what_makes_no_system_is_refused_by_name() {
    for name in ["etc/.wh.passwd", ".wh..wh..opq"] {
        let error = refused(&[entry(name, EntryType::Regular, b""), END.to_vec()].concat());
        assert!(error.to_string().contains("layer"), "{error}");
    }
    let mut whiteout = header("gone", EntryType::Char, 0);
    whiteout.set_device_major(0).expect("a device");
    whiteout.set_device_minor(0).expect("a device");
    whiteout.set_cksum();
    refused(&[whiteout.as_bytes().as_slice(), &END].concat());
    let dump = entry("dump", EntryType::new(b'D'), b"");
    assert!(refused(&[dump, END.to_vec()].concat()).to_string().contains("'D'"));
    // A label says nothing of the tree.
    let label = entry("label", EntryType::new(b'V'), b"");
    let (calls, result) = try_unpack(&[label, END.to_vec()].concat(), Bytes::gib(1));
    assert_eq!((result.expect("good").entries, calls.made.len()), (0, 0));
}

#[test]
fn devices_have_their_places() {
    let node = |name: &str, sort| {
        let mut node = header(name, sort, 0);
        node.set_device_major(8).expect("a device");
        node.set_device_minor(1).expect("a device");
        node.set_cksum();
        node.as_bytes().to_vec()
    };
    let twin = |name: &str, first: &str| {
        let mut twin = header(name, EntryType::Link, 0);
        twin.set_link_name(first).expect("short");
        twin.set_cksum();
        twin.as_bytes().to_vec()
    };
    for sort in [EntryType::Char, EntryType::Block] {
        let places = ["dev/sda", "./dev/a/b", "lib/udev/devices/x", "usr/lib/udev/devices/x"];
        let nodes: Vec<u8> = places.iter().flat_map(|place| node(place, sort)).collect();
        let nodes = [nodes, twin("dev/other", "dev/sda"), END.to_vec()].concat();
        assert_eq!(try_unpack(&nodes, Bytes::gib(1)).1.expect("good").entries, 5);
        for place in ["x", "home/dev/sda", "dev", "devices/x", "usr/lib/udev/x"] {
            let error = refused(&[node(place, sort), END.to_vec()].concat());
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{place}");
            assert!(error.to_string().contains(&format!("/{place}")), "{error}");
            let layer = [node(place, sort), END.to_vec()].concat();
            measure_layer(layer.as_slice(), Measure::default(), &mut |_| false).expect_err(place);
        }
        let hidden = [node("dev/sda", sort), twin("home/x", "dev/sda"), END.to_vec()].concat();
        assert!(refused(&hidden).to_string().contains("/home/x"));
    }
}

#[test]
fn damage_and_early_ends_are_found() {
    let good = [entry("a", EntryType::Regular, &[1; 700]), END.to_vec()].concat();
    for len in [0, 100, 512, 900, 1212, 1536] {
        let error = refused(&good[..len]);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{len}: {error}");
    }
    let mut bad = good.clone();
    bad[3] ^= 1;
    assert!(refused(&bad).to_string().contains("checksum"));
    assert!(!recognises(&bad) && !recognises(&END) && !recognises(b"x"));
}

#[test]
fn no_more_is_taken_than_there_is_room() {
    let bytes = [entry("a", EntryType::Regular, &[1; 9000]), END.to_vec()].concat();
    let (calls, result) = try_unpack(&bytes, Bytes::kib(8));
    assert!(matches!(result.expect_err("too much").kind(), ErrorKind::NoSpace { .. }));
    assert_eq!(calls.made, []);
    // A name without an end would take the memory that there is.
    let mut name = header("././@LongLink", EntryType::GNULongName, 1 << 40);
    name.set_cksum();
    let endless = name.as_bytes().chain(io::repeat(b'a'));
    let tell: Tell<'_> = &mut |_| false;
    let error = measure(endless, tell).expect_err("too long");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn what_describes_an_entry_is_bounded_in_all() {
    // Each is short enough; together they would take any memory.
    let record = entry("x", EntryType::XHeader, b"12 uid=1000\n");
    let global = entry("g", EntryType::XGlobalHeader, &b"12 uid=1000\n".repeat(5000));
    for many in [record.repeat(3000), global.repeat(30)] {
        let file = entry("a", EntryType::Regular, b"");
        let error = refused(&[many, file, END.to_vec()].concat());
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    }
    let long = entry("././@LongLink", EntryType::GNULongName, &b"a/".repeat(3000));
    let error = refused(&[long, entry("a", EntryType::Regular, b""), END.to_vec()].concat());
    assert!(error.to_string().contains("6000"), "{error}");
}

#[test]
fn another_name_of_what_is_not_there_is_damage() {
    struct Nothing;
    impl NewTree for Nothing {
        fn put(&mut self, _: &TreePath, _: &Meta, _: &Xattrs, _: Making<'_>) -> io::Result<()> {
            Ok(())
        }
        fn link(&mut self, _: &TreePath, _: &TreePath) -> io::Result<()> {
            Err(io::ErrorKind::NotFound.into())
        }
        fn remove(&mut self, _: &TreePath, _: &dyn Fn(&TreePath) -> bool) -> io::Result<()> {
            Ok(())
        }
        fn finish(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut link = header("b", EntryType::Link, 0);
    link.set_link_name("none").expect("short");
    link.set_cksum();
    let bytes = [link.as_bytes().as_slice(), &END].concat();
    let error = unpack(bytes.as_slice(), &mut Nothing, Bytes::gib(1), &mut |_| false);
    let error = error.expect_err("damaged");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("/none"), "{error}");
}

#[test]
fn holes_are_where_the_map_says() {
    let mut sparse = header("s", EntryType::GNUSparse, 6);
    let gnu = sparse.as_gnu_mut().expect("it is GNU's");
    gnu.sparse[0].set_offset(4);
    gnu.sparse[0].set_length(3);
    gnu.sparse[1].set_offset(10);
    gnu.sparse[1].set_length(3);
    gnu.set_real_size(20);
    sparse.set_cksum();
    let data = [b"abcdef".as_slice(), &[0; BLOCK - 6], &END].concat();
    let (calls, result) =
        try_unpack(&[sparse.as_bytes().as_slice(), &data].concat(), Bytes::gib(1));
    assert_eq!(result.expect("good").data, Bytes::kib(4));
    assert_eq!(calls.made[0].1, b"\0\0\0\0abc\0\0\0def\0\0\0\0\0\0\0");
    // Pieces behind the end, in disorder, or not all there.
    for (offset, real) in [(18, 20), (2, 20), (10, 12)] {
        let gnu = sparse.as_gnu_mut().expect("it is GNU's");
        gnu.sparse[1].set_offset(offset);
        gnu.set_real_size(real);
        sparse.set_cksum();
        refused(&[sparse.as_bytes().as_slice(), &data].concat());
    }
}
