//! GRUB 2.06 as Debian installs and configures it, with a `custom.cfg` of our own.

use crate::case::Outcome;
use crate::vm::Vm;

/// What counts the tries down, and takes a one-shot once; the menu is in a file of its own, which
/// the environment names. On FAT a file that is there must not be replaced: of a rename over it a
/// power cut can leave that its clusters are free and it still has its name.
const CHOOSE: &str = r#"
load_env -f $prefix/imgbase.env
set default="imgbase-${imgbase_default}"
if [ -n "${imgbase_once}" ]; then
    set default="imgbase-${imgbase_once}"
    set imgbase_once=
    save_env -f $prefix/imgbase.env imgbase_once
elif [ -n "${imgbase_trial}" ]; then
    set imgbase_go=
    if [ "${imgbase_tries}" = 3 ]; then set imgbase_tries=2; set imgbase_go=1
    elif [ "${imgbase_tries}" = 2 ]; then set imgbase_tries=1; set imgbase_go=1
    elif [ "${imgbase_tries}" = 1 ]; then set imgbase_tries=0; set imgbase_go=1
    fi
    if [ -n "${imgbase_go}" ]; then
        if save_env -f $prefix/imgbase.env imgbase_tries; then set default="imgbase-${imgbase_trial}"; fi
    fi
fi
source $prefix/imgbase-${imgbase_menu}.cfg
"#;

/// Writes that, with the menu `1`, and its other variables.
pub(super) fn configure(vm: &mut Vm, variables: &str) -> Outcome {
    vm.put("/boot/grub/custom.cfg", "644", CHOOSE.as_bytes())?;
    vm.ok(&format!(
        "cd /boot/grub && grub-editenv imgbase.env create &&
        grub-editenv imgbase.env set imgbase_menu=1 {variables}"
    ))?;
    Ok(())
}
