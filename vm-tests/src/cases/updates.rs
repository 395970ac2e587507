//! A host is updated again and again, each time by an image of another sort, and keeps every edit.

use crate::case::{Case, Outcome, Stop, counted, must};
use crate::cases::kit;
use crate::vm::Vm;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("updates::in_a_row", in_a_row).with_library().within(900),
        Case::new("updates::from_xfs", from_xfs).within(300),
        Case::new("updates::labels", labels).within(600),
    ]
}

/// A small system with the `/etc` of a real one, on a file system that knows attributes.
const SYSTEM: &str =
    "mke2fs -q -t ext4 /tmp/system.ext4 96M && mount -o loop /tmp/system.ext4 /mnt/two &&
    mkdir -p /mnt/two/system/usr/bin /mnt/two/system/srv &&
    mount -o loop,ro,noload /images/debian.ext4 /mnt/image && cd /mnt/image &&
    cp -a etc root bin /mnt/two/system && cp -a usr/bin/env usr/bin/bash /mnt/two/system/usr/bin/ &&
    cd / && umount /mnt/image";

/// The image `N` of the system: `/tmp/N.ext4`.
const NEXT: &str = "cd /mnt/two/system && echo $N >etc/image-release && echo $N >etc/new-$N &&
    sed -i \"1s/.*/# the image's $N/\" etc/bash.bashrc && echo \"of $N\" >etc/issue.d-$N &&
    echo svc$N:x:9$N:9$N::/srv:/usr/sbin/nologin >>etc/passwd && echo svc$N:x:9$N: >>etc/group &&
    echo \"svc$N:*:19000::::::\" >>etc/shadow && rm -f etc/new-$((N - 2)) && touch srv/of-$N && chown 9$N:9$N srv/of-$N &&
    setfattr -n user.image -v $N etc/image-release &&
    rm -f /tmp/$N.ext4 && mke2fs -q -t ext4 -d /mnt/two/system /tmp/$N.ext4 64M &&
    mount -o loop,ro /tmp/$N.ext4 /mnt/image && guest tree /mnt/image >/tmp/tree && cd /";

/// The image as the layer of a container.
const CONTAINER: &str = r#"mkdir -p /tmp/oci/blobs/sha256 && cd /tmp/oci &&
        tar --xattrs --numeric-owner -C /mnt/image -cf layer .
        blob() { digest=sha256:$(sha256sum <$1 | cut -c1-64) size=$(stat -c %s $1) && mv $1 blobs/sha256/${digest#*:} &&
            printf '{"mediaType":"%s","digest":"%s","size":%s}' "$2" "$digest" "$size"; }
        type=application/vnd.oci.image id=sha256:$(sha256sum <layer | cut -c1-64)
        printf '{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":["%s"]}}' $id >config
        printf '{"schemaVersion":2,"config":%s,"layers":[%s]}' "$(blob config $type.config.v1+json)" \
            "$(blob layer $type.layer.v1.tar)" >manifest
        printf '{"schemaVersion":2,"manifests":[%s]}' "$(blob manifest $type.manifest.v1+json)" >index.json
        printf '{"imageLayoutVersion":"1.0.0"}' >oci-layout"#;

/// The image packed as an archive, a squashfs, a qcow2, a container's layer, as it is, as a live medium, on
/// a disk, or in a registry.
const PACK: [(&str, &str); 8] = [
    (
        "/tmp/2.tar.gz",
        "tar --xattrs --numeric-owner -C /mnt/image -cf - . | gzip -1 >/tmp/2.tar.gz",
    ),
    (
        "/makers/tmp/3.sqfs",
        "mkdir -p /makers/mnt/image && mount --bind /mnt/image /makers/mnt/image &&
        chroot /makers mksquashfs /mnt/image /tmp/3.sqfs -quiet -no-progress -noappend >/dev/null &&
        umount /makers/mnt/image",
    ),
    ("/tmp/4.qcow2", "qemu-img convert -c -O qcow2 /tmp/4.ext4 /tmp/4.qcow2"),
    ("/tmp/oci", CONTAINER),
    ("/tmp/6.ext4", "true"),
    (
        "/makers/tmp/7.sqfs",
        "mkdir -p /makers/tmp/live/LiveOS && mv /tmp/7.ext4 /makers/tmp/live/LiveOS/rootfs.img &&
        chroot /makers mksquashfs /tmp/live /tmp/7.sqfs -quiet -no-progress -noappend >/dev/null &&
        rm -r /makers/tmp/live",
    ),
    (
        "/tmp/disk",
        "truncate -s 80M /tmp/disk && sfdisk -q /tmp/disk <<END
label: gpt
start=2048, size=4096, type=uefi
start=8192, size=131072, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709
END
        dd if=/tmp/8.ext4 of=/tmp/disk bs=1M seek=4 conv=notrunc,sparse status=none",
    ),
    (
        REGISTRY,
        r#"cd /makers && for d in dev proc; do mount --bind /$d $d; done &&
        place=tmp/registry/docker/registry/v2 && mkdir -p $place/blobs/sha256 &&
        repository=$place/repositories/host && link() { mkdir -p $repository/$1 && printf sha256:$2 >$repository/$1/link; } &&
        manifest=$(grep -o 'sha256:[0-9a-f]*' /tmp/oci/index.json) && manifest=${manifest#*:} &&
        for blob in $(ls /tmp/oci/blobs/sha256); do
            mkdir -p $place/blobs/sha256/$(expr substr $blob 1 2)/$blob && link _layers/sha256/$blob $blob
            mv /tmp/oci/blobs/sha256/$blob $place/blobs/sha256/$(expr substr $blob 1 2)/$blob/data
        done
        link _manifests/revisions/sha256/$manifest $manifest && link _manifests/tags/9/current $manifest &&
        link _manifests/tags/9/index/sha256/$manifest $manifest && chroot . ip link set lo up &&
        (cd tmp && key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes' && export OPENSSL_CONF=/etc/ssl/openssl.cnf &&
        openssl() { chroot /makers openssl "$@" 2>/tmp/openssl.log || { cat /tmp/openssl.log; false; }; } &&
        for name in ours others; do
            openssl req -x509 $key -days 30 -subj /CN=$name -keyout /tmp/$name.key -out /tmp/$name.crt
        done &&
        openssl req $key -subj /CN=registry -keyout /tmp/registry.key -out /tmp/registry.csr &&
        echo subjectAltName=DNS:registry.example >names && openssl x509 -req -in /tmp/registry.csr -CA /tmp/ours.crt \
            -CAkey /tmp/ours.key -CAcreateserial -days 30 -extfile /tmp/names -out /tmp/registry.crt) &&
        mkdir -p /etc/ssl/certs && cp tmp/others.crt /etc/ssl/certs/ca-certificates.crt &&
        echo 127.0.0.1 registry.example >>/etc/hosts &&
        printf '%s\n' 'version: 0.1' 'storage:' '  filesystem:' '    rootdirectory: /tmp/registry' 'http:' '  addr: 127.0.0.1:5000' \
            '  tls:' '    certificate: /tmp/registry.crt' '    key: /tmp/registry.key' >tmp/registry.yml &&
        { chroot . docker-registry serve /tmp/registry.yml >/tmp/registry.log 2>&1 & } && echo $! >/run/registry &&
        n=0; until grep -q 'listening on' /tmp/registry.log; do sleep 0.1; n=$((n + 1)); [ $n -lt 300 ]; done"#,
    ),
];

/// The image in a registry, which is spoken with over TLS.
const REGISTRY: &str = "oci://registry.example:5000/host:9";

/// Who cannot show who it is gives no image; then the authority is one that this host trusts.
fn trust(vm: &mut Vm, update: &str) -> Outcome {
    let before = vm.ok(STATE)?;
    let said = vm.fails(1, update)?;
    must(said.contains("certificate") && said.lines().count() == 1, said)?;
    let left = vm.ok(STATE)?;
    must(left == before, left)?;
    vm.ok("cat /makers/tmp/ours.crt >>/etc/ssl/certs/ca-certificates.crt")?;
    Ok(())
}

/// More than twenty edits of the first layer.
const EDITS: &str = r#"cd /mnt/layer &&
    echo here >etc/hostname && echo 'alias mine=true' >>etc/bash.bashrc && echo mine >etc/mine &&
    rm etc/issue.net && chmod 600 etc/issue && chown 1:1 etc/profile && ln -s /nowhere etc/link &&
    ln -sfn /usr/share/zoneinfo/UTC etc/localtime && rm etc/os-release && echo ID=ours >etc/os-release &&
    rm etc/host.conf && ln -s mine etc/host.conf && mkdir -p etc/tree/a/b && echo x >etc/tree/a/b/c &&
    rm -r etc/cron.daily && echo 'bob:x:1000:1000::/:/bin/bash' >>etc/passwd && echo 'bob:x:1000:' >>etc/group &&
    echo 'bob:!:19000::::::' >>etc/shadow && sed -i 's/^root:[^:]*:/root:secret:/' etc/shadow &&
    setfattr -n user.mine -v yes etc/mine && setfattr -n user.more -v yes etc/issue &&
    echo pair >etc/pair && ln etc/pair etc/twin && head -c 5000 /dev/urandom >etc/noise && : >etc/shells &&
    mkdir -p etc/systemd/system/multi-user.target.wants &&
    ln -s /lib/systemd/system/our.service etc/systemd/system/multi-user.target.wants/ &&
    echo '/dev/sdz1 /srv ext4 noauto 0 0' >>etc/fstab && echo mine >root/file && mkdir -p 'etc/a b' &&
    echo x >"etc/a b/$(printf 'line\nend \377')" && echo 0123456789abcdef0123456789abcdef >etc/machine-id &&
    mkfifo etc/pipe && chmod 2775 etc/tree && touch -d 2020-01-01 etc/tree/a/b/c &&
    sha256sum <etc/noise >/tmp/noise && cd /"#;

/// Each of them is there, in `/mnt/layer`.
const KEPT: &str = r##"cd /mnt/layer && fail() { echo "lost: $*"; exit 1; }
    grep -qx here etc/hostname || fail hostname
    tail -n 1 etc/bash.bashrc | grep -qx 'alias mine=true' || fail bashrc
    grep -qx mine etc/mine || fail mine
    [ ! -e etc/issue.net ] || fail issue.net
    [ $(stat -c %a etc/issue) = 600 ] || fail mode
    [ $(stat -c %u:%g etc/profile) = 1:1 ] || fail owner
    [ $(readlink etc/link) = /nowhere ] || fail link
    [ $(readlink etc/localtime) = /usr/share/zoneinfo/UTC ] || fail localtime
    [ ! -L etc/os-release ] && grep -qx ID=ours etc/os-release || fail os-release
    [ $(readlink etc/host.conf) = mine ] || fail host.conf
    grep -qx x etc/tree/a/b/c && [ $(stat -c %a etc/tree) = 2775 ] || fail tree
    [ $(date -r etc/tree/a/b/c +%Y) = 2020 ] || fail time
    [ ! -e etc/cron.daily ] || fail cron.daily
    grep -q ^bob: etc/passwd && grep -q ^bob: etc/group && grep -q ^bob:! etc/shadow || fail bob
    grep -q ^root:secret: etc/shadow || fail password
    [ $(getfattr --only-values -n user.mine etc/mine) = yes ] || fail attribute
    [ $(getfattr --only-values -n user.more etc/issue) = yes ] || fail attribute of issue
    [ $(stat -c %i etc/pair) = $(stat -c %i etc/twin) ] || fail hard link
    sha256sum <etc/noise | cmp -s - /tmp/noise || fail noise
    [ -e etc/shells ] && [ ! -s etc/shells ] || fail shells
    [ -L etc/systemd/system/multi-user.target.wants/our.service ] || fail unit
    grep -qx '/dev/sdz1 /srv ext4 noauto 0 0' etc/fstab || fail fstab
    grep -qx mine root/file || fail root
    grep -qx x "etc/a b/$(printf 'line\nend \377')" || fail odd name
    grep -qx 0123456789abcdef0123456789abcdef etc/machine-id || fail machine-id
    [ -p etc/pipe ] || fail pipe
    n=2; while [ $n -lt $N ]; do grep -qx edit-$n etc/later-$n || fail later $n; n=$((n + 1)); done
    grep -qx $N etc/image-release && grep -qx $N etc/new-$N && [ ! -e etc/new-$((N - 2)) ] || fail image
    head -n 1 etc/bash.bashrc | grep -qx "# the image's $N" || fail the image\'s line
    n=2; while [ $n -le $N ]; do grep -q ^svc$n: etc/passwd || fail svc$n; n=$((n + 1)); done
    ! find etc -name '*.imgnew' | grep . || fail no conflict was to be
    cd /"##;

/// No source takes more memory.
const MOST_KIB: u64 = 64 << 10;

fn in_a_row(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    vm.ok(SYSTEM)?;
    let next = |n: usize| format!("set -e; N={n}; {NEXT}");
    vm.ok(&format!("{} && umount /mnt/image", next(1)))?;
    kit::step_says(vm, "base --add Host-1-1 /tmp/1.ext4", "Host-1-1")?;
    kit::step_says(vm, "layer --add", "Host-1-1+1")?;
    vm.ok("imgbase mount Host-1-1+1 /mnt/layer")?;
    vm.ok(EDITS)?;
    vm.ok("guest tree /mnt/layer >/tmp/first && imgbase umount /mnt/layer")?;
    let (mut peaks, mut struck) = (Vec::new(), 0);
    for (n, (image, pack)) in (2..).zip(PACK) {
        vm.ok(&next(n))?;
        let from_registry = image == REGISTRY;
        let first = if from_registry { CONTAINER } else { "" };
        vm.ok(&format!("set -e; {first}\n{pack}\ncd /; umount /mnt/image"))?;
        let (base, layer) = (format!("Host-{n}-1"), format!("Host-{n}-1+1"));
        // Told before anything is made, and then done.
        let imgbase = if from_registry { "/tools/liblvm/imgbase" } else { "imgbase" };
        if from_registry {
            trust(vm, &format!("{imgbase} update {image} --nvr {base}"))?;
        }
        let planned = vm.ok(&format!("{imgbase} --dry-run update {image} --nvr {base}"))?;
        let changes =
            planned.split("would take over ").nth(1).and_then(|rest| rest.split(' ').next());
        let told = format!("{} changes of", changes.unwrap_or("no"));
        // What is in a registry is not looked into before.
        let is_told = planned.contains("would merge /etc/bash.bashrc");
        must(is_told != from_registry, planned.clone())?;
        struck += u32::from(strike(vm, &format!("{imgbase} update {image} --nvr {base}"), n)?);
        let done = vm.sh(&format!("{imgbase} update {image} --nvr {base} 2>&1"))?;
        let (said, peak) = (done.stdout, done.max_rss_kib);
        must(peak < MOST_KIB, format!("{image} takes {peak} KiB"))?;
        peaks.push(format!("{peak} KiB for {image}"));
        must(done.status == 0 && said.contains(&layer), said.clone())?;
        must(from_registry || said.contains(&told), format!("{planned}\n{said}"))?;
        must(!said.contains("imgnew") && said.contains("/etc/bash.bashrc"), said)?;
        // The base is the image, whatever that came in.
        vm.ok(&format!(
            "imgbase mount {base} /mnt/tree --read-only && guest tree /mnt/tree | diff /tmp/tree - ;
            s=$?; imgbase umount /mnt/tree; exit $s"
        ))?;
        vm.ok(&format!("imgbase mount {layer} /mnt/layer"))?;
        vm.ok(&format!("N={n}\n{KEPT}"))?;
        vm.ok(&format!("echo edit-{n} >/mnt/layer/etc/later-{n} && imgbase umount /mnt/layer"))?;
        vm.ok(&format!("rm -rf {image} /tmp/{n}.ext4 /tmp/oci"))?;
    }
    counted(format!("peak memory: {}", peaks.join(", ")));
    counted(format!("{struck} of {} updates were stopped midway, and left nothing", PACK.len()));
    must(struck >= 3, "most updates were over before they could be stopped")?;
    // The first one is as it was.
    vm.ok("imgbase mount Host-1-1+1 /mnt/layer && guest tree /mnt/layer | diff /tmp/first - ;
        s=$?; imgbase umount /mnt/layer; exit $s")?;
    vm.says("imgbase recover --list; ls /sys/block | grep -c loop.*backing || true", "0")?;
    vm.says(
        "imgbase gc --keep 2",
        &(1..=7).map(|n| format!("Host-{n}-1+1\nHost-{n}-1")).collect::<Vec<_>>().join("\n"),
    )?;
    vm.ok("kill $(cat /run/registry) && umount /mnt/two /makers/dev /makers/proc &&
        rm /etc/ssl/certs/ca-certificates.crt && sed -i /registry.example/d /etc/hosts")?;
    kit::end(vm)
}

/// What stands in the group and what is mounted. A base may be left active: nothing tells who wanted that.
const STATE: &str = "lvs --noheadings -o lv_name,lv_size,lv_tags,thin_id HostVG | sort
    grep -c . /proc/mounts; losetup -a; imgbase recover --list";

/// Ends an update by SIGKILL or SIGINT when it has run for a while; what that leaves is cleared by
/// `recover`, or by itself. Tells whether it was hit before it was done; else what it made is whole, and
/// goes again.
fn strike(vm: &mut Vm, update: &str, n: usize) -> Result<bool, Stop> {
    let before = vm.ok(STATE)?;
    let (how, wanted) = if n.is_multiple_of(2) { ("KILL", 137) } else { ("INT", 130) };
    let after = format!("0.{n}");
    let done = vm.sh(&format!("timeout --preserve-status -s {how} {after} {update} 2>&1"))?;
    let said = format!("`{update}` ends by {how} with {}: {}", done.status, done.stdout);
    must([0, wanted].contains(&done.status), &said)?;
    if how == "KILL" {
        vm.ok("imgbase recover")?;
    } else if done.status == wanted {
        must(said.contains("stopped") || done.stdout.is_empty(), &said)?;
    }
    let (base, layer) = (format!("Host-{n}-1"), format!("Host-{n}-1+1"));
    let is_there = vm.ok("imgbase layout --layers")?.lines().any(|line| line == layer);
    // A kill may come when all is done; an interrupt that stops it must come before.
    must(is_there == (done.status == 0) || (is_there && how == "KILL"), &said)?;
    if is_there {
        kit::step(vm, &format!("layer --remove {layer}"))?;
        kit::step(vm, &format!("base --remove {base}"))?;
    }
    let left = vm.ok(STATE)?;
    must(left == before, format!("{said}\nleaves:\n{left}\nwhere there was:\n{before}"))?;
    Ok(!is_there)
}

/// The next release of the sample, as XFS too.
const NEXT_XFS: &str = "cp --sparse=always /images/debian.xfs /tmp/next.xfs && mkdir -p /mnt/image &&
    mount -o loop,nouuid /tmp/next.xfs /mnt/image && echo next >/mnt/image/etc/next &&
    echo image >/mnt/image/etc/motd && printf 'a\nb\nc\n' >/mnt/image/etc/both && umount /mnt/image";

/// Old and new bases and layers are XFS: each mount is beside others of the same identity.
fn from_xfs(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    vm.ok(NEXT_XFS)?;
    kit::step_says(vm, "base --add Host-1-1 /images/debian.xfs", "Host-1-1")?;
    kit::step_says(vm, "layer --add", "Host-1-1+1")?;
    kit::step(vm, "mount Host-1-1+1 /mnt/layer")?;
    vm.ok(
        "cd /mnt/layer/etc && echo mine >mine && rm debian_version && chmod 600 hostname issue &&
        echo mine >>issue && mkdir deep && ln mine deep/twin && setfattr -n user.x -v y mine",
    )?;
    // It stays mounted, and so it is when it runs.
    let said = vm.ok("imgbase --json update /tmp/next.xfs --nvr Host-1-2")?;
    must(said.contains("\"shares_with\":\"Host-1-1\""), &said)?;
    must(said.contains("\"layer\":\"Host-1-2+1\""), &said)?;
    vm.ok("echo late >/mnt/layer/etc/late")?;
    kit::step(vm, "mount Host-1-2+1 /mnt/tree")?;
    vm.ok("cd /mnt/tree/etc && grep -qx mine mine && [ ! -e debian_version ] && [ ! -e late ] &&
        [ $(stat -c %a issue) = 600 ] && grep -qx mine issue && grep -qx next next &&
        grep -qx image motd && [ $(stat -c %i mine) = $(stat -c %i deep/twin) ] &&
        [ $(getfattr --only-values -n user.x mine) = y ] && [ $(stat -f -c %T .) = xfs ]")?;
    let said = vm.ok("imgbase diff Host-1-2 Host-1-2+1")?;
    must(said.contains("+ /etc/mine") && said.contains("- /etc/debian_version"), said)?;
    kit::step(vm, "umount /mnt/tree")?;
    kit::step(vm, "umount /mnt/layer")?;
    for layer in ["Host-1-1+1", "Host-1-2+1"] {
        vm.ok(&format!("xfs_repair -n /dev/HostVG/{layer} >/dev/null 2>&1"))?;
    }
    vm.says("imgbase recover --list", "")?;
    kit::end(vm)
}

/// A tree with a policy in force, in whose words all of `/etc` is `etc_1_t`, and with what labels files
/// by it.
const LABELLED: &str = r#"set -e
mkdir -p /tmp/system/etc/selinux/ours/contexts/files /tmp/system/usr/sbin /tmp/system/root /tmp/system/proc
cd /makers && program=$(ls usr/sbin/setfiles sbin/setfiles 2>/dev/null | head -n 1)
cp $program /tmp/system/usr/sbin/setfiles
for library in $(chroot . /lib64/ld-linux-x86-64.so.2 --list /$program | grep -o '/[^ ]*'); do
    mkdir -p /tmp/system${library%/*} && cp -L .$library /tmp/system$library
done
cd /tmp/system/etc
printf 'SELINUX=enforcing\nSELINUXTYPE=ours\n' >selinux/config
echo image >of-image && echo image >changed && echo image >axb && echo / / ext4 >fstab"#;

/// The policy `N`, and the labels that whoever made the image has given.
const POLICY: &str = r#"set -e; cd /tmp/system/etc; files=selinux/ours/contexts/files/file_contexts
printf '/.*\tsystem_u:object_r:all_%s_t:s0\n/etc(/.*)?\tsystem_u:object_r:etc_%s_t:s0\n' $N $N >$files
printf '/etc/keys(/.*)?\t--\tsystem_u:object_r:key_%s_t:s0\n' $N >>$files
for file in . of-image changed axb; do setfattr -n security.selinux -v made:by:hand_${N}_t:s0 $file; done"#;

/// What a layer has of its own, with labels of the first policy.
const OWN: &str = r#"set -e; cd /mnt/layer/etc
echo mine >mine && echo mine >changed && mkdir -p keys/deep && echo key >keys/deep/key && chmod 750 selinux
echo x >'a*b' && echo x >'[q]{r}~' && echo x >"$(printf 'line\nend')" && ln -s mine link && ln mine twin
find . -newer fstab -exec setfattr -h -n security.selinux -v other:label:of_1_t:s0 {} +
chmod 700 of-image"#;

/// All of them have labels of the policy `N`, and the image's files those of the image.
const RIGHT: &str = r#"set -e; cd /mnt/layer/etc
is() { label=$(getfattr -h --only-values -n security.selinux "$1" 2>/dev/null | tr -d '\0')
    [ "$label" = "$2" ] || { echo "$1 has the label $label, not $2"; exit 1; }; }
for file in mine changed link twin keys/deep 'a*b' '[q]{r}~' "$(printf 'line\nend')"; do
    is "$file" system_u:object_r:etc_${N}_t:s0
done
is keys/deep/key system_u:object_r:key_${N}_t:s0
is axb made:by:hand_${N}_t:s0
grep -qx mine changed && [ $(stat -c %a selinux) = 750 ]"#;

/// What comes along to an image with another policy has the labels of that.
fn labels(vm: &mut Vm) -> Outcome {
    kit::init(vm)?;
    vm.ok(LABELLED)?;
    let policy = |n: u32| format!("N={n}\n{POLICY}");
    vm.ok(&policy(1))?;
    // Without labels hardly anything would start.
    vm.ok("setfattr -x security.selinux /tmp/system/etc")?;
    let said = vm.ok("imgbase base --add Bare-1-1 /tmp/system 2>&1")?;
    must(said.contains("no SELinux labels"), said)?;
    vm.ok("imgbase mount Bare-1-1 /mnt/layer && [ -e /mnt/layer/.autorelabel ] &&
        imgbase umount /mnt/layer && imgbase base --remove Bare-1-1")?;
    vm.ok(&policy(1))?;
    kit::step_says(vm, "base --add Host-1-1 /tmp/system", "Host-1-1")?;
    kit::step_says(vm, "layer --add", "Host-1-1+1")?;
    vm.ok("imgbase mount Host-1-1+1 /mnt/layer")?;
    vm.ok(OWN)?;
    vm.ok("imgbase umount /mnt/layer")?;

    vm.ok(&policy(2))?;
    let said = vm.ok("imgbase update /tmp/system --nvr Host-2-1 2>&1")?;
    must(said.contains("has the labels of the image's policy"), said.clone())?;
    must(!said.contains("labelled anew"), said)?;
    vm.ok("imgbase mount Host-2-1+1 /mnt/layer && [ ! -e /mnt/layer/.autorelabel ]")?;
    vm.ok(&format!("N=2\n{RIGHT}"))?;
    // Its own program finds nothing to do.
    vm.says(
        "mount --bind /proc /mnt/layer/proc && chroot /mnt/layer setfiles -n -v -m -F /etc/selinux/ours/contexts/files/file_contexts \
        /etc/mine /etc/keys /etc/link && umount /mnt/layer/proc",
        "",
    )?;
    vm.ok("imgbase umount /mnt/layer")?;

    // One that cannot leaves it to the first start, and the update is good all the same.
    vm.ok(&policy(3))?;
    vm.ok("mv /tmp/system/usr/sbin/setfiles /tmp/setfiles && echo broken >/tmp/system/usr/sbin/setfiles")?;
    let said = vm.ok("imgbase update /tmp/system --nvr Host-3-1 2>&1")?;
    must(said.contains("/usr/sbin/setfiles: "), said.clone())?;
    must(said.contains("labelled anew at the first start"), said)?;
    vm.ok("imgbase mount Host-3-1+1 /mnt/layer && [ -e /mnt/layer/.autorelabel ] &&
        imgbase umount /mnt/layer")?;
    // So does one that is marked itself, though nothing is left to be done.
    vm.ok(&policy(4))?;
    vm.ok("mv /tmp/setfiles /tmp/system/usr/sbin/setfiles && touch /tmp/system/.autorelabel")?;
    vm.says(
        "imgbase update /tmp/system --nvr Host-4-1 --json | grep -c '\"relabels\": *true'",
        "1",
    )?;
    vm.ok("imgbase mount Host-4-1+1 /mnt/layer && [ -e /mnt/layer/.autorelabel ]")?;
    vm.ok(&format!("N=4\n{RIGHT}"))?;
    vm.ok("imgbase umount /mnt/layer")?;
    kit::end(vm)
}
