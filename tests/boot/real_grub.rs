//! GRUB's own programs on what is made for it: its script is parsed by grub-script-check, its blocks
//! are read and written by grub-editenv. `cargo set-up` installs them.

use std::path::Path;
use std::process::Command;

use imgbase::boot::grub::env::GrubEnv;
use imgbase::host::RealBoot;

use crate::grub::{BARE, BLS, DEBIAN, FEDORA, Grub};
use crate::world::{World, layer};

const A: &str = "Base-1-0+1";
const B: &str = "Base-2-0+1";

/// Runs one of them; what it prints.
fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; run 'cargo set-up'"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Writes a simulated folder's files to a real one.
fn write_out(world: &World, to: &Path) {
    for (path, bytes) in world.sim.files() {
        let path = to.join(path);
        std::fs::create_dir_all(path.parent().expect("it is in a folder")).expect("made");
        std::fs::write(path, bytes).expect("written");
    }
}

/// A machine whose second layer is on trial, with arguments that need quotes.
fn on_trial(grub: Grub) -> World {
    let world = World::grub(grub, false);
    world.settle(A);
    let odd = if grub.reads_entries() { "x=\"a b\"" } else { "x=\"a b\" it's;{$y} z=\\1" };
    world.put_with(B, "6.6", odd).expect("it is made");
    world.try_out(B, Some(A)).expect("it is chosen");
    world
}

#[test]
fn its_scripts_are_scripts() {
    for grub in [DEBIAN, BARE, FEDORA, BLS] {
        let (world, dir) = (on_trial(grub), tempfile::tempdir().expect("a folder"));
        write_out(&world, dir.path());
        let place = dir.path().join(grub.folder);
        let mut checked = 0;
        for entry in std::fs::read_dir(&place).expect("there").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".cfg") {
                run("grub-script-check", &[&entry.path().display().to_string()]);
                checked += 1;
            }
        }
        assert_eq!(checked, 4, "{grub:?}: grub.cfg, custom.cfg, ours and its menu");
    }
    // It would notice.
    let dir = tempfile::tempdir().expect("a folder");
    let bad = dir.path().join("bad.cfg");
    std::fs::write(&bad, "if [ a ]; then\n").expect("written");
    let status = Command::new("grub-script-check").arg(&bad).output().expect("it is there").status;
    assert!(!status.success());
}

#[test]
fn its_block_is_written_by_both() {
    let (world, dir) = (on_trial(DEBIAN), tempfile::tempdir().expect("a folder"));
    write_out(&world, dir.path());
    let block = dir.path().join("grub/imgbase.env").display().to_string();
    let said = run("grub-editenv", &[&block, "list"]);
    for line in ["boot_counter=3", "boot_success=0", "imgbase_once=0000"] {
        assert!(said.lines().any(|l| l == line), "{line}: {said}");
    }
    run("grub-editenv", &[&block, "set", "boot_counter=1"]);
    let boot = RealBoot::open(dir.path()).expect("opened");
    let place = imgbase::boot::Place { boot: &boot, esp: None, vars: None };
    let vg = "HostVG".parse().expect("a group");
    let boot = imgbase::boot::Boot::open(place, &vg, None).expect("opened").expect("GRUB");
    let state = boot.state().expect("read");
    assert_eq!(state.on_trial().and_then(|trial| trial.left), Some(1));
    run("grub-editenv", &[&block, "set", "boot_counter=0"]);
    assert_eq!(boot.state().expect("read").default_layer(), Some(&layer(A)));
    boot.set_default(&layer(B), None, None).expect("chosen");
    let bytes = std::fs::read(&block).expect("there");
    assert_eq!(bytes.len(), 1024);
    let said = run("grub-editenv", &[&block, "list"]);
    assert!(said.contains("imgbase_fallback=0000"), "{said}");
    // A block of its own making is read back to the byte.
    let theirs = dir.path().join("theirs").display().to_string();
    run("grub-editenv", &[&theirs, "create"]);
    run("grub-editenv", &[&theirs, "set", "a=b\\c d", "saved_entry=x>y"]);
    let bytes = std::fs::read(&theirs).expect("there");
    let env = GrubEnv::parse(&bytes).expect("well-formed");
    assert_eq!(env.bytes(), bytes);
    assert_eq!(env.get("a").as_deref(), Some("b\\c d"));
}
