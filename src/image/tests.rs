use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;

use super::*;
use crate::dev::{Dev, MemDev};
use crate::error::ErrorKind;
use crate::ext4::testing::{FLAVOURS, FileDev, Sample, assert_fsck, content};
use crate::units::Bytes;

const CHUNK: Bytes = Bytes::kib(64);

/// A thin volume: knows which chunks are mapped. A fresh chunk of a pool that does not zero holds
/// what another volume left there.
struct Thin {
    size: Bytes,
    chunk: Bytes,
    state: Mutex<ThinState>,
    fail_from: u64,
    discards: bool,
}

struct ThinState {
    data: Vec<u8>,
    mapped: BTreeSet<u64>,
    syncs: u32,
    writes: u64,
}

impl Thin {
    fn new(size: Bytes, chunk: Bytes) -> Self {
        let data = vec![0; size.get() as usize];
        let state = ThinState { data, mapped: BTreeSet::new(), syncs: 0, writes: 0 };
        Self { size, chunk, state: Mutex::new(state), fail_from: u64::MAX, discards: true }
    }

    fn dirty(mut self) -> Self {
        self.state.get_mut().expect("not shared").data.fill(0xDD);
        self
    }

    /// What a reader sees.
    fn seen(&self) -> Vec<u8> {
        let state = self.state.lock().expect("no panic");
        let mut seen = state.data.clone();
        for (chunk, bytes) in (0u64..).zip(seen.chunks_mut(self.chunk.get() as usize)) {
            if !state.mapped.contains(&chunk) {
                bytes.fill(0);
            }
        }
        seen
    }

    fn mapped(&self) -> u64 {
        self.state.lock().expect("no panic").mapped.len() as u64
    }
}

impl Dev for Thin {
    fn name(&self) -> &str {
        "thin"
    }

    fn size(&self) -> Bytes {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], at: Bytes) -> io::Result<()> {
        let state = self.state.lock().expect("no panic");
        let start = at.get() as usize;
        let data = state.data.get(start..start + buf.len());
        buf.copy_from_slice(data.ok_or(io::ErrorKind::UnexpectedEof)?);
        let (mut at, mut rest) = (at.get(), buf);
        while !rest.is_empty() {
            let chunk = at / self.chunk.get();
            let len = ((chunk + 1) * self.chunk.get() - at).min(rest.len() as u64);
            let (piece, behind) = rest.split_at_mut(len as usize);
            if !state.mapped.contains(&chunk) {
                piece.fill(0);
            }
            (at, rest) = (at + len, behind);
        }
        Ok(())
    }

    fn write_at(&self, data: &[u8], at: Bytes) -> io::Result<()> {
        let mut state = self.state.lock().expect("no panic");
        state.writes += 1;
        if state.writes > self.fail_from {
            return Err(io::Error::from_raw_os_error(28));
        }
        let start = at.get() as usize;
        let place = state.data.get_mut(start..start + data.len());
        place.ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        let last = at.get() + data.len() as u64 - 1;
        state.mapped.extend(at.get() / self.chunk.get()..=last / self.chunk.get());
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.state.lock().expect("no panic").syncs += 1;
        Ok(())
    }

    fn discard(&self, at: Bytes, len: Bytes) -> io::Result<()> {
        if !self.discards {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let mut state = self.state.lock().expect("no panic");
        let (from, to) = (at.get() / self.chunk.get(), (at.get() + len.get()) / self.chunk.get());
        assert_eq!(
            (from * self.chunk.get(), to * self.chunk.get()),
            (at.get(), at.get() + len.get())
        );
        state.mapped.retain(|chunk| !(from..to).contains(chunk));
        Ok(())
    }
}

fn copy(source: &mut Source<'_>, target: &Target<'_>) -> crate::Result<(Copied, Progress)> {
    let mut last = Progress::default();
    let mut progress = |now: Progress| {
        assert!(now.done >= last.done && now.done <= now.total);
        last = now;
    };
    let cancel = AtomicBool::new(false);
    let copied = source.copy_to(target, Control { progress: &mut progress, cancel: &cancel })?;
    Ok((copied, last))
}

/// What is seen on the volume, judged by e2fsck and by its content.
fn assert_same(sample: &Sample, thin: &Thin) {
    let path = sample.dir.path().join("copy.img");
    std::fs::write(&path, thin.seen()).expect("there is room");
    assert_fsck(&path);
    assert_eq!(content(&path), content(&sample.path));
}

/// Overwrites free blocks with bytes that are not zero, as deleted files leave them.
fn litter(sample: &Sample) {
    let dev = sample.dev();
    let sb = crate::ext4::Superblock::read(&dev).expect("it is one");
    let Ok(free) = crate::ext4::free_extents(&dev, &sb) else { return };
    for extent in free {
        let extent = extent.expect("readable");
        let bytes = vec![0xEE; (extent.end.get() - extent.start.get()) as usize];
        dev.write_at(&bytes, extent.start).expect("inside");
    }
}

#[test]
fn a_copy_holds_the_same_and_maps_only_what_is_used() {
    for (args, size) in FLAVOURS {
        let sample = Sample::new(args, size);
        litter(&sample);
        let dev = sample.dev();
        let mut source = Source::of_device(&dev, &NoHoles).expect("it is one");
        assert_eq!(source.plan().needs, Some(Needs::Nothing));
        let thin = Thin::new(source.size(), CHUNK).dirty();
        let target = Target::new(&thin, CHUNK, false).expect("fine");
        let (copied, progress) = copy(&mut source, &target).expect("it can be copied");
        assert_same(&sample, &thin);
        assert_eq!(progress.done, progress.total);
        assert_eq!(thin.mapped() * CHUNK.get(), copied.written.get(), "{args}");
        assert!(copied.written <= source.space_need(CHUNK).expect("readable").bytes());
        assert_eq!(thin.state.lock().expect("no panic").syncs, 1);
        if source.plan().copy == CopyPlan::Used {
            assert!(copied.written < Bytes::mib(30), "{args}: {copied:?}");
            let cancel = AtomicBool::new(false);
            let control = Control { progress: &mut |_| (), cancel: &cancel };
            let measured = source.measure(CHUNK, control).expect("readable");
            assert_eq!(measured, Some(copied.written), "{args}");
        }
    }
}

#[test]
fn a_stream_ends_up_as_a_file_does() {
    for (args, size) in FLAVOURS.into_iter().take(6) {
        let sample = Sample::new(args, size);
        litter(&sample);
        let file = std::fs::File::open(&sample.path).expect("it was just made");
        let mut stream = ImageStream::new("stdin", file);
        let mut source = Source::of_stream(&mut stream).expect("it is one");
        let thin = Thin::new(source.size(), CHUNK);
        let target = Target::new(&thin, CHUNK, true).expect("fine");
        let (copied, _) = copy(&mut source, &target).expect("it can be copied");
        let error = copy(&mut source, &target).expect_err("it is gone");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(copied.discarded > Bytes::mib(30), "{copied:?}");
        assert!(thin.mapped() * CHUNK.get() < Bytes::mib(30).get(), "{args}: {}", thin.mapped());
        assert_same(&sample, &thin);
    }
}

/// A volume that holds an image already.
fn holding(sample: &Sample, size: Bytes) -> Thin {
    let thin = Thin::new(size, CHUNK).dirty();
    let dev = sample.dev();
    let mut source = Source::of_device(&dev, &NoHoles).expect("it is one");
    copy(&mut source, &Target::new(&thin, CHUNK, false).expect("fine")).expect("it can be copied");
    thin.state.lock().expect("no panic").writes = 0;
    thin
}

#[test]
fn over_another_image_only_what_differs_is_written() {
    for (args, size) in FLAVOURS.into_iter().take(6) {
        let (old, new) = (Sample::new(args, size), Sample::new(args, size));
        litter(&new);
        let dev = new.dev();
        let fresh = holding(&new, dev.size());
        for stream in [false, true] {
            let thin = holding(&old, dev.size());
            let target = Target::new(&thin, CHUNK, false).and_then(Target::over).expect("fine");
            let copied = if stream {
                let file = std::fs::File::open(&new.path).expect("it was just made");
                let mut stream = ImageStream::new("stdin", file);
                let mut source = Source::of_stream(&mut stream).expect("it is one");
                copy(&mut source, &target).expect("it can be copied").0
            } else {
                let mut source = Source::of_device(&dev, &NoHoles).expect("it is one");
                let cancel = AtomicBool::new(false);
                let control = Control { progress: &mut |_| (), cancel: &cancel };
                let differs = source.measure_over(&target, control).expect("readable");
                assert_eq!(thin.state.lock().expect("no panic").writes, 0);
                let copied = copy(&mut source, &target).expect("it can be copied").0;
                assert!(differs.is_some_and(|differs| differs <= copied.written), "{args}");
                copied
            };
            assert_same(&new, &thin);
            if !stream {
                assert!(thin.seen() == fresh.seen(), "{args}");
                assert!(
                    copied.written.get() < fresh.mapped() * CHUNK.get() / 2,
                    "{args}: {copied:?}"
                );
                assert_eq!(thin.mapped(), fresh.mapped(), "{args}");
            }
            if stream {
                continue;
            }
            // Once more: there is nothing to do.
            thin.state.lock().expect("no panic").writes = 0;
            let mut source = Source::of_device(&dev, &NoHoles).expect("it is one");
            let (copied, _) = copy(&mut source, &target).expect("it can be copied");
            assert_eq!(
                (copied.written, thin.state.lock().expect("no panic").writes),
                (Bytes::ZERO, 0)
            );
        }
    }
}

#[test]
fn a_file_system_not_left_in_order_is_copied_whole() {
    let sample = Sample::new("-t ext4 -O metadata_csum,64bit,extent,has_journal", "64M");
    litter(&sample);
    sample.debugfs("feature needs_recovery");
    let dev = sample.dev();
    let mut source = Source::of_device(&dev, &NoHoles).expect("it is one");
    assert_eq!(source.plan(), Plan { copy: CopyPlan::Whole, needs: Some(Needs::Replay) });
    let thin = Thin::new(source.size(), CHUNK);
    copy(&mut source, &Target::new(&thin, CHUNK, true).expect("fine")).expect("it can be copied");
    assert_eq!(thin.seen(), std::fs::read(&sample.path).expect("readable"));
}

struct Sparse(Vec<crate::ext4::Extent>);

impl Holes for Sparse {
    fn next_data(&self, from: Bytes) -> io::Result<Option<crate::ext4::Extent>> {
        Ok(self.0.iter().find(|extent| extent.end > from).map(|e| e.start.max(from)..e.end))
    }
}

#[test]
fn holes_are_not_read() {
    let sample = Sample::new("-t ext2 -b 4096", "64M");
    let dev = sample.dev();
    let holes = Sparse(vec![Bytes::ZERO..Bytes::mib(3), Bytes::mib(8)..Bytes::mib(9)]);
    let mut source = Source::of_device(&dev, &holes).expect("it is one");
    assert_eq!(source.bytes_to_read().expect("readable"), Bytes::mib(4));
    assert_eq!(source.space_need(CHUNK).expect("readable"), SpaceNeed::AtMost(Bytes::mib(4)));
    let thin = Thin::new(source.size(), CHUNK);
    let (copied, _) = copy(&mut source, &Target::new(&thin, CHUNK, true).expect("fine"))
        .expect("it can be copied");
    assert_eq!(copied.read, Bytes::mib(4));
    let mut want = std::fs::read(&sample.path).expect("readable");
    want[3 << 20..8 << 20].fill(0);
    want[9 << 20..].fill(0);
    assert_eq!(thin.seen(), want);
}

#[test]
fn what_cannot_be_copied_is_refused_before_the_first_write() {
    let sample = Sample::new("-t ext4 -O metadata_csum,64bit,extent,has_journal", "64M");
    let dev = sample.dev();
    let mut source = Source::of_device(&dev, &NoHoles).expect("it is one");
    let thin = Thin::new(Bytes::mib(60), CHUNK);
    let error = copy(&mut source, &Target::new(&thin, CHUNK, true).expect("fine"));
    assert_eq!(error.expect_err("too small").kind(), ErrorKind::Invalid);
    assert_eq!(thin.mapped(), 0);

    let short =
        MemDev::new("short", std::fs::read(&sample.path).expect("readable")[..30 << 20].into());
    let error = Source::of_device(&short, &NoHoles).err().expect("cut short");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("31457280"), "{error}");

    for (bytes, name) in [(&b"hsqs"[..], "squashfs"), (b"", "empty"), (b"what?", "unknown")] {
        let mut stream = ImageStream::new("stdin", bytes);
        let error = Source::of_stream(&mut stream).err().expect("no file system");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(name), "{error}");
    }
    assert!(Target::new(&thin, Bytes::ZERO, true).is_err());
    assert!(Target::new(&thin, Bytes::mib(16), false).is_err());
}

#[test]
fn no_window_reaches_over_the_end_of_a_chunk() {
    let dev = Thin::new(Bytes::mib(32), CHUNK);
    for chunk in [64, 128, 192, 1024, 1088, 1536, 2048, 4096, 10_240].map(Bytes::kib) {
        let window = Target::new(&dev, chunk, true).expect("fine").windows(dev.size()).size;
        let fits = chunk.round_down(window) == chunk || window.round_down(chunk) == window;
        assert!(fits && !window.is_zero(), "windows of {window} for chunks of {chunk}");
    }
}

#[test]
fn a_file_system_whose_uuid_never_changes_is_refused_before_it_is_copied() {
    for options in ["-t ext4 -O ^metadata_csum,ea_inode", "-t ext4 -O stable_inodes"] {
        let sample = Sample::new(options, "16M");
        let dev = sample.dev();
        let error = Source::of_device(&dev, &NoHoles).err().expect("no base can be made of it");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let bytes = std::fs::read(&sample.path).expect("readable");
        let mut stream = ImageStream::new("stdin", io::Cursor::new(bytes));
        let error = Source::of_stream(&mut stream).err().expect("the same");
        assert!(error.to_string().starts_with("stdin: "), "{error}");
    }
}

#[test]
fn a_stream_that_ends_too_early_says_where() {
    let sample = Sample::new("-t ext4 -O metadata_csum,64bit,extent,has_journal", "64M");
    let file = std::fs::File::open(&sample.path).expect("it was just made");
    let mut stream = ImageStream::new("stdin", file.take(12_345_678));
    let mut source = Source::of_stream(&mut stream).expect("it begins as one");
    let thin = Thin::new(Bytes::mib(64), CHUNK);
    let error = copy(&mut source, &Target::new(&thin, CHUNK, true).expect("fine"));
    let error = error.expect_err("cut short");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("12345678"), "{error}");
    assert_eq!(thin.state.lock().expect("no panic").syncs, 0);
}

#[test]
fn a_failing_write_and_a_cancelled_copy_say_so() {
    let sample = Sample::new("-t ext2 -b 4096", "64M");
    let dev = sample.dev();
    let mut source = Source::of_device(&dev, &NoHoles).expect("it is one");
    let thin = Thin { fail_from: 2, ..Thin::new(Bytes::mib(64), CHUNK) };
    let error = copy(&mut source, &Target::new(&thin, CHUNK, true).expect("fine"));
    let error = error.expect_err("the pool is full");
    assert_eq!(error.kind().word(), "no-space");
    assert!(error.to_string().starts_with("cannot write the volume: thin, byte "), "{error}");

    let thin = Thin::new(Bytes::mib(64), CHUNK);
    let target = Target::new(&thin, CHUNK, true).expect("fine");
    let cancel = AtomicBool::new(false);
    let mut stop = |now: Progress| {
        cancel.store(!now.done.is_zero(), std::sync::atomic::Ordering::Relaxed);
    };
    let error = source.copy_to(&target, Control { progress: &mut stop, cancel: &cancel });
    assert_eq!(error.expect_err("stopped").kind(), ErrorKind::Interrupted);
}

#[test]
fn an_xfs_is_copied_whole() {
    let dir = crate::ext4::testing::temp_dir();
    let dev = FileDev::create(&dir.path().join("xfs.img"), Bytes::mib(300));
    let head = include_bytes!("../../tests/data/xfs/superblock.bin");
    let log = include_bytes!("../../tests/data/xfs/log-head.bin");
    dev.write_at(head, Bytes::ZERO).expect("inside");
    dev.write_at(log, Bytes::new(307_248 * 512)).expect("inside");
    let mut source = Source::of_device(&dev, &NoHoles).expect("it is one");
    assert_eq!(source.plan(), Plan { copy: CopyPlan::Whole, needs: Some(Needs::Nothing) });
    assert_eq!((source.file_system().fs_type(), source.size()), ("xfs", Bytes::mib(300)));
    let thin = Thin::new(Bytes::mib(304), CHUNK);
    copy(&mut source, &Target::new(&thin, CHUNK, true).expect("fine")).expect("it can be copied");
    assert_eq!(thin.mapped(), 2);
    let fs = FileSystem::read(&thin).expect("a copy of it");
    assert_eq!(fs.needs(&thin).expect("readable"), Needs::Nothing);
}

/// A minimal ext2 of 4 MiB: only its superblock matters, and its bitmaps are not believed.
fn minimal(patches: &[(u64, u64)], byte: u8) -> Vec<u8> {
    let mut image = vec![0u8; 4 << 20];
    let fields: [(usize, u32); 9] = [
        (0x00, 128),
        (0x04, 1024),
        (0x18, 2),
        (0x1C, 2),
        (0x20, 32768),
        (0x24, 32768),
        (0x28, 128),
        (0x38, 0x0001_EF53),
        (0x4C, 0),
    ];
    for (at, value) in fields {
        image[1024 + at..1028 + at].copy_from_slice(&value.to_le_bytes());
    }
    for &(at, len) in patches {
        let end = (at + len).min(4 << 20) as usize;
        image[at as usize..end].fill(byte);
    }
    image
}

type Patches = Vec<(u64, u64)>;

fn patches() -> impl Strategy<Value = Patches> {
    proptest::collection::vec((4096u64..4 << 20, 1u64..100_000), 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..Default::default() })]

    /// Whatever is zero or a hole, and whatever the chunk: the volume reads as the image, and only
    /// chunks that are not zero are mapped.
    #[test]
    fn any_pattern_of_zeros_survives(
        patches in patches(),
        chunk in prop_oneof![Just(64u64), Just(128), Just(192), Just(1024), Just(1536), Just(4096)],
        zeroes: bool,
    ) {
        let (size, chunk) = (Bytes::mib(4), Bytes::kib(chunk));
        let image = minimal(&patches, 0xAB);
        let dev = MemDev::new("image", image.clone());
        let mut source = Source::of_device(&dev, &NoHoles).expect("it is one");
        let volume = Bytes::new(size.get() + 4096);
        let thin = Thin::new(volume, chunk).dirty();
        if zeroes {
            thin.state.lock().expect("no panic").data.fill(0);
        }
        copy(&mut source, &Target::new(&thin, chunk, zeroes).expect("fine")).expect("copied");
        prop_assert_eq!(&thin.seen()[..image.len()], &image[..]);
        prop_assert!(thin.seen()[image.len()..].iter().all(|&byte| byte == 0));
        let used = image.chunks(chunk.get() as usize).filter(|c| c.iter().any(|&b| b != 0)).count();
        prop_assert_eq!(thin.mapped(), used as u64);
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..Default::default() })]

    /// Whatever was there, and whether the volume can discard or not: it reads as the image and zeros,
    /// and what is the same is not written.
    #[test]
    fn whatever_was_there_the_volume_reads_as_the_image(
        before in patches(),
        same in patches(),
        after in patches(),
        chunk in prop_oneof![Just(64u64), Just(128), Just(192), Just(1024)],
        larger in 0u64..3,
        discards: bool,
        zeroes: bool,
    ) {
        let chunk = Bytes::kib(chunk);
        let [old, new] = [[&before[..], &same], [&after[..], &same]].map(|of| {
            let [first, second] = of.map(|patches| minimal(patches, 0xAB));
            first.iter().zip(&second).map(|(a, b)| a | b).collect::<Vec<u8>>()
        });
        let volume = Bytes::new((4 << 20) + larger * chunk.get() / 2);
        let mut thin = Thin::new(volume, chunk);
        if !zeroes {
            thin = thin.dirty();
        }
        for at in 0..old.len() / 512 {
            let piece = &old[at * 512..(at + 1) * 512];
            if piece.iter().any(|&byte| byte != 0) {
                let chunk = chunk.get() as usize;
                let start = at * 512 / chunk * chunk;
                let end = (start + chunk).min(old.len());
                thin.write_at(&old[start..end], Bytes::new(start as u64)).expect("inside");
            }
        }
        if larger > 0 {
            // Something behind the image, up to the end.
            let tail = vec![0x11; (volume.get() - (4 << 20)) as usize];
            let start = Bytes::new(4 << 20);
            thin.write_at(&tail, start).expect("inside");
            // The chunk in which the image ends was written whole.
            let chunk_start = start.round_down(chunk).get() as usize;
            thin.write_at(&old[chunk_start..], Bytes::new(chunk_start as u64)).expect("inside");
        }
        thin.discards = discards;
        let dev = MemDev::new("image", new.clone());
        let mut source = Source::of_device(&dev, &NoHoles).expect("it is one");
        let target = Target::new(&thin, chunk, zeroes).and_then(Target::over).expect("fine");
        let (copied, _) = copy(&mut source, &target).expect("copied");
        let seen = thin.seen();
        prop_assert!(seen[..new.len()] == new[..]);
        prop_assert!(seen[new.len()..].iter().all(|&byte| byte == 0));
        let pieces = old.chunks(chunk.get() as usize).zip(new.chunks(chunk.get() as usize));
        let differ = pieces.filter(|(old, new)| old != new).count() as u64;
        let most = (differ + 2 * u64::from(larger > 0)) * chunk.get();
        prop_assert!(copied.written.get() <= most, "{copied:?} of {differ} chunks");
        if discards && larger == 0 {
            let used = new.chunks(chunk.get() as usize).filter(|c| c.iter().any(|&b| b != 0)).count();
            // The volume's end may be in the middle of a chunk, which cannot be discarded.
            let most = used as u64 + u64::from(volume != volume.round_down(chunk));
            prop_assert!((used as u64..=most).contains(&thin.mapped()));
        }
    }
}
