//! The kernel arguments that are ours: what leads the kernel to a layer's volume, and what a layer
//! that nobody has found good yet has beside.

use super::args::{Args, name_of, value_of};
use crate::layout::LayerName;
use crate::name::{BadName, DmName, LvName, VgName};

/// Names the layer: imgbased's own argument.
pub(super) const BOOT_ID: &str = "img.bootid";

const ROOT: &str = "root";
const LVM: &str = "rd.lvm.lv";

/// What a layer has until it is blessed, unless its own arguments say otherwise: a panic, a missing
/// root and a failed start end in a reset, so that the loader can count.
const UNTIL_BLESSED: [&str; 3] = ["panic=10", "rd.shell=0", "rd.emergency=reboot"];

/// Whose arguments they are.
#[derive(Clone, Copy, Debug)]
pub struct Whose<'a> {
    /// The volume group.
    pub vg: &'a VgName,
    /// The layer.
    pub layer: &'a LayerName,
    /// The boot file system's UUID: a system in FIPS mode is told (`boot=UUID=...`), as dracut looks
    /// for the kernel's checksum there. No other is: to initramfs-tools `boot=` names a script of its
    /// own, and it panics where there is none.
    pub boot: Option<&'a str>,
}

/// The arguments of a layer: those inherited, in their order, with ours in place of those that led
/// to another root. The root is named by its device-mapper name, never by its file system's UUID.
///
/// # Errors
/// Where the names together are too long for device-mapper.
pub fn for_layer(inherited: &Args, whose: Whose<'_>) -> Result<Args, BadName> {
    let mut args = inherited.clone();
    let (vg, lv) = (whose.vg, whose.layer.lv_name());
    let before = Led::by(inherited);
    let is = |name: &'static str| move |word: &str| name_of(word) == name;
    args.set(&format!("{ROOT}=/dev/mapper/{}", DmName::of_lv(vg, &lv, None)?), is(ROOT));
    let first = before.layer.is_none();
    if first && !args.has("ro") && !args.has("rw") {
        args.push("ro");
    }
    args.set(&format!("{LVM}={vg}/{lv}"), |word| {
        before.is_volume(word, vg) || is_lv(word, vg, &lv)
    });
    if !args.has("rootflags") {
        args.push("rootflags=discard");
    }
    if let Some(uuid) = whose.boot.filter(|_| inherited.value("fips").as_deref() == Some("1")) {
        args.set(&format!("boot=UUID={uuid}"), is("boot"));
    }
    args.set(&format!("{BOOT_ID}={}", whose.layer), is(BOOT_ID));
    Ok(args)
}

/// What arguments lead to.
struct Led {
    layer: Option<LvName>,
    root: Option<String>,
}

impl Led {
    fn by(args: &Args) -> Self {
        let layer = args.value(BOOT_ID).and_then(|id| id.parse().ok());
        let root = args.value(ROOT).map(std::borrow::Cow::into_owned);
        Self { layer, root }
    }

    /// True for `rd.lvm.lv=` with the volume that was the root.
    fn is_volume(&self, word: &str, vg: &VgName) -> bool {
        let Some(lv) = lv_of(word, vg) else { return false };
        let path = DmName::of_lv(vg, &lv, None).map(|name| format!("/dev/mapper/{name}"));
        let root = self.root.as_deref();
        self.layer.as_ref() == Some(&lv)
            || path.is_ok_and(|path| root == Some(&path))
            || root == Some(&format!("/dev/{vg}/{lv}"))
    }
}

/// The volume that `rd.lvm.lv=VG/LV` names, where it is one of this group.
fn lv_of(word: &str, vg: &VgName) -> Option<LvName> {
    let value = value_of(word).filter(|_| name_of(word) == LVM)?;
    let (group, lv) = value.split_once('/')?;
    if group == vg.as_str() { lv.parse().ok() } else { None }
}

fn is_lv(word: &str, vg: &VgName, lv: &LvName) -> bool {
    lv_of(word, vg).as_ref() == Some(lv)
}

/// The layer that arguments name, where they lead to its volume in that group too.
pub fn layer_of(args: &Args, vg: &VgName) -> Option<LayerName> {
    let layer: LayerName = args.value(BOOT_ID)?.parse().ok()?;
    let name = DmName::of_lv(vg, &layer.lv_name(), None).ok()?;
    let root = args.value(ROOT)?;
    (root.strip_prefix("/dev/mapper/") == Some(name.as_str())).then_some(layer)
}

/// Adds what an unblessed layer has beside. Gives the words that were not there before.
pub(super) fn add_until_blessed(args: &mut Args) -> Vec<&'static str> {
    let missing = UNTIL_BLESSED.into_iter().filter(|word| !args.has(name_of(word)));
    let added: Vec<_> = missing.collect();
    for word in &added {
        args.push(word);
    }
    added
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &str) -> LayerName {
        name.parse().expect("a layer")
    }

    fn of(inherited: &str, to: &str, boot: Option<&str>) -> String {
        let (vg, layer) = ("Host-VG".parse().expect("a group"), layer(to));
        let whose = Whose { vg: &vg, layer: &layer, boot };
        for_layer(&Args::parse(inherited), whose).expect("short").to_string()
    }

    #[test]
    fn a_first_layer_gets_all_of_them() {
        assert_eq!(
            of("root=UUID=1-2 quiet", "Base-1-0+1", None),
            "root=/dev/mapper/Host--VG-Base--1--0+1 quiet ro rd.lvm.lv=Host-VG/Base-1-0+1 \
             rootflags=discard img.bootid=Base-1-0+1"
        );
        assert_eq!(
            of("rw rootflags=noatime fips=1", "Base-1-0+1", Some("ab-cd")),
            "rw rootflags=noatime fips=1 root=/dev/mapper/Host--VG-Base--1--0+1 \
             rd.lvm.lv=Host-VG/Base-1-0+1 boot=UUID=ab-cd img.bootid=Base-1-0+1"
        );
        assert!(!of("rw", "Base-1-0+1", Some("ab-cd")).contains("boot=UUID"));
    }

    #[test]
    fn what_is_inherited_keeps_its_order_and_others_volumes() {
        let old = of("quiet", "Base-1-0+1", None);
        let old =
            format!("console=ttyS0 {old} rd.lvm.lv=Host-VG/swap rd.lvm.lv=Host-VG/Base-1-0+10");
        assert_eq!(
            of(&old, "Base-2-0+3", None),
            "console=ttyS0 quiet root=/dev/mapper/Host--VG-Base--2--0+3 ro \
             rd.lvm.lv=Host-VG/Base-2-0+3 rootflags=discard img.bootid=Base-2-0+3 \
             rd.lvm.lv=Host-VG/swap rd.lvm.lv=Host-VG/Base-1-0+10"
        );
        // What the user has taken out once stays out.
        assert!(!of("img.bootid=a-1-0+1", "a-1-0+2", None).contains(" ro "));
    }

    #[test]
    fn an_adopted_root_is_let_go() {
        for root in ["/dev/mapper/Host--VG-root", "/dev/Host-VG/root"] {
            let args = format!("root={root} rd.lvm.lv=Host-VG/root rd.lvm.lv=Host-VG/swap ro");
            let args = of(&args, "a-1-0+1", None);
            assert!(!args.contains("Host-VG/root"), "{args}");
            assert!(args.contains("rd.lvm.lv=Host-VG/swap"), "{args}");
        }
    }

    #[test]
    fn a_layer_is_known_by_name_and_root() {
        let (vg, other) = ("vg".parse().expect("a group"), "vg2".parse().expect("a group"));
        let args = Args::parse("root=/dev/mapper/vg-a--1--0+2 img.bootid=a-1-0+2");
        assert_eq!(layer_of(&args, &vg), Some(layer("a-1-0+2")));
        assert_eq!(layer_of(&args, &other), None);
        assert_eq!(layer_of(&Args::parse("img.bootid=a-1-0+2"), &vg), None);
        assert_eq!(layer_of(&Args::parse("root=/dev/mapper/vg-x img.bootid=x"), &vg), None);
    }

    #[test]
    fn an_unblessed_layer_s_own_arguments_win() {
        let mut args = Args::parse("panic=30 quiet");
        assert_eq!(add_until_blessed(&mut args), ["rd.shell=0", "rd.emergency=reboot"]);
        assert_eq!(args.to_string(), "panic=30 quiet rd.shell=0 rd.emergency=reboot");
        assert!(add_until_blessed(&mut args).is_empty());
    }
}
