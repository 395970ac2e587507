use std::fs;

use super::*;

/// A program without a loader: a header of ELF that lists nothing.
const STATIC: [u8; 64] = {
    let mut bytes = [0; 64];
    [bytes[0], bytes[1], bytes[2], bytes[3], bytes[4]] = [0x7f, b'E', b'L', b'F', 2];
    bytes
};

/// A system with one kernel, whose modules hold their own names.
struct System {
    dir: tempfile::TempDir,
}

const DEP: &str = "kernel/dm-mod.ko:\nkernel/dm-thin-pool.ko.xz: kernel/dm-mod.ko\n\
    kernel/ahci.ko: kernel/libahci.ko\nkernel/libahci.ko:\nkernel/xfs.ko:\n";

impl System {
    fn new(dep: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("lib/modules/6.1.0");
        fs::create_dir_all(folder.join("kernel")).expect("made");
        fs::write(folder.join("modules.dep"), dep).expect("written");
        fs::write(folder.join("modules.builtin"), "kernel/fs/ext4/ext4.ko\n").expect("written");
        fs::write(folder.join("modules.alias"), "alias fs-xfs xfs\n").expect("written");
        for file in dep.lines().filter_map(|line| line.split(':').next()) {
            fs::write(folder.join(file), file).expect("written");
        }
        fs::write(dir.path().join("program"), STATIC).expect("written");
        Self { dir }
    }

    fn initrd(&self) -> Initrd {
        Initrd {
            root: self.dir.path().to_owned(),
            kernel: None,
            modules: Vec::new(),
            disks: Vec::new(),
            file_systems: vec!["ext4".to_owned()],
            program: self.dir.path().join("program"),
        }
    }
}

fn write(initrd: &Initrd) -> Result<(Vec<u8>, InitrdReport)> {
    let mut bytes = Vec::new();
    let report = initrd.write(&mut bytes)?;
    Ok((bytes, report))
}

/// The files of an archive with their content.
fn files(packed: Vec<u8>) -> Vec<(String, Vec<u8>)> {
    let bytes = unpack(packed, 1 << 20).expect("sound");
    let (mut files, mut at) = (Vec::new(), 0);
    loop {
        let number = |field: usize| {
            let digits = &bytes[at + 6 + 8 * field..][..8];
            usize::from_str_radix(std::str::from_utf8(digits).expect("text"), 16).expect("digits")
        };
        let (size, name_len) = (number(6), number(11));
        let name = &bytes[at + 110..][..name_len - 1];
        let name = String::from_utf8(name.to_vec()).expect("text");
        if name == "TRAILER!!!" {
            return files;
        }
        let content = (at + 110 + name_len).next_multiple_of(4);
        files.push((name, bytes[content..][..size].to_vec()));
        at = (content + size).next_multiple_of(4);
    }
}

#[test]
fn it_holds_the_program_and_the_modules_in_their_order() {
    let system = System::new(DEP);
    let (bytes, report) = write(&system.initrd()).expect("written");
    assert_eq!(report.kernel, "6.1.0");
    assert_eq!(report.size_bytes, u64::try_from(bytes.len()).expect("small"));
    // No disk is known: the usual ones that this kernel has are all loaded.
    assert_eq!(report.modules, ["dm_mod", "dm_thin_pool", "libahci", "ahci"]);
    assert!(report.spare_modules.is_empty());
    let files = files(bytes);
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let front = ["dev", "dev/console", "init", "modules", "modules/dm-mod.ko"];
    assert_eq!(names[..5], front);
    assert_eq!(names.last(), Some(&"modules/list"));
    assert_eq!(files[2].1, STATIC);
    let list = &files.last().expect("not empty").1;
    let list = ModuleList::parse(std::str::from_utf8(list).expect("text"));
    assert_eq!(list.rows, [["dm-mod.ko", "dm-thin-pool.ko"], ["libahci.ko", "ahci.ko"]]);
    assert_eq!(files[4].1, b"kernel/dm-mod.ko");
}

#[test]
fn the_same_goes_into_a_folder() {
    let system = System::new(DEP);
    let small = system.dir.path().join("small");
    fs::create_dir(&small).expect("made");
    for _ in 0..2 {
        system.initrd().write_folder(&small).expect("written");
    }
    assert_eq!(fs::read(small.join("imgbase")).expect("there"), STATIC);
    for (name, content) in files(write(&system.initrd()).expect("written").0) {
        if name.starts_with("modules/") {
            assert_eq!(fs::read(small.join(name)).expect("there"), content);
        }
    }
    let left = fs::read_dir(small.join("modules")).expect("there").count();
    assert_eq!(left, 5, "four modules and their list");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let system = System::new(DEP);
    let write = || write(&system.initrd()).expect("written").0;
    assert_eq!(write(), write());
}

#[test]
fn modules_and_file_systems_can_be_asked_for() {
    let system = System::new(DEP);
    let mut initrd = system.initrd();
    initrd.file_systems = vec!["xfs".to_owned(), "ext3".to_owned()];
    initrd.modules = vec!["libahci".to_owned(), "ext4".to_owned()];
    let report = write(&initrd).expect("written").1;
    assert_eq!(report.modules, ["dm_mod", "dm_thin_pool", "xfs", "libahci", "ahci"]);
}

#[test]
fn what_is_missing_is_named_with_its_folder() {
    let system = System::new(DEP);
    for (modules, file_systems, wanted) in
        [(vec!["nosuch"], vec![], "nosuch"), (vec![], vec!["btrfs"], "btrfs")]
    {
        let mut initrd = system.initrd();
        initrd.modules = modules.into_iter().map(str::to_owned).collect();
        initrd.file_systems = file_systems.into_iter().map(str::to_owned).collect();
        let error = write(&initrd).expect_err("not there");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let text = error.to_string();
        assert!(text.contains(wanted) && text.contains("lib/modules/6.1.0"), "{text}");
    }
    let system = System::new("kernel/dm-mod.ko:\n");
    let error = write(&system.initrd()).expect_err("no thin pool");
    assert!(error.to_string().contains("dm_thin_pool"), "{error}");
}

#[test]
fn a_module_that_is_lost_or_broken_is_named() {
    let system = System::new(DEP);
    let file = system.dir.path().join("lib/modules/6.1.0/kernel/dm-thin-pool.ko.xz");
    fs::write(&file, b"\xfd7zXZ\0and no more").expect("written");
    let error = write(&system.initrd()).expect_err("broken");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("dm-thin-pool.ko.xz"), "{error}");
    fs::remove_file(&file).expect("removed");
    let error = write(&system.initrd()).expect_err("lost");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("dm-thin-pool.ko.xz"), "{error}");
}

#[test]
fn a_program_with_a_loader_is_refused() {
    let system = System::new(DEP);
    let initrd = Initrd { program: "/bin/sh".into(), ..system.initrd() };
    let error = write(&initrd).expect_err("it needs the C library");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn settings_of_lvm2_go_along_where_they_say_something() {
    let system = System::new(DEP);
    let folder = system.dir.path().join("etc/lvm");
    fs::create_dir_all(&folder).expect("made");
    fs::write(folder.join("lvm.conf"), "devices { filter = [ \"r|/dev/x|\" ] }\n")
        .expect("written");
    let files = files(write(&system.initrd()).expect("written").0);
    let settings = files.iter().find(|(name, _)| name == "lvm.conf").expect("there");
    assert_eq!(settings.1, b"devices/filter = [ \"r|/dev/x|\" ]\n");
}
