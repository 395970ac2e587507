use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;
use crate::ext4::testing::{FileDev, Sample, run};
use crate::image::Source;

/// A small ext4 with some content.
fn sample() -> Sample {
    Sample::new("-t ext4 -b 4096", "24M")
}

fn file(path: &Path) -> Image {
    let dev: Arc<dyn Dev> = Arc::new(FileDev::open(path));
    Image::File(ImageFile::of(dev))
}

fn stream(path: &Path) -> Image {
    let name = path.display().to_string();
    Image::Stream(ImageStream::new(name, File::open(path).expect("it was just made")))
}

/// All that is left of an image, from its start; a stream is read to its end.
fn content(image: Image) -> Result<Vec<u8>> {
    let ImageStream { mut reader, mut tails, .. } = image.into_stream();
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(unreadable)?;
    tails.end().map(|()| bytes)
}

/// The same in another form, beside the first.
fn packed(path: &Path, program: &str) -> std::path::PathBuf {
    let target = std::path::PathBuf::from(format!("{}.{program}", path.display()));
    let out = File::create(&target).expect("there is room");
    let status = Command::new(program).arg("-c").arg(path).stdout(Stdio::from(out)).status();
    assert!(status.expect("it is installed").success());
    target
}

const PARTITIONED: &str = "label: gpt
size=1MiB, type=21686148-6449-6E6F-744E-656564454649, name=bios
size=4MiB, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name=boot
size=24MiB, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name=system
";

/// A disk with these partitions, the sample in the one that begins there.
fn disk(sample: &Sample, partitions: &str, number: u32) -> std::path::PathBuf {
    let path = sample.path.with_extension("disk");
    File::create(&path).and_then(|file| file.set_len(40 << 20)).expect("there is room");
    let mut sfdisk = Command::new("sfdisk")
        .args(["-q", "--no-reread", "--no-tell-kernel"])
        .arg(&path)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .stdin(Stdio::piped())
        .spawn()
        .expect("sfdisk is installed");
    let mut stdin = sfdisk.stdin.take().expect("it was asked for");
    stdin.write_all(partitions.as_bytes()).expect("it reads");
    drop(stdin);
    assert!(sfdisk.wait().expect("it ends").success());
    let (_, said) = run("sfdisk", &["-d", path.to_str().expect("text")]);
    let line = said.lines().filter(|line| line.contains("start=")).nth(number as usize - 1);
    let start = line.and_then(|line| line.split("start=").nth(1)?.split(',').next());
    let start: u64 = start.and_then(|start| start.trim().parse().ok()).expect(&said);
    let bytes = fs::read(&sample.path).expect("readable");
    FileDev::open(&path).write_at(&bytes, Bytes::new(start * 512)).expect("there is room");
    path
}

#[test]
fn a_file_system_is_left_as_it_is() {
    let sample = sample();
    let bytes = fs::read(&sample.path).expect("readable");
    for image in [file(&sample.path), stream(&sample.path)] {
        assert!(content(image.opened(None).expect("it is one")).expect("readable") == bytes);
    }
    let error = file(&sample.path).opened(Some("1")).err().expect("it has no partition");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    // What nobody knows is told of later.
    let path = sample.path.with_extension("odd");
    fs::write(&path, b"what?").expect("there is room");
    assert_eq!(content(file(&path).opened(None).expect("as it is")).expect("readable"), b"what?");
}

#[test]
fn packed_images_are_unpacked_on_the_way() {
    let sample = sample();
    let bytes = fs::read(&sample.path).expect("readable");
    for program in ["gzip", "xz", "zstd"] {
        let path = packed(&sample.path, program);
        for image in [file(&path), stream(&path)] {
            let image = image.opened(None).expect("it is known");
            assert!(content(image).expect("sound") == bytes, "{program}");
        }
        // Two packings, one in the other.
        let twice = packed(&path, "gzip");
        assert!(content(file(&twice).opened(None).expect("known")).expect("sound") == bytes);
        // A last byte that is wrong shows, though the file system is all there.
        let mut wrong = fs::read(&path).expect("readable");
        *wrong.last_mut().expect("not empty") ^= 1;
        fs::write(&path, &wrong).expect("there is room");
        let image = file(&path).opened(None).expect("it begins well");
        assert_eq!(content(image).expect_err(program).kind(), ErrorKind::Corrupt, "{program}");
    }
}

#[test]
fn the_root_of_a_disk_is_found_by_its_type_or_named() {
    let sample = sample();
    let bytes = fs::read(&sample.path).expect("readable");
    let path = disk(&sample, PARTITIONED, 3);
    for wanted in [None, Some("3"), Some("system")] {
        for image in [file(&path), stream(&path), file(&packed(&path, "gzip"))] {
            let image = image.opened(wanted).expect("it is there");
            assert!(content(image).expect("readable") == bytes, "{wanted:?}");
        }
    }
    let Image::File(found) = file(&path).opened(None).expect("it is there") else {
        panic!("a file stays one")
    };
    let source = Source::of_device(found.dev.as_ref(), found.holes.as_ref()).expect("an ext4");
    assert_eq!(source.size(), Bytes::mib(24));
    assert!(source.name().ends_with("partition 3"), "{}", source.name());
    // No type says that it is the root: the only one of Linux, where it is that.
    let linux = PARTITIONED.replace("4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", "linux");
    let path = disk(&sample, &linux, 3);
    let error = file(&path).opened(None).err().expect("two may be meant");
    let told = "name one (--partition): 1 'bios' (1 MiB), 2 'boot' (4 MiB), 3 'system' (24 MiB)";
    assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains(told), "{error}");
    let error = file(&path).opened(Some("9")).err().expect("there is none");
    assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains("'9'"), "{error}");
    let alone = linux.lines().filter(|line| !line.contains("boot")).collect::<Vec<_>>().join("\n");
    let path = disk(&sample, &format!("{alone}\n"), 2);
    assert!(content(file(&path).opened(None).expect("the only one")).expect("readable") == bytes);
}

#[test]
fn an_mbr_is_read_too() {
    let sample = sample();
    let bytes = fs::read(&sample.path).expect("readable");
    let path = disk(&sample, "label: dos\nsize=2MiB, type=82\nsize=24MiB, type=83\n", 2);
    for wanted in [None, Some("2")] {
        let image = stream(&path).opened(wanted).expect("it is there");
        assert!(content(image).expect("readable") == bytes);
    }
}

#[test]
fn a_damaged_table_is_told() {
    let sample = sample();
    let path = disk(&sample, PARTITIONED, 3);
    let whole = fs::read(&path).expect("readable");
    for (place, why) in [(512 + 40, "header's checksum"), (1024 + 60, "table's checksum")] {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        fs::write(&path, &bytes).expect("there is room");
        let error = file(&path).opened(None).err().expect("it is damaged");
        assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains(why), "{error}");
    }
    fs::write(&path, &whole[..8 << 20]).expect("there is room");
    assert!(file(&path).opened(None).is_err(), "it ends before its partition does");
    let cut = stream(&path).opened(None).expect("it begins well");
    assert!(content(cut).expect("some of it").len() < 24 << 20);
}

#[test]
fn a_qcow2_reads_as_its_disk() {
    let sample = sample();
    let path = disk(&sample, PARTITIONED, 3);
    let whole = fs::read(&path).expect("readable");
    let target = path.with_extension("qcow2");
    let ways = [
        &["-o", "compat=1.1"][..],
        &["-o", "compat=0.10"],
        &["-o", "cluster_size=512"],
        &["-o", "cluster_size=2M"],
        &["-c"],
        &["-c", "-o", "compression_type=zstd"],
        &["-c", "-o", "compat=0.10,cluster_size=4k"],
    ];
    for way in ways {
        let places = [path.to_str().expect("text"), target.to_str().expect("text")];
        let args = [&["convert", "-O", "qcow2"], way, &places[..]].concat();
        let (status, said) = run("qemu-img", &args);
        assert_eq!(status, Some(0), "{said}");
        let disk = Qcow2::open(Arc::new(FileDev::open(&target))).expect("it is one");
        assert_eq!(disk.size().get(), whole.len() as u64);
        let mut bytes = vec![1; whole.len()];
        // In odd pieces, so that they begin and end within clusters.
        for (place, part) in (0u64..).zip(bytes.chunks_mut(1_000_003)) {
            disk.read_at(part, Bytes::new(place * 1_000_003)).expect("readable");
        }
        assert!(bytes == whole, "{way:?}");
        assert!(disk.read_at(&mut [0; 2], Bytes::new(whole.len() as u64 - 1)).is_err());
        let (mut at, mut data) = (Bytes::ZERO, 0);
        while let Some(found) = disk.next_data(at).expect("readable") {
            let hole = &whole[at.get() as usize..found.start.get() as usize];
            assert!(hole.iter().all(|byte| *byte == 0), "{way:?}: a hole with data");
            data += found.end.get() - found.start.get();
            at = found.end;
        }
        assert!(whole[at.get() as usize..].iter().all(|byte| *byte == 0));
        assert!(0 < data && data < whole.len() as u64 / 2, "{way:?}: {data} bytes are data");
        let root = file(&target).opened(None).expect("a disk with a root");
        assert!(content(root).expect("readable") == fs::read(&sample.path).expect("readable"));
    }
    let error = stream(&target).opened(None).err().expect("it is read in any order");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn a_qcow2_that_is_not_all_there_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let made = |args: &[&str]| {
        let (status, said) = run("qemu-img", args);
        assert_eq!(status, Some(0), "{said}");
    };
    let (base, above) = (at("base"), at("above"));
    made(&["create", "-f", "qcow2", &base, "8M"]);
    made(&["create", "-f", "qcow2", "-b", &base, "-F", "qcow2", &above]);
    let (divided, apart) = (at("divided"), at("apart"));
    made(&["create", "-f", "qcow2", "-o", "extended_l2=on", &divided, "8M"]);
    let data = format!("data_file={}", at("data"));
    made(&["create", "-f", "qcow2", "-o", &data, &apart, "8M"]);
    for (path, why) in [(above, "backing file"), (divided, "extended L2"), (apart, "another file")]
    {
        let error = file(Path::new(&path)).opened(None).err().expect(why);
        let told = error.kind() == ErrorKind::Unsupported && error.to_string().contains(why);
        assert!(told, "{error}");
    }
    let whole = fs::read(&base).expect("readable");
    for len in [5, 71, 103, 200] {
        fs::write(&base, &whole[..len]).expect("there is room");
        let error = file(Path::new(&base)).opened(None).err();
        assert!(error.is_some_and(|error| error.kind() == ErrorKind::Corrupt), "{len} bytes");
    }
}

#[test]
fn a_digest_is_that_of_what_was_published() {
    let sample = sample();
    let path = packed(&sample.path, "gzip");
    // The stream goes on behind the file system.
    let trailing = File::options().append(true).open(&path).expect("it was just made");
    let rest = flate2::write::GzEncoder::new(trailing, flate2::Compression::fast());
    rest.finish().expect("an empty member");
    let (_, said) = run("sha256sum", &[path.to_str().expect("text")]);
    let right: Digest = format!("sha256:{}", &said[..64]).parse().expect("a digest");
    assert_eq!(right.to_string(), format!("sha256:{}", &said[..64]));
    let wrong: Digest = format!("sha256:{:064}", 7).parse().expect("a digest");
    assert!(file(&path).digested(right).is_ok());
    let error = file(&path).digested(wrong).err().expect("another");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(&said[..64]), "{error}");
    for (digest, is_right) in [(right, true), (wrong, false)] {
        let image = stream(&path).digested(digest).expect("it is looked at later");
        let read = content(image.opened(None).expect("it is known"));
        assert_eq!(read.is_ok(), is_right);
    }
    for bad in ["", "sha256:", "sha512:00", &format!("sha256:{:063}", 0), &"sha256:+0".repeat(32)] {
        assert!(bad.parse::<Digest>().is_err(), "{bad}");
    }
}

#[test]
fn an_image_without_an_end_to_its_wrappings_is_refused() {
    let mut path = sample().path.with_extension("small");
    let folder = path.parent().expect("it has one").to_owned();
    fs::create_dir_all(&folder).expect("there is room");
    fs::write(&path, b"little").expect("there is room");
    for n in 0..8 {
        let next = folder.join(format!("wrapped-{n}"));
        fs::rename(packed(&path, "gzip"), &next).expect("renamed");
        path = next;
    }
    let error = file(&path).opened(None).err().expect("too many");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    fs::remove_dir_all(&folder).expect("it is ours");
}
