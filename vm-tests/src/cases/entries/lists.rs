//! What the owner of a host adds to an update: lists and hooks, on the Config volume and in the layer.

use super::{ONE, TWO, in_layer, install};
use crate::case::{Case, Outcome, must};
use crate::loaders::Loader;
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("entries::lists", lists).within(900)]
}

/// Two images of an application: what it is made of, what it writes, and its configuration.
const IMAGES: &str = r#"
mkdir -p /mnt/image && for n in 1 2; do
    cp --sparse=always /systems/bare.ext4 /tmp/image$n.ext4 && mount /tmp/image$n.ext4 /mnt/image &&
    mkdir -p /mnt/image/opt/app /mnt/image/opt/lib /mnt/image/usr/local/etc &&
    printf '#!/bin/sh\necho program %s\n' $n >/mnt/image/opt/app/run &&
    chmod 755 /mnt/image/opt/app/run && echo image >/mnt/image/opt/app/data &&
    echo $n >/mnt/image/opt/lib/x && printf 'a\nb\nc\nd\n%s\n' $n >/mnt/image/usr/local/etc/conf &&
    umount /mnt/image || exit 1
done"#;

/// What the host has done with the first one.
const EDITS: &str = "echo mine >opt/app/data && mkdir -p srv/one etc/imgbase/hooks.d &&
    echo mine >srv/one/file && printf 'A\\nb\\nc\\nd\\n1\\n' >usr/local/etc/conf &&
    printf '[files]\\npaths =\\n  /srv/*\\n[hooks]\\ntimeout = 2\\n' >etc/imgbase.conf &&
    printf '#!/bin/sh\\necho layer >>$3/etc/hooked\\n' >etc/imgbase/hooks.d/20-layer &&
    chmod 755 etc/imgbase/hooks.d/20-layer";

/// The lists on the volume, and a hook that sees whether it gets what it was promised.
const CONFIG: &str = r#"
mkdir -p /mnt/config && lvchange -q -ay HostVG/Config && mount /dev/mapper/HostVG-Config /mnt/config &&
cd /mnt/config && mkdir files.d rebase.d hooks.d && printf '# ours\n/opt/app\n' >files &&
echo /opt/lib >files.d/10 && echo /usr/local/etc >rebase.d/10 &&
cat >hooks.d/10-volume <<'END' && chmod 755 hooks.d/10-volume
#!/bin/sh
set -e
[ "$#.$1.$LC_ALL" = 3.new-layer-added.C ]
[ "$(cat "$2/opt/app/data")" = mine ]
! touch "$2/opt/app/x" 2>/dev/null
{ cat "$3/opt/app/data"; "$3/opt/app/run"; } >"$3/etc/hooked"
cd "$3" && find . -name hooked
END
echo nothing >hooks.d/README"#;

fn lists(vm: &mut Vm) -> Outcome {
    vm.ok(IMAGES)?;
    install(vm, Loader::SystemdBoot, "../tmp/image1")?;
    in_layer(vm, ONE, EDITS)?;
    vm.ok(CONFIG)?;
    let update = "imgbase update /tmp/image2.ext4 --nvr Small-1-2";

    // Whatever goes wrong with a hook, there is no update.
    let hook = |text: &str| {
        format!(
            "printf '#!/bin/sh\\n{text}\\n' >/mnt/config/hooks.d/30-bad && chmod 755 /mnt/config/hooks.d/30-bad"
        )
    };
    for (text, told) in [
        ("echo no room >&2; exit 3", "/hooks.d/30-bad: it ended with 3: no room"),
        ("sleep 1000 & sleep 1000", "/hooks.d/30-bad: it was stopped after 2 seconds"),
        ("setsid sleep 1000 & sleep 0.2; exit 4", "/hooks.d/30-bad: it ended with 4"),
        ("kill -9 $$", "/hooks.d/30-bad: a signal ended it"),
    ] {
        vm.ok(&hook(text))?;
        let done = vm.sh(update)?;
        must(done.status != 0 && done.stderr.contains(told), format!("{told}: {}", done.stderr))?;
        must(done.stderr.contains("undone: everything is as before"), done.stderr)?;
        vm.says("imgbase layout --bases; imgbase recover --list", "Small-1-1")?;
        vm.fails(1, "pgrep -x sleep")?;
    }
    // It is asked to end while a hook runs, whose time is not over.
    vm.ok(&hook("kill -INT $PPID; sleep 1000"))?;
    let done = vm.sh(update)?;
    must(done.status == 130 && done.stderr.contains("30-bad: it was stopped"), &done.stderr)?;
    must(done.stderr.contains("undone: everything is as before"), done.stderr)?;
    vm.says("imgbase layout --bases; imgbase recover --list", "Small-1-1")?;
    vm.fails(1, "pgrep -x sleep")?;
    vm.ok("chmod 777 /mnt/config/hooks.d/30-bad")?;
    let done = vm.sh(update)?;
    must(done.status != 0 && done.stderr.contains("chmod go-w"), done.stderr)?;
    vm.ok("rm /mnt/config/hooks.d/30-bad && echo opt >/mnt/config/files.d/20")?;
    let done = vm.sh(update)?;
    must(done.stderr.contains("/files.d/20, line 1"), done.stderr)?;
    vm.ok("rm /mnt/config/files.d/20")?;

    let plan = vm.ok(&format!("imgbase --dry-run {}", &update["imgbase ".len()..]))?;
    let told = plan.contains("run the hook /hooks.d/10-volume new-layer-added")
        && plan.contains("run the hook /etc/imgbase/hooks.d/20-layer new-layer-added");
    must(told && !plan.contains("README"), plan)?;

    vm.ok(update)?;
    vm.fails(1, "grep imgbase/hooks /proc/mounts")?;
    in_layer(
        vm,
        TWO,
        "printf 'mine\\nprogram 1\\nlayer\\n' | cmp - etc/hooked && grep -qx mine opt/app/data &&
        grep -qx 'echo program 1' opt/app/run && grep -qx 2 opt/lib/x && grep -qx mine srv/one/file &&
        printf 'A\\nb\\nc\\nd\\n2\\n' | cmp - usr/local/etc/conf && [ -x etc/imgbase/hooks.d/20-layer ]",
    )?;
    // The volume is as it was, and so are the devices.
    vm.ok("umount /mnt/config && e2fsck -fn /dev/mapper/HostVG-Config")?;
    vm.imgbase("check")?;
    // Where nobody has it mounted it is made active for that, and no longer.
    vm.ok("lvchange -q -an HostVG/Config")?;
    vm.ok("imgbase update /tmp/image2.ext4 --nvr Small-1-3")?;
    in_layer(vm, "Small-1-3+1", "grep -qx layer etc/hooked")?;
    vm.fails(2, "ls /dev/mapper/HostVG-Config")?;
    Ok(())
}
