//! How a system that was never started wants its kernel to be started.

use super::{RootFiles, shell, text};
use crate::error::Result;

/// Where kernel-install(8) reads them.
const PLACES: [&str; 2] = ["/etc/kernel/cmdline", "/usr/lib/kernel/cmdline"];

/// Where grub-mkconfig(8) does, in its order.
const GRUB: (&str, [&str; 2]) =
    ("/etc/default/grub", ["GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT"]);

/// The kernel's arguments that the tree itself asks for, on one line; empty where it says nothing.
///
/// # Errors
/// As [`RootFiles::read`].
pub fn default_arguments(root: &dyn RootFiles) -> Result<String> {
    for place in PLACES {
        if let Some(text) = text(root, place)? {
            let lines = text.lines().map(str::trim);
            let lines: Vec<&str> =
                lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
            return Ok(lines.join(" "));
        }
    }
    let (file, names) = GRUB;
    let Some(text) = text(root, file)? else { return Ok(String::new()) };
    let values = names.iter().filter_map(|name| shell::value(&text, name));
    let values: Vec<String> = values.filter(|value| !value.trim().is_empty()).collect();
    Ok(values.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::testing::Files;

    fn arguments(files: &[(&str, &str)]) -> String {
        default_arguments(&Files::of(files)).expect("readable")
    }

    #[test]
    fn what_the_tree_says_first_counts() {
        let grub = "# x\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet splash\"\nGRUB_CMDLINE_LINUX=\"console=ttyS0\"\n";
        let (grub, own) =
            (("/etc/default/grub", grub), ("/etc/kernel/cmdline", "# y\n a=1 b\n c\n"));
        assert_eq!(arguments(&[]), "");
        assert_eq!(arguments(&[grub]), "console=ttyS0 quiet splash");
        assert_eq!(arguments(&[grub, own]), "a=1 b c");
        assert_eq!(arguments(&[("/usr/lib/kernel/cmdline", "z"), own]), "a=1 b c");
        assert_eq!(arguments(&[("/etc/default/grub", "GRUB_CMDLINE_LINUX=\"$(x)\"\n")]), "");
    }
}
