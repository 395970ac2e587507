//! What may lie in a boot folder: entries, loader.conf, GRUB's environment and configuration. What
//! can be read prints back; what others have written survives; and no layer's entry is lost.

#![no_main]

use std::io::Cursor;

use imgbase::boot::args::{Args, name_of, value_of};
use imgbase::boot::entry::Entry;
use imgbase::boot::folder::Facts;
use imgbase::boot::grub::env::GrubEnv;
use imgbase::boot::lines::Lines;
use imgbase::boot::name::{Counter, EntryName};
use imgbase::boot::sim::SimBoot;
use imgbase::boot::store::{Artefacts, Source};
use imgbase::boot::{Boot, Files, LoaderKind, NewEntry, Place, Tries};
use imgbase::layout::LayerName;
use imgbase_fuzz::bounded;
use libfuzzer_sys::fuzz_target;

const A: &str = "Base-1-0+1";
const B: &str = "Base-2-0+1";

/// By the input's first byte: which file it is, and whose.
const FILES: [(&str, LoaderKind); 8] = [
    ("loader/entries/other.conf", LoaderKind::SystemdBoot),
    ("loader/loader.conf", LoaderKind::SystemdBoot),
    ("grub/grubenv", LoaderKind::Grub),
    ("grub/custom.cfg", LoaderKind::Grub),
    ("grub/grub.cfg", LoaderKind::Grub),
    ("grub/imgbase-00000007.cfg", LoaderKind::Grub),
    ("grub/grubenv", LoaderKind::GrubBls),
    ("grub/imgbase.env", LoaderKind::Grub),
];

/// A block that leads to the menu above.
const BLOCK: &str = "# GRUB Environment Block\nimgbase_menu=00000007\nimgbase_default=0001\n\
                     imgbase_fallback=0002\nimgbase_once=0001\nimgbase_tries=3\nboot_counter=2\n";

fuzz_target!(|bytes: &[u8]| {
    bounded(bytes, || {
        let Some((first, bytes)) = bytes.split_first() else { return };
        let Some((path, kind)) = FILES.get(usize::from(first.wrapping_sub(b'0'))) else { return };
        parts(bytes);
        let is_block = path.ends_with("env");
        // As long as GRUB wants it, or it is refused at once.
        let bytes = if is_block { block(bytes) } else { bytes.to_vec() };
        folder(path, *kind, &bytes);
    });
});

fn block(bytes: &[u8]) -> Vec<u8> {
    let mut block = bytes.to_vec();
    block.resize(bytes.len().max(1024), b'#');
    block
}

/// Each part by itself.
fn parts(bytes: &[u8]) {
    assert_eq!(Lines::parse(bytes).bytes(), bytes);
    let entry = Entry::parse(bytes);
    assert_eq!(entry.bytes(), bytes);
    let _ = (entry.files().count(), entry.lasting_args(), entry.has_kernel(), entry.kernel());
    if let Ok(env) = GrubEnv::parse(bytes) {
        assert_eq!(env.bytes(), bytes);
    }
    let text = String::from_utf8_lossy(bytes);
    let args = Args::parse(&text);
    assert_eq!(Args::parse(&args.to_string()), args);
    for word in args.words() {
        let _ = (name_of(word), value_of(word));
    }
    for name in text.lines() {
        let _ = Counter::split(name);
        if let Some(own) = EntryName::parse(name) {
            assert_eq!(EntryName::parse(&own.file()), Some(own));
        }
    }
}

/// A folder with that file in it, and some of the life of two layers.
fn folder(path: &str, kind: LoaderKind, bytes: &[u8]) {
    let sim = SimBoot::new(Facts { fat: bytes.len() % 2 == 0, ..Facts::default() });
    sim.put("grub/grub.cfg", "source $prefix/custom.cfg\n");
    sim.put("vmlinuz", "x");
    sim.put("grub/imgbase.env", block(BLOCK.as_bytes()));
    sim.put(path, bytes);
    let (folder, vars) = (sim.folder(), sim.vars());
    let place = Place { boot: &folder, esp: None, vars: Some(&vars) };
    let _ = imgbase::boot::detect(place);
    let vg = "HostVG".parse().expect("a group");
    let boot = Boot::open(place, &vg, Some(kind)).expect("it can be opened");
    let boot = boot.expect("it was named");
    let _ = boot.state().expect("nothing that lies there is an error");
    let (a, b) = (layer(A), layer(B));
    let lived = put(&boot, &a)
        .and_then(|()| boot.set_default(&a, None, None).map(drop))
        .and_then(|()| boot.bless(&a, None).map(drop))
        .and_then(|()| put(&boot, &b))
        .and_then(|()| boot.set_default(&b, Some(Tries::default()), Some(&a)).map(drop))
        .and_then(|()| boot.bless(&b, None).map(drop));
    let state = boot.state().expect("it can be read");
    if lived.is_ok() && !path.ends_with("grub.cfg") {
        assert_eq!(state.default_layer(), Some(&b), "{:?}", state.problems);
        assert!(state.is_bootable(&a));
    }
    let is_ours = path.contains("imgbase") || path.ends_with("env");
    let now = sim.file(path).unwrap_or_default();
    let ends = bytes.last().is_none_or(|byte| *byte == b'\n');
    let written = path.ends_with("custom.cfg") || path.ends_with("loader.conf");
    if !is_ours && !(written && is_marked(bytes)) {
        assert!(now.starts_with(bytes) || !ends, "what others have written stays");
        assert!(written || now == bytes, "nobody has asked for it to be written");
    }
    let _ = boot.clean(&[a, b].into());
}

/// True for what has lines of ours in it already, which may be replaced.
fn is_marked(bytes: &[u8]) -> bool {
    bytes.windows(7).any(|window| window == b"imgbase")
}

fn layer(name: &str) -> LayerName {
    name.parse().expect("a layer")
}

fn put(boot: &Boot<'_>, layer: &LayerName) -> imgbase::Result<()> {
    let open = || Ok(Cursor::new(b"kernel"));
    let linux = Some(Source { name: "vmlinuz-6.1", from: &open });
    let new = NewEntry {
        layer,
        kernel: &"6.1".parse().expect("a version"),
        files: Files::Given(Artefacts { linux, ..Artefacts::default() }),
        args: &Args::parse("quiet"),
        boot_uuid: None,
        machine_id: None,
    };
    boot.put(&new).map(drop)
}
