//! A machine with some layers, and what its loader starts.

use std::collections::BTreeSet;
use std::io;

use imgbase::Result;
use imgbase::boot::args::Args;
use imgbase::boot::folder::{BootFolder, Facts};
use imgbase::boot::sim::{SimBoot, SimFolder, SimVars};
use imgbase::boot::store::{Artefacts, Source};
use imgbase::boot::vars::EfiVars;
use imgbase::boot::{Boot, Chosen, Files, LoaderKind, NewEntry, Place, Tries};
use imgbase::layout::LayerName;

use crate::grub::Grub;
use crate::systemd::SystemdBoot;

/// What a loader has started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Booted {
    pub(crate) args: String,
    pub(crate) linux: Vec<u8>,
    pub(crate) initrds: Vec<Vec<u8>>,
}

impl Booted {
    /// The layer that its arguments name.
    pub(crate) fn layer(&self) -> &str {
        let mut words = self.args.split(' ');
        words.find_map(|word| word.strip_prefix("img.bootid=")).unwrap_or("none")
    }
}

/// Fedora and Debian alike: what a machine is like before there is a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loader {
    Systemd(SystemdBoot),
    Grub(Grub),
}

impl Loader {
    pub(crate) fn boot(self, sim: &SimBoot) -> Option<Booted> {
        match self {
            Self::Systemd(loader) => loader.boot(sim),
            Self::Grub(loader) => loader.boot(sim),
        }
    }

    pub(crate) fn next(self, sim: &SimBoot) -> Option<Booted> {
        self.boot(&sim.fork())
    }

    fn kind(self) -> LoaderKind {
        match self {
            Self::Systemd(_) => LoaderKind::SystemdBoot,
            Self::Grub(grub) if grub.reads_entries() => LoaderKind::GrubBls,
            Self::Grub(_) => LoaderKind::Grub,
        }
    }
}

/// A machine.
pub(crate) struct World {
    pub(crate) sim: SimBoot,
    pub(crate) loader: Loader,
    folder: SimFolder,
    esp: Option<SimFolder>,
    vars: Option<SimVars>,
}

pub(crate) const KERNEL: &str = "6.1.0-25-amd64";

pub(crate) fn layer(name: &str) -> LayerName {
    name.parse().expect("a layer")
}

/// FAT, or with a journal.
pub(crate) fn facts(fat: bool) -> Facts {
    Facts { fat, ..Facts::default() }
}

impl World {
    /// One with systemd-boot and another system's entry.
    pub(crate) fn systemd(loader: SystemdBoot, fat: bool) -> Self {
        let sim = SimBoot::new(facts(fat));
        sim.put("debian/6.1/linux", "debian's kernel");
        sim.put("loader/loader.conf", "timeout 3\n");
        let text = "title Debian\nversion 6.1\nsort-key debian\nlinux /debian/6.1/linux\noptions root=/dev/sda2 quiet\n";
        sim.put("loader/entries/debian-6.1.conf", text);
        Self::over(sim, Loader::Systemd(loader))
    }

    /// One with GRUB and another system's entry.
    pub(crate) fn grub(grub: Grub, fat: bool) -> Self {
        let sim = SimBoot::new(Facts { uuid: Some("12-34".into()), ..facts(fat) });
        sim.put("debian/6.1/linux", "debian's kernel");
        sim.put(&format!("{}/grub.cfg", grub.folder), grub.cfg);
        sim.put(&format!("{}/custom.cfg", grub.folder), "# mine\nset mine=1");
        let mut block = b"# GRUB Environment Block\n# WARNING: mine\nmine=kept\n".to_vec();
        block.resize(1024, b'#');
        sim.put(&format!("{}/grubenv", grub.folder), block);
        if grub.reads_entries() {
            let text = "title Fedora\nversion 6.1\nlinux /debian/6.1/linux\noptions root=/dev/sda2 quiet\n";
            sim.put("loader/entries/0a1b2c-6.1-1.fc40.conf", text);
        }
        Self::over(sim, Loader::Grub(grub))
    }

    pub(crate) fn over(sim: SimBoot, loader: Loader) -> Self {
        let vars = matches!(loader, Loader::Systemd(_)).then(|| sim.vars());
        let esp = match loader {
            Loader::Systemd(systemd) if !systemd.esp.is_empty() => Some(sim.folder_at(systemd.esp)),
            _ => None,
        };
        let folder = sim.folder();
        Self { sim, loader, folder, esp, vars }
    }

    /// The same machine on other files, without what the log knows.
    pub(crate) fn on(&self, sim: &SimBoot) -> Self {
        let world = Self::over(sim.clone(), self.loader);
        Self { vars: self.vars.as_ref().map(|_| sim.vars()), ..world }
    }

    pub(crate) fn fork(&self) -> Self {
        self.on(&self.sim.fork())
    }

    pub(crate) fn without_variables(mut self) -> Self {
        self.vars = None;
        self
    }

    pub(crate) fn place(&self) -> Place<'_> {
        Place {
            boot: &self.folder,
            esp: self.esp.as_ref().map(|esp| esp as &dyn BootFolder),
            vars: self.vars.as_ref().map(|vars| vars as &dyn EfiVars),
        }
    }

    pub(crate) fn boot(&self) -> Boot<'_> {
        self.open().expect("it can be opened")
    }

    pub(crate) fn open(&self) -> Result<Boot<'_>> {
        let vg = "HostVG".parse().expect("a group");
        let boot = Boot::open(self.place(), &vg, Some(self.loader.kind()))?;
        Ok(boot.expect("there is a loader"))
    }

    /// The layer that boots next: `none` for another system, `nothing` where nothing starts.
    pub(crate) fn next(&self) -> String {
        self.loader.next(&self.sim).map_or("nothing".to_owned(), |booted| booted.layer().to_owned())
    }

    /// Starts it; gives the layer.
    pub(crate) fn start(&self) -> String {
        self.loader.boot(&self.sim).map_or("nothing".to_owned(), |booted| booted.layer().to_owned())
    }

    pub(crate) fn put_with(&self, name: &str, kernel: &str, args: &str) -> Result<bool> {
        let (kernel_text, initrd) = (format!("kernel {kernel}"), format!("initrd {kernel}"));
        let (linux, initrd_name) = (format!("vmlinuz-{kernel}"), format!("initrd.img-{kernel}"));
        let open_linux = || -> io::Result<Box<dyn io::Read>> {
            Ok(Box::new(io::Cursor::new(kernel_text.clone())))
        };
        let open_initrd =
            || -> io::Result<Box<dyn io::Read>> { Ok(Box::new(io::Cursor::new(initrd.clone()))) };
        let artefacts = Artefacts {
            linux: Some(Source { name: &linux, from: &open_linux }),
            initrds: vec![Source { name: &initrd_name, from: &open_initrd }],
            ..Artefacts::default()
        };
        self.open()?.put(&NewEntry {
            layer: &layer(name),
            kernel: &kernel.parse().expect("a version"),
            files: Files::Given(artefacts),
            args: &Args::parse(args),
            boot_uuid: None,
            machine_id: None,
        })
    }

    pub(crate) fn put(&self, name: &str) -> Result<bool> {
        self.put_with(name, KERNEL, "quiet")
    }

    pub(crate) fn choose(&self, name: &str) -> Result<Chosen> {
        self.open()?.set_default(&layer(name), None, None)
    }

    pub(crate) fn try_out(&self, name: &str, running: Option<&str>) -> Result<Chosen> {
        let running = running.map(layer);
        self.open()?.set_default(&layer(name), Some(Tries::default()), running.as_ref())
    }

    pub(crate) fn bless(&self, name: &str) -> Result<bool> {
        self.open()?.bless(&layer(name), None)
    }

    /// Makes a layer, starts it and finds it good.
    pub(crate) fn settle(&self, name: &str) {
        self.put(name).expect("it is made");
        self.choose(name).expect("it is chosen");
        assert_eq!(self.start(), name);
        self.bless(name).expect("it is good");
        assert_eq!(self.next(), name);
    }

    /// The files of entries, by name.
    pub(crate) fn entry_files(&self) -> BTreeSet<String> {
        let files = self.sim.files();
        let names = files.keys().filter_map(|path| {
            let (place, name) = path.rsplit_once('/')?;
            (place.ends_with("entries") && name.starts_with("imgbase__")).then(|| name.to_owned())
        });
        names.collect()
    }
}
