//! What stands around a file system in an image: a packing, a qcow2, a partition table, a layout.

#![no_main]

use std::io::{self, Read};

use imgbase::image::oci::{Layers, Wanted};
use imgbase::image::{Image, ImageFile, ImageStream};
use imgbase::units::Bytes;
use imgbase_fuzz::{Disk, bounded_beside};
use libfuzzer_sys::fuzz_target;

/// The largest window of something packed, and what its decoder has beside.
const WINDOW: usize = 160 << 20;

/// So much is read of what was found.
const READ: u64 = 1 << 20;

fuzz_target!(|input: &[u8]| {
    // Whether it is a stream, whether a partition is named, and the first bytes.
    let Some((&how, head)) = input.split_first() else { return };
    let wanted = (how & 2 != 0).then_some("1");
    bounded_beside(WINDOW, input, || {
        let image = if how & 1 == 0 {
            Image::File(ImageFile::of(Disk::new(head.to_vec(), 64 << 20)))
        } else {
            Image::Stream(ImageStream::new("standard input", io::Cursor::new(head.to_vec())))
        };
        match image.opened(wanted) {
            Ok(Image::File(file)) => read(&file),
            Ok(Image::Stream(stream) | Image::Archive(stream)) => {
                let _ = io::copy(&mut stream.reader.take(READ), &mut io::sink());
            }
            Ok(Image::Layout(store)) => {
                if let Ok(layers) = Layers::open(store, &Wanted::default()) {
                    let _ = layers.measure(&mut |_| false);
                }
            }
            Err(_) => {}
        }
    });
});

fn read(file: &ImageFile) {
    let size = file.dev.size().get();
    let mut buffer = vec![0; 4096];
    let mut at = 0;
    while at + 4096 <= size.min(READ) {
        if file.dev.read_at(&mut buffer, Bytes::new(at)).is_err() {
            break;
        }
        at += 4096;
    }
    let mut from = Bytes::ZERO;
    for _ in 0..1000 {
        if from >= file.dev.size() {
            break;
        }
        let Ok(Some(data)) = file.holes.next_data(from) else { break };
        assert!(from <= data.start && data.start < data.end, "data comes in order");
        from = data.end;
    }
}
