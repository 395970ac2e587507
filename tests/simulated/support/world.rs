//! A small layout whose every byte is known, to be booted by the thousand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use imgbase::Result;
use imgbase::dev::Dev;
use imgbase::dev::overlay::Overlay;
use imgbase::dm::Kernel;
use imgbase::etc::OnConflict;
use imgbase::layout::{ImageName, VolumePath};
use imgbase::ops::{AddVolume, ImageSource, Unwatched, Update};
use imgbase::units::Bytes;

use super::{Bulk, SimMachine, small_ext4};

/// The base that is there.
pub(crate) const BASE: &str = "Base-1-0";
/// Its layer.
pub(crate) const LAYER: &str = "Base-1-0+1";

/// Disks by name, and their bytes.
pub(crate) type DiskBytes = Vec<(String, Arc<[u8]>)>;

/// Two small disks with a layout, a base, and a layer that has a life of its own.
pub(crate) fn disks() -> &'static DiskBytes {
    static DISKS: OnceLock<DiskBytes> = OnceLock::new();
    DISKS.get_or_init(|| {
        let sim = SimMachine { in_order: true, ..SimMachine::with_small_disks(2) };
        sim.imgbase().init(&sim.layout(), &mut Unwatched).expect("the layout is made");
        add_base(&sim, BASE).expect("the base is made");
        add_layer(&sim, BASE).expect("the layer is made");
        let name = "HostVG-Base--1--0+1".parse().expect("a name");
        let layer = sim.kernel.open(&name).expect("active");
        layer.write_at(&[0x5a; 4096], Bytes::kib(256)).expect("it is writable");
        layer.sync().expect("memory does not fail");
        drop(layer);
        sim.imgbase().deactivate(&[]).expect("nothing is in use");
        disk_bytes(&sim)
    })
}

/// The bytes of a machine's two disks.
pub(crate) fn disk_bytes(sim: &SimMachine) -> DiskBytes {
    let names = (0..2).map(|number| format!("/dev/sim{number}"));
    names.zip(sim.all_bytes()).map(|(name, bytes)| (name, bytes.into())).collect()
}

/// A machine that has just booted on these disks.
pub(crate) fn boot_on(devices: impl IntoIterator<Item = Arc<dyn Dev>>) -> SimMachine {
    SimMachine { in_order: true, ..SimMachine::over(devices) }
}

/// A machine that has just booted on disks as they were made.
pub(crate) fn boot() -> SimMachine {
    boot_on(disks().iter().map(|(name, bytes)| -> Arc<dyn Dev> {
        Arc::new(Overlay::new(name.clone(), Arc::clone(bytes)))
    }))
}

/// An image's name.
pub(crate) fn image(name: &str) -> ImageName {
    name.parse().expect("a name")
}

/// `base --add`.
pub(crate) fn add_base(sim: &SimMachine, nvr: &str) -> Result<()> {
    let path = sim.put_bytes(nvr, small_ext4());
    sim.add_base_of(nvr, path).map(drop)
}

/// `layer --add`.
pub(crate) fn add_layer(sim: &SimMachine, on: &str) -> Result<()> {
    sim.imgbase().add_layer(Some(&image(on)), &mut Unwatched).map(drop)
}

/// `layer --add --count 3`
pub(crate) fn add_layers(sim: &SimMachine, on: &str) -> Result<()> {
    sim.imgbase().add_layers(Some(&image(on)), 3, &mut Unwatched).map(drop)
}

/// `update` with another image, on a machine whose last layer's state comes along.
pub(crate) fn update(sim: &SimMachine, nvr: &str) -> Result<()> {
    sim.imgbase().update(&update_with(sim, nvr, small_ext4()), &mut Unwatched).map(drop)
}

/// An update to a base of that name, which an image of those bytes becomes.
pub(crate) fn update_with(sim: &SimMachine, nvr: &str, image: Vec<u8>) -> Update {
    Update {
        nvr: nvr.parse().expect("a name"),
        image: ImageSource::Path(sim.put_bytes(nvr, image)).into(),
        size: None,
        share: true,
        keep: None,
        on_conflict: OnConflict::Keep,
        force: false,
    }
}

/// The same layout with room for a volume that layers share.
pub(crate) fn disks_with_room() -> &'static DiskBytes {
    static DISKS: OnceLock<DiskBytes> = OnceLock::new();
    DISKS.get_or_init(|| after(make_room))
}

/// The same with that volume.
pub(crate) fn disks_with_a_volume() -> &'static DiskBytes {
    static DISKS: OnceLock<DiskBytes> = OnceLock::new();
    DISKS.get_or_init(|| after(|sim| make_room(sim).and_then(|()| add_volume(sim))))
}

fn make_room(sim: &SimMachine) -> Result<()> {
    sim.imgbase().grow_pool(Bytes::mib(8), &mut Unwatched).map(drop)
}

/// The same layout with a newer base and a layer of that.
pub(crate) fn disks_with_two_bases() -> &'static DiskBytes {
    static DISKS: OnceLock<DiskBytes> = OnceLock::new();
    DISKS.get_or_init(|| {
        after(|sim| add_base(sim, "Base-2-0").and_then(|()| add_layer(sim, "Base-2-0")))
    })
}

/// What the disks hold once that was done.
fn after(run: fn(&SimMachine) -> Result<()>) -> DiskBytes {
    let sim = boot();
    run(&sim).expect("it is done");
    sim.imgbase().deactivate(&[]).expect("nothing is in use");
    disk_bytes(&sim)
}

/// Where layers share a volume.
pub(crate) fn shared() -> VolumePath {
    "/var/log".parse().expect("a path")
}

/// `volume --create`, of a layer whose fstab names nothing.
pub(crate) fn add_volume(sim: &SimMachine) -> Result<()> {
    sim.mounts.files.lock().expect("not poisoned").insert("/etc/fstab".into(), Vec::new());
    let request = AddVolume { path: shared(), size: Bytes::mib(16), layer: None };
    sim.imgbase().add_volume(&request, &mut Unwatched).map(drop)
}

/// Bases, layers and volumes, as far as the metadata tells.
pub(crate) fn names(sim: &SimMachine) -> BTreeSet<String> {
    let layout = sim.imgbase().layout().expect("it can be read");
    let mut names = BTreeSet::new();
    for base in &layout.bases {
        names.insert(base.nvr.to_string());
        names.extend(base.layers.iter().map(|layer| layer.nvr.to_string()));
    }
    names.extend(layout.volumes.iter().map(|volume| volume.name.to_string()));
    names
}

/// Bases, layers and volumes, and every byte that they hold.
pub(crate) type Content = BTreeMap<String, Bulk>;

/// Activates all of them and reads them.
pub(crate) fn content(sim: &SimMachine) -> Content {
    let names = names(sim);
    let images: Vec<ImageName> = names.iter().filter_map(|name| name.parse().ok()).collect();
    if !images.is_empty() {
        sim.imgbase().activate(&images).expect("they can be activated");
    }
    if images.len() < names.len() {
        sim.imgbase().activate(&[]).expect("all can be activated");
    }
    let bytes = |name: &String| {
        let device = format!("HostVG-{}", name.replace('-', "--")).parse().expect("a name");
        Bulk::of(sim.kernel.open(&device).expect("it is active").as_ref())
    };
    names.iter().map(|name| (name.clone(), bytes(name))).collect()
}

/// Nothing is pending or suspended, and the pool has the thin ids that the text has.
pub(crate) fn check_sound(sim: &SimMachine, when: &dyn Fn() -> String) {
    let layout = sim.imgbase().layout().expect("it can be read");
    assert!(layout.pending.is_empty(), "{}: {:?}", when(), layout.pending);
    let mut text: Vec<u32> = Vec::new();
    for base in &layout.bases {
        text.push(base.device_id);
        text.extend(base.layers.iter().map(|layer| layer.device_id));
    }
    text.extend(layout.volumes.iter().map(|volume| volume.device_id));
    text.sort_unstable();
    let devices = sim.kernel.list("").expect("lists");
    assert!(devices.iter().all(|device| !device.suspended && device.live), "{}", when());
    if layout.pool.active {
        let pool = "HostVG-ImagePool-tpool".parse().expect("a name");
        assert_eq!(sim.kernel.thin_ids(&pool).expect("it is active"), text, "{}", when());
    }
}
