//! imgbase and lvm2 at once, several processes of each on one group: nobody's change is lost, nobody
//! waits for ever.

use crate::case::{Case, Outcome, counted, is_whole, must};
use crate::cases::kit;
use crate::judges;
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    let case = Case::new("side_by_side::eight_processes", eight_processes).within(900);
    vec![Case { spec: case.spec.clone().with_two_processors(), ..case }]
}

/// Seconds that all of them work, and where all is to be tried.
const SECONDS: (u32, u32) = (60, 300);

/// What each of four imgbase does until the time is over: it makes layers, or bases, whose copy goes on
/// while the group is not locked, and removes its own.
const OURS: &str = r#"
mine= n=0
while [ ! -e /tmp/over ]; do
    n=$((n + 1))
    set -- $mine
    kind=layer what=Small-1-1
    [ $w != 4 ] || kind=base what="Other-$n-1 /tmp/small.ext4"
    if [ $# -lt 2 ]; then
        new=$(imgbase --loader none --lock-timeout 120 $kind --add $what 2>>/tmp/bad.$w) || { echo "$kind --add: $?" >>/tmp/bad.$w; continue; }
        mine="$mine $new"
    else
        imgbase --loader none --lock-timeout 120 $kind --remove $1 2>>/tmp/bad.$w || { echo "$kind --remove $1: $?" >>/tmp/bad.$w; continue; }
        shift; mine="$*"
    fi
    echo >>/tmp/turns.$w
    imgbase --lock-timeout 120 layout --json >/dev/null 2>>/tmp/bad.$w || echo "layout: $?" >>/tmp/bad.$w
done
echo $mine >/tmp/mine.$w
touch /tmp/ended.$w
"#;

/// What each of four lvm2 does: tags, thin snapshots, linear volumes.
const THEIRS: &str = r#"
mine= n=0
while [ ! -e /tmp/over ]; do
    n=$((n + 1))
    vgchange -q --addtag w$w.$n HostVG >/dev/null 2>>/tmp/bad.$w || { echo "vgchange: $?" >>/tmp/bad.$w; continue; }
    echo w$w.$n >>/tmp/tags
    set -- $mine
    case $((n % 3)) in
    0) lvcreate -q -s -kn -ay -n t$w.$n HostVG/Small-1-1 >/dev/null 2>>/tmp/bad.$w || { echo "lvcreate -s: $?" >>/tmp/bad.$w; continue; }
       mine="$mine t$w.$n" ;;
    1) lvcreate -q -y -an -Zn -L 4m -n l$w.$n HostVG >/dev/null 2>>/tmp/bad.$w || { echo "lvcreate -L: $?" >>/tmp/bad.$w; continue; }
       mine="$mine l$w.$n" ;;
    2) [ $# -lt 2 ] || { lvremove -q -y HostVG/$1 >/dev/null 2>>/tmp/bad.$w && { shift; mine="$*"; } || echo "lvremove: $?" >>/tmp/bad.$w; } ;;
    esac
    echo >>/tmp/turns.$w
done
echo $mine >/tmp/mine.$w
touch /tmp/ended.$w
"#;

fn eight_processes(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    kit::small_base(vm, "")?;
    // lvm2 alone on a pool that has seen its first volume; and four that load dm-snapshot at once
    // would not all find it.
    vm.ok("lvcreate -q -s -kn -ay -n first HostVG/Small-1-1 && lvremove -q -y HostVG/first")?;
    for (script, workers) in [(OURS, "1 2 3 4"), (THEIRS, "5 6 7 8")] {
        vm.put("/tmp/worker", "755", script.as_bytes())?;
        vm.ok("mv /tmp/worker /tmp/script")?;
        vm.ok(&format!(
            "for w in {workers}; do cp /tmp/script /tmp/script.$w; \
             (w=$w sh /tmp/script.$w </dev/null >/dev/null 2>/tmp/shell.$w &); done"
        ))?;
    }
    let seconds = if is_whole() { SECONDS.1 } else { SECONDS.0 };
    vm.ok(&format!("sleep {seconds}; touch /tmp/over"))?;
    vm.ok("for w in 1 2 3 4 5 6 7 8; do while [ ! -e /tmp/ended.$w ]; do sleep 0.2; done; done")?;
    // What was asked for is not bad.
    let bad = vm.ok("cat /tmp/bad.* |
        grep -v -e 'the rest is shared with' -e '^ *WARNING: Sum of all thin' -e '^ *WARNING: Logical volume .* not zeroed' |
        sort | uniq -c")?;
    must(bad.is_empty(), bad)?;
    let turns = vm.ok("for w in 1 2 3 4 5 6 7 8; do wc -l </tmp/turns.$w; done | xargs")?;
    counted(format!("turns of four imgbase, then four lvm2, at the same time: {turns}"));
    let all_worked = turns.split(' ').filter(|turns| turns.parse::<u32>().is_ok_and(|n| n > 3));
    must(all_worked.count() == 8, format!("somebody starved: {turns}"))?;

    // Nothing that somebody was told to be done is lost, and nothing else is there.
    let said = judges::lvm2(vm, kit::VG)?;
    must(!said.is_empty(), "lvm2 says nothing")?;
    vm.ok("cat /tmp/mine.* | tr ' ' '\\n' | grep . | sort >/tmp/wanted
        lvs --noheadings -o lv_name HostVG | tr -d ' ' |
            grep -v -x -e Config -e ImagePool -e Small-1-1 | sort >/tmp/there
        diff /tmp/wanted /tmp/there >&2")?;
    vm.ok(
        "vgs --noheadings -o tags HostVG | tr -d ' ' | tr ',' '\\n' | grep ^w | sort >/tmp/there
        sort /tmp/tags | diff - /tmp/there >&2",
    )?;
    vm.says("imgbase recover --list", "")?;
    kit::end(vm)
}
