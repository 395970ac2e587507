//! The life of layers, as the loader sees it.

use imgbase::ErrorKind;
use imgbase::boot::Leftover;
use imgbase::boot::state::Verdict;
use imgbase::boot::vars::Variable;
use imgbase::units::Bytes;

use crate::grub::{BARE, BLS, DEBIAN, FEDORA, Grub};
use crate::systemd::{SystemdBoot, V252, V257, V260};
use crate::world::{KERNEL, Loader, World, layer};

const A: &str = "Base-1-0+1";
const B: &str = "Base-2-0+1";
const C: &str = "Base-3-0+1";

/// Each kind of machine.
fn machines() -> Vec<World> {
    let mut all = Vec::new();
    for loader in [V252, V257, V260] {
        for fat in [true, false] {
            all.push(World::systemd(loader, fat));
        }
    }
    for grub in [DEBIAN, BARE, FEDORA, BLS] {
        for fat in [true, false] {
            all.push(World::grub(grub, fat));
        }
    }
    all
}

#[test]
fn a_new_entry_changes_nothing_that_boots() {
    for world in machines() {
        assert_eq!(world.next(), "none", "{:?}", world.loader);
        assert!(world.put(A).expect("it is made"));
        assert!(!world.put(A).expect("it is there"), "the same again");
        assert_eq!(world.next(), "none", "{:?}", world.loader);
        let state = world.boot().state().expect("it can be read");
        assert!(state.problems.is_empty(), "{:?}", state.problems);
        assert!(state.is_bootable(&layer(A)) && !state.is_blessed(&layer(A)));
        assert_eq!(state.default_layer(), None);
    }
}

#[test]
fn a_chosen_layer_boots_and_is_found_good() {
    for world in machines() {
        world.put(A).expect("it is made");
        let chosen = world.try_out(A, None).expect("it is chosen");
        assert_eq!(chosen.fallback, None, "there is no other layer");
        assert_eq!(world.start(), A);
        let booted = world.loader.next(&world.sim).expect("it starts");
        for word in ["panic=10", "rd.shell=0", "rd.emergency=reboot", "ro", "quiet"] {
            assert!(booted.args.split(' ').any(|w| w == word), "{word}: {}", booted.args);
        }
        assert!(booted.args.contains("root=/dev/mapper/HostVG-Base--1--0+1"), "{}", booted.args);
        assert!(world.bless(A).expect("it is good"));
        assert!(!world.bless(A).expect("it was already"));
        let booted = world.loader.next(&world.sim).expect("it starts");
        assert_eq!(booted.layer(), A);
        assert!(!booted.args.contains("panic"), "{}", booted.args);
        assert_eq!(world.boot().state().expect("read").default_layer(), Some(&layer(A)));
        assert_eq!(world.entry_files().len(), 1);
    }
}

#[test]
fn a_layer_that_fails_three_times_is_left() {
    for world in machines() {
        world.settle(A);
        world.put(B).expect("it is made");
        let chosen = world.try_out(B, Some(A)).expect("it is chosen");
        assert_eq!(chosen.fallback, Some(layer(A)));
        for left in (0..3).rev() {
            assert_eq!(world.start(), B, "{:?}", world.loader);
            let verdict = world.boot().state().expect("read").verdict(Some(&layer(B)));
            assert_eq!(verdict, Verdict::OnTrial { layer: layer(B), left });
        }
        for _ in 0..3 {
            assert_eq!(world.start(), A, "{:?}", world.loader);
        }
        let state = world.boot().state().expect("read");
        let failed = Verdict::Failed { layer: layer(B), done: 3 };
        assert_eq!(state.verdict(Some(&layer(A))), failed);
        assert_eq!(state.default_layer(), Some(&layer(A)));
        // It gets another chance.
        world.try_out(B, Some(A)).expect("it is chosen");
        assert_eq!(world.start(), B);
        world.bless(B).expect("it is good");
        assert_eq!(world.start(), B);
        let state = world.boot().state().expect("read");
        assert_eq!(state.verdict(Some(&layer(B))), Verdict::Nothing);
        assert_eq!(world.entry_files().len(), 2);
    }
}

#[test]
fn the_last_try_can_still_be_found_good() {
    for world in machines() {
        world.settle(A);
        world.put(B).expect("it is made");
        world.try_out(B, Some(A)).expect("it is chosen");
        for _ in 0..3 {
            assert_eq!(world.start(), B);
        }
        assert_eq!(world.next(), A);
        world.bless(B).expect("it is good");
        assert_eq!(world.start(), B);
    }
}

#[test]
fn a_newer_trial_takes_the_place_of_one_that_is_under_way() {
    for world in machines() {
        world.settle(A);
        for name in [C, B] {
            world.put(name).expect("it is made");
        }
        world.try_out(C, Some(A)).expect("it is chosen");
        assert_eq!(world.start(), C);
        // Not C, which nobody has found good, but A is what B falls back to.
        let chosen = world.try_out(B, Some(C)).expect("it is chosen");
        assert_eq!(chosen.fallback, Some(layer(A)));
        for name in [B, B, B, A] {
            assert_eq!(world.start(), name, "{:?} {:?}", world.loader, world.entry_files());
        }
        let state = world.boot().state().expect("read");
        assert!(state.is_bootable(&layer(C)), "it still has its entry");
    }
}

#[test]
fn a_rollback_ends_a_trial() {
    for world in machines() {
        world.settle(A);
        world.put(B).expect("it is made");
        world.try_out(B, Some(A)).expect("it is chosen");
        assert_eq!(world.start(), B);
        world.choose(A).expect("it is chosen");
        assert_eq!(world.start(), A);
        world.choose(B).expect("it is chosen");
        assert_eq!(world.start(), B);
        assert_eq!(world.entry_files().len(), 2);
        assert!(world.boot().state().expect("read").trials.is_empty());
    }
}

#[test]
fn what_boots_once_boots_once() {
    for world in machines() {
        world.settle(A);
        world.put(B).expect("it is made");
        world.boot().set_once(Some(&layer(B))).expect("it is set");
        let state = world.boot().state().expect("read");
        assert_eq!((state.once_layer(), state.default_layer()), (Some(&layer(B)), Some(&layer(A))));
        assert_eq!(world.start(), B);
        assert_eq!(world.start(), A);
        // Found good there, it does not become the default.
        world.bless(B).expect("it is good");
        assert_eq!(world.start(), A);
        // One on trial can be chosen so too; and a choice puts an end to it.
        world.put(C).expect("it is made");
        world.try_out(C, Some(A)).expect("it is chosen");
        world.boot().set_once(Some(&layer(C))).expect("it is set");
        assert_eq!(world.start(), C);
        world.boot().set_once(Some(&layer(C))).expect("it is set");
        world.choose(A).expect("it is chosen");
        assert_eq!(world.next(), A);
        world.boot().set_once(Some(&layer(C))).expect("it is set");
        world.boot().set_once(None).expect("it is dropped");
        assert_eq!(world.next(), A);
    }
}

#[test]
fn what_must_stay_is_not_removed() {
    for world in machines() {
        world.settle(A);
        world.put(B).expect("it is made");
        let refused = |name: &str, running: Option<&str>| {
            let running = running.map(layer);
            let error = world.boot().remove(&layer(name), running.as_ref()).expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Busy);
            error.to_string()
        };
        let before = world.sim.fingerprint();
        assert!(refused(A, None).contains("it is the default"));
        assert!(refused(B, Some(B)).contains("it is the running layer"));
        world.try_out(B, Some(A)).expect("it is chosen");
        assert!(refused(B, Some(A)).contains("it is the default"));
        assert!(refused(A, Some(B)).contains("falls back to it"));
        assert_eq!(world.start(), B);
        world.put(C).expect("it is made");
        world.choose(C).expect("it is chosen");
        assert!(refused(A, Some(B)).contains("not blessed yet"));
        let _ = before;
        world.choose(A).expect("it is chosen");
        assert!(world.boot().remove(&layer(B), Some(&layer(A))).expect("it may go"));
        assert!(!world.boot().remove(&layer(B), Some(&layer(A))).expect("it is gone"));
        assert_eq!(world.start(), A);
    }
}

#[test]
fn layers_with_one_kernel_share_one_copy() {
    for world in machines() {
        let kernels = || {
            let files = world.sim.files();
            files.keys().filter(|path| path.contains("vmlinuz") || path.contains("initrd")).count()
        };
        for index in 1..=10 {
            world.put(&format!("Base-1-0+{index}")).expect("it is made");
        }
        assert_eq!(kernels(), 2);
        world.put_with(B, "6.6", "quiet").expect("it is made");
        assert_eq!(kernels(), 4);
        world.choose(A).expect("it is chosen");
        assert!(world.boot().remove(&layer(B), None).expect("it may go"));
        for index in 2..=10 {
            let name = format!("Base-1-0+{index}");
            assert!(world.boot().remove(&layer(&name), None).expect("it may go"));
        }
        assert_eq!(kernels(), 2);
        assert_eq!(world.next(), A);
    }
}

#[test]
fn an_entry_of_another_program_keeps_a_kernel() {
    let world = World::systemd(V252, true);
    world.settle(A);
    world.put_with(B, "6.6", "quiet").expect("it is made");
    let files = world.sim.files();
    let kernel = files.keys().find(|path| path.ends_with("vmlinuz-6.6")).expect("stored");
    let text = format!("title mine\nlinux \\{}\n", kernel.replace('/', "\\"));
    world.sim.put("loader/entries/mine.conf", &text);
    world.boot().remove(&layer(B), None).expect("it may go");
    assert!(world.sim.file(kernel).is_some());
    assert_eq!(world.sim.file("loader/entries/mine.conf"), Some(text.into_bytes()));
}

#[test]
fn room_is_reckoned_before_anything_is_written() {
    for world in machines() {
        world.put(A).expect("it is made");
        world.sim.set_capacity(Bytes::mib(2));
        let before = world.sim.files();
        let error = world.put_with(B, "6.6", "quiet").expect_err("there is no room");
        let ErrorKind::NoSpace { need, have } = error.kind() else { panic!("{error}") };
        assert!(need > have && error.to_string().contains(&need.get().to_string()), "{error}");
        assert_eq!(world.sim.files(), before);
        // The same kernel takes no more than an entry.
        world.sim.set_capacity(Bytes::mib(2).saturating_add(Bytes::kib(160)));
        assert!(world.put(B).expect("it is made"));
    }
}

#[test]
fn arguments_belong_to_a_layer() {
    for world in machines() {
        world.settle(A);
        world.put(B).expect("it is made");
        let edit = |name: &str, remove: &'static str, add: &'static str| {
            world.boot().edit_args(&layer(name), &|args| {
                args.remove(remove);
                args.add(add)
            })
        };
        assert!(edit(A, "quiet", "console=ttyS0").expect("changed"));
        let booted = world.loader.next(&world.sim).expect("it starts");
        assert_eq!(booted.layer(), A);
        assert!(booted.args.contains("console=ttyS0") && !booted.args.contains("quiet"));
        assert!(world.boot().args(&layer(B)).expect("read").has("quiet"));
        // One on trial stays so, with the tries that it has left.
        world.try_out(B, Some(A)).expect("it is chosen");
        assert_eq!(world.start(), B);
        assert!(edit(B, "quiet", "nosmt").expect("changed"));
        assert!(edit(A, "console=ttyS0", "loglevel=7").expect("changed"));
        for name in [B, B, A] {
            let booted = world.loader.boot(&world.sim).expect("it starts");
            assert_eq!(booted.layer(), name);
            let word = if name == B { "nosmt" } else { "loglevel=7" };
            assert!(booted.args.split(' ').any(|w| w == word), "{}", booted.args);
        }
        let error = edit(A, "x", "a b").expect_err("not one word");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let nobody = world.boot().args(&layer("Base-9-9+9")).expect_err("it has none");
        assert_eq!(nobody.kind(), ErrorKind::NotFound);
    }
}

#[test]
fn entries_of_others_stay_to_the_byte() {
    for world in machines() {
        let odd = b"title odd\r\nlinux\t/debian/6.1/linux\n\xff\xfe\nx-y z".as_slice();
        world.sim.put("loader/entries/Odd_One+1-1.conf", odd);
        let others = |world: &World| {
            let mut files = world.sim.files();
            let shared = ["loader.conf", "custom.cfg", "grubenv"];
            files.retain(|path, _| {
                !path.contains("imgbase") && !shared.iter().any(|name| path.ends_with(name))
            });
            files
        };
        let before = others(&world);
        world.settle(A);
        world.settle(B);
        world.try_out(A, Some(B)).expect("it is chosen");
        world.choose(B).expect("it is chosen");
        world.boot().remove(&layer(A), None).expect("it may go");
        assert!(others(&world) == before, "{:?}", world.loader);
        let begins = |path: &str, text: &str| {
            let bytes = world.sim.file(path).expect("there");
            assert!(
                bytes.starts_with(text.as_bytes()),
                "{path}: {}",
                String::from_utf8_lossy(&bytes)
            );
        };
        match world.loader {
            Loader::Systemd(_) => begins("loader/loader.conf", "timeout 3\n"),
            Loader::Grub(grub) => {
                let head = "# GRUB Environment Block\n# WARNING: mine\nmine=kept\n";
                begins(&format!("{}/grubenv", grub.folder), head);
                begins(&format!("{}/custom.cfg", grub.folder), "# mine\nset mine=1\n# imgbase");
            }
        }
    }
}

#[test]
fn what_is_left_over_is_found_and_removed() {
    for world in machines() {
        world.settle(A);
        world.put_with(B, "6.6", "quiet").expect("it is made");
        world.sim.put("loader/entries/.x.conf.imgbase-new", "half");
        world.sim.put("imgbase/0123456789abcdef0123456789abcdef/vmlinuz", "nobody's");
        let known = [layer(A)].into();
        let left = world.boot().leftovers(&known).expect("read");
        let is_entry = |left: &Leftover| matches!(left, Leftover::Entry { layer: l, kept: None, .. } if *l == layer(B));
        assert!(left.iter().any(is_entry), "{left:?}");
        assert!(left.iter().any(|left| matches!(left, Leftover::Temporary(_))), "{left:?}");
        assert!(left.iter().any(|left| matches!(left, Leftover::Unused(_))), "{left:?}");
        assert_eq!(world.boot().clean(&known).expect("cleaned").len(), 5);
        assert!(world.boot().leftovers(&known).expect("read").is_empty());
        assert_eq!(world.entry_files().len(), 1);
        assert!(world.sim.files().keys().all(|path| !path.contains("6.6")));
        // The default's volume is gone: it is told, and stays.
        let left = world.boot().clean(&[layer(C)].into()).expect("cleaned");
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(world.boot().leftovers(&[layer(C)].into()).expect("read").len(), 1);
        assert_eq!(world.next(), A);
    }
}

#[test]
fn an_entry_without_its_kernel_is_not_chosen() {
    for world in machines() {
        world.settle(A);
        world.put_with(B, "6.6", "quiet").expect("it is made");
        let files = world.sim.files();
        let initrd = files.keys().find(|path| path.ends_with("initrd.img-6.6")).expect("stored");
        world.sim.take(initrd);
        let error = world.choose(B).expect_err("it cannot start");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("initrd.img-6.6"), "{error}");
        let state = world.boot().state().expect("read");
        assert!(!state.is_bootable(&layer(B)));
        assert!(state.problems.iter().any(imgbase::boot::state::Problem::is_failure));
        // Made again, it is whole.
        world.put_with(B, "6.6", "quiet").expect("it is made");
        assert!(world.boot().state().expect("read").is_bootable(&layer(B)));
    }
}

#[test]
fn a_layer_may_have_several_kernels() {
    for world in machines() {
        world.put_with(A, "5.14.0-99", "quiet").expect("it is made");
        world.put_with(A, "5.14.0-100", "quiet").expect("it is made");
        world.choose(A).expect("it is chosen");
        let booted = world.loader.next(&world.sim).expect("it starts");
        assert_eq!(booted.linux, b"kernel 5.14.0-100");
        assert_eq!(world.entry_files().len(), 2);
        assert_eq!(world.start(), A);
        world.bless(A).expect("it is good");
        let state = world.boot().state().expect("read");
        let unblessed = state.entries.iter().filter(|found| found.is_unblessed()).count();
        assert_eq!(unblessed, 1, "the other kernel was not tried");
    }
}

#[test]
fn entries_of_kernels_that_are_gone_go() {
    for world in machines() {
        for kernel in ["6.1", "6.2", "6.3"] {
            world.put_with(A, kernel, "quiet").expect("it is made");
        }
        world.choose(A).expect("it is chosen");
        let kernel = |text: &str| text.parse().expect("a version");
        let kept = [kernel("6.2")].into();
        let gone = world.boot().keep_kernels(&layer(A), &kept).expect("they may go");
        assert_eq!(gone, [kernel("6.1")], "6.3 boots next");
        assert!(world.sim.files().keys().all(|path| !path.contains("vmlinuz-6.1")));
        assert_eq!(world.next(), A);
        let none = world.boot().keep_kernels(&layer(A), &[].into()).expect("read");
        assert_eq!(none, [kernel("6.2")]);
        let none = world.boot().keep_kernels(&layer(A), &[].into()).expect("read");
        assert!(none.is_empty(), "the last one stays");
        assert_eq!(world.next(), A);
    }
}

#[test]
fn arguments_that_a_loader_would_change_are_refused() {
    for (world, refused) in [
        (World::systemd(V252, true), vec!["\"a b\" quiet x=\"c d\""]),
        (World::grub(FEDORA, false), vec!["a=b;c", "a={x}", "it's"]),
        (World::grub(DEBIAN, false), vec![]),
    ] {
        for args in refused {
            // Ours keep their places.
            let own = "root=x ro rd.lvm.lv=HostVG/Base-9-9+9 rootflags=z img.bootid=Base-9-9+9";
            let args = args.replace("quiet", own);
            let error = world.put_with(A, KERNEL, &args).expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{args}");
        }
        world.put_with(A, KERNEL, "dyndbg=\"file x +p\" quiet").expect("it is made");
        world.choose(A).expect("it is chosen");
        let booted = world.loader.next(&world.sim).expect("it starts");
        let read = imgbase::boot::args::Args::parse(&booted.args);
        assert_eq!(read.value("dyndbg").as_deref(), Some("file x +p"), "{}", booted.args);
    }
    // What the kernel reads is what was meant, whatever is in it.
    let world = World::grub(DEBIAN, true);
    world.put_with(A, KERNEL, "a=b;c d={$x} e=&f|g").expect("it is made");
    world.choose(A).expect("it is chosen");
    let booted = world.loader.next(&world.sim).expect("it starts");
    assert!(booted.args.contains("a=b;c d={$x} e=&f|g"), "{}", booted.args);
}

#[test]
fn a_folder_inside_a_file_system_is_named_so() {
    let facts = imgbase::boot::folder::Facts { prefix: "/boot".into(), ..Default::default() };
    let sim = imgbase::boot::sim::SimBoot::new(facts);
    sim.put("grub/grub.cfg", DEBIAN.cfg);
    let world = World::over(sim, Loader::Grub(DEBIAN));
    world.put(A).expect("it is made");
    let menu = world.sim.file("grub/imgbase-00000001.cfg").expect("made");
    let menu = String::from_utf8(menu).expect("text");
    assert!(menu.contains("linux '/boot/imgbase/") && menu.contains("--file '/boot/imgbase/"));
    assert!(world.boot().state().expect("read").is_bootable(&layer(A)));
    let vg = "HostVG".parse().expect("a group");
    let systemd = Some(imgbase::boot::LoaderKind::SystemdBoot);
    let error = imgbase::boot::Boot::open(world.place(), &vg, systemd).err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn the_loader_is_found_by_what_is_there() {
    use imgbase::boot::{LoaderKind, detect};
    let kind = |world: &World| detect(world.place()).map_err(|error| error.kind());
    assert_eq!(kind(&World::systemd(V252, true)), Ok(Some(LoaderKind::SystemdBoot)));
    assert_eq!(kind(&World::grub(DEBIAN, true)), Ok(Some(LoaderKind::Grub)));
    assert_eq!(kind(&World::grub(FEDORA, true)), Ok(Some(LoaderKind::GrubBls)));
    let world = World::systemd(V252, true);
    world.sim.put("grub/grub.cfg", DEBIAN.cfg);
    assert_eq!(kind(&world), Err(ErrorKind::Unsupported), "there are two");
    world.sim.put_variable(Variable::Info, "systemd-boot 252.39");
    assert_eq!(kind(&world), Ok(Some(LoaderKind::SystemdBoot)));
    world.sim.put_variable(Variable::Info, "GRUB 2.12");
    assert_eq!(kind(&world), Ok(Some(LoaderKind::Grub)));
    let sim = imgbase::boot::sim::SimBoot::new(crate::world::facts(false));
    assert_eq!(kind(&World::over(sim, Loader::Grub(DEBIAN))), Ok(None));
}

#[test]
fn variables_before_loader_conf_are_never_left_contradicting() {
    for loader in [V252, V257, V260] {
        let world = World::systemd(loader, true);
        world.settle(A);
        world.sim.put_variable(Variable::Default, "debian-6.1.conf");
        let state = world.boot().state().expect("read");
        assert_eq!(state.default_layer(), None, "another system's is the default");
        assert!(!state.problems.is_empty());
        world.choose(A).expect("it is chosen");
        assert_eq!(world.next(), A);
        assert_eq!(world.sim.variable(Variable::Default), None);
        world.sim.put_variable(Variable::Preferred, "debian-6.1.conf");
        world.sim.put_variable(Variable::Default, "debian-*");
        world.sim.put_variable(Variable::OneShot, "debian-6.1.conf");
        world.choose(A).expect("it is chosen");
        assert_eq!(world.next(), A, "{loader:?}");
        for variable in [Variable::Preferred, Variable::Default, Variable::OneShot] {
            assert_eq!(world.sim.variable(variable), None);
        }
        // What loader.conf itself prefers is the user's own line.
        let mut conf = world.sim.file("loader/loader.conf").expect("there");
        conf.extend(b"preferred debian-*\n");
        world.sim.put("loader/loader.conf", conf);
        let before = world.sim.fingerprint();
        assert_eq!(world.choose(A).expect_err("refused").kind(), ErrorKind::Unsupported);
        assert_eq!(world.sim.fingerprint(), before);
    }
}

#[test]
fn a_loader_that_cannot_write_is_noticed() {
    let systemd = SystemdBoot { counts: false, ..V252 };
    let grub = |grub: Grub| World::grub(Grub { counts: false, ..grub }, false);
    // systemd-boot, and Fedora's own script, start a layer that they cannot count all the same.
    for world in [World::systemd(systemd, true), grub(FEDORA)] {
        world.settle(A);
        world.put(B).expect("it is made");
        world.try_out(B, Some(A)).expect("it is chosen");
        for _ in 0..4 {
            assert_eq!(world.start(), B, "nothing counts");
        }
        let verdict = world.boot().state().expect("read").verdict(Some(&layer(B)));
        assert_eq!(verdict, Verdict::NotCounted { layer: layer(B) });
        // It can be found good all the same.
        world.bless(B).expect("it is good");
        assert_eq!(world.start(), B);
    }
    // Ours does not: it would for ever.
    for world in [grub(DEBIAN), grub(BARE), grub(BLS)] {
        world.settle(A);
        world.put(B).expect("it is made");
        world.try_out(B, Some(A)).expect("it is chosen");
        assert_eq!(world.start(), A);
        world.choose(B).expect("it is chosen");
        assert_eq!(world.start(), B);
    }
}

#[test]
fn a_start_that_came_up_takes_no_try() {
    for grub in [DEBIAN, BARE, BLS, FEDORA] {
        let world = World::grub(grub, false);
        world.settle(A);
        world.put(B).expect("it is made");
        world.try_out(B, Some(A)).expect("it is chosen");
        let block = if grub.reads_entries() { "grubenv" } else { "imgbase.env" };
        let path = format!("{}/{block}", grub.folder);
        let came_up = || {
            let bytes = world.sim.file(&path).expect("there");
            let mut env = imgbase::boot::grub::env::GrubEnv::parse(&bytes).expect("well-formed");
            env.set("boot_success", "1").expect("room");
            world.sim.put(&path, env.bytes());
        };
        for _ in 0..5 {
            assert_eq!(world.start(), B);
            came_up();
        }
        // Then it does so no more.
        let mut starts = 0;
        while world.start() == B {
            starts += 1;
            assert!(starts < 9, "it is tried for ever");
        }
        assert!((2..=4).contains(&starts), "{grub:?}: {starts}");
        assert_eq!(world.start(), A);
    }
}

#[test]
fn grub_s_own_files_may_be_malformed_or_missing() {
    for grub in [DEBIAN, BARE] {
        let world = World::grub(grub, false);
        let path = format!("{}/imgbase.env", grub.folder);
        world.sim.take(&format!("{}/grubenv", grub.folder));
        world.sim.take(&format!("{}/custom.cfg", grub.folder));
        world.settle(A);
        world.put(B).expect("it is made");
        world.try_out(B, Some(A)).expect("it is chosen");
        assert_eq!(world.sim.file(&path).map(|b| b.len()), Some(1024), "GRUB writes it in place");
        for name in [B, B, B, A] {
            assert_eq!(world.start(), name);
        }
        for bad in [b"# GRUB Environment Block\nshort\n".as_slice(), b""] {
            world.sim.put(&path, bad);
            let state = world.boot().state().expect("read");
            let named = |p: &imgbase::boot::state::Problem| p.to_string().contains("imgbase.env");
            assert!(state.problems.iter().any(named), "{:?}", state.problems);
            assert_eq!(world.next(), "none", "grub.cfg's own");
            world.put(A).expect("it is made anew");
            world.choose(A).expect("it is chosen");
            assert_eq!(world.start(), A);
        }
        world.sim.put(&format!("{}/grubenv", grub.folder), "nonsense");
        let state = world.boot().state().expect("read");
        assert!(state.problems.iter().any(|p| p.to_string().contains("grubenv")));
        world.put(B).expect("it is made");
        world.choose(B).expect("nothing of it is needed");
        assert_eq!(world.start(), B);
    }
    let world = World::grub(BLS, false);
    world.settle(A);
    world.sim.put("grub2/grubenv", "# GRUB Environment Block\nshort\n");
    let before = world.sim.fingerprint();
    let error = world.choose(A).expect_err("GRUB could not be told");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("grubenv") && error.to_string().contains("1024"), "{error}");
    assert_eq!(world.sim.fingerprint(), before);
}

#[test]
fn a_full_grubenv_is_told_in_bytes() {
    for grub in [BLS, FEDORA] {
        let world = World::grub(grub, false);
        world.settle(A);
        world.put(B).expect("it is made");
        let path = format!("{}/grubenv", grub.folder);
        let bytes = world.sim.file(&path).expect("there");
        let mut env = imgbase::boot::grub::env::GrubEnv::parse(&bytes).expect("well-formed");
        let used = bytes.iter().rposition(|byte| *byte != b'#').expect("a head") + 1;
        env.set("mine2", &"x".repeat(1024 - used - "mine2=\n".len() - 10)).expect("room");
        world.sim.put(&path, env.bytes());
        let before = world.sim.fingerprint();
        let error = world.try_out(B, Some(A)).expect_err("there is no room to count");
        assert!(matches!(error.kind(), ErrorKind::NoSpace { .. }), "{error}");
        assert_eq!(world.sim.fingerprint(), before);
        assert_eq!(world.start(), A);
    }
}

#[test]
fn grubenv_may_be_a_link_to_the_efi_partition() {
    let world = World::grub(FEDORA, false);
    let bytes = world.sim.file("grub2/grubenv").expect("there");
    world.sim.take("grub2/grubenv");
    world.sim.put("efi/EFI/fedora/grubenv", bytes);
    world.sim.link("grub2/grubenv", "../efi/EFI/fedora/grubenv");
    world.put(A).expect("it is made");
    world.choose(A).expect("it is chosen");
    let env = world.sim.file("efi/EFI/fedora/grubenv").expect("there");
    assert!(String::from_utf8_lossy(&env).contains("saved_entry=imgbase__"));
    world.sim.link("grub2/grubenv", "../../etc/grubenv");
    assert_eq!(world.choose(A).expect_err("it leads out").kind(), ErrorKind::Unsupported);
}

#[test]
fn a_menu_that_grub_does_not_read_is_a_problem() {
    let world = World::grub(DEBIAN, false);
    world.settle(A);
    world.sim.put("grub/custom.cfg", "# somebody has made this anew\n");
    let state = world.boot().state().expect("read");
    assert!(state.problems.iter().any(|p| p.is_failure() && p.to_string().contains("custom.cfg")));
    assert_eq!(state.default_layer(), None);
    assert_eq!(world.next(), "none");
    // Making the entry again mends it.
    world.put(A).expect("it is made");
    assert_eq!(world.next(), A);
    assert!(world.boot().state().expect("read").problems.is_empty());
}

/// A machine that runs from a layer on trial, the file of its entry, and what systemd-bless-boot makes of
/// that: it takes the counter off the name.
fn counted(loader: SystemdBoot) -> (World, String, String) {
    let world = World::systemd(loader, true);
    world.settle(A);
    world.put(B).expect("it is made");
    world.try_out(B, Some(A)).expect("it is chosen");
    assert_eq!(world.start(), B);
    let files = world.entry_files();
    let counted = files.iter().find(|name| name.contains("+2-1")).expect("counted");
    let path = format!("loader/entries/{counted}");
    let good = path.replace("+2-1", "");
    (world, path, good)
}

#[test]
fn what_systemd_has_found_good_is_so() {
    for loader in [V252, V257] {
        let (world, path, good) = counted(loader);
        let text = world.sim.file(&path).expect("there");
        world.sim.take(&path);
        world.sim.put(&good, text);
        for _ in 0..4 {
            assert_eq!(world.start(), B);
        }
        // It can be what another falls back to at once.
        let other = world.fork();
        other.put(C).expect("it is made");
        other.try_out(C, Some(B)).expect("it is chosen");
        for name in [C, C, C, B] {
            assert_eq!(other.start(), name, "{:?}", other.entry_files());
        }
        assert!(world.bless(B).expect("it is good"));
        assert_eq!(world.start(), B);
        assert_eq!(world.entry_files().len(), 2);
    }
}

#[test]
fn systemd_may_find_good_at_the_same_time() {
    for loader in [V252, V257] {
        let (world, path, good) = counted(loader);
        let mut calls = 0;
        // systemd-bless-boot takes the counter off the name before each call in turn.
        for call in 0.. {
            let world = world.fork();
            if call > 0 {
                world.sim.rename_before(call - 1, &path, &good);
            }
            assert!(world.bless(B).unwrap_or_else(|error| panic!("at call {call}: {error}")));
            calls = calls.max(world.sim.calls());
            for _ in 0..4 {
                assert_eq!(world.start(), B, "at call {call}");
            }
            let state = world.boot().state().expect("read");
            assert!(state.problems.is_empty(), "at call {call}: {:?}", state.problems);
            assert!(state.is_blessed(&layer(B)), "at call {call}");
            if call > calls {
                break;
            }
        }
        assert!(calls > 10);
    }
}

#[test]
fn entries_may_lie_beside_the_efi_partition() {
    let loader = SystemdBoot { esp: "efi", ..V252 };
    let base = World::systemd(V252, true);
    base.sim.take("loader/loader.conf");
    base.sim.put("efi/loader/loader.conf", "timeout 3\n");
    let world = World::over(base.sim.clone(), crate::world::Loader::Systemd(loader));
    world.settle(A);
    world.settle(B);
    assert!(world.sim.file("loader/loader.conf").is_none());
    assert_eq!(world.boot().state().expect("read").default_layer(), Some(&layer(B)));
}

#[test]
fn another_group_s_layer_of_the_same_name_is_let_be() {
    let world = World::systemd(V252, true);
    world.put(A).expect("it is made");
    let other = "OtherVG".parse().expect("a group");
    let place = world.place();
    let boot = imgbase::boot::Boot::open(place, &other, None).expect("opened").expect("a loader");
    let state = boot.state().expect("read");
    assert!(state.layers().is_empty());
    assert!(boot.clean(&[].into()).expect("cleaned").is_empty());
    let error = boot
        .put(&imgbase::boot::NewEntry {
            layer: &layer(A),
            kernel: &KERNEL.parse().expect("a version"),
            files: imgbase::boot::Files::Of(&layer(A)),
            args: &imgbase::boot::args::Args::default(),
            boot_uuid: None,
            machine_id: None,
        })
        .expect_err("there is no such entry");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
