use super::*;
use crate::dev::MemDev;
use crate::lvm2::NewVg;
use crate::lvm2::commit::Protocol;
use crate::lvm2::golden;
use crate::lvm2::store::commit_to;
use crate::lvm2::testing::*;
use crate::units::Bytes;
use proptest::prelude::*;

fn texts(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

fn commit(devices: &[Arc<MemDev>], new: NewVg) {
    commit_to(&mut find(devices), new, Protocol::SOUND, &mut |_| Ok(())).expect("works");
}

fn header_bytes(dev: &dyn Dev) -> [u8; 512] {
    let mut bytes = [0; 512];
    dev.read_at(&mut bytes, Bytes::new(FRONT.0)).expect("within");
    bytes
}

/// A device of 400 MiB with lvm2's own bytes at its start; only those can be read.
fn golden_dev(name: &str) -> Arc<Odd> {
    let bytes = golden::bytes(name);
    let range = 1 << 20..u64::MAX;
    Arc::new(Odd {
        dev: MemDev::new("/dev/loop0", bytes),
        size: Bytes::mib(400),
        unreadable: range,
    })
}

#[test]
fn a_physical_volume_of_lvm2_is_read() {
    let found = scan(&listed(&[golden_dev("head-thin.bin.gz")]));
    let group = found.group(&"Host-VG".parse().expect("a name")).expect("there");
    assert_eq!((group.vg.seqno, group.members.len()), (6, 1));
    assert_eq!(group.current.checksum, 0x7fbe_d01b);
    let missing = group.problems.iter().filter(|p| matches!(p, Problem::Missing { .. })).count();
    assert_eq!((missing, group.problems.len()), (1, 1), "{:?}", texts(&group.problems));
    let refused = group.check_writable().expect_err("a volume is missing");
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(
        refused
            .to_string()
            .starts_with("cannot change the volume group: Host-VG: physical volume ")
    );
}

#[test]
fn physical_volumes_of_no_group_are_kept_apart() {
    let found =
        scan(&listed(&[golden_dev("head-pvcreate.bin.gz"), golden_dev("head-pv0mda.bin.gz")]));
    assert_eq!((found.groups.len(), found.unassigned.len(), found.problems.len()), (0, 2, 0));
    let devices = group_on(&[&[FRONT]]);
    format_pv(devices[0].as_ref(), 0, &[FRONT]);
    let found = scan_of(&devices);
    let path = PathBuf::from("/dev/0");
    assert_eq!(found.problems, [Problem::UsedByNone { path }], "the label says it is used");
    assert_eq!(found.group(&vg_name()).expect_err("none").kind(), ErrorKind::NotFound);
}

#[test]
fn devices_that_are_none_of_ours_are_passed_by() {
    let empty = Arc::new(MemDev::zeroed("/dev/empty", Bytes::ZERO));
    let small = Arc::new(MemDev::new("/dev/small", vec![0xff; 100]));
    let found = scan_of(&[empty, small]);
    assert_eq!((found.groups.len(), found.unassigned.len(), found.problems.len()), (0, 0, 0));
}

/// Fails each read of a range, and says that it has another size.
struct Odd {
    dev: MemDev,
    size: Bytes,
    unreadable: std::ops::Range<u64>,
}

impl Dev for Odd {
    fn name(&self) -> &str {
        self.dev.name()
    }
    fn size(&self) -> Bytes {
        self.size
    }
    fn read_at(&self, buf: &mut [u8], at: Bytes) -> std::io::Result<()> {
        let end = at.get() + u64::try_from(buf.len()).expect("small");
        if at.get() < self.unreadable.end && end > self.unreadable.start {
            return Err(std::io::ErrorKind::Other.into());
        }
        self.dev.read_at(buf, at)
    }
    fn write_at(&self, data: &[u8], at: Bytes) -> std::io::Result<()> {
        self.dev.write_at(data, at)
    }
    fn sync(&self) -> std::io::Result<()> {
        self.dev.sync()
    }
    fn discard(&self, at: Bytes, len: Bytes) -> std::io::Result<()> {
        self.dev.discard(at, len)
    }
}

fn odd(dev: &MemDev, unreadable: std::ops::Range<u64>) -> Odd {
    Odd { dev: MemDev::new(dev.name(), dev.bytes()), size: dev.size(), unreadable }
}

#[test]
fn a_device_that_cannot_be_read_is_told_and_left_out() {
    let devices = group_on(&[&[FRONT], &[FRONT]]);
    let broken = Arc::new(odd(&devices[1], 0..1));
    let mut listed = listed(&devices[..1]);
    listed.push((PathBuf::from("/dev/1"), broken));
    let found = scan(&listed);
    assert!(texts(&found.problems)[0].starts_with("/dev/1: cannot be read"));
    let group = found.group(&vg_name()).expect("there");
    assert!(matches!(group.problems[..], [Problem::Missing { .. }]));
}

#[test]
fn an_area_that_cannot_be_read_may_hold_a_newer_text() {
    let layout: &[(u64, u64)] = &[FRONT, (160 << 10, 8192)];
    let far = Arc::new(MemDev::zeroed("/dev/0", Bytes::new(256 << 10)));
    format_pv(far.as_ref(), 0, layout);
    let near = group_on(&[&[FRONT]]);
    far.write_at(&near[0].bytes()[4096..12288], Bytes::new(4096)).expect("fits");
    let broken: Arc<dyn Dev> = Arc::new(odd(&far, 160 << 10..161 << 10));
    let found = scan(&[(PathBuf::from("/dev/0"), broken)]);
    let group = found.group(&vg_name()).expect("there");
    assert!(matches!(group.problems[..], [Problem::UnreadCopy { .. }]), "{:?}", group.problems);
    assert_eq!(group.check_writable().expect_err("unread").kind(), ErrorKind::Io);
}

#[test]
fn a_damaged_label_makes_a_missing_physical_volume() {
    let devices = group_on(&[&[FRONT], &[FRONT]]);
    damage(devices[1].as_ref(), 600);
    let found = scan_of(&devices);
    assert!(matches!(found.problems[..], [Problem::BadLabel { .. }]));
    assert!(matches!(
        found.group(&vg_name()).expect("there").problems[..],
        [Problem::Missing { .. }]
    ));
}

#[test]
fn the_newest_text_wins_and_the_other_is_behind() {
    let devices = group_on(&[&[FRONT], &[FRONT]]);
    let old = devices[0].bytes();
    commit(&devices, new_vg(2, 2, 50));
    devices[0].write_at(&old, Bytes::ZERO).expect("fits");
    let group = find(&devices);
    assert_eq!((group.vg.seqno, group.members.len()), (2, 2));
    let (path, at) = (PathBuf::from("/dev/0"), Bytes::new(4096));
    assert_eq!(group.problems, [Problem::StaleCopy { path, at, seqno: 1 }]);
    assert_eq!(group.stale().count(), 1);
    group.check_writable().expect("a stale copy is no reason");
}

#[test]
fn two_texts_with_one_seqno_are_refused_only_when_they_are_the_newest() {
    let devices = group_on(&[&[FRONT], &[FRONT]]);
    let start = devices[1].bytes();
    commit(&devices, new_vg(2, 2, 50));
    let one = devices[0].bytes();
    let other = group_on(&[&[FRONT], &[FRONT]]);
    commit(&other, new_vg(2, 2, 60));
    devices[1].write_at(&other[1].bytes(), Bytes::ZERO).expect("fits");
    let group = find(&devices);
    assert!(matches!(group.problems[..], [Problem::DivergedCopy { seqno: 2, .. }]));
    assert_eq!(group.check_writable().expect_err("diverged").kind(), ErrorKind::Diverged);
    assert_eq!(group.writable_copies().count(), 1, "the doubtful one is not written");
    assert_ne!((one, start), (devices[1].bytes(), devices[0].bytes()));
}

#[test]
fn one_physical_volume_on_two_devices_is_refused() {
    let devices = group_on(&[&[FRONT], &[FRONT]]);
    let twin = Arc::new(MemDev::new("/dev/twin", devices[1].bytes()));
    let all = [Arc::clone(&devices[0]), Arc::clone(&devices[1]), twin];
    let group = find(&all);
    assert_eq!(group.members.len(), 2);
    assert!(texts(&group.problems)[0].starts_with("/dev/1 and /dev/twin are both physical volume"));
    assert_eq!(group.check_writable().expect_err("twice").kind(), ErrorKind::Unsupported);
}

#[test]
fn two_groups_of_one_name_are_refused() {
    let devices = group_on(&[&[FRONT]]);
    let text = text(1, 1, 0).replace(&id('v', 0).to_string(), &id('w', 0).to_string());
    let other = Arc::new(MemDev::zeroed("/dev/other", Bytes::new(PV_SIZE)));
    format_pv(other.as_ref(), 7, &[FRONT]);
    let text = text.replace(&id('p', 0).to_string(), &id('p', 7).to_string());
    put_text(&other, &text);
    let found = scan_of(&[Arc::clone(&devices[0]), other]);
    assert_eq!(found.groups.len(), 2);
    assert_eq!(found.group(&vg_name()).expect_err("two").kind(), ErrorKind::Diverged);
    assert!(found.groups.iter().all(|g| matches!(g.problems[..], [Problem::SameName { .. }])));
}

/// Writes a text as the committed one at the start of the ring, whatever it says.
fn put_text(dev: &Arc<MemDev>, text: &str) {
    use crate::lvm2::mda::Mda;
    use crate::lvm2::ring::{Ring, RingText};
    let mda = Mda::empty(locn(FRONT));
    let text = RingText::of(text);
    let placed = Ring::of(&mda).place(&text, 512, None).expect("fits");
    for (at, sectors) in placed.sectors(&text) {
        dev.write_at(sectors, Bytes::new(FRONT.0 + at)).expect("within");
    }
    dev.write_at(&mda.with_committed(placed.slot).encode(), Bytes::new(FRONT.0)).expect("within");
}

#[test]
fn a_text_that_is_not_understood_is_no_older_text() {
    let devices = group_on(&[&[FRONT], &[FRONT]]);
    put_text(&devices[1], "vg {\nid = \"too short\"\nseqno = 2\n}\n");
    let group = find(&devices);
    assert_eq!(group.vg.seqno, 1);
    assert!(matches!(group.problems[..], [Problem::UnknownCopy { .. }]), "{:?}", group.problems);
    assert_eq!(group.check_writable().expect_err("newer?").kind(), ErrorKind::Unsupported);
}

#[test]
fn a_device_that_left_the_group_is_outdated() {
    let devices = group_on(&[&[FRONT], &[FRONT]]);
    put_text(&devices[0], &text(1, 2, 0));
    let group = find(&devices);
    assert_eq!((group.vg.seqno, group.members.len()), (2, 1));
    assert_eq!(group.problems, [Problem::Outdated { path: PathBuf::from("/dev/1") }]);
    group.check_writable().expect("it is simply not looked at");
}

#[test]
fn a_device_that_is_marked_missing_or_shrank_is_refused() {
    let devices = group_on(&[&[FRONT], &[]]);
    let marked =
        text(2, 2, 0).replacen("flags = []\ndev_size", "flags = [\"MISSING\"]\ndev_size", 1);
    put_text(&devices[0], &marked);
    let group = find(&devices);
    assert_eq!(group.problems, [Problem::MarkedMissing { path: PathBuf::from("/dev/0") }]);
    assert_eq!(group.members.len(), 1);
    let devices = group_on(&[&[FRONT]]);
    let shrunk = Arc::new(MemDev::new("/dev/0", devices[0].bytes()[..32 << 10].to_vec()));
    let group = find(&[shrunk]);
    assert!(group.problems.iter().any(|p| matches!(p, Problem::Shrunk { .. })));
}

#[test]
fn areas_in_impossible_places_are_bad() {
    for area in [(512, 8192), (60 << 10, 8192), (u64::MAX - 511, 8192)] {
        let devices = group_on(&[&[FRONT], &[FRONT]]);
        let label = |mdas: &[(u64, u64)]| {
            let mut label = find(&devices).members[1].label.clone();
            label.metadata_areas = mdas.iter().copied().map(locn).collect();
            devices[1].write_at(&label.encode().expect("fits"), label.offset()).expect("within");
        };
        label(&[FRONT, area]);
        assert!(matches!(find(&devices).problems[..], [Problem::BadCopy { .. }]), "{area:?}");
        label(&[FRONT, (8192, 4096)]);
        assert!(texts(&find(&devices).problems)[0].contains("overlaps"));
    }
}

#[test]
fn a_second_look_sees_what_has_changed() {
    let devices = group_on(&[&[FRONT], &[]]);
    let mut group = find(&devices);
    assert_eq!(group.reread().expect("readable"), Reread::Same);
    commit(&devices, new_vg(2, 2, 0));
    assert_eq!(group.reread().expect("readable"), Reread::Changed);
    assert_eq!(group.vg.seqno, 2);
    assert_eq!(group.reread().expect("readable"), Reread::Same);
    put_text(&devices[0], &text(1, 3, 0));
    assert_eq!(group.reread().expect("readable"), Reread::ScanAgain);
    format_pv(devices[0].as_ref(), 0, &[FRONT]);
    assert_eq!(group.reread().expect("readable"), Reread::ScanAgain);
}

#[test]
fn a_second_look_keeps_what_lies_elsewhere_and_sees_repairs() {
    let devices = group_on(&[&[FRONT], &[FRONT]]);
    let twin = Arc::new(MemDev::new("/dev/twin", devices[1].bytes()));
    damage(devices[0].as_ref(), FRONT.0 + 5);
    let all = [Arc::clone(&devices[0]), Arc::clone(&devices[1]), twin];
    let mut group = find(&all);
    assert!(matches!(group.problems[..], [Problem::BadCopy { .. }, Problem::DuplicatePv { .. }]));
    assert_eq!(group.reread().expect("readable"), Reread::Same, "still damaged");
    damage(devices[0].as_ref(), FRONT.0 + 5);
    assert_eq!(group.reread().expect("readable"), Reread::Changed);
    assert!(matches!(group.problems[..], [Problem::DuplicatePv { .. }]), "{:?}", group.problems);
}

#[test]
fn what_is_remembered_is_held_against_the_disks() {
    let devices = group_on(&[&[FRONT], &[]]);
    let all = listed(&devices);
    let open = |path: &std::path::Path| -> Result<Arc<dyn Dev>> {
        let found = all.iter().find(|(other, _)| other == path);
        let gone = || Error::new(ErrorKind::NotFound, "no such device");
        found.map(|(_, dev)| Arc::clone(dev)).ok_or_else(gone)
    };
    let seen = find(&devices).remember().expect("nothing is odd");
    let again = seen.again(&open).expect("it is there");
    assert_eq!((again.vg.seqno, again.members.len(), again.problems.len()), (1, 2, 0));
    let mut again = again;
    assert_eq!(again.reread().expect("readable"), Reread::Same);
    // What another program has committed.
    commit(&devices, new_vg(2, 2, 0));
    let again = seen.again(&open).expect("it is on the same disks");
    assert_eq!((again.vg.seqno, again.members.len(), again.problems.len()), (2, 2, 0));
    assert_eq!(again.current, find(&devices).current);
    // A disk that is not there any more, or another one in its place.
    assert!(seen.again(&|_| Err(Error::new(ErrorKind::NotFound, "gone"))).is_none());
    format_pv(devices[1].as_ref(), 2, &[]);
    assert!(seen.again(&open).is_none());
}

#[test]
fn what_is_remembered_is_looked_for_anew_where_its_disks_changed() {
    let devices = group_on(&[&[FRONT], &[FRONT]]);
    let all = listed(&devices);
    let open = |path: &std::path::Path| -> Result<Arc<dyn Dev>> {
        let found = all.iter().find(|(other, _)| other == path);
        Ok(Arc::clone(&found.expect("there").1))
    };
    let seen = find(&devices).remember().expect("nothing is odd");
    // One of two copies is behind.
    let before = header_bytes(devices[1].as_ref());
    commit(&devices, new_vg(2, 2, 0));
    devices[1].write_at(&before, Bytes::new(FRONT.0)).expect("within");
    assert!(seen.again(&open).is_none(), "a copy is behind");
    commit(&devices, new_vg(1, 3, 0));
    assert!(seen.again(&open).is_none(), "a physical volume has left");
}

#[test]
fn a_group_with_something_odd_is_not_remembered() {
    let devices = group_on(&[&[FRONT], &[FRONT]]);
    damage(devices[0].as_ref(), FRONT.0 + 5);
    assert!(find(&devices).remember().is_none());
}

proptest! {
    /// Whatever a few bytes of a physical volume become, headers with right checksums included: no
    /// panic, and a writer never gets an area that reaches out of its place.
    #[test]
    fn hostile_areas_are_survived(
        slot in (any::<u64>(), any::<u64>(), any::<u32>(), 0u32..3),
        near in any::<bool>(),
        flips in proptest::collection::vec(512u64..14_000, 0..4),
    ) {
        let devices = group_on(&[&[FRONT], &[FRONT]]);
        let (offset, size) = if near { (slot.0 % 9000, slot.1 % 9000) } else { (slot.0, slot.1) };
        let slot = crate::lvm2::mda::RawLocn { offset, size, checksum: slot.2, flags: slot.3 };
        let mda = crate::lvm2::mda::Mda::empty(locn(FRONT)).with_committed(slot);
        devices[1].write_at(&mda.encode(), Bytes::new(FRONT.0)).expect("within");
        for at in flips {
            damage(devices[0].as_ref(), at);
        }
        for group in scan_of(&devices).groups {
            for (member, copy) in group.writable_copies() {
                let end = copy.area.end().expect("within the device");
                prop_assert!(end <= member.dev.size() && copy.header.is_some());
            }
        }
    }
}

/// One disk of two has lost its text; the one before that is of the group that both were in
/// earlier, and counts for nothing.
#[test]
fn a_lost_text_brings_no_group_back_from_the_dead() {
    let devices = group_on(&[&[FRONT], &[FRONT]]);
    let now = text(2, 2, 30).replace(&id('v', 0).to_string(), &id('w', 0).to_string());
    let new = NewVg::of_text(now).expect("a valid text");
    commit(&devices, new);
    assert_eq!(find(&devices).vg.id, id('w', 0));
    let group = find(&devices);
    let slot = group.members[1].mdas[0].header.expect("valid").committed();
    damage(devices[1].as_ref(), FRONT.0 + slot.offset + 9);
    let found = scan_of(&devices);
    assert_eq!(found.groups.len(), 1, "{:?}", found.groups);
    assert_eq!(found.groups[0].vg.id, id('w', 0));
    assert!(matches!(found.groups[0].problems[..], [Problem::BadCopy { .. }]));
    found.groups[0].check_writable().expect("as with any bad copy");
}
