//! Volume groups for the tests of this module, built by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::deactivate;
use super::kernel::{DevNo, Kernel};
use super::sim::SimKernel;
use super::tree::{PvNumbers, Stack};
use crate::dev::MemDev;
use crate::lvm2::model::*;
use crate::lvm2::text::Document;
use crate::name::{LvName, LvmId};
use crate::units::{Bytes, Extents, Sectors};

/// The numbers of the golden files' disks.
pub(super) const PV0: DevNo = DevNo { major: 7, minor: 0 };
pub(super) const PV1: DevNo = DevNo { major: 7, minor: 1 };

pub(super) fn lv_name(name: &str) -> LvName {
    name.parse().expect("a name")
}

fn id(text: &str) -> LvmId {
    text.parse().expect("an identifier")
}

fn words(words: &[&str]) -> Vec<Word> {
    words.iter().map(|word| Word::Owned((*word).to_owned())).collect()
}

fn pv(label: &str, pv_id: &str, pe_start: u64) -> Pv {
    Pv {
        label: label.into(),
        id: id(pv_id),
        device: None,
        status: words(&["ALLOCATABLE"]),
        flags: Vec::new(),
        tags: Vec::new(),
        dev_size: Some(Sectors::new(819_200)),
        pe_start: Sectors::new(pe_start),
        pe_count: Extents::new(99),
    }
}

/// A volume of one segment.
pub(super) fn volume(name: &str, lv_id: &str, status: &[&str], segment: (u64, SegmentKind)) -> Lv {
    let (count, kind) = segment;
    let count = Extents::new(count);
    Lv {
        name: lv_name(name),
        id: id(lv_id),
        status: words(status),
        flags: Vec::new(),
        tags: Vec::new(),
        creation_time: None,
        fixed_minor: None,
        segments: vec![Segment { start: Extents::ZERO, count, tags: Vec::new(), kind }],
    }
}

/// One area on one physical volume.
pub(super) fn linear(pv: &str, start: u64, count: u64) -> SegmentKind {
    let area = Area { on: pv.into(), start: Extents::new(start), count: Extents::new(count) };
    SegmentKind::Striped(Striped { stripe_size: Sectors::ZERO, areas: vec![area] })
}

/// A thin segment in `pool-0`.
pub(super) fn thin(device_id: u32, transaction_id: u64, origin: Option<&str>) -> SegmentKind {
    SegmentKind::Thin(Thin {
        pool: lv_name("pool-0"),
        transaction_id,
        device_id,
        origin: origin.map(lv_name),
        external_origin: None,
        merge: None,
    })
}

fn pool(transaction_id: u64) -> SegmentKind {
    SegmentKind::ThinPool(ThinPool {
        metadata: lv_name("pool-0_tmeta"),
        data: lv_name("pool-0_tdata"),
        transaction_id,
        chunk_size: Sectors::new(128),
        discards: Discards::Passdown,
        zero_new_blocks: true,
        crop_metadata: false,
        messages: Vec::new(),
    })
}

/// The golden files' group at transaction id 0 (no volume) to 3 (base, layer1, layer2).
pub(super) fn golden(transaction_id: u64) -> Vg {
    let (seen, hidden) = (["READ", "WRITE", "VISIBLE"], ["READ", "WRITE"]);
    let mut lvs = vec![volume(
        "pool-0",
        "2Raauh-YHfR-vX9k-LBN1-zgwo-AAuQ-11hYtL",
        &seen,
        (25, pool(transaction_id)),
    )];
    let thins = [
        ("base", "RlNy0v-j6mC-c3ez-yreL-WffA-8WxK-sRGiWH", &seen[..], None),
        ("layer1", "aVLhYn-4yoM-pkNl-Zmk3-99cz-BT6X-zm5cV5", &seen[..], Some("base")),
        ("layer2", "jc1ceB-iZ42-PKmd-gbQf-MN7b-yUc1-gv0c6J", &["READ", "VISIBLE"], Some("layer1")),
    ];
    for ((name, lv_id, status, origin), tid) in thins.into_iter().zip(0..transaction_id) {
        let device_id = u32::try_from(tid).expect("small") + 1;
        lvs.push(volume(name, lv_id, status, (256, thin(device_id, tid, origin))));
    }
    for (name, lv_id, count, kind) in [
        ("lvol0_pmspare", "X4Nhq9-k81u-fh4f-mtYa-G5OK-Agj0-3ab841", 1, linear("pv0", 0, 1)),
        ("pool-0_tmeta", "a0KzYY-zpNJ-HwZq-QiEO-1gAd-LO16-SKzybz", 1, linear("pv1", 0, 1)),
        ("pool-0_tdata", "QZ9Ngl-KXH4-9srp-nuYE-Cq1N-QjCU-q67G04", 25, linear("pv0", 1, 25)),
    ] {
        lvs.push(volume(name, lv_id, &hidden, (count, kind)));
    }
    Vg {
        name: "Host-VG".parse().expect("a name"),
        id: id("XyVtmO-GXSw-0RqY-mNCo-J8zo-iXnL-RmdN6a"),
        seqno: 10,
        status: words(&["RESIZEABLE", "READ", "WRITE"]),
        flags: Vec::new(),
        tags: Vec::new(),
        system_id: None,
        lock_type: None,
        extent_size: Sectors::new(8192),
        max_lv: 0,
        max_pv: 0,
        pvs: vec![
            pv("pv0", "ud3kzE-nzvL-geIK-ttb2-7Wf1-xbnU-p8sMlh", 2048),
            pv("pv1", "Dy3wJ8-Ow9n-Zfyy-iPH3-DSBc-CtO6-OeDNYG", 4096),
        ],
        lvs: lvs.into_iter().map(Into::into).collect(),
        text: Document::default(),
    }
}

/// Changes the pool of a [`golden`] group.
pub(super) fn edit_pool(vg: &mut Vg, change: impl FnOnce(&mut ThinPool)) {
    let segment =
        vg.lvs.first_mut().and_then(|lv| Arc::make_mut(lv).segments.first_mut()).expect("a pool");
    match &mut segment.kind {
        SegmentKind::ThinPool(pool) => change(pool),
        _ => panic!("the pool stands first"),
    }
}

/// Changes a volume of a group.
pub(super) fn edit_lv(vg: &mut Vg, name: &str, change: impl FnOnce(&mut Lv)) {
    change(vg.lvs.iter_mut().find(|lv| lv.name == name).map(Arc::make_mut).expect("a volume"));
}

/// The numbers of a [`golden`] group's physical volumes.
pub(super) fn numbers() -> PvNumbers {
    let ids = ["ud3kzE-nzvL-geIK-ttb2-7Wf1-xbnU-p8sMlh", "Dy3wJ8-Ow9n-Zfyy-iPH3-DSBc-CtO6-OeDNYG"];
    ids.into_iter().map(id).zip([PV0, PV1]).collect::<BTreeMap<_, _>>()
}

/// The usual settings over a group.
pub(super) fn stack<'a>(vg: &'a Vg, numbers: &'a PvNumbers) -> Stack<'a> {
    Stack { vg, numbers, autoextend_threshold: 100 }
}

/// A kernel with the disks of a [`golden`] group, all zeros.
pub(super) fn kernel() -> SimKernel {
    let kernel = SimKernel::new();
    kernel.add_disk(PV0, Arc::new(MemDev::zeroed("pv0", Bytes::mib(200))));
    kernel.add_disk(PV1, Arc::new(MemDev::zeroed("pv1", Bytes::mib(16))));
    kernel
}

/// A kernel where the pool of a [`golden`] group has all volumes of transaction id 3, inactive.
pub(super) fn filled_kernel() -> SimKernel {
    let (kernel, numbers) = (kernel(), numbers());
    for id in 0..=3 {
        let vg = golden(id);
        let stack = stack(&vg, &numbers);
        let (pool, _) = stack.open_pool(&kernel, &lv_name("pool-0")).expect("a pool");
        let send = |message: &str| kernel.message(&pool.name, message).expect("obeyed");
        match id {
            0 => continue,
            1 => send("create_thin 1"),
            _ => send(&format!("create_snap {id} {}", id - 1)),
        }
        send(&format!("set_transaction_id {} {id}", id - 1));
    }
    deactivate(&kernel, &golden(3), &[lv_name("pool-0")]).expect("idle");
    kernel.forget_calls();
    kernel
}

/// The names of all devices, sorted.
pub(super) fn names(kernel: &SimKernel) -> Vec<String> {
    let mut names: Vec<_> = kernel.list("").expect("a list").into_iter().map(|i| i.name).collect();
    names.sort();
    names.into_iter().map(|name| name.as_str().to_owned()).collect()
}

/// The calls so far that changed something, as text.
pub(super) fn changes(kernel: &SimKernel) -> Vec<String> {
    let calls = kernel.calls();
    calls.iter().filter(|call| call.changes()).map(ToString::to_string).collect()
}
