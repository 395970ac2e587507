//! What stands in the table, and under which heading.

use super::figures::Figures;

/// A heading, and for each row below it a label and the name of its figures.
pub(super) struct Section {
    pub(super) title: String,
    pub(super) rows: Vec<(&'static str, String)>,
}

impl Section {
    /// True where anything of it was measured.
    pub(super) fn is_measured(&self, figures: &Figures) -> bool {
        self.rows.iter().any(|(_, name)| figures.median(name).is_some())
    }
}

/// So many layers are there in group `scale`.
pub(super) const SIZES: [usize; 4] = [10, 100, 500, 2000];

/// What is measured with each of these numbers.
const AT_SIZE: &[(&str, &str)] = &[
    ("layout, the handle of the last call", "scale.layout"),
    ("layout, a new handle", "scale.layout-new"),
    ("lvs", "scale.lvs"),
    ("layer --add, library call", "scale.add"),
    ("lvcreate -s -kn -ay", "scale.lvcreate"),
    ("layer --remove, library call", "scale.remove"),
    ("lvremove", "scale.lvremove"),
];

const ROWS: &[(&str, &[(&str, &str)])] = &[
    (
        "layer --add",
        &[
            ("library call", "layer.library"),
            ("bare loop", "layer.bare"),
            ("  of it: each of the two commits", "bare.commit"),
            ("  the two messages", "bare.messages"),
            ("  the device, its node and link", "bare.device"),
            ("  the superblock", "bare.superblock"),
            ("whole process", "layer.process"),
            ("lvcreate -s -kn -ay", "layer.lvcreate"),
        ],
    ),
    (
        "layer --remove",
        &[
            ("library call", "layer.remove"),
            ("whole process", "layer.remove-process"),
            ("lvremove", "layer.lvremove"),
        ],
    ),
    ("100 layers", &[("in one library call", "many.batch"), ("one by one", "many.singly")]),
    (
        "the devices of 250 layers",
        &[
            ("made by a library call", "many.activate"),
            ("vgchange -ay -K", "many.vgchange-ay"),
            ("removed by a library call", "many.deactivate"),
            ("vgchange -an", "many.vgchange-an"),
        ],
    ),
    (
        "layout",
        &[
            ("library call", "layout.library"),
            ("whole process", "layout.process"),
            ("lvs", "layout.lvs"),
        ],
    ),
    (
        "base --add",
        &[
            ("library call", "base.library"),
            ("bare loop", "base.bare"),
            ("bare loop, read by O_DIRECT", "base.bare-direct"),
            ("whole process", "base.process"),
            ("qemu-img convert -n --target-is-zero", "base.qemu-img"),
            ("dd conv=sparse,fsync bs=1M", "base.dd"),
            ("cp --sparse=always", "base.cp"),
            ("bmaptool copy", "base.bmaptool"),
            ("four times as large, library call", "base.large.library"),
            ("bare loop", "base.large.bare"),
            ("bare loop, read by O_DIRECT", "base.large.bare-direct"),
            ("qemu-img convert -n --target-is-zero", "base.large.qemu-img"),
        ],
    ),
    (
        "base --add of a tree",
        &[
            ("squashfs, library call", "source.squashfs"),
            ("mkfs.ext4, unsquashfs", "source.squashfs.rival"),
            ("tar, library call", "source.tar"),
            ("mkfs.ext4, tar -x", "source.tar.rival"),
            ("tar.zst, library call", "source.tar.zst"),
            ("mkfs.ext4, tar -I zstd -x", "source.tar.zst.rival"),
        ],
    ),
    (
        "update",
        &[
            ("base --add, the first of its name", "update.first"),
            ("to an image that changed a little", "update.changed"),
            ("to the same image", "update.same"),
        ],
    ),
    (
        "diff, 2 GiB in 20,000 files, 200 differ",
        &[
            ("library call", "diff.library"),
            ("library call, by a walk", "diff.walk"),
            ("diff -rq of both mounted", "diff.diff-rq"),
            ("thin_delta, chunks alone", "diff.thin_delta"),
        ],
    ),
    (
        "recover, nothing to do",
        &[("library call", "recover.library"), ("whole process", "recover.process")],
    ),
    (
        "10,000 files in /etc, all added here",
        &[
            ("merged by the library", "etc.added.library"),
            ("rsync -aHAX", "etc.added.rsync"),
            ("cp -a", "etc.added.cp"),
        ],
    ),
    (
        "10,000 files in /etc, 100 changed here",
        &[
            ("merged by the library", "etc.changed.library"),
            ("rsync -aHAX", "etc.changed.rsync"),
            ("cp -a", "etc.changed.cp"),
        ],
    ),
    ("rollback", &[("library call", "rollback.library"), ("whole process", "rollback.process")]),
    (
        "from the kernel to the layer's init",
        &[
            ("imgbase's initramfs", "start.imgbase"),
            ("that of Debian's tools with lvm2", "start.debian"),
        ],
    ),
    (
        "the start of a process",
        &[
            ("imgbase --version", "version.process"),
            ("a trivial static process", "trivial.process"),
        ],
    ),
];

/// What is measured in group `wide`, with so many of each.
const WIDE: &[(&str, &str)] = &[
    ("layout, the handle of the last call", "layout"),
    ("layout, a new handle", "layout-new"),
    ("lvs", "lvs"),
    ("layer --add, library call", "add"),
    ("lvcreate -s -kn -ay", "lvcreate"),
];

/// What there are so many of: the word in the names, and the heading.
const WIDTHS: &[(&str, &str, &[usize])] = &[
    ("disks", "physical volumes", &super::wide::DISKS),
    ("foreign", "disks of others", &[1, 50]),
    ("bases", "bases", &[10, 200]),
];

/// All of them.
pub(super) fn sections() -> impl Iterator<Item = Section> {
    let wide = WIDTHS
        .iter()
        .flat_map(|(word, title, sizes)| sizes.iter().map(move |size| wide(word, title, *size)));
    ROWS.iter().map(fixed).chain(SIZES.into_iter().map(at_size)).chain(wide)
}

fn fixed((title, rows): &(&str, &[(&'static str, &str)])) -> Section {
    let rows = rows.iter().map(|(label, name)| (*label, (*name).to_owned()));
    Section { title: (*title).to_owned(), rows: rows.collect() }
}

fn at_size(size: usize) -> Section {
    let rows = AT_SIZE.iter().map(|(label, name)| (*label, format!("{name}.{size}")));
    Section { title: format!("{size} layers, one of them active"), rows: rows.collect() }
}

fn wide(word: &str, title: &str, size: usize) -> Section {
    let rows = WIDE.iter().map(|(label, verb)| (*label, format!("{word}.{size}.{verb}")));
    Section { title: format!("{title}: {size}"), rows: rows.collect() }
}
