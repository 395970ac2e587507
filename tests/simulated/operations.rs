//! Whole operations on a machine in memory: what they leave, what a dry run
//! leaves (nothing), what a failing kernel leaves.

use std::io::Write;
use std::path::PathBuf;

use imgbase::ErrorKind;
use imgbase::dev::Dev;
use imgbase::dm::{DevNo, Kernel};
use imgbase::dry::DryRun;
use imgbase::image::FileSystem;
use imgbase::layout::ImageName;
use imgbase::machine::Disks;
use imgbase::machine::MountEntry;
use imgbase::ops::{
    AddBase, ImageRequest, ImageSource, Imgbase, Init, Unwatched, Watch, WatchPolicy,
};
use imgbase::tree::Measure;
use imgbase::units::Bytes;

use crate::support::{SimMachine, ext4_of, tar_of};

const BASE: &str = "Base-1-0";

/// Two disks with a layout and a base.
fn with_base() -> SimMachine {
    let sim = SimMachine::with_disks(2);
    sim.init();
    sim.add_base(BASE).expect("the base is made");
    sim
}

/// Adds a layer on the base.
fn add_layer(sim: &SimMachine) -> imgbase::Result<imgbase::report::LayerAdded> {
    sim.imgbase().add_layer(None, &mut Unwatched)
}

/// Thin ids of the text, in order, and of the pool.
fn ids(sim: &SimMachine) -> (Vec<u32>, Vec<u32>) {
    let layout = sim.imgbase().layout().expect("it can be read");
    let mut text = Vec::new();
    for base in &layout.bases {
        text.push(base.device_id);
        text.extend(base.layers.iter().map(|layer| layer.device_id));
    }
    text.sort_unstable();
    let pool = "HostVG-ImagePool-tpool".parse().expect("a name");
    (text, sim.kernel.thin_ids(&pool).unwrap_or_default())
}

fn nothing_is_suspended(sim: &SimMachine) {
    for device in sim.kernel.list("").expect("lists") {
        assert!(!device.suspended, "{} is suspended", device.name);
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).and_then(|()| packed.finish()).expect("into memory")
}

#[test]
fn an_image_may_say_its_name() {
    let sim = with_base();
    let name = |bytes: Vec<u8>| {
        let image: ImageRequest = ImageSource::Path(sim.put_bytes("image", bytes)).into();
        sim.imgbase().name_of_image(&image, &mut Unwatched)
    };
    let said = |text: &str| ext4_of("", "1M", &[("usr/share/imgbase/build/meta/nvr", text)]);
    assert_eq!(name(said("Node-2-1\n")).expect("it says it"), "Node-2-1");
    for (bytes, why) in [
        (said("../../etc"), "../../etc"),
        (ext4_of("", "1M", &[]), "it has no /usr/share/imgbase/build/meta/nvr"),
        (vec![0; 1 << 20], "no magic number"),
        (gzip(&ext4_of("", "1M", &[])), "it is packed"),
    ] {
        let error = name(bytes).expect_err(why);
        assert!(error.to_string().contains(why), "{error}");
    }
    let stream = sim.imgbase().name_of_image(&ImageSource::Stdin.into(), &mut Unwatched);
    assert_eq!(stream.expect_err("it is one").kind(), ErrorKind::Invalid);
}

#[test]
fn an_archive_and_what_has_to_be_mounted_say_their_names_too() {
    let mut sim = with_base();
    let blank = [0; 1 << 16];
    let (squashfs, medium) = (b"hsqs".to_vec(), [&[0; 32769][..], b"CD001"].concat());
    let xfs = include_bytes!("../data/xfs/superblock.bin").to_vec();
    sim.mounts.inside =
        vec![("", Measure::default()), ("/LiveOS/squashfs.img", Measure::default())];
    let name = |bytes: Vec<u8>, digest: Option<&str>| {
        let mut image: ImageRequest = ImageSource::Path(sim.put_bytes("image", bytes)).into();
        image.digest = digest.map(|digest| digest.parse().expect("a digest"));
        sim.imgbase().name_of_image(&image, &mut Unwatched)
    };
    for head in [squashfs, medium, xfs] {
        assert_eq!(name([&head[..], &blank].concat(), None).expect("it says it"), "Held-1-0");
    }
    let place = "usr/share/imgbase/build/meta/nvr";
    let archive = tar_of(&[("etc/x", b"x"), (place, b"Node-2-1\n")], &[]);
    assert_eq!(name(archive.clone(), None).expect("it says it"), "Node-2-1");
    assert_eq!(name(gzip(&archive), None).expect("it says it"), "Node-2-1");
    // Nobody's word is taken before it is looked at whose it is.
    let other = format!("sha256:{}", "0".repeat(64));
    assert_eq!(name(archive, Some(&other)).expect_err("another").kind(), ErrorKind::Corrupt);
    for archive in
        [tar_of(&[("etc/x", b"x")], &[]), tar_of(&[("etc/x", b"Node-2-1")], &[(place, "etc/x")])]
    {
        let error = name(archive, None).expect_err("it says none");
        assert!(error.to_string().contains("does not say its name"), "{error}");
    }
}

/// Does something at a step.
struct At<'a>(&'a str, &'a dyn Fn());

impl Watch for At<'_> {
    fn step(&mut self, step: &str) {
        if step == self.0 {
            (self.1)();
        }
    }
}

#[test]
fn an_archive_that_is_read_twice_is_the_same_both_times() {
    use sha2::{Digest, Sha256};
    // More than what is looked at of an image before all else.
    const SIZE: usize = 256 << 10;
    let sim = SimMachine::with_disks(2);
    sim.init();
    let archive = |size: usize| tar_of(&[("etc/x", &vec![7; size])], &[]);
    let path = sim.put_bytes("image", archive(SIZE));
    let digits: String =
        Sha256::digest(archive(SIZE)).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut image = ImageRequest::from(ImageSource::Path(path.clone()));
    image.digest = Some(format!("sha256:{digits}").parse().expect("a digest"));
    let request = AddBase { nvr: BASE.parse().expect("a name"), image, size: None, share: true };
    // Another file gets its name meanwhile: it is none of the image's.
    let renamed = || drop(sim.put_bytes("image", archive(2 * SIZE)));
    let added = sim.imgbase().add_base(&request, &mut At("read the archive", &renamed));
    assert_eq!(added.expect("the one that was opened").written_bytes, SIZE as u64);
    // The file itself becomes another one: that is found, and nothing stays.
    sim.put_bytes("image", archive(SIZE));
    let rewritten = || {
        let images = sim.disks.images.lock().expect("not poisoned");
        images[&path].write_at(b"changed", Bytes::new(SIZE as u64 / 2)).expect("it fits");
    };
    let request = AddBase { nvr: "Base-1-1".parse().expect("a name"), ..request };
    for step in ["read the archive", "copy the files"] {
        sim.put_bytes("image", archive(SIZE));
        let error = sim.imgbase().add_base(&request, &mut At(step, &rewritten));
        assert_eq!(error.expect_err("not what was looked at").kind(), ErrorKind::Corrupt, "{step}");
        let layout = sim.imgbase().layout().expect("it can be read");
        assert_eq!((layout.bases.len(), layout.pending.len()), (1, 0), "{step}");
    }
}

#[test]
fn a_handle_sees_what_others_change_between_its_calls() {
    let sim = with_base();
    let held = sim.imgbase().in_vg("HostVG".parse().expect("a name"));
    let mine = held.add_layer(None, &mut Unwatched).expect("a layer");
    assert_eq!(held.layout().expect("readable").bases[0].layers.len(), 1);
    let theirs = add_layer(&sim).expect("another handle's layer");
    assert_eq!(theirs.origin.to_string(), mine.nvr.to_string());
    let last = held.add_layer(None, &mut Unwatched).expect("a third");
    assert_eq!(last.origin.to_string(), theirs.nvr.to_string());
    held.remove_layer(&mine.nvr, &mut Unwatched).expect("is removed");
    assert_eq!(sim.imgbase().layout().expect("readable").bases[0].layers.len(), 2);
    let (text, pool) = ids(&sim);
    assert_eq!(text, pool);
}

#[test]
fn the_main_job_leaves_what_it_says() {
    let sim = with_base();
    let first = add_layer(&sim).expect("a layer");
    let second = add_layer(&sim).expect("another");
    assert_eq!(first.nvr.to_string(), "Base-1-0+1");
    assert_eq!(second.origin.to_string(), "Base-1-0+1");
    assert_ne!(first.fs_uuid, second.fs_uuid);

    let layout = sim.imgbase().layout().expect("it can be read");
    assert_eq!(layout.bases.len(), 1);
    let base = &layout.bases[0];
    assert!(base.read_only && !base.active);
    assert!(base.layers.iter().all(|layer| layer.active));
    assert!(layout.pending.is_empty() && layout.orphans.is_empty());
    assert_eq!(layout.pool.transaction_id, 3);
    assert_eq!(ids(&sim), (vec![1, 2, 3], vec![1, 2, 3]));

    let removed = sim.imgbase().remove_base(&BASE.parse().expect("a name"), &mut Unwatched);
    assert_eq!(removed.expect("all go").removed.len(), 3);
    assert_eq!(ids(&sim), (vec![], vec![]));
    nothing_is_suspended(&sim);
}

/// The names of devices that are thin pools.
fn pools(sim: &SimMachine) -> Vec<String> {
    let devices = sim.kernel.list("").expect("lists");
    let pools = devices.iter().filter(|device| device.uuid.ends_with("-tpool"));
    pools.map(|device| device.name.as_str().to_owned()).collect()
}

/// Notes at each step which pools there are.
struct PoolsAt<'s>(&'s SimMachine, Vec<(String, Vec<String>)>);

impl Watch for PoolsAt<'_> {
    fn step(&mut self, step: &str) {
        self.1.push((step.to_owned(), pools(self.0)));
    }
}

/// lvm2 looks for a pool that has volumes under the name with `-tpool`, and fails where its device
/// has the other.
#[test]
fn the_first_volume_gives_the_pools_device_its_other_name() {
    let sim = SimMachine::with_disks(2);
    sim.init();
    let mut seen = PoolsAt(&sim, Vec::new());
    let image = ImageSource::Path(sim.put_image(BASE));
    let request = AddBase {
        nvr: BASE.parse().expect("a name"),
        image: image.into(),
        size: None,
        share: true,
    };
    sim.imgbase().add_base(&request, &mut seen).expect("the base is made");
    let at = |step: &str| seen.1.iter().find(|(name, _)| name == step).map(|(_, pools)| &**pools);
    assert_eq!(at("make the volume"), Some(&["HostVG-ImagePool".to_owned()][..]));
    assert_eq!(at("copy the image"), Some(&["HostVG-ImagePool-tpool".to_owned()][..]));
    assert_eq!(pools(&sim), [""; 0], "it goes with its last volume");
}

#[test]
fn what_an_image_was_stays_with_its_base() {
    let sim = SimMachine::with_disks(2);
    sim.init();
    let blank = sim.bytes();
    let mut image = ImageRequest::from(ImageSource::Path(sim.put_image(BASE)));
    image.digest = Some(format!("sha256:{:064}", 0).parse().expect("a digest"));
    let mut request =
        AddBase { nvr: BASE.parse().expect("a name"), image, size: None, share: true };
    let error = sim.imgbase().add_base(&request, &mut Unwatched).expect_err("it is another");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(sim.bytes() == blank, "nothing was changed");
    // The error tells what it is.
    let told = error.to_string();
    let digest: String =
        told.split("its digest is ").skip(1).flat_map(|rest| rest.chars().take(71)).collect();
    request.image.digest = Some(digest.parse().expect("a digest"));
    sim.imgbase().add_base(&request, &mut Unwatched).expect("it is that");
    sim.add_base("Base-1-1").expect("nothing was said of that one");
    let layout = sim.imgbase().layout().expect("it can be read");
    let digests: Vec<_> =
        layout.bases.iter().map(|base| base.digest.map(|d| d.to_string())).collect();
    assert_eq!(digests, [Some(digest), None]);
}

#[test]
fn an_image_with_another_signature_leaves_nothing() {
    use imgbase::image::{Signed, public_key};
    let sim = SimMachine::with_disks(2);
    sim.init();
    let blank = sim.bytes();
    let mut image = ImageRequest::from(ImageSource::Path(sim.put_image(BASE)));
    let key = public_key(include_str!("../data/minisign/key.pub")).expect("a key");
    let text = include_str!("../data/minisign/test.minisig");
    image.signed = Some(Signed::new(vec![key], text).expect("of something else"));
    let nvr = BASE.parse().expect("a name");
    let mut request = AddBase { nvr, image, size: None, share: true };
    let error = sim.imgbase().add_base(&request, &mut Unwatched).expect_err("not signed so");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(sim.bytes() == blank, "nothing was changed");
    // Of a stream it shows at the end.
    let packed = gzip(&crate::support::ext4("16M"));
    request.image.source = ImageSource::Path(sim.put_bytes("packed", packed));
    let error = sim.imgbase().add_base(&request, &mut Unwatched).expect_err("the same");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let layout = sim.imgbase().layout().expect("it can be read");
    assert_eq!((layout.bases.len(), layout.pending.len()), (0, 0));
}

#[test]
fn a_live_system_is_found_in_a_squashfs_and_on_a_medium() {
    let of = |mib| Measure { data: Bytes::mib(mib), ..Measure::default() };
    let squashfs = b"hsqs".to_vec();
    let medium = [&[0; 32769][..], b"CD001"].concat();
    let live = [("", of(20)), ("/LiveOS/squashfs.img", of(30))];
    let debian = [("", of(20)), ("/live/filesystem.squashfs", of(30))];
    for (head, inside, holds) in [
        (&squashfs, &live[..1], Some(20)),
        (&squashfs, &live, Some(30)),
        (&squashfs, &debian, Some(30)),
        (&medium, &live, Some(30)),
        (&medium, &live[..1], None),
    ] {
        let mut sim = SimMachine::with_disks(2);
        sim.init();
        sim.mounts.inside = inside.to_vec();
        let image = [&head[..], &[0; 1 << 16]].concat();
        let image = ImageSource::Path(sim.put_bytes("live", image)).into();
        let nvr = BASE.parse().expect("a name");
        let request = AddBase { nvr, image, size: None, share: true };
        match (sim.imgbase().add_base(&request, &mut Unwatched), holds) {
            (Ok(added), Some(mib)) => assert_eq!(added.written_bytes, Bytes::mib(mib).get()),
            (Err(error), None) => {
                assert!(error.to_string().contains("/LiveOS/squashfs.img"), "{error}");
            }
            (other, _) => panic!("{inside:?}: {other:?}"),
        }
    }
}

#[test]
fn a_layer_holds_its_base_under_another_uuid() {
    let sim = with_base();
    let added = add_layer(&sim).expect("a layer");
    let device = sim.kernel.open(&"HostVG-Base--1--0+1".parse().expect("a name")).expect("active");
    let FileSystem::Ext4(superblock) = FileSystem::read(device.as_ref()).expect("an ext4") else {
        panic!("it was an ext4");
    };
    assert_eq!(Some(superblock.uuid().to_string()), added.fs_uuid);
    assert!(superblock.is_clean());
    let mut bytes = vec![0; 16 << 20];
    device.read_at(&mut bytes, imgbase::units::Bytes::ZERO).expect("reads");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &bytes).expect("writes");
    let check = std::process::Command::new("e2fsck").arg("-fn").arg(file.path()).output();
    let check = check.expect("e2fsck is installed");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}

#[test]
fn several_layers_are_made_in_one_transaction() {
    let sim = with_base();
    let first = add_layer(&sim).expect("a layer");
    sim.imgbase().deactivate(&[]).expect("nothing is in use");
    let before = sim.bytes();
    let dry = DryRun::over(sim.machine()).expect("looks");
    Imgbase::new(dry.machine()).add_layers(None, 3, &mut Unwatched).expect("it would work");
    assert!(sim.bytes() == before && !dry.lines().is_empty());
    let none = sim.imgbase().add_layers(None, 0, &mut Unwatched).expect_err("none is wanted");
    assert_eq!(none.kind(), ErrorKind::Invalid);
    let many = sim.imgbase().add_layers(None, u32::MAX, &mut Unwatched).expect_err("too many");
    assert!(many.kind() == ErrorKind::Invalid && many.to_string().contains("100"), "{many}");
    assert!(sim.bytes() == before);

    let added = sim.imgbase().add_layers(None, 40, &mut Unwatched).expect("they are made");
    let wanted = (2..42).map(|index| format!("{BASE}+{index}"));
    assert!(added.iter().map(|added| added.nvr.to_string()).eq(wanted));
    let uuids: std::collections::BTreeSet<_> = added.iter().map(|added| &added.fs_uuid).collect();
    assert_eq!(uuids.len(), 40, "each has its own");
    // Two commits, whatever their number.
    assert!(added.iter().all(|added| added.vg_seqno == first.vg_seqno + 2));
    let all: Vec<u32> = (1..43).collect();
    assert_eq!(ids(&sim), (all.clone(), all));
    let active = sim.imgbase().layout().expect("readable");
    // The first was taken down above.
    assert!(active.bases[0].layers.iter().skip(1).all(|layer| layer.active));
    nothing_is_suspended(&sim);
}

#[test]
fn a_reset_holds_what_its_base_does() {
    let sim = with_base();
    let first = add_layer(&sim).expect("a layer").nvr;
    let open = |name: &str| sim.kernel.open(&name.parse().expect("a name")).expect("active");
    let place = Bytes::mib(8);
    open("HostVG-Base--1--0+1").write_at(b"the layer's own", place).expect("writable");
    sim.imgbase().deactivate(&[]).expect("nothing is in use");
    let before = sim.bytes();
    let dry = DryRun::over(sim.machine()).expect("looks");
    Imgbase::new(dry.machine()).reset_layer(&first, &mut Unwatched).expect("it would work");
    assert!(sim.bytes() == before && !dry.lines().is_empty());
    let reset = sim.imgbase().reset_layer(&first, &mut Unwatched).expect("a layer");
    assert_eq!(reset.nvr.to_string(), "Base-1-0+2");
    sim.imgbase().activate(&[]).expect("both come up");
    let bytes = |name: &str| {
        let mut bytes = [0; 15];
        open(name).read_at(&mut bytes, place).expect("readable");
        bytes
    };
    assert_eq!(&bytes("HostVG-Base--1--0+1"), b"the layer's own");
    assert_eq!(bytes("HostVG-Base--1--0+2"), [0; 15]);
    assert_eq!(ids(&sim), (vec![1, 2, 3], vec![1, 2, 3]));
}

#[test]
fn a_dry_run_says_it_all_and_changes_nothing() {
    let sim = SimMachine::with_disks(2);
    let blank = sim.bytes();
    {
        let dry = DryRun::over(sim.machine()).expect("looks");
        let imgbase = Imgbase::new(dry.machine());
        imgbase.init(&sim.layout(), &mut Unwatched).expect("it would work");
        assert!(dry.lines().iter().any(|line| line.starts_with("write 512 bytes at byte 4096")));
        let image = sim.put_image("image");
        let base = Some((BASE.parse().expect("a name"), ImageSource::Path(image).into()));
        let dry = DryRun::over(sim.machine()).expect("looks");
        let imgbase = Imgbase::new(dry.machine());
        let init = Init { base, config_size: Bytes::mib(16), ..sim.layout() };
        imgbase.init(&init, &mut Unwatched).expect("it would work");
    }
    assert!(sim.bytes() == blank, "the dry run of --init wrote to a disk");
    sim.init();
    sim.add_base(BASE).expect("the base is made");
    let (before, devices) = (sim.bytes(), sim.kernel.list("").expect("lists"));
    let dry = DryRun::over(sim.machine()).expect("looks");
    let planned = Imgbase::new(dry.machine()).add_layer(None, &mut Unwatched).expect("works");
    assert!(sim.bytes() == before, "the dry run of layer --add wrote to a disk");
    assert_eq!(sim.kernel.list("").expect("lists"), devices);
    let lines = dry.lines();
    let place = |text: &str| lines.iter().position(|line| line.contains(text));
    let (snap, id) = (place("create_snap 2 1"), place("set_transaction_id 1 2"));
    assert!(snap.is_some() && snap < id, "{lines:#?}");

    let real = add_layer(&sim).expect("the same, for real");
    assert_eq!((planned.nvr, planned.vg_seqno), (real.nvr, real.vg_seqno));
}

#[test]
fn a_failing_kernel_leaves_before_or_after_and_nothing_suspended() {
    [true, false].into_iter().for_each(each_call_fails_once);
}

/// Whatever is done meanwhile: in order, the fault hits each call; else whichever comes then.
fn each_call_fails_once(in_order: bool) {
    let mut failures = 0;
    for nth in 0.. {
        let sim = SimMachine { in_order, ..with_base() };
        add_layer(&sim).expect("an active origin");
        sim.kernel.fail_at(nth, ErrorKind::Io, false);
        let result = add_layer(&sim);
        sim.kernel.heal();
        nothing_is_suspended(&sim);
        let layout = sim.imgbase().layout().expect("it can be read");
        let layers = layout.bases[0].layers.len();
        match &result {
            Ok(_) => assert_eq!(layers, 2),
            Err(error) if error.kind() == ErrorKind::NeedsRecovery => {}
            Err(_) => {
                assert_eq!(layers, 1, "{result:?}");
                assert!(layout.pending.is_empty(), "{result:?}");
            }
        }
        let next = add_layer(&sim).unwrap_or_else(|error| panic!("call {nth}: {error}"));
        assert!(next.nvr.index() >= 2);
        if result.is_ok() && sim.kernel.calls().len() > nth {
            break;
        }
        failures += 1;
        assert!(failures < 200, "the fault is never passed");
    }
    assert!(failures >= 8, "only {failures} calls could fail");
}

#[test]
fn the_text_before_a_change_is_archived_once_or_nothing_is_changed() {
    for (in_order, others) in [(true, 0), (false, 0), (true, 100), (false, 100)] {
        texts_are_kept(in_order, others);
    }
}

/// The text before is in the archive, the one in force is the backup, whoever writes them.
fn texts_are_kept(in_order: bool, others: u32) {
    let mut sim = SimMachine { in_order, ..with_base() };
    let base: ImageName = BASE.parse().expect("a name");
    if others > 0 {
        sim.imgbase().add_layers(Some(&base), others, &mut Unwatched).expect("they are made");
    }
    let seqno = |sim: &SimMachine| sim.imgbase().layout().expect("readable").vg_seqno;
    let in_place = |sim: &SimMachine| {
        let backups = sim.lvm2.backups.lock().expect("not poisoned");
        let put = backups.iter().rev().find(|(_, is_put)| *is_put).expect("there is one");
        put.0.lines().find_map(|line| line.trim().strip_prefix("seqno = ")?.parse::<u64>().ok())
    };
    let before = seqno(&sim);
    sim.lvm2.archived.lock().expect("not poisoned").clear();
    let added = sim.imgbase().add_layer(Some(&base), &mut Unwatched).expect("a layer");
    assert_eq!(in_place(&sim), Some(added.vg_seqno));
    sim.imgbase().remove_layer(&added.nvr, &mut Unwatched).expect("is removed");
    let archived = sim.lvm2.archived.lock().expect("not poisoned").clone();
    assert_eq!(archived, [before, added.vg_seqno]);

    sim.lvm2.archive_is_full = true;
    let error = add_layer(&sim).expect_err("there is no room to keep the old text");
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert_eq!(in_place(&sim), Some(seqno(&sim)));
    let refused = sim.add_base("Other-1-0").expect_err("nor here");
    assert_eq!(refused.kind(), ErrorKind::Io, "{refused}");
    let layout = sim.imgbase().layout().expect("readable");
    let layers: Vec<usize> = layout.bases.iter().map(|base| base.layers.len()).collect();
    assert_eq!(layers, [others as usize], "{layout:?}");
    assert!(layout.pending.is_empty(), "{layout:?}");
    nothing_is_suspended(&sim);
    sim.lvm2.archive_is_full = false;
    add_layer(&sim).expect("there is room again");
    let all: Vec<u32> = (1..=others + 2).collect();
    assert_eq!(ids(&sim), (all.clone(), all));
}

#[test]
fn a_pool_grows_while_it_is_in_use() {
    let sim = with_base();
    add_layer(&sim).expect("a layer");
    let name = "HostVG-Base--1--0+1".parse().expect("a name");
    let layer = sim.kernel.open(&name).expect("it is active");
    let pool = |sim: &SimMachine| sim.imgbase().layout().expect("readable").pool;
    let before = pool(&sim);
    let grown = sim.imgbase().grow_pool(Bytes::mib(18), &mut Unwatched).expect("there is room");
    let after = pool(&sim);
    assert_eq!(after.data_bytes, before.data_bytes + Bytes::mib(20).get(), "whole extents");
    assert_eq!((grown.data_bytes, after.metadata_bytes), (after.data_bytes, before.metadata_bytes));
    assert_eq!(after.transaction_id, before.transaction_id);
    // The kernel has it too, and the layer still works.
    let tpool = "HostVG-ImagePool-tpool".parse().expect("a name");
    let table = sim.kernel.table(&tpool).expect("it is active");
    assert_eq!(table.len().bytes().get(), after.data_bytes);
    layer.write_at(&[7; 4096], Bytes::mib(8)).expect("it is there");
    nothing_is_suspended(&sim);

    let bytes = sim.bytes();
    let error = sim.imgbase().grow_pool(Bytes::gib(9), &mut Unwatched).expect_err("too much");
    assert!(matches!(error.kind(), ErrorKind::NoSpace { .. }), "{error}");
    let zero = sim.imgbase().grow_pool(Bytes::ZERO, &mut Unwatched).expect_err("nothing");
    assert_eq!(zero.kind(), ErrorKind::Invalid);
    assert!(sim.bytes() == bytes, "a refusal wrote");
}

/// What is said to make room does.
#[test]
fn a_pool_without_room_says_what_makes_some() {
    let sim = SimMachine::with_disks(1);
    let mut request = sim.layout();
    request.size = Some(Bytes::mib(20));
    sim.imgbase().init(&request, &mut Unwatched).expect("the layout is made");
    let image = crate::support::ext4("16M");
    let add = |nvr: &str| {
        let path = sim.put_bytes(nvr, image.clone());
        let (nvr, image) = (nvr.parse().expect("a name"), ImageSource::Path(path).into());
        let request = AddBase { nvr, image, size: None, share: false };
        sim.imgbase().add_base(&request, &mut Unwatched)
    };
    add(BASE).expect("there is room");
    let error = (2..99).find_map(|n| add(&format!("Base-{n}-0")).err()).expect("it gets full");
    let said = error.to_string();
    let ErrorKind::NoSpace { need, have } = error.kind() else { panic!("{said}") };
    assert!(need > have, "{said}");
    let ways = "make room by 'imgbase base --remove Base-1-0' or 'imgbase layout --grow ";
    assert!(said.contains(ways), "{said}");
    let grow = said.rsplit(' ').next().and_then(|way| way.strip_suffix("M'"));
    let grow = grow.and_then(|mib| mib.parse().ok()).expect("a size in MiB");
    // A pinned base is not offered, nor is more than the group has.
    sim.imgbase().pin_base(&BASE.parse().expect("a name"), true).expect("pinned");
    let said = add("Base-99-0").expect_err("it is full").to_string();
    assert!(said.contains("base --remove Base-2-0"), "{said}");
    sim.imgbase().grow_pool(Bytes::mib(grow), &mut Unwatched).expect("the group has it");
    add("Base-99-0").expect("there is room now");
}

/// In a group that has room a pool's metadata grows to the default with its data.
#[test]
fn a_pools_small_metadata_grows_with_it() {
    let sim = SimMachine::with_disks(2);
    let mut request = sim.layout();
    request.size = Some(Bytes::mib(100));
    sim.imgbase().init(&request, &mut Unwatched).expect("the layout is made");
    let grown = sim.imgbase().grow_pool(Bytes::mib(4), &mut Unwatched).expect("there is room");
    assert_eq!(grown.metadata_bytes, Bytes::mib(64).get());
    assert_eq!(grown.data_bytes, Bytes::mib(104).get());
    sim.add_base(BASE).expect("the pool works");
    nothing_is_suspended(&sim);
}

#[test]
fn a_pool_is_grown_when_it_reaches_the_threshold_and_while_there_is_room() {
    let sim = SimMachine::with_small_disks(2);
    sim.init();
    sim.add_base_of(BASE, sim.put_bytes("small", crate::support::small_ext4())).expect("a base");
    let size = || sim.imgbase().layout().expect("readable").pool.data_bytes;
    let look = |threshold| {
        let policy = WatchPolicy { threshold, once: true, ..WatchPolicy::default() };
        sim.imgbase().watch_pool(&policy, &mut Unwatched)
    };
    let (before, bytes) = (size(), sim.bytes());
    look(99).expect("it is not full");
    assert!(sim.bytes() == bytes, "nothing was due");
    add_layer(&sim).expect("a layer");
    let layer = sim.kernel.open(&"HostVG-Base--1--0+1".parse().expect("a name")).expect("active");
    layer.write_at(&[1; 256 << 10], Bytes::kib(128)).expect("there is room");
    look(1).expect("it is that full");
    let grown = size();
    assert!(grown > before && grown - before <= before / 5 + (4 << 20), "{before} {grown}");
    // The last of what the group has, then no more.
    let error = (0..20).find_map(|_| look(1).err()).expect("the group is used up");
    assert!(matches!(error.kind(), ErrorKind::NoSpace { .. }), "{error}");
    assert!(error.to_string().contains("HostVG"), "{error}");
    nothing_is_suspended(&sim);
    add_layer(&sim).expect("the pool works");
}

#[test]
fn bad_requests_change_nothing() {
    let sim = with_base();
    let before = sim.bytes();
    let twice = sim.add_base(BASE).expect_err("the name is taken");
    assert_eq!(twice.kind(), ErrorKind::Exists);
    let on: ImageName = "Other-1-0".parse().expect("a name");
    let error = sim.imgbase().add_layer(Some(&on), &mut Unwatched).expect_err("no such base");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = sim.imgbase().init(&sim.layout(), &mut Unwatched).expect_err("not blank");
    assert_eq!(error.kind(), ErrorKind::Exists);
    assert!(sim.bytes() == before);
}

#[test]
fn nothing_is_mounted_over_another_mount_or_on_a_file() {
    let mut sim = with_base();
    let layer = ImageName::Layer(add_layer(&sim).expect("a layer").nvr);
    let temp = tempfile::tempdir().expect("a folder");
    let dir = temp.path().canonicalize().expect("it is there");
    let file = dir.join("file");
    std::fs::write(&file, "").expect("a file");
    let error = sim.imgbase().mount(&layer, &file, false).expect_err("it is a file");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(sim.imgbase().mount(&layer, &dir, false).expect("the folder is free").changed);
    let number = DevNo { major: 0, minor: 99 };
    let (fs_type, options) = ("tmpfs".to_owned(), Vec::new());
    sim.mounts.there.push(MountEntry { number, dir: dir.clone(), fs_type, options });
    let error = sim.imgbase().mount(&layer, &dir, false).expect_err("it is taken");
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains(&dir.display().to_string()), "{error}");
}

#[test]
fn no_device_is_made_while_two_disks_are_one() {
    let mut sim = with_base();
    add_layer(&sim).expect("a layer");
    sim.imgbase().deactivate(&[]).expect("nothing is in use");
    sim.copy_first_disk();
    let error = sim.imgbase().activate(&[]).expect_err("which disk is meant?");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let text = error.to_string();
    assert!(text.contains("/dev/sim0") && text.contains("/dev/simcopy"), "{text}");
    assert!(sim.kernel.list("").expect("lists").is_empty());
}

#[test]
fn a_base_that_fails_half_way_is_undone_also_where_the_pool_goes_with_it() {
    let mut sim = with_base();
    add_layer(&sim).expect("a layer");
    sim.imgbase().deactivate(&[]).expect("nothing is in use");
    assert!(sim.kernel.list("").expect("lists").is_empty());
    // To grow, the file system is mounted after the copy.
    (sim.mounts.refuse_once, sim.base_size) = (true, Some(Bytes::mib(32)));
    let error = sim.add_base("Other-1-0").expect_err("it cannot be mounted");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let layout = sim.imgbase().layout().expect("it can be read");
    assert!(layout.bases.len() == 1 && layout.pending.is_empty(), "{layout:?}");
    assert!(sim.kernel.list("").expect("lists").is_empty());
    sim.mounts.refuse_once = false;
    sim.add_base("Other-1-0").expect("the base is made");
}

/// Which disks a call opens, each once.
fn opened(sim: &SimMachine, call: impl FnOnce()) -> Vec<PathBuf> {
    sim.disks.opened.lock().expect("not poisoned").clear();
    call();
    let mut opened = sim.disks.opened.lock().expect("not poisoned").clone();
    opened.sort();
    opened.dedup();
    opened
}

#[test]
fn a_named_group_is_looked_for_where_its_pool_lies() {
    let sim = SimMachine::with_disks(3);
    let mut request = sim.layout();
    request.devices.pop();
    sim.imgbase().init(&request, &mut Unwatched).expect("made on two disks");
    let all = sim.disks.candidates().expect("lists");
    let named = || sim.imgbase().in_vg("HostVG".parse().expect("a name"));
    let look = || drop(named().layout().expect("it is found"));
    assert_eq!(opened(&sim, look), all, "the kernel knows nothing");

    // The pool lies on one of the two; the text names the other.
    *sim.disks.under.lock().expect("not poisoned") = all[..1].to_vec();
    assert_eq!(opened(&sim, look), all[..2]);
    let unnamed = || drop(sim.imgbase().layout().expect("it is found"));
    assert_eq!(opened(&sim, unnamed), all, "only all disks tell which group has the tag");
    let check = || drop(named().check(&mut Unwatched).expect("it is checked"));
    assert_eq!(opened(&sim, check), all, "a check is to see whatever there is");

    // A hint that is wrong costs a look everywhere, nothing else.
    *sim.disks.under.lock().expect("not poisoned") = all[2..].to_vec();
    assert_eq!(opened(&sim, look), all);
}

#[test]
fn deactivating_all_takes_a_pool_without_images_too() {
    let sim = SimMachine::with_disks(1);
    sim.init();
    assert!(!sim.kernel.list("LVM-").expect("lists").is_empty(), "init leaves the pool active");
    let done = sim.imgbase().deactivate(&[]).expect("nothing uses it");
    assert!(done.changed.is_empty() && done.unchanged.is_empty());
    assert_eq!(sim.kernel.list("LVM-").expect("lists").len(), 0);
}

/// What a base reads as.
fn bytes_of_base(sim: &SimMachine, nvr: &str) -> Vec<u8> {
    let image: ImageName = nvr.parse().expect("a name");
    sim.imgbase().activate(std::slice::from_ref(&image)).expect("it can be activated");
    let name = format!("HostVG-{}", nvr.replace('-', "--")).parse().expect("a name");
    let bytes = crate::support::bytes_of(sim.kernel.open(&name).expect("active").as_ref());
    sim.imgbase().deactivate(&[image]).expect("it can be deactivated");
    bytes
}

#[test]
fn a_second_version_costs_what_differs() {
    let sim = SimMachine::with_disks(2);
    sim.init();
    let text = "what is in it ".repeat(100_000);
    let first = crate::support::ext4_of("", "16M", &[("/one", &text), ("/two", "2")]);
    let second = crate::support::ext4_of("", "16M", &[("/one", &text), ("/two", "another")]);
    let one = sim.add_base_of("Base-1-0", sim.put_bytes("one", first)).expect("a base");
    assert_eq!(one.shares_with, None);
    let of_other = sim.add_base_of("Other-9-0", sim.put_bytes("other", second.clone()));
    assert_eq!(of_other.expect("a base").shares_with, None, "it has another name");
    let two = sim.add_base_of("Base-2-0", sim.put_bytes("two", second.clone())).expect("a base");
    assert_eq!(two.shares_with, Some(BASE.parse().expect("a name")));
    assert!(two.written_bytes < one.written_bytes / 2, "{two:?} {one:?}");
    assert!(bytes_of_base(&sim, "Base-2-0") == bytes_of_base(&sim, "Other-9-0"));

    // The newest of those that are no larger; either can go.
    let large = crate::support::ext4_of("", "24M", &[("/one", &text)]);
    let three = sim.add_base_of("Base-3-0", sim.put_bytes("three", large)).expect("a base");
    assert_eq!(three.shares_with, Some("Base-2-0".parse().expect("a name")));
    let image = ImageSource::Path(sim.put_bytes("four", second.clone())).into();
    let nvr = "Base-4-0".parse().expect("a name");
    let mut request = AddBase { nvr, image, size: None, share: true };
    let four = sim.imgbase().add_base(&request, &mut Unwatched).expect("a base");
    assert_eq!(four.shares_with, Some("Base-2-0".parse().expect("a name")));
    request.nvr = "Base-5-0".parse().expect("a name");
    request.share = false;
    let five = sim.imgbase().add_base(&request, &mut Unwatched).expect("a base");
    assert_eq!(five.shares_with, None);
    for gone in ["Base-1-0", "Base-2-0"] {
        let gone = gone.parse().expect("a name");
        sim.imgbase().remove_base(&gone, &mut Unwatched).expect("nobody needs it");
    }
    assert!(bytes_of_base(&sim, "Base-4-0") == bytes_of_base(&sim, "Other-9-0"));
    assert!(bytes_of_base(&sim, "Base-5-0") == bytes_of_base(&sim, "Other-9-0"));
    let (text, pool) = ids(&sim);
    sim.imgbase().activate(&["Other-9-0".parse().expect("a name")]).expect("the pool too");
    assert_eq!(text, ids(&sim).1, "{pool:?}");
}

#[test]
fn what_fits_only_beside_an_older_base_is_compared_first() {
    let mut sim = SimMachine::with_disks(2);
    sim.base_size = None;
    let mut init = sim.layout();
    init.size = Some(Bytes::mib(12));
    sim.imgbase().init(&init, &mut Unwatched).expect("a layout");
    let noise = |seed: u64| {
        let mut state = seed;
        let mut text = String::new();
        while text.len() < 7 << 20 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text.push_str(&format!("{state:016x}"));
        }
        text
    };
    let (text, other) = (noise(1), noise(2));
    let first = crate::support::ext4_of("", "16M", &[("/one", &text)]);
    let second = crate::support::ext4_of("", "16M", &[("/one", &text), ("/two", "2")]);
    let third = crate::support::ext4_of("", "16M", &[("/one", &other)]);
    sim.add_base_of("Base-1-0", sim.put_bytes("one", first)).expect("a base");
    let before = sim.imgbase().layout().expect("it can be read").vg_seqno;
    let alone = sim.add_base_of("Other-1-0", sim.put_bytes("two", second.clone()));
    assert!(matches!(alone.expect_err("no room").kind(), ErrorKind::NoSpace { .. }));
    assert_eq!(sim.imgbase().layout().expect("it can be read").vg_seqno, before);
    let two = sim.add_base_of("Base-2-0", sim.put_bytes("two", second)).expect("what differs fits");
    assert!(two.written_bytes < 2 << 20, "{two:?}");
    let error =
        sim.add_base_of("Base-3-0", sim.put_bytes("three", third)).expect_err("it does not");
    let ErrorKind::NoSpace { need, have } = error.kind() else { panic!("{error}") };
    assert!(need > have && need > Bytes::mib(7), "{error}");
    let layout = sim.imgbase().layout().expect("it can be read");
    assert_eq!((layout.bases.len(), layout.pending.len()), (2, 0));
    assert_eq!(ids(&sim).0.len(), 2);
}

#[test]
fn old_bases_go_but_for_those_that_are_needed() {
    let mut sim = SimMachine::with_disks(2);
    sim.init();
    for nvr in ["Base-1-0", "Base-2-0", "Base-3-0", "Base-10-0", "Other-1-0"] {
        sim.add_base(nvr).expect("a base");
        let on = nvr.parse().expect("a name");
        sim.imgbase().add_layer(Some(&on), &mut Unwatched).expect("a layer");
    }
    let names = |sim: &SimMachine| -> Vec<String> {
        let layout = sim.imgbase().layout().expect("it can be read");
        layout.bases.iter().map(|base| base.nvr.to_string()).collect()
    };
    let collect = |sim: &SimMachine, keep| {
        let collected = sim.imgbase().collect(keep, false, &mut Unwatched).expect("it works");
        let gone: Vec<String> = collected.removed.iter().map(ToString::to_string).collect();
        (gone, collected.kept)
    };
    let nothing = (Vec::new(), Vec::new());
    assert_eq!(collect(&sim, 4), nothing);
    assert_eq!(collect(&sim, 3).0, ["Base-1-0+1", "Base-1-0"]);
    let two: imgbase::layout::BaseName = "Base-2-0".parse().expect("a name");
    sim.imgbase().pin_base(&two, true).expect("pinned");
    let (gone, kept) = collect(&sim, 1);
    assert_eq!(gone, ["Base-3-0+1", "Base-3-0"]);
    let why = "it is pinned".to_owned();
    assert_eq!(kept, [imgbase::report::KeptBase { nvr: two.clone(), why }]);
    assert_eq!(names(&sim), ["Base-2-0", "Base-10-0", "Other-1-0"]);
    sim.imgbase().pin_base(&two, false).expect("unpinned");
    let name = "HostVG-Base--2--0+1".parse().expect("a name");
    let number = sim.kernel.info(&name).expect("looks").expect("active").number;
    let mounted = |dir: &str| MountEntry {
        number,
        dir: dir.into(),
        fs_type: "ext4".into(),
        options: Vec::new(),
    };
    sim.mounts.there.push(mounted("/"));
    assert_eq!(collect(&sim, 1), nothing, "this host runs from it");
    sim.mounts.there.clear();
    let held = sim.kernel.open(&name).expect("active");
    let (gone, kept) = collect(&sim, 1);
    assert!(gone.is_empty() && kept[0].why.contains("Base-2-0+1: "), "{kept:?}");
    drop(held);
    assert_eq!(collect(&sim, 1).0, ["Base-2-0+1", "Base-2-0"]);
    assert_eq!(names(&sim), ["Base-10-0", "Other-1-0"]);
}
