//! The kernels in a tree, and what belongs to each, by the names that distributions give them.
//!
//! | | kernel | initramfs |
//! |---|---|---|
//! | Debian | `/boot/vmlinuz-VER` | `/boot/initrd.img-VER` |
//! | Fedora | `/boot/vmlinuz-VER`, `/usr/lib/modules/VER/vmlinuz` | `/boot/initramfs-VER.img` |
//! | SUSE | `/boot/vmlinuz-VER`, `/boot/Image-VER` | `/boot/initrd-VER` |
//! | kernel-install(8) | `/usr/lib/modules/VER/vmlinuz` | `/usr/lib/modules/VER/initrd` |

use super::{RootFiles, text};
use crate::error::Result;
use crate::layout::compare_versions;
use crate::order;

pub(super) const BOOT: &str = "/boot";
pub(super) const MODULES: [&str; 2] = ["/usr/lib/modules", "/lib/modules"];
/// What a kernel's file name begins with, by architecture.
const KERNELS: [&str; 4] = ["vmlinuz-", "vmlinux-", "Image-", "linux-"];
/// Names that are no version: links to one, and kernels that are not for starting a system.
const NOT_VERSIONS: [&str; 3] = ["old", "rescue", "recovery"];
/// Microcode that is a file of its own, to be loaded before the initramfs.
const MICROCODE: [&str; 2] = ["intel-ucode.img", "amd-ucode.img"];

/// What a file beside kernel and initramfs is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// An initramfs to be loaded before the other.
    Microcode,
    /// The device tree.
    DeviceTree,
    /// The kernel's checksum, which FIPS mode looks for beside it.
    Checksum,
}

/// A kernel and what belongs to it, as paths in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelFiles {
    /// What `uname -r` says of it.
    pub version: String,
    /// The kernel.
    pub kernel: String,
    /// Its initramfs, where there is one.
    pub initrd: Option<String>,
    /// What else belongs to it, in the order in which it is loaded.
    pub extras: Vec<(Extra, String)>,
}

/// The kernels in a tree, the newest first.
///
/// # Errors
/// As [`RootFiles`].
pub fn find_kernels(root: &dyn RootFiles) -> Result<Vec<KernelFiles>> {
    let mut kernels = Vec::new();
    for name in root.list(BOOT)? {
        if let Some(version) = version_of(&name) {
            kernels.push((version.to_owned(), format!("{BOOT}/{name}")));
        }
    }
    for folder in MODULES {
        for version in root.list(folder)? {
            let kernel = format!("{folder}/{version}/vmlinuz");
            let is_new = kernels.iter().all(|(known, _)| *known != version);
            if is_new && is_version(&version) && root.has(&kernel)? {
                kernels.push((version, kernel));
            }
        }
    }
    order::sort_by(&mut kernels, |(a, _), (b, _)| compare_versions(b, a).then_with(|| b.cmp(a)));
    kernels.dedup_by(|(a, _), (b, _)| a == b);
    kernels.into_iter().map(|(version, kernel)| belonging(root, version, kernel)).collect()
}

/// The version of a kernel whose file is called so.
pub(super) fn version_of(name: &str) -> Option<&str> {
    let version = KERNELS.iter().find_map(|prefix| name.strip_prefix(prefix))?;
    is_version(version).then_some(version)
}

fn is_version(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-_.~".contains(c);
    let known = NOT_VERSIONS.iter().any(|other| text == *other || text.contains("-rescue-"));
    text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(plain) && !known
}

fn belonging(root: &dyn RootFiles, version: String, kernel: String) -> Result<KernelFiles> {
    let initrd = first(root, &initrds(&version))?;
    let mut extras = Vec::new();
    for name in MICROCODE {
        let path = format!("{BOOT}/{name}");
        if root.has(&path)? {
            extras.push((Extra::Microcode, path));
        }
    }
    extras.extend(device_tree(root, &version)?.map(|path| (Extra::DeviceTree, path)));
    let checksum = checksums(&kernel);
    extras.extend(first(root, &checksum)?.map(|path| (Extra::Checksum, path)));
    Ok(KernelFiles { version, kernel, initrd, extras })
}

fn initrds(version: &str) -> Vec<String> {
    let mut paths: Vec<String> = [
        format!("initrd.img-{version}"),
        format!("initramfs-{version}.img"),
        format!("initrd-{version}"),
    ]
    .iter()
    .map(|name| format!("{BOOT}/{name}"))
    .collect();
    paths.extend(MODULES.iter().map(|folder| format!("{folder}/{version}/initrd")));
    paths
}

fn checksums(kernel: &str) -> Vec<String> {
    let (folder, name) = kernel.rsplit_once('/').unwrap_or(("", kernel));
    vec![format!("{folder}/.{name}.hmac")]
}

/// The one that `/etc/kernel/devicetree` names, as kernel-install(8) reads it.
fn device_tree(root: &dyn RootFiles, version: &str) -> Result<Option<String>> {
    let Some(named) = text(root, "/etc/kernel/devicetree")? else { return Ok(None) };
    let name = named.trim();
    if name.is_empty() || name.contains('\n') || name.split('/').any(|part| part == "..") {
        return Ok(None);
    }
    let folders = [
        format!("/usr/lib/firmware/{version}/device-tree"),
        format!("/usr/lib/linux-image-{version}"),
        format!("/usr/lib/modules/{version}/dtb"),
        format!("{BOOT}/dtbs/{version}"),
    ];
    first(root, &folders.map(|folder| format!("{folder}/{name}")))
}

fn first(root: &dyn RootFiles, paths: &[String]) -> Result<Option<String>> {
    for path in paths {
        if root.has(path)? {
            return Ok(Some(path.clone()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::testing::Files;

    fn kernels(files: &[&str]) -> Vec<KernelFiles> {
        let files: Vec<_> = files.iter().map(|path| (*path, "x")).collect();
        find_kernels(&Files::of(&files)).expect("readable")
    }

    #[test]
    fn debians_kernels_are_found_newest_first() {
        let found = kernels(&[
            "/boot/vmlinuz-6.1.0-9-amd64",
            "/boot/initrd.img-6.1.0-9-amd64",
            "/boot/vmlinuz-6.1.0-18-amd64",
            "/boot/initrd.img-6.1.0-18-amd64",
            "/boot/config-6.1.0-18-amd64",
            "/boot/vmlinuz",
            "/boot/vmlinuz-old",
            "/lib/modules/6.1.0-18-amd64/modules.dep",
        ]);
        let versions: Vec<_> = found.iter().map(|kernel| kernel.version.as_str()).collect();
        assert_eq!(versions, ["6.1.0-18-amd64", "6.1.0-9-amd64"]);
        assert_eq!(found[1].initrd.as_deref(), Some("/boot/initrd.img-6.1.0-9-amd64"));
        assert!(found[0].extras.is_empty());
    }

    #[test]
    fn fedoras_kernel_is_found_once_and_its_checksum() {
        let found = kernels(&[
            "/boot/vmlinuz-5.14.0-99.el9.x86_64",
            "/boot/.vmlinuz-5.14.0-99.el9.x86_64.hmac",
            "/boot/initramfs-5.14.0-99.el9.x86_64.img",
            "/boot/vmlinuz-0-rescue-abc",
            "/usr/lib/modules/5.14.0-99.el9.x86_64/vmlinuz",
            "/usr/lib/modules/5.14.0-100.el9.x86_64/vmlinuz",
            "/usr/lib/modules/5.14.0-100.el9.x86_64/initrd",
            "/usr/lib/modules/5.14.0-98.el9.x86_64/modules.dep",
        ]);
        let paths: Vec<_> = found.iter().map(|kernel| kernel.kernel.as_str()).collect();
        let newer = "/usr/lib/modules/5.14.0-100.el9.x86_64/vmlinuz";
        assert_eq!(paths, [newer, "/boot/vmlinuz-5.14.0-99.el9.x86_64"]);
        let hmac = "/boot/.vmlinuz-5.14.0-99.el9.x86_64.hmac".to_owned();
        assert_eq!(found[1].extras, [(Extra::Checksum, hmac)]);
        assert!(found[0].initrd.as_deref().is_some_and(|path| path.ends_with("/initrd")));
    }

    #[test]
    fn what_is_loaded_beside_them() {
        let files = Files::of(&[
            ("/boot/Image-6.6.1", "x"),
            ("/boot/amd-ucode.img", "x"),
            ("/etc/kernel/devicetree", "broadcom/board.dtb\n"),
            ("/usr/lib/linux-image-6.6.1/broadcom/board.dtb", "x"),
        ]);
        let found = find_kernels(&files).expect("readable");
        let tree = "/usr/lib/linux-image-6.6.1/broadcom/board.dtb".to_owned();
        let microcode = "/boot/amd-ucode.img".to_owned();
        let wanted = [(Extra::Microcode, microcode), (Extra::DeviceTree, tree)];
        assert_eq!((found[0].initrd.as_ref(), &found[0].extras[..]), (None, &wanted[..]));
        let files =
            Files::of(&[("/boot/Image-6.6.1", "x"), ("/etc/kernel/devicetree", "../../x\n")]);
        assert!(find_kernels(&files).expect("readable")[0].extras.is_empty());
    }
}
