use std::process::{Command, Stdio};

use super::*;

/// More than a window, partly random, partly not.
fn sample() -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        u8::try_from(state >> 24).expect("a byte")
    });
    let text = b"the quick brown fox ".iter().copied().cycle();
    noise.take(70_000).chain(text.take(200_000)).collect()
}

/// What that program makes of the sample; `None` where it is not installed.
fn packed_by(program: &str, args: &[&str]) -> Option<Vec<u8>> {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take()?;
    let feed = std::thread::spawn(move || stdin.write_all(&sample()));
    let output = child.wait_with_output().ok()?;
    feed.join().expect("no panic").expect("it is read");
    assert!(output.status.success(), "{program} {args:?}");
    Some(output.stdout)
}

/// All ways to pack that the programs here have.
fn packed() -> Vec<Vec<u8>> {
    let ways: [(&str, &[&str]); 8] = [
        ("gzip", &["-9nc"]),
        ("gzip", &["-1c"]),
        ("xz", &["--check=crc32", "--lzma2=dict=1MiB", "-c"]),
        ("xz", &["-6c"]),
        ("xz", &["--block-size=100000", "-c"]),
        ("zstd", &["-3c"]),
        ("zstd", &["-19", "--check", "-c"]),
        ("zstd", &["--long", "-T2", "-c"]),
    ];
    ways.iter().filter_map(|(program, args)| packed_by(program, args)).collect()
}

const MOST: usize = 1 << 20;

#[test]
fn what_others_packed_is_unpacked() {
    let packed = packed();
    assert!(packed.len() >= 2, "not even gzip is installed");
    for bytes in packed {
        let what = bytes[..6].to_vec();
        assert!(unpack(bytes, MOST).expect("sound") == sample(), "{what:x?}");
    }
}

#[test]
fn what_is_not_packed_stays_as_it_is() {
    for bytes in [&b"\x7fELF"[..], b"", b"\x1f\x8b"] {
        assert_eq!(unpack(bytes.to_vec(), MOST).expect("nothing to do"), bytes);
    }
}

#[test]
fn more_than_allowed_is_refused() {
    let len = sample().len();
    for bytes in packed() {
        let error = unpack(bytes.clone(), len - 1).expect_err("too much");
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(unpack(bytes, len).is_ok());
    }
}

#[test]
fn damage_is_found_or_harmless() {
    for bytes in packed() {
        let what = bytes[..6].to_vec();
        for len in (0..bytes.len()).step_by(997) {
            let cut = unpack(bytes[..len].to_vec(), MOST);
            assert!(len < 6 || cut.is_err(), "{what:x?} cut at {len}");
        }
        for place in (6..bytes.len()).step_by(613) {
            let mut wrong = bytes.clone();
            wrong[place] ^= 0x55;
            if let Ok(unpacked) = unpack(wrong, MOST) {
                // A name, a time, or a frame without a checksum.
                assert!(unpacked == sample() || what.starts_with(&[0x28]), "{what:x?} at {place}");
            }
        }
    }
}

#[test]
fn what_is_packed_here_is_the_same_each_time_and_others_unpack_it() {
    let pack = || {
        let mut writer = GzipWriter::new(Vec::new());
        for part in sample().chunks(10_000) {
            writer.write_all(part).expect("memory takes it");
        }
        writer.finish().expect("memory takes it")
    };
    let bytes = pack();
    assert!(bytes == pack() && bytes.len() < 75_000, "{} bytes", bytes.len());
    assert!(unpack(bytes.clone(), MOST).expect("sound") == sample());
    let mut unpacked = Vec::new();
    let mut other = flate2::read::GzDecoder::new(bytes.as_slice());
    std::io::Read::read_to_end(&mut other, &mut unpacked).expect("sound");
    assert!(unpacked == sample());
}

#[test]
fn an_empty_file_is_packed_too() {
    let bytes = GzipWriter::new(Vec::new()).finish().expect("memory takes it");
    assert_eq!(unpack(bytes, 0).expect("sound"), b"");
}

#[test]
fn one_part_after_the_other_is_unpacked() {
    for bytes in packed() {
        let what = bytes[..6].to_vec();
        let twice = [&bytes[..], &bytes[..]].concat();
        let unpacked = unpack(twice, MOST).expect("sound");
        assert!(unpacked == [sample(), sample()].concat(), "{what:x?}");
    }
    // A frame to be skipped before one that is not.
    if let Some(bytes) = packed_by("zstd", &["-c"]) {
        let skipped = [&[0x28, 0xb5, 0x2f, 0xfd], &[0; 0][..]].concat();
        assert!(unpack(skipped, MOST).is_err(), "nothing follows the magic");
        let frame = [&bytes[..], &[0x52, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3], &bytes].concat();
        assert!(unpack(frame, MOST).expect("sound") == [sample(), sample()].concat());
    }
}

#[test]
fn a_window_that_is_too_large_is_refused_by_name() {
    // A header alone: single segment off, a window of 2^28 bytes.
    let zstd = [0x28, 0xb5, 0x2f, 0xfd, 0, (28 - 10) << 3, 0, 0];
    let error = unpack(zstd.to_vec(), MOST).expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    if let Some(bytes) = packed_by("xz", &["--lzma2=dict=256MiB", "-c"]) {
        let error = unpack(bytes, MOST).expect_err("too large");
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    }
    if let Some(bytes) = packed_by("xz", &["--lzma2=dict=128MiB", "-c"]) {
        assert!(unpack(bytes, MOST).expect("not too large") == sample());
    }
}

/// What goes out packed is what our own reader and the programs here unpack.
#[test]
fn what_is_packed_can_be_unpacked() {
    // More than a frame of zstd, and nothing at all.
    let long = [sample().repeat(20), vec![0; 9 << 20], sample()].concat();
    for (packing, program) in [(Packing::Gzip, "gzip"), (Packing::Zstd, "zstd")] {
        for bytes in [&long[..], &long[..5], &[]] {
            let mut packed = Vec::new();
            let mut packer = Packer::new(packing, &mut packed).expect("it is written");
            for piece in bytes.chunks(70_001) {
                crate::dev::Outlet::put(&mut packer, piece).expect("into memory");
            }
            packer.finish().expect("into memory");
            assert_eq!(Packing::of(&packed), Some(packing));
            assert!(packed.len() < 64 || packed.len() < bytes.len());
            assert!(unpack(packed.clone(), 64 << 20).expect("good") == bytes, "{program}");
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), &packed).expect("written");
            let stdin = std::fs::File::open(file.path()).expect("there");
            let Ok(ran) = Command::new(program).arg("-dc").stdin(stdin).output() else { continue };
            assert!(ran.status.success() && ran.stdout == bytes, "{program}");
        }
    }
    assert!(Packer::new(Packing::Xz, &mut Vec::new()).is_none());
}
